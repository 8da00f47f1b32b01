//! Certificates of clients (mutual TLS): verified against the configured authorities and what those have revoked. The files
//! are read again when they change, and the configuration may change as well, without a restart.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwapOption;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ServerConnection, WebPkiClientVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, HandshakeKind, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use sluice_snapshot::Fault;
use sluice_snapshot::model::ClientCertificates;

use super::{fault, state};
use crate::auth::certificate::{Certificate, Issuers};

/// Where they are in a snapshot.
const PLACE: &str = "listener.client_certificates";

/// Who is known by a certificate, as last read.
#[derive(Debug)]
pub(crate) struct Clients {
    algorithms: WebPkiSupportedAlgorithms,
    current: ArcSwapOption<Current>,
    /// Counts what certificates were verified by.
    state: AtomicU64,
    /// The files as they were when they could not be used: said once per change.
    refused: Mutex<Stamp>,
}

/// What was read, and does not count yet.
pub(super) struct Prepared(Option<Current>);

#[derive(Debug)]
struct Current {
    configured: ClientCertificates,
    stamp: Stamp,
    verifier: Arc<dyn ClientCertVerifier>,
}

type Stamp = Vec<Option<(SystemTime, u64)>>;

impl Clients {
    /// Nobody is known by a certificate.
    pub(super) fn new() -> Arc<Self> {
        let algorithms = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms;
        Arc::new(Self {
            algorithms,
            current: ArcSwapOption::empty(),
            state: AtomicU64::new(1),
            refused: Mutex::default(),
        })
    }

    /// Reads what a snapshot names; with it, what is wrong with a file of which an earlier state is kept.
    ///
    /// # Errors
    /// The first file that cannot be used, where there is no earlier state.
    pub(super) fn prepare(&self, configured: Option<&ClientCertificates>) -> Result<(Prepared, Option<Fault>), Fault> {
        let Some(configured) = configured else { return Ok((Prepared(None), None)) };
        let held = self.current.load_full().filter(|held| held.verifies_by(configured));
        if let Some(held) = held.as_ref().filter(|held| held.stamp == stamp(configured)) {
            return Ok((Prepared(Some(held.with(configured))), None));
        }
        match (Current::read(configured), held) {
            (Ok(fresh), _) => Ok((Prepared(Some(fresh)), None)),
            (Err(fault), Some(held)) => Ok((Prepared(Some(held.with(configured))), Some(fault))),
            (Err(fault), None) => Err(fault),
        }
    }

    /// Goes by what was prepared.
    pub(super) fn adopt(&self, Prepared(current): Prepared) {
        let verifier = |current: &Current| Arc::as_ptr(&current.verifier).cast::<()>();
        let before = self.current.load().as_deref().map(verifier);
        let is_new = current.as_ref().map(verifier) != before;
        self.current.store(current.map(Arc::new));
        if is_new {
            self.state.fetch_add(1, Ordering::Release);
        }
    }

    /// Reads files again that have changed. What cannot be used leaves the last good state.
    pub(super) fn refresh(&self) {
        let Some(current) = self.current.load_full() else { return };
        let stamp = stamp(&current.configured);
        if current.stamp == stamp {
            return;
        }
        match Current::read(&current.configured) {
            Ok(fresh) => {
                self.current.store(Some(Arc::new(fresh)));
                self.state.fetch_add(1, Ordering::Release);
                tracing::info!("authorities of clients read again");
            }
            Err(fault) => {
                let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
                if *refused != stamp {
                    let Fault { path, reason } = fault;
                    tracing::warn!(
                        path,
                        reason,
                        "changed authorities of clients are not usable; the last good ones stay"
                    );
                    *refused = stamp;
                }
            }
        }
    }

