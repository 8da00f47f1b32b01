//! The authority of a fleet: it makes the certificates by which nodes and control plane know each other.
//!
//! A node joins once, by a token, and renews its certificate before it ends; one that was cut off for long renews an expired
//! one, for a while. Authorities follow each other: the next one is told to all nodes long before it signs.

mod clock;
mod credential;
mod kept;
mod root;
mod rotation;
#[cfg(test)]
mod tests;
mod tls;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use rcgen::{CertificateSigningRequestParams, KeyPair};
use rustls::ServerConfig;
use rustls_pki_types::CertificateDer;
use sluice_contract::v1;

use crate::secrets::{OpenError, Ring};
use crate::store::Folder;
pub use clock::Clock;
pub use credential::Credential;
pub(crate) use kept::AUTHORITY;
use root::Root;
pub use rotation::About;

/// Life of a node's certificate: a stolen one is of use for a day, and a node renews it twice a day.
const NODE_LIFE: Duration = Duration::from_secs(24 * 3600);
/// How long after its end a certificate may be renewed: longer than any outage that is noticed.
const RENEWABLE: Duration = Duration::from_secs(30 * 24 * 3600);
/// Life of the control plane's own certificate, made anew at each start and while it runs.
const SERVER_LIFE: Duration = Duration::from_secs(30 * 24 * 3600);
/// Life of an authority.
const ROOT_LIFE: Duration = Duration::from_secs(2 * 365 * 24 * 3600);
/// An authority signs only after nodes had this long to hear of it: longer than a node may be away and still come back.
const ANNOUNCED: Duration = Duration::from_secs(31 * 24 * 3600);
/// The next authority is made when the newest has less than this left: time to be announced, twice.
const SUCCESSION: Duration = Duration::from_secs(2 * 31 * 24 * 3600);

