//! An authority of somebody else, and what it certifies.

use std::net::IpAddr;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use rustls::pki_types::CertificateDer;

/// An authority.
pub(crate) struct Issuer {
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) pem: String,
    issuer: rcgen::Issuer<'static, KeyPair>,
}

impl Issuer {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        let (der, pem) = (certificate.der().clone(), certificate.pem());
        Self { certificate: der, pem, issuer: rcgen::Issuer::new(params, key) }
    }

    /// Writes a certificate for an address, with its key.
    pub(crate) fn certify(&self, ip: IpAddr, certificate: &Path, key: &Path) {
        let own = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![ip.to_string()]).unwrap();
        let made = params.signed_by(&own, &self.issuer).unwrap();
        std::fs::write(key, own.serialize_pem()).unwrap();
        std::fs::write(certificate, made.pem()).unwrap();
    }
}
