//! TLS for clients: certificates by server name (SNI). They change with the configuration and with their files, without a restart.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use rustls::Error;
use rustls::client::verify_server_name;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use sluice_snapshot::Fault;
use sluice_snapshot::model::{Certificate, Listener};

use crate::auth::certificate::Issuers as _;

mod clients;

pub(crate) use clients::Clients;

/// A listener's side of TLS.
pub(crate) struct Tls {
    pub config: Arc<rustls::ServerConfig>,
    certificates: Arc<Certificates>,
    /// Who is known by a certificate.
    pub clients: Arc<Clients>,
}

/// What a snapshot says of TLS, read and found to be usable.
pub(crate) struct Prepared {
    entries: Entries,
    clients: clients::Prepared,
    /// Files that cannot be used as they are now: what was good in them before stays.
    pub kept: Vec<Fault>,
}

/// The certificates of a listener, as last read.
#[derive(Debug, Default)]
struct Certificates {
    entries: ArcSwap<Entries>,
    /// The files as they were when they could not be used: said once per change.
    refused: Mutex<Vec<Stamp>>,
}

#[derive(Debug)]
struct Entry {
    configured: Certificate,
    key: Arc<CertifiedKey>,
    stamp: Stamp,
}

type Entries = Vec<Arc<Entry>>;

type Stamp = [Option<(SystemTime, u64)>; 2];

impl Tls {
    /// For a listener of which nothing was said yet: TLS is not spoken.
    pub(crate) fn new() -> Arc<Self> {
        let (certificates, clients) = (Arc::<Certificates>::default(), Clients::new());
        let verifier = Arc::clone(&clients) as Arc<dyn ClientCertVerifier>;
        let resolver = Arc::clone(&certificates) as Arc<dyn ResolvesServerCert>;
        let mut config =
            rustls::ServerConfig::builder().with_client_cert_verifier(verifier).with_cert_resolver(resolver);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Arc::new(Self { config: Arc::new(config), certificates, clients })
    }

    /// Reads what a snapshot names.
    ///
    /// # Errors
    /// Every file that cannot be used, with its place in the snapshot. One that was used before is no error: what was good stays.
    pub(crate) fn prepare(&self, listener: &Listener) -> Result<Prepared, Vec<Fault>> {
        let certificates = self.certificates.prepare(&listener.certificates);
        let clients = self.clients.prepare(listener.client_certificates.as_ref());
        match (certificates, clients) {
            (Ok((entries, mut kept)), Ok((clients, also))) => {
                kept.extend(also);
                Ok(Prepared { entries, clients, kept })
            }
            (certificates, clients) => Err(certificates.err().into_iter().flatten().chain(clients.err()).collect()),
        }
    }

    /// Goes by what was prepared: whoever connects from now on meets it, and connections that are open go on, but for those by a
    /// certificate that is not good any more.
    pub(crate) fn adopt(&self, prepared: Prepared) {
        self.certificates.entries.store(Arc::new(prepared.entries));
        self.clients.adopt(prepared.clients);
    }

    /// Reads files again that have changed. What cannot be used leaves what was good.
    pub(crate) fn refresh(&self) {
        self.certificates.refresh();
        self.clients.refresh();
    }

    /// Counts changes of what certificates of clients are verified by.
    pub(crate) fn state(&self) -> u64 {
        self.clients.state()
    }

    /// What is spoken with whoever connects now; `None`: plain HTTP.
    pub(crate) fn spoken(self: &Arc<Self>) -> Option<Arc<Self>> {
        (!self.certificates.entries.load().is_empty()).then(|| Arc::clone(self))
    }
}

