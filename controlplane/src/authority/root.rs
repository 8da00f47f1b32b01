//! One authority: a key, its certificate, and what it signs.

use std::time::Duration;

use aws_lc_rs::rand;
use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType, SerialNumber, date_time_ymd,
};
use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::CertificateDer;
use sluice_contract::{CONTROL_PLANE, NODE};
use sluice_snapshot::chunk::Name;

use super::clock::unix;
use super::{AuthorityError, credential};

/// Clocks of nodes may be behind ours by this much, for what they check.
const SKEW: Duration = Duration::from_secs(3600);

/// An authority.
pub(super) struct Root {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    name: String,
    made: Timestamp,
    ends: Timestamp,
    at_once: bool,
}

impl Root {
    /// A new one, good from `now` on. `at_once`: it is to sign without having been announced.
    pub(super) fn make(now: Timestamp, life: Duration, at_once: bool) -> Result<Self, AuthorityError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = params(now, SKEW, life);
        // each has a name of its own, so that a chain leads to one of them only
        let name = format!("Sluice authority of {}", now.strftime("%Y-%m-%dT%H:%M:%S%.3fZ"));
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key)?.der().clone();
        Self::of(certificate, key, at_once)
    }

    /// One that was kept.
    pub(super) fn of(
        certificate: CertificateDer<'static>,
        key: KeyPair,
        at_once: bool,
    ) -> Result<Self, AuthorityError> {
        let issuer = Issuer::from_ca_cert_der(&certificate, key)?;
        let broken = || AuthorityError::Broken("a certificate has no times".to_owned());
        let (starts, ends) = credential::times(&certificate).ok_or_else(broken)?;
        let name = credential::subject(&certificate).ok_or_else(broken)?;
        Ok(Self { issuer, certificate, name, made: starts + SKEW, ends, at_once })
    }

    /// What certificates say that it made.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// SHA-256 of its certificate, in hexadecimal.
    pub(super) fn fingerprint(&self) -> String {
        format!("{:?}", Name::of(&self.certificate))
    }

    /// It need not be announced before it signs.
    pub(super) fn is_at_once(&self) -> bool {
        self.at_once
    }

    pub(super) fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    pub(super) fn key(&self) -> &KeyPair {
        self.issuer.key()
    }

    /// Since when it is known.
    pub(super) fn made(&self) -> Timestamp {
        self.made
    }

    pub(super) fn ends(&self) -> Timestamp {
        self.ends
    }

    /// A certificate for a node with the key of its request; nothing else of the request counts.
    pub(super) fn sign_node(
        &self,
        node: &str,
        mut request: CertificateSigningRequestParams,
        now: Timestamp,
        life: Duration,
    ) -> Result<CertificateDer<'static>, rcgen::Error> {
        let mut params = params(now, SKEW, life);
        params.distinguished_name.push(DnType::CommonName, node);
        params.subject_alt_names = vec![SanType::URI(format!("{NODE}{node}").try_into()?)];
        // towards the control plane a node is a client, towards other nodes both
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        request.params = params;
        Ok(request.signed_by(&self.issuer)?.der().clone())
    }

    /// The certificate of the control plane, by its own name and by those it is reached at.
    pub(super) fn sign_server(
        &self,
        key: &KeyPair,
        names: &[String],
        now: Timestamp,
        life: Duration,
    ) -> Result<CertificateDer<'static>, rcgen::Error> {
        let mut params = params(now, SKEW, life);
        params.distinguished_name.push(DnType::CommonName, CONTROL_PLANE);
        params.subject_alt_names = vec![SanType::DnsName(CONTROL_PLANE.try_into()?)];
        for name in names {
            params.subject_alt_names.push(match name.parse() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(name.as_str().try_into()?),
            });
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        Ok(params.signed_by(key, &self.issuer)?.der().clone())
    }

    /// Whether it signed this certificate of a node, which was good until `end`.
    pub(super) fn has_signed(&self, certificate: &CertificateDer<'_>, end: Timestamp) -> bool {
        let mut roots = RootCertStore::empty();
        let verifier = roots.add(self.certificate.clone()).ok().and_then(|()| {
            let provider = rustls::crypto::aws_lc_rs::default_provider();
            WebPkiClientVerifier::builder_with_provider(roots.into(), provider.into()).build().ok()
        });
        let moment = unix(end - Duration::from_secs(1));
        verifier.is_some_and(|verifier| verifier.verify_client_cert(certificate, &[], moment).is_ok())
    }
}

/// What all certificates have: their times, and a number that is unique and says when they were made.
fn params(now: Timestamp, skew: Duration, life: Duration) -> CertificateParams {
    let mut params = CertificateParams::default();
    let at = |at: Timestamp| date_time_ymd(1970, 1, 1) + Duration::from_secs(unix(at).as_secs());
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.not_before = at(now - skew);
    params.not_after = at(now + life);
    params.serial_number = Some(serial(now));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    params
}

/// Milliseconds since 1970 in eight bytes, and eight random ones: revocation refuses what was made until then.
fn serial(now: Timestamp) -> SerialNumber {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&now.as_millisecond().to_be_bytes());
    rand::fill(&mut bytes[8..]).expect("the operating system provides random bytes");
    SerialNumber::from_slice(&bytes)
}
