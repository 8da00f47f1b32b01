//! What the certificate of a node says.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use jiff::Timestamp;
use rustls_pki_types::CertificateDer;
use sluice_contract::NODE;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

/// Whose a certificate is. That it is genuine is for others to find out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// The node's name.
    pub node: String,
    /// When the certificate was made, in milliseconds since 1970.
    pub made_ms: u64,
    /// When it ends.
    pub ends: Timestamp,
    /// The name of the authority that made it.
    pub authority: String,
    key: Vec<u8>,
}

impl Credential {
    /// Reads a certificate; `None`: it is not that of a node.
    #[must_use]
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        let names = parsed.subject_alternative_name().ok()??;
        let node = names.value.general_names.iter().find_map(|name| match name {
            GeneralName::URI(uri) => uri.strip_prefix(NODE),
            _ => None,
        })?;
        let serial = parsed.raw_serial();
        let mut made = [0; 16];
        made.get_mut(16_usize.checked_sub(serial.len())?..)?.copy_from_slice(serial);
        Some(Self {
            node: node.to_owned(),
            made_ms: u64::from_be_bytes(made[..8].try_into().ok()?),
            ends: Timestamp::from_second(parsed.validity().not_after.timestamp()).ok()?,
            authority: parsed.issuer().to_string(),
            key: parsed.public_key().subject_public_key.data.to_vec(),
        })
    }

    /// Whether a signature is of this certificate's key.
    #[must_use]
    pub fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.key).verify(message, signature).is_ok()
    }
}

/// Whose a certificate is, as those that are signed by it say.
pub(super) fn subject(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    Some(parsed.subject().to_string())
}

/// From when until when a certificate is good.
pub(super) fn times(certificate: &CertificateDer<'_>) -> Option<(Timestamp, Timestamp)> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let validity = parsed.validity();
    let at = |at: i64| Timestamp::from_second(at).ok();
    Some((at(validity.not_before.timestamp())?, at(validity.not_after.timestamp())?))
}