    /// What a client showed. A session that was resumed brings the certificate of the one before, which may have been revoked
    /// meanwhile.
    ///
    /// # Errors
    /// It is no longer good, or one is required and none was shown.
    pub(crate) fn shown(self: &Arc<Self>, session: &ServerConnection) -> Result<Option<Certificate>, Error> {
        let current = self.current.load();
        let Some(current) = current.as_deref() else { return Ok(None) };
        let Some(shown @ [own, chain @ ..]) = session.peer_certificates() else {
            return if current.configured.required { Err(Error::NoCertificatesPresented) } else { Ok(None) };
        };
        if session.handshake_kind() == Some(HandshakeKind::Resumed) {
            current.verifier.verify_client_cert(own, chain, UnixTime::now())?;
        }
        let issuers = Arc::clone(self) as Arc<dyn Issuers>;
        Certificate::read(shown, issuers)
            .map(Some)
            .ok_or(Error::InvalidCertificate(rustls::CertificateError::BadEncoding))
    }
}

impl Issuers for Clients {
    fn state(&self) -> u64 {
        self.state.load(Ordering::Acquire)
    }

    fn verify(&self, chain: &[CertificateDer<'static>]) -> bool {
        let current = self.current.load();
        let Some((current, [own, chain @ ..])) = current.as_deref().zip(Some(chain)) else { return false };
        current.verifier.verify_client_cert(own, chain, UnixTime::now()).is_ok()
    }
}

impl Current {
    fn read(configured: &ClientCertificates) -> Result<Self, Fault> {
        // before reading: a change in between is then seen as one more change
        let stamp = stamp(configured);
        let mut roots = RootCertStore::empty();
        for (index, file) in configured.authorities.iter().enumerate() {
            let unusable = |cause: &dyn std::fmt::Display| unusable("authority_files", index, file, cause);
            let certificates = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
            let certificates = certificates.map_err(|error| unusable(&error))?;
            if certificates.is_empty() {
                return Err(unusable(&"there is no certificate in it"));
            }
            for certificate in certificates {
                roots.add(certificate).map_err(|error| unusable(&error))?;
            }
        }
        let mut revoked = Vec::new();
        for (index, file) in configured.revocations.iter().enumerate() {
            let unusable = |cause: &dyn std::fmt::Display| unusable("revocation_files", index, file, cause);
            let lists =
                CertificateRevocationListDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
            let lists = lists.map_err(|error| unusable(&error))?;
            if lists.is_empty() {
                // taken for a list, it would revoke nothing
                return Err(unusable(&"there is no revocation list in it"));
            }
            revoked.extend(lists);
        }
        let builder = WebPkiClientVerifier::builder(Arc::new(roots)).with_crls(revoked);
        // an authority that publishes no list revokes nothing
        let builder = builder.allow_unknown_revocation_status();
        let builder = if configured.required { builder } else { builder.allow_unauthenticated() };
        let verifier = builder.build().map_err(|error| Fault { path: PLACE.to_owned(), reason: error.to_string() })?;
        Ok(Self { configured: configured.clone(), stamp, verifier })
    }

    /// Whether another configuration verifies by the same: whom names let in is judged elsewhere.
    fn verifies_by(&self, configured: &ClientCertificates) -> bool {
        let ClientCertificates { authorities, revocations, required, names: _ } = &self.configured;
        (authorities, revocations, required) == (&configured.authorities, &configured.revocations, &configured.required)
    }

    /// The same for a configuration that verifies by the same.
    fn with(&self, configured: &ClientCertificates) -> Self {
        Self { configured: configured.clone(), stamp: self.stamp.clone(), verifier: Arc::clone(&self.verifier) }
    }
}

fn stamp(configured: &ClientCertificates) -> Stamp {
    configured.authorities.iter().chain(&configured.revocations).map(|path| state(path)).collect()
}

fn unusable(word: &str, index: usize, file: &Path, cause: &dyn std::fmt::Display) -> Fault {
    fault(format!("{PLACE}.{word}[{index}]"), file, cause)
}

impl ClientCertVerifier for Clients {
    fn offer_client_auth(&self) -> bool {
        self.current.load().is_some()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.current.load().as_ref().is_some_and(|current| current.configured.required)
    }

    /// None: they could change while they are being told. Clients show what they have.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let current = self.current.load();
        let current = current.as_ref().ok_or(Error::General("nobody is known by a certificate".to_owned()))?;
        current.verifier.verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
