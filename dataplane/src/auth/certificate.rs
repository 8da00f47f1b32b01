//! Certificates that clients show (mutual TLS): the names in them, and until when they hold.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwapOption;
use rustls_pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::Principal;

/// A certificate whose chain was verified when the connection was made.
#[derive(Debug)]
pub(crate) struct Certificate {
    /// URIs (SPIFFE ids), DNS names, email addresses (RFC 5280 section 4.2.1.6), in this order.
    names: Box<[Box<str>]>,
    pub expires: SystemTime,
    /// Whose it is, by which configuration: the same for all requests of a connection.
    holder: ArcSwapOption<(u64, Option<Principal>)>,
}

impl Certificate {
    /// Reads a certificate; `None` if it is none.
    pub(crate) fn read(der: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let seconds = u64::try_from(certificate.validity().not_after.timestamp()).unwrap_or(0);
        let mut names: Vec<(u8, Box<str>)> = Vec::new();
        if let Ok(Some(alternatives)) = certificate.subject_alternative_name() {
            names.extend(alternatives.value.general_names.iter().filter_map(|name| match name {
                GeneralName::URI(uri) => Some((0, (*uri).into())),
                GeneralName::DNSName(name) => Some((1, (*name).into())),
                GeneralName::RFC822Name(email) => Some((2, (*email).into())),
                _ => None,
            }));
        }
        names.sort_by_key(|(rank, _)| *rank);
        let names = names.into_iter().map(|(_, name)| name).collect();
        // the last second of it is still good
        let expires = UNIX_EPOCH + Duration::from_secs(seconds.saturating_add(1));
        Some(Self { names, expires, holder: ArcSwapOption::empty() })
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|name| &**name)
    }

    /// Whose it is, looked up once for each configuration.
    pub(super) fn holder(&self, serial: u64, look_up: impl FnOnce() -> Option<Principal>) -> Option<Principal> {
        if let Some(known) = self.holder.load().as_deref().filter(|known| known.0 == serial) {
            return known.1.clone();
        }
        let holder = look_up();
        self.holder.store(Some(Arc::new((serial, holder.clone()))));
        holder
    }
}
