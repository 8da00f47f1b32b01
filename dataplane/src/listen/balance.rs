//! Connections spread over the workers. All accept on the same socket, and whoever is awake first takes all that wait; it hands a
//! connection on to the worker that has the fewest. Where a connection is, it stays.

use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::door::Peer;
use super::entrance::Entrance;
use super::tls::Tls;
use crate::limit;

/// How many connections each worker has, and how it is reached.
pub(crate) struct Balance {
    desks: Box<[Desk]>,
}

struct Desk {
    connections: AtomicUsize,
    handed: UnboundedSender<Handed>,
}

/// A connection handed on. They are bounded by [`limit::CONNECTIONS_PER_WORKER`], because their places are counted.
pub(crate) struct Handed {
    pub stream: TcpStream,
    pub peer: Peer,
    pub tls: Option<Arc<Tls>>,
    /// Where it came in.
    pub entrance: Arc<Entrance>,
    pub place: Place,
}

/// A connection's place with a worker, free again when dropped.
pub(crate) struct Place {
    balance: Arc<Balance>,
    pub worker: usize,
}

impl Balance {
    /// For so many workers; with it, what each is handed.
    pub(crate) fn new(workers: usize) -> (Arc<Self>, Vec<UnboundedReceiver<Handed>>) {
        let (desks, handed): (Vec<_>, Vec<_>) = (0..workers)
            .map(|_| {
                let (handed, receiver) = unbounded_channel();
                (Desk { connections: AtomicUsize::new(0), handed }, receiver)
            })
            .unzip();
        (Arc::new(Self { desks: desks.into() }), handed)
    }

    /// How many workers there are.
    pub(crate) fn workers(&self) -> usize {
        self.desks.len()
    }

    /// A place with the worker that has the fewest connections; with `own`, unless another has fewer.
    pub(crate) fn place(self: &Arc<Self>, own: usize) -> Place {
        let count = |worker: usize| self.desks[worker].connections.load(Ordering::Relaxed);
        let fewest = (0..self.desks.len()).min_by_key(|worker| (count(*worker), *worker != own)).unwrap_or(own);
        self.desks[fewest].connections.fetch_add(1, Ordering::Relaxed);
        Place { balance: Arc::clone(self), worker: fewest }
    }

    /// Whether any worker has a connection.
    pub(crate) fn serves_somebody(&self) -> bool {
        self.desks.iter().any(|desk| desk.connections.load(Ordering::Relaxed) > 0)
    }

    /// Whether a worker has as many connections as it may have.
    pub(crate) fn is_full(&self, worker: usize) -> bool {
        self.desks[worker].connections.load(Ordering::Relaxed) >= limit::CONNECTIONS_PER_WORKER
    }
}

impl Handed {
    /// Hands the connection to the worker whose place it has. A worker that is gone takes it with it.
    pub(crate) fn on(self) {
        let balance = Arc::clone(&self.place.balance);
        let worker = self.place.worker;
        let _ = balance.desks[worker].handed.send(self);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.balance.desks[self.worker].connections.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fewest_connections_decide_and_then_the_one_who_accepts() {
        let (balance, _handed) = Balance::new(3);
        let places: Vec<Place> = (0..6).map(|_| balance.place(1)).collect();
        assert_eq!(places.iter().map(|place| place.worker).collect::<Vec<_>>(), [1, 0, 2, 1, 0, 2]);
        drop(places);
        assert_eq!(balance.place(2).worker, 2, "places are given back");
    }
}
