//! By what a control plane on another machine is known: the fingerprint in the token, authorities in a file, or those the system
//! trusts.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use sluice_contract::CONTROL_PLANE;
use sluice_snapshot::chunk::Name;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::address::Address;
use super::token::Token;
use crate::output::Failure;

/// HTTP/2 only: that is what gRPC is spoken over.
const ALPN: &[u8] = b"h2";

/// Whom a token is shown to.
#[derive(Clone)]
pub(super) struct Trust {
    tls: Arc<ClientConfig>,
    /// The name its certificate must have.
    name: ServerName<'static>,
    /// For people.
    pub known_by: String,
}

impl Trust {
    /// What a file says goes before what the token says: where TLS ends before the control plane, it is another authority's.
    pub(super) fn new(address: &Address, token: &Token, from: &str, file: Option<&Path>) -> Result<Self, Failure> {
        match (file, token.authority()) {
            (Some(file), _) => {
                Self::authorities(address, read(file)?, format!("the authorities in {}", file.display()))
            }
            (None, Some(fingerprint)) => Self::fingerprint(fingerprint, format!("the fingerprint in {from}")),
            (None, None) => {
                let known_by = format!("the authorities this system trusts (the token in {from} names none)");
                Self::authorities(address, rustls_native_certs::load_native_certs().certs, known_by)
            }
        }
    }

    fn fingerprint(fingerprint: Name, known_by: String) -> Result<Self, Failure> {
        let tls = sluice_dataplane::first_contact(fingerprint).map_err(Failure::other)?;
        Ok(Self { tls, name: ServerName::try_from(CONTROL_PLANE).map_err(Failure::other)?, known_by })
    }

    fn authorities(
        address: &Address,
        trusted: Vec<CertificateDer<'static>>,
        known_by: String,
    ) -> Result<Self, Failure> {
        let mut roots = RootCertStore::empty();
        // a system has some that no library reads
        roots.add_parsable_certificates(trusted);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(Failure::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![ALPN.to_vec()];
        let name = ServerName::try_from(address.host().to_owned());
        Ok(Self { tls: Arc::new(tls), name: name.map_err(Failure::input)?, known_by })
    }

    /// Connects, and makes sure who answers.
    pub(super) async fn connect(self, address: Address) -> io::Result<TlsStream<TcpStream>> {
        let tcp = TcpStream::connect((address.host(), address.port())).await?;
        tcp.set_nodelay(true)?;
        TlsConnector::from(self.tls).connect(self.name, tcp).await
    }
}

fn read(file: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let shown = file.display();
    let pem = std::fs::read(file).map_err(|error| Failure::input(format_args!("{shown} cannot be read: {error}")))?;
    let certificates = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.ok().filter(|certificates| !certificates.is_empty());
    certificates.ok_or_else(|| Failure::input(format_args!("{shown} holds no certificate in PEM")))
}