impl Certificates {
    /// The certificates, and what is wrong with files of which an earlier state is kept.
    fn prepare(&self, configured: &[Certificate]) -> Result<(Entries, Vec<Fault>), Vec<Fault>> {
        let held = self.entries.load();
        let (mut entries, mut kept, mut faults) = (Vec::with_capacity(configured.len()), Vec::new(), Vec::new());
        for (index, configured) in configured.iter().enumerate() {
            let before = held.iter().find(|entry| entry.configured == *configured);
            let entry = match before {
                Some(before) if before.stamp == stamp(configured) => Ok(Arc::clone(before)),
                _ => Entry::read(configured, index).map(Arc::new),
            };
            match (entry, before) {
                (Ok(entry), _) => entries.push(entry),
                (Err(fault), Some(before)) => {
                    kept.push(fault);
                    entries.push(Arc::clone(before));
                }
                (Err(fault), None) => faults.push(fault),
            }
        }
        if faults.is_empty() { Ok((entries, kept)) } else { Err(faults) }
    }

    fn refresh(&self) {
        let held = self.entries.load_full();
        if held.iter().all(|entry| stamp(&entry.configured) == entry.stamp) {
            return;
        }
        let configured: Vec<Certificate> = held.iter().map(|entry| entry.configured.clone()).collect();
        // each of them is held: none can be missing
        let Ok((entries, kept)) = self.prepare(&configured) else { return };
        if entries.iter().zip(held.iter()).any(|(now, before)| !Arc::ptr_eq(now, before)) {
            self.entries.store(Arc::new(entries));
            tracing::info!("certificates read again");
        }
        let stamps: Vec<Stamp> = configured.iter().map(stamp).collect();
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if *refused != stamps {
            for fault in kept {
                tracing::warn!(
                    path = fault.path,
                    reason = fault.reason,
                    "a changed certificate is not usable; the last good one stays"
                );
            }
            *refused = stamps;
        }
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
    fn read(configured: &Certificate, index: usize) -> Result<Self, Fault> {
        let unusable = |word: &str, file: &Path, cause: &dyn std::fmt::Display| {
            fault(format!("listener.certificates[{index}].{word}"), file, cause)
        };
        let Certificate { chain, key, .. } = configured;
        // before reading: a change in between is then seen as one more change
        let stamp = stamp(configured);
        let der = CertificateDer::pem_file_iter(chain).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let der = der.map_err(|error| unusable("chain_file", chain, &error))?;
        if der.is_empty() {
            return Err(unusable("chain_file", chain, &"there is no certificate in it"));
        }
        let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable("key_file", key, &error))?;
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let secret = provider.key_provider.load_private_key(secret);
        let secret = secret.map_err(|error| unusable("key_file", key, &error))?;
        let certified = CertifiedKey::new(der, secret);
        match certified.keys_match() {
            Ok(()) => Ok(Self { configured: configured.clone(), key: Arc::new(certified), stamp }),
            Err(Error::InconsistentKeys(_)) => {
                Err(unusable("key_file", key, &format!("it is not the key of the certificate in {}", chain.display())))
            }
            Err(error) => Err(unusable("chain_file", chain, &error)),
        }
    }

    fn answers_to(&self, name: &str) -> bool {
        let domains = &self.configured.domains;
        if domains.is_empty() {
            let parsed = self.key.end_entity_cert().ok().and_then(|c| ParsedCertificate::try_from(c).ok());
            let name = ServerName::try_from(name).ok();
            return parsed.zip(name).is_some_and(|(cert, name)| verify_server_name(&cert, &name).is_ok());
        }
        domains.iter().any(|domain| match domain.strip_prefix("*.") {
            Some(parent) => name.split_once('.').is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(parent)),
            None => name.eq_ignore_ascii_case(domain),
        })
    }
}

/// Why a file cannot be used.
fn fault(path: String, file: &Path, cause: &dyn std::fmt::Display) -> Fault {
    Fault { path, reason: format!("{} cannot be used: {cause}", file.display()) }
}

fn stamp(configured: &Certificate) -> Stamp {
    [&configured.chain, &configured.key].map(|path| state(path))
}

/// Changes whenever a file does.
fn state(path: &Path) -> Option<(SystemTime, u64)> {
    let meta = std::fs::metadata(path).ok()?;
    Some((meta.modified().ok()?, meta.len()))
}
