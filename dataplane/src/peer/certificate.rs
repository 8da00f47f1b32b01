//! What the certificate of another node says. That it is genuine is for [`super::tls`] to find out.

use std::time::{Duration, SystemTime};

use rustls_pki_types::CertificateDer;
use sluice_contract::NODE;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

/// Whose a certificate is.
#[derive(Debug)]
pub(crate) struct Shown {
    pub node: String,
    /// When it was made, in milliseconds since 1970: the first half of its serial number.
    pub made_ms: u64,
    pub ends: SystemTime,
}

impl Shown {
    /// Reads a certificate; `None`: it is not that of a node.
    pub(crate) fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        let names = parsed.subject_alternative_name().ok()??;
        let node = names.value.general_names.iter().find_map(|name| match name {
            GeneralName::URI(uri) => uri.strip_prefix(NODE),
            _ => None,
        })?;
        let serial = parsed.raw_serial();
        let mut made = [0; 16];
        made.get_mut(16_usize.checked_sub(serial.len())?..)?.copy_from_slice(serial);
        let ends = u64::try_from(parsed.validity().not_after.timestamp()).ok()?;
        Some(Self {
            node: node.to_owned(),
            made_ms: u64::from_be_bytes(*made.first_chunk()?),
            ends: SystemTime::UNIX_EPOCH + Duration::from_secs(ends),
        })
    }
}
