//! The other nodes of the fleet: who they are, by what they are known, and the direct links to them. What goes over a link is
//! decided above.

mod certificate;
pub(crate) mod home;
mod line;
mod lines;
mod roster;
mod severable;
mod strangers;
mod tls;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwapOption;
use futures_util::StreamExt as _;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use sluice_contract::v1;
use tokio::sync::watch;
use tokio::time::timeout;

pub(crate) use certificate::Shown;
pub(crate) use home::Home;
use line::Undialled;
pub(crate) use line::{Line, Unsent};
pub(crate) use lines::{Away, Lines};
pub(crate) use roster::Roster;
use strangers::Strangers;
pub(crate) use tls::Tls;

use crate::limit;

/// Where a node is asked whether it takes a link: whoever dialled has shown its certificate, and not heard what became of it.
pub(crate) const HELLO: &str = "/sluice-hello";
/// The header field by which a node vouches for whom it hands on.
pub(crate) const VOUCHER: &str = "sluice-principal";
/// The header field by which a node that refuses an exchange for want of scopes names them: what the client is told to do about it
/// depends on where it came in.
pub(crate) const SCOPES: &str = "sluice-scopes";

/// What a node knows of the others. None are known where there is no fleet.
pub(crate) struct Peers {
    /// What this node is called.
    pub name: Box<str>,
    /// The same, in what it hands out.
    pub home: Home,
    /// It hands on what others hold, and takes what they hand on.
    pub links: bool,
    roster: watch::Sender<Arc<Roster>>,
    strangers: Mutex<Strangers>,
    /// With the certificate of now; none before the node has joined.
    tls: ArcSwapOption<Tls>,
}

impl Peers {
    /// Nobody, as yet.
    pub(crate) fn new(node: &str, links: bool) -> Arc<Self> {
        Arc::new(Self {
            name: Box::from(node),
            home: Home::of_node(node),
            links,
            roster: watch::Sender::default(),
            strangers: Mutex::default(),
            tls: ArcSwapOption::empty(),
        })
    }

    /// New links are made with this certificate; those that are open go on.
    pub(crate) fn identify(
        &self,
        chain: Vec<CertificateDer<'static>>,
        key: &PrivatePkcs8KeyDer<'static>,
        authorities: &[CertificateDer<'static>],
    ) {
        match Tls::new(chain, key, authorities) {
            Ok(tls) => self.tls.store(Some(Arc::new(tls))),
            Err(error) => {
                tracing::error!(%error, "links to other nodes cannot be made with the certificate of this node")
            }
        }
    }

    /// The fleet is this. `is_current`: the control plane just said so.
    pub(crate) fn are(&self, fleet: &v1::Fleet, is_current: bool) {
        let roster = Roster::of(fleet, is_current);
        tracing::info!(nodes = roster.len(), is_current, "other nodes of the fleet");
        let roster = Arc::new(roster);
        let before = self.roster.send_replace(Arc::clone(&roster));
        let mut strangers = self.strangers();
        before.homes().for_each(|home| strangers.left(home));
        roster.homes().for_each(|home| strangers.is_known(home));
    }

    fn strangers(&self) -> std::sync::MutexGuard<'_, Strangers> {
        self.strangers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there may be a node of this home all the same, which the roster of now does not have.
    fn may_be_unheard(&self, home: Home) -> bool {
        self.links && (!self.roster.borrow().is_current || self.strangers().may_be_coming(home, Instant::now()))
    }

    /// Waits until the other nodes let this one in, not longer than [`limit::LINK_WELCOME`]. Before, they know nothing of sessions that
    /// begin here, and this node cannot hand on those that began there. Who is not to be reached is not waited for.
    pub(crate) async fn let_in(self: &Arc<Self>) {
        if !self.links {
            return;
        }
        let roster = self.roster();
        let welcomed =
            futures_util::stream::iter(roster.present()).for_each_concurrent(limit::LINK_WELCOMES, async |peer| {
                while let Err(Undialled::Unwelcome) = Line::dial(self, peer).await {
                    tokio::time::sleep(limit::LINK_WELCOME_AGAIN).await;
                }
            });
        // what is dialled is spawned, and ends with the set
        let here = tokio::task::LocalSet::new();
        if timeout(limit::LINK_WELCOME, here.run_until(welcomed)).await.is_err() {
            tracing::warn!(
                "not every other node lets this one in yet: clients may have to come again with sessions of others"
            );
        }
    }

    /// The control plane is not heard any more: whether the fleet is still the same is not known.
    pub(crate) fn may_change_unheard(&self) {
        self.roster.send_if_modified(|roster| {
            let was_current = roster.is_current;
            if was_current {
                *roster = Arc::new(roster.stale());
            }
            was_current
        });
    }

    /// The others, as they are now.
    pub(crate) fn roster(&self) -> Arc<Roster> {
        Arc::clone(&self.roster.borrow())
    }

    /// Both sides of TLS, as they are now.
    pub(crate) fn tls(&self) -> Option<Arc<Tls>> {
        self.tls.load_full()
    }

    /// Waits until whoever showed this certificate is no node of the fleet any more.
    pub(crate) async fn dismissed(&self, shown: &Shown) {
        // the sender lives in self: waiting cannot fail
        let _ = self.roster.subscribe().wait_for(|roster| !roster.admits(shown)).await;
    }
}
