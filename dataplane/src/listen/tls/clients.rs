//! Certificates of clients (mutual TLS): verified against the configured authorities and what those have revoked. The files
//! are read again when they change, and the configuration may change as well, without a restart.

use std::path::Path;
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
use sluice_snapshot::model::ClientCertificates;

use super::{CertificateError, state};
use crate::auth::certificate::Certificate;

/// Who is known by a certificate, as last read.
#[derive(Debug)]
pub(crate) struct Clients {
    algorithms: WebPkiSupportedAlgorithms,
    current: ArcSwapOption<Current>,
    /// The configuration that could not be used, and its files as they were: said once per change.
    refused: Mutex<Option<(ClientCertificates, Stamp)>>,
}

#[derive(Debug)]
struct Current {
    configured: ClientCertificates,
    stamp: Stamp,
    verifier: Arc<dyn ClientCertVerifier>,
}

type Stamp = Vec<Option<(SystemTime, u64)>>;

impl Clients {
    /// Reads what a listener begins with.
    ///
    /// # Errors
    /// The first file that cannot be used.
    pub(crate) fn load(configured: Option<&ClientCertificates>) -> Result<Arc<Self>, CertificateError> {
        let algorithms = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms;
        let current = configured.map(Current::read).transpose()?.map(Arc::new);
        Ok(Arc::new(Self { algorithms, current: ArcSwapOption::new(current), refused: Mutex::default() }))
    }

    /// Goes by another configuration, or by files that have changed. What cannot be read leaves the last good state; where
    /// there is none, nobody is known by a certificate.
    pub(crate) fn refresh(&self, configured: Option<&ClientCertificates>) {
        let current = self.current.load();
        let Some(configured) = configured else {
            if current.is_some() {
                self.current.store(None);
            }
            return;
        };
        let stamp = stamp(configured);
        if current.as_ref().is_some_and(|current| current.configured == *configured && current.stamp == stamp) {
            return;
        }
        match Current::read(configured) {
            Ok(fresh) => {
                self.current.store(Some(Arc::new(fresh)));
                tracing::info!("authorities of clients read again");
            }
            Err(error) => {
                let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
                let now = Some((configured.clone(), stamp));
                if *refused != now {
                    tracing::warn!(%error, "changed authorities of clients are not usable; the last good ones stay");
                    *refused = now;
                }
            }
        }
    }

    /// What a client showed. A session that was resumed brings the certificate of the one before, which may have been revoked
    /// meanwhile.
    ///
    /// # Errors
    /// It is no longer good, or one is required and none was shown.
    pub(crate) fn shown(&self, session: &ServerConnection) -> Result<Option<Certificate>, Error> {
        let current = self.current.load();
        let Some(current) = current.as_deref() else { return Ok(None) };
        let Some([own, chain @ ..]) = session.peer_certificates() else {
            return if current.configured.required { Err(Error::NoCertificatesPresented) } else { Ok(None) };
        };
        if session.handshake_kind() == Some(HandshakeKind::Resumed) {
            current.verifier.verify_client_cert(own, chain, UnixTime::now())?;
        }
        Certificate::read(own).map(Some).ok_or(Error::InvalidCertificate(rustls::CertificateError::BadEncoding))
    }
}

impl Current {
    fn read(configured: &ClientCertificates) -> Result<Self, CertificateError> {
        let stamp = stamp(configured);
        let mut roots = RootCertStore::empty();
        for path in &configured.authorities {
            let certificates = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
            let certificates = certificates.map_err(|error| failed(path, &error))?;
            if certificates.is_empty() {
                return Err(failed(path, &"there is no certificate in it"));
            }
            for certificate in certificates {
                roots.add(certificate).map_err(|error| failed(path, &error))?;
            }
        }
        let mut revoked = Vec::new();
        for path in &configured.revocations {
            let lists =
                CertificateRevocationListDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
            let lists = lists.map_err(|error| failed(path, &error))?;
            if lists.is_empty() {
                // taken for a list, it would revoke nothing
                return Err(failed(path, &"there is no revocation list in it"));
            }
            revoked.extend(lists);
        }
        let builder = WebPkiClientVerifier::builder(Arc::new(roots)).with_crls(revoked);
        // an authority that publishes no list revokes nothing
        let builder = builder.allow_unknown_revocation_status();
        let builder = if configured.required { builder } else { builder.allow_unauthenticated() };
        let verifier = builder.build().map_err(|error| match configured.authorities.first() {
            Some(path) => failed(path, &error),
            None => failed(Path::new(""), &error),
        })?;
        Ok(Self { configured: configured.clone(), stamp, verifier })
    }
}

fn stamp(configured: &ClientCertificates) -> Stamp {
    configured.authorities.iter().chain(&configured.revocations).map(|path| state(path)).collect()
}

fn failed(path: &Path, cause: &dyn std::fmt::Display) -> CertificateError {
    CertificateError { path: path.display().to_string(), cause: cause.to_string() }
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
