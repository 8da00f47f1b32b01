//! Certificates that clients show (mutual TLS): the names in them, and until when they hold.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwapOption;
use rustls_pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::Principal;

/// Who issues certificates, and what they have revoked, as it changes.
pub(crate) trait Issuers: Debug + Send + Sync {
    /// Rises with every change, from 1 on.
    fn state(&self) -> u64;

    /// Whether the chain, leaf first, is good in this state.
    fn verify(&self, chain: &[CertificateDer<'static>]) -> bool;
}

/// What was shown, to be judged again whenever its issuers change.
#[derive(Debug)]
pub(crate) struct Shown {
    chain: Vec<CertificateDer<'static>>,
    issuers: Arc<dyn Issuers>,
    /// Twice the state it was judged in; one more: it was not good then.
    judged: AtomicU64,
}

impl Shown {
    /// Whether it is still good: verified once for each state of its issuers, not for each request.
    pub(super) fn is_good(&self) -> bool {
        // before it is judged: a change in between is one more
        let state = self.issuers.state();
        let judged = self.judged.load(Ordering::Relaxed);
        if judged >> 1 == state {
            return judged & 1 == 0;
        }
        let is_good = self.issuers.verify(&self.chain);
        self.judged.store(state << 1 | u64::from(!is_good), Ordering::Relaxed);
        is_good
    }
}

/// A certificate whose chain was verified when the connection was made, and is again when its issuers change.
#[derive(Debug)]
pub(crate) struct Certificate {
    pub(super) shown: Arc<Shown>,
    /// URIs (SPIFFE ids), DNS names, email addresses (RFC 5280 section 4.2.1.6), in this order.
    names: Box<[Box<str>]>,
    pub expires: SystemTime,
    /// Whose it is, by which configuration: the same for all requests of a connection.
    holder: ArcSwapOption<(u64, Option<Principal>)>,
}

impl Certificate {
    /// Reads the certificate that begins a chain; `None` if it is none.
    pub(crate) fn read(chain: &[CertificateDer<'_>], issuers: Arc<dyn Issuers>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(chain.first()?).ok()?;
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
        let chain = chain.iter().map(|certificate| certificate.clone().into_owned()).collect();
        // what changed since the handshake is noticed with the first request
        let shown = Arc::new(Shown { chain, issuers, judged: AtomicU64::new(0) });
        Some(Self { shown, names, expires, holder: ArcSwapOption::empty() })
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
