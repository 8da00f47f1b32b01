//! Addresses where clients come in. Which are open may change while the node serves: each worker follows, and says so.

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, OnceLock};

use tokio::sync::watch;

use super::door::Peer;
use super::tls::Tls;
use crate::adoption::Adoptions;

/// One address that is, or was, open.
pub(crate) struct Entrance {
    /// What was asked for, perhaps with port 0.
    pub asked: SocketAddr,
    /// What is bound.
    pub address: SocketAddr,
    pub tls: Arc<Tls>,
    closed: OnceLock<Closed>,
}

/// How an entrance was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closed {
    /// Those who are in finish what they began.
    Drained,
    /// Those who are in have to leave: what kept others out there counts no longer.
    Cut,
}

/// An entrance with its socket, on which all workers accept.
#[derive(Clone)]
pub(crate) struct Open {
    pub entrance: Arc<Entrance>,
    pub socket: Arc<TcpListener>,
}

/// All that are open.
pub(crate) struct Set {
    serial: u64,
    pub open: Vec<Open>,
}

/// The entrances of a node.
pub(crate) struct Entrances {
    current: watch::Sender<Arc<Set>>,
    followed: Adoptions,
}

impl Entrance {
    pub(crate) fn new(asked: SocketAddr, address: SocketAddr, tls: Arc<Tls>) -> Arc<Self> {
        Arc::new(Self { asked, address, tls, closed: OnceLock::new() })
    }

    /// Who comes in here.
    pub(crate) fn peer(&self, from: SocketAddr, tls: bool) -> Peer {
        let loopback = self.address.ip().to_canonical().is_loopback();
        Peer { address: from.ip(), loopback, port: self.address.port(), tls, certificate: None }
    }

    /// From now on nobody comes in here any more.
    pub(crate) fn close(&self, how: Closed) {
        let _ = self.closed.set(how);
    }

    /// Whether and how it was closed.
    pub(crate) fn closed(&self) -> Option<Closed> {
        self.closed.get().copied()
    }
}

impl Entrances {
    /// For so many workers; none is open yet.
    pub(crate) fn new(workers: usize) -> Arc<Self> {
        let current = watch::Sender::new(Arc::new(Set { serial: 0, open: Vec::new() }));
        Arc::new(Self { current, followed: Adoptions::new(workers) })
    }

    /// Those that are open.
    pub(crate) fn open(&self) -> Vec<Open> {
        self.current.borrow().open.clone()
    }

    /// Opens these and closes the others; the number by which workers say that they have followed.
    pub(crate) fn change(&self, open: Vec<Open>) -> u64 {
        let serial = self.current.borrow().serial + 1;
        self.current.send_replace(Arc::new(Set { serial, open }));
        serial
    }

    /// Waits until every worker has followed.
    pub(crate) async fn followed(&self, serial: u64) {
        self.followed.reached(serial).await;
    }

    /// What is open, and what will be.
    pub(crate) fn watch(&self) -> watch::Receiver<Arc<Set>> {
        self.current.subscribe()
    }

    /// A worker accepts where this set says, and nowhere else.
    pub(crate) fn note(&self, worker: usize, set: &Set) {
        self.followed.note(worker, set.serial);
    }
}
