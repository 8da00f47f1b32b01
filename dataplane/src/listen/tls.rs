//! TLS for clients: certificates by server name (SNI), read again when their files change, without a restart.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use rustls::client::verify_server_name;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use sluice_snapshot::model::Certificate;

mod clients;

pub(crate) use clients::Clients;

/// A listener's side of TLS.
pub(crate) struct Tls {
    pub config: Arc<rustls::ServerConfig>,
    /// Who is known by a certificate.
    pub clients: Arc<Clients>,
}

/// The certificates of a listener, as last read.
#[derive(Debug)]
pub(crate) struct Certificates {
    configured: Vec<Certificate>,
    entries: ArcSwap<Vec<Entry>>,
    /// The files as they were when they could not be used: said once per change.
    refused: Mutex<Vec<Stamp>>,
}

#[derive(Debug)]
struct Entry {
    domains: Vec<String>,
    key: Arc<CertifiedKey>,
    stamp: Stamp,
}

type Stamp = [Option<(SystemTime, u64)>; 2];

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use certificate {path}: {cause}")]
pub struct CertificateError {
    path: String,
    cause: String,
}

impl Certificates {
    /// Reads all certificates.
    ///
    /// # Errors
    /// The first file that cannot be read, or a key that does not fit its certificate.
    pub(crate) fn load(configured: &[Certificate]) -> Result<Arc<Self>, CertificateError> {
        let entries = configured.iter().map(entry).collect::<Result<_, _>>()?;
        Ok(Arc::new(Self {
            configured: configured.to_vec(),
            entries: ArcSwap::from_pointee(entries),
            refused: Mutex::default(),
        }))
    }

    /// Reads files again that have changed. One that cannot be read keeps its last good certificate.
    pub(crate) fn refresh(&self) {
        let current = self.entries.load();
        if self.configured.iter().zip(current.iter()).all(|(c, e)| stamp(c) == e.stamp) {
            return;
        }
        match self.configured.iter().map(entry).collect::<Result<Vec<_>, _>>() {
            Ok(entries) => {
                self.entries.store(Arc::new(entries));
                tracing::info!("certificates read again");
            }
            Err(error) => {
                let stamps: Vec<Stamp> = self.configured.iter().map(stamp).collect();
                let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
                if *refused != stamps {
                    tracing::warn!(%error, "changed certificates are not usable; the last good ones stay");
                    *refused = stamps;
                }
            }
        }
    }

    /// What a TLS listener runs with.
    pub(crate) fn listener(self: Arc<Self>, clients: Arc<Clients>) -> Arc<Tls> {
        let verifier = Arc::clone(&clients) as Arc<dyn ClientCertVerifier>;
        let mut config = rustls::ServerConfig::builder().with_client_cert_verifier(verifier).with_cert_resolver(self);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Arc::new(Tls { config: Arc::new(config), clients })
    }
}

impl ResolvesServerCert for Certificates {
    /// The certificate for the name a client asks for; the first one where none fits or none is asked for.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let entries = self.entries.load();
        let named = hello.server_name().and_then(|name| entries.iter().find(|e| e.answers_to(name)));
        named.or(entries.first()).map(|entry| Arc::clone(&entry.key))
    }
}

impl Entry {
    fn answers_to(&self, name: &str) -> bool {
        if self.domains.is_empty() {
            let parsed = self.key.end_entity_cert().ok().and_then(|c| ParsedCertificate::try_from(c).ok());
            let name = ServerName::try_from(name).ok();
            return parsed.zip(name).is_some_and(|(cert, name)| verify_server_name(&cert, &name).is_ok());
        }
        self.domains.iter().any(|domain| match domain.strip_prefix("*.") {
            Some(parent) => name.split_once('.').is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(parent)),
            None => name.eq_ignore_ascii_case(domain),
        })
    }
}

fn entry(configured: &Certificate) -> Result<Entry, CertificateError> {
    let failed = |path: &Path, cause: &dyn std::fmt::Display| CertificateError {
        path: path.display().to_string(),
        cause: cause.to_string(),
    };
    let stamp = stamp(configured);
    let chain = CertificateDer::pem_file_iter(&configured.chain)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| failed(&configured.chain, &e))?;
    let key = PrivateKeyDer::from_pem_file(&configured.key).map_err(|e| failed(&configured.key, &e))?;
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let key = CertifiedKey::from_der(chain, key, &provider).map_err(|e| failed(&configured.chain, &e))?;
    Ok(Entry { domains: configured.domains.clone(), key: Arc::new(key), stamp })
}

fn stamp(configured: &Certificate) -> Stamp {
    [&configured.chain, &configured.key].map(|path| state(path))
}

/// Changes whenever a file does.
fn state(path: &Path) -> Option<(SystemTime, u64)> {
    let meta = std::fs::metadata(path).ok()?;
    Some((meta.modified().ok()?, meta.len()))
}
