//! The other nodes of the fleet: who they are, by what they are known, and the direct links to them. What goes over a link is
//! decided above.

mod certificate;
pub(crate) mod home;
mod line;
mod lines;
mod roster;
mod severable;
mod tls;

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use sluice_contract::v1;
use tokio::sync::watch;

pub(crate) use certificate::Shown;
pub(crate) use home::Home;
pub(crate) use line::{Line, Unsent};
pub(crate) use lines::{Away, Lines};
pub(crate) use roster::Roster;
pub(crate) use tls::Tls;

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
        self.roster.send_replace(Arc::new(roster));
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
