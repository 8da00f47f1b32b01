//! Somebody who has the address of a control plane and a certificate of its name, by an authority of their own.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sluice_contract::CONTROL_PLANE;
use sluice_tests::wait;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

pub(crate) struct Impostor {
    pub(crate) address: SocketAddr,
    heard: Arc<AtomicUsize>,
    ended: Arc<AtomicUsize>,
}

impl Impostor {
    /// Listens, in a thread of its own; `shown` goes with its certificate as the authority.
    pub(crate) fn start(ip: IpAddr, shown: Option<CertificateDer<'static>>) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![CONTROL_PLANE.to_owned()]).unwrap().self_signed(&key).unwrap();
        let chain = std::iter::once(certificate.der().clone()).chain(shown).collect();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der())))
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let listener = std::net::TcpListener::bind((ip, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (heard, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (counted, done) = (Arc::clone(&heard), Arc::clone(&ended));
        let acceptor = TlsAcceptor::from(Arc::new(config));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).unwrap();
                while let Ok((stream, _)) = listener.accept().await {
                    counted.fetch_add(listen(&acceptor, stream).await, Ordering::Relaxed);
                    done.fetch_add(1, Ordering::Release);
                }
            });
        });
        Self { address, heard, ended }
    }

    /// How much was said to it, once whoever came has gone.
    pub(crate) async fn heard(&self) -> usize {
        wait::until("somebody came and went", || (self.ended.load(Ordering::Acquire) > 0).then_some(())).await;
        self.heard.load(Ordering::Relaxed)
    }
}

/// How many bytes somebody says.
async fn listen(acceptor: &TlsAcceptor, stream: TcpStream) -> usize {
    let Ok(mut stream) = acceptor.accept(stream).await else { return 0 };
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    bytes.len()
}