/// What keeps an authority from working.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The state folder.
    #[error("the authority in the state folder: {0}")]
    Io(#[from] io::Error),
    /// Its key cannot be opened.
    #[error(transparent)]
    Sealed(#[from] OpenError),
    /// The file is not what was written.
    #[error("the file of the authority is not what was written to it: {0}")]
    Broken(String),
    /// A certificate cannot be made.
    #[error("a certificate cannot be made: {0}")]
    Certificate(#[from] rcgen::Error),
    /// TLS cannot be set up.
    #[error("TLS: {0}")]
    Tls(String),
}

/// Why a node gets no certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The request is not one that can be signed.
    #[error("the certificate request is not a PKCS #10 request with an ECDSA P-256 key, signed by it")]
    Request,
    /// The certificate that is to be renewed is not ours, or was not shown by its owner.
    #[error("the certificate to be renewed is not one of this control plane's, or the proof of its key is wrong")]
    Certificate,
    /// It ended too long ago.
    #[error("the certificate ended more than 30 days ago: join again with a new token")]
    Expired,
}

/// The authority of a control plane.
pub struct Authority {
    folder: Folder,
    ring: ArcSwap<Ring>,
    clock: Clock,
    /// By which people reach the control plane.
    names: Vec<String>,
    roots: Mutex<Vec<Root>>,
    tls: ArcSwap<Serving>,
}

/// What the control plane serves with.
struct Serving {
    config: Arc<ServerConfig>,
    renew_at: Timestamp,
}

impl Authority {
    /// The authority kept in a folder, its keys sealed by `ring`; made where there is none. `names` are host names and addresses
    /// by which people reach the control plane.
    ///
    /// # Errors
    ///
    /// What is kept cannot be used, or nothing can be kept.
    pub fn open(
        folder: Folder,
        ring: Arc<Ring>,
        clock: Clock,
        names: Vec<String>,
    ) -> Result<Arc<Self>, AuthorityError> {
        let now = clock.now();
        let (mut roots, is_newest) = kept::read(&folder, &ring)?;
        if succeed(&mut roots, now)? || !is_newest {
            kept::write(&folder, &ring, &roots)?;
        }
        let tls = ArcSwap::from_pointee(serving(&roots, &clock, &names)?);
        Ok(Arc::new(Self { folder, ring: ArcSwap::new(ring), clock, names, roots: Mutex::new(roots), tls }))
    }

    /// Does what is due: makes the next authority, forgets those that have ended, renews the control plane's certificate. To be
    /// called now and then.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); what was in use stays in use.
    pub fn keep_up(&self) -> Result<(), AuthorityError> {
        let mut roots = self.roots();
        let now = self.clock.now();
        let changed = succeed(&mut roots, now)?;
        if changed {
            kept::write(&self.folder, &self.ring.load(), &roots)?;
        }
        if changed || now >= self.tls.load().renew_at {
            self.tls.store(Arc::new(serving(&roots, &self.clock, &self.names)?));
        }
        Ok(())
    }

    /// Keeps its keys sealed by this ring from now on.
    ///
    /// # Errors
    ///
    /// They cannot be written; they stay sealed as they were.
    pub fn seal_by(&self, ring: Arc<Ring>) -> Result<(), AuthorityError> {
        let roots = self.roots();
        kept::write(&self.folder, &ring, &roots)?;
        self.ring.store(ring);
        Ok(())
    }

    /// By what a node that joins knows this authority: SHA-256 of the certificate that signs now, in hexadecimal. It goes
    /// with every join token, so that nothing is trusted on first use.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        signing(&self.roots(), self.clock.now()).fingerprint()
    }

    /// The certificates of this authority and of those before and after it, the one that signs now first: whom to trust as control
    /// plane.
    #[must_use]
    pub fn certificates(&self) -> Vec<CertificateDer<'static>> {
        let roots = self.roots();
        let signing = signing(&roots, self.clock.now()).certificate();
        let others = roots.iter().map(Root::certificate).filter(|certificate| *certificate != signing);
        std::iter::once(signing).chain(others).cloned().collect()
    }

    /// What the gRPC listener speaks TLS with. A client may come without a certificate; one that shows one has been checked.
    #[must_use]
    pub fn tls(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.tls.load().config)
    }

    /// The clock it goes by.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// A certificate for a node, whose right to that name was checked.
    ///
    /// # Errors
    ///
    /// The request cannot be signed.
    pub fn admit(&self, node: &str, csr: &[u8]) -> Result<v1::Certificates, Refused> {
        let request = CertificateSigningRequestParams::from_der(&csr.into()).map_err(|_| Refused::Request)?;
        let (roots, now) = (self.roots(), self.clock.now());
        let root = signing(&roots, now);
        let certificate = root.sign_node(node, request, now, NODE_LIFE).map_err(|_| Refused::Request)?;
        Ok(v1::Certificates {
            chain: vec![certificate.to_vec()],
            authorities: roots.iter().map(|root| root.certificate().to_vec()).collect(),
        })
    }

    /// Judges a certificate that has ended, and the proof that who shows it has its key.
    ///
    /// # Errors
    ///
    /// It is not ours, or ended too long ago.
    pub fn recognise(&self, request: &v1::RenewRequest) -> Result<Credential, Refused> {
        let certificate = CertificateDer::from(request.certificate.as_slice());
        let credential = Credential::of(&certificate).ok_or(Refused::Certificate)?;
        let signed = credential.has_signed(&request.csr, &request.signature);
        let ours = self.roots().iter().any(|root| root.has_signed(&certificate, credential.ends));
        match () {
            () if !signed || !ours => Err(Refused::Certificate),
            () if self.clock.now() > credential.ends + RENEWABLE => Err(Refused::Expired),
            () => Ok(credential),
        }
    }

    fn roots(&self) -> MutexGuard<'_, Vec<Root>> {
        self.roots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets what has ended and makes what is due; `true`: something changed.
fn succeed(roots: &mut Vec<Root>, now: Timestamp) -> Result<bool, AuthorityError> {
    let before = roots.len();
    // what it signed may still be renewed for a while
    roots.retain(|root| now < root.ends() + RENEWABLE);
    let forgotten = roots.len() != before;
    if roots.last().is_some_and(|newest| now + SUCCESSION < newest.ends()) {
        return Ok(forgotten);
    }
    roots.push(Root::make(now, ROOT_LIFE, false)?);
    Ok(true)
}

/// The one that signs: the newest that nodes had time to hear of; where there is none yet, the oldest.
fn signing(roots: &[Root], now: Timestamp) -> &Root {
    let known = roots.iter().rev().find(|root| root.is_at_once() || root.made() + ANNOUNCED <= now);
    known.or(roots.first()).expect("an authority is made at the start, and the newest is never forgotten")
}

fn serving(roots: &[Root], clock: &Clock, names: &[String]) -> Result<Serving, AuthorityError> {
    let now = clock.now();
    let key = KeyPair::generate()?;
    // the first is for those who do not say whom they know
    let signing = signing(roots, now);
    let others = roots.iter().filter(|root| !std::ptr::eq(*root, signing));
    let chain = |root: &Root| -> Result<tls::Chain, AuthorityError> {
        let leaf = root.sign_server(&key, names, now, SERVER_LIFE)?;
        Ok(tls::Chain { fingerprint: root.fingerprint(), certificates: vec![leaf, root.certificate().clone()] })
    };
    let chains = std::iter::once(signing).chain(others).map(chain).collect::<Result<Vec<_>, _>>()?;
    let config = tls::config(chains, &key, roots, clock)?;
    Ok(Serving { config, renew_at: now + SERVER_LIFE / 3 * 2 })
}
