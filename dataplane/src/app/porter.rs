//! A worker at its entrances: it accepts where the node is open, and stops where the node is open no longer.

use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::listen::balance::Balance;
use crate::listen::connection::Connections;
use crate::listen::door::House;
use crate::listen::entrance::{Entrance, Entrances, Open};
use crate::listen::http::{Desk, Listener};

/// Opens and closes a worker's share of the entrances.
pub(super) struct Porter {
    pub house: Rc<House>,
    pub connections: Rc<Connections>,
    pub balance: Arc<Balance>,
    pub entrances: Arc<Entrances>,
}

/// An entrance by which a worker accepts.
struct Accepting {
    entrance: Arc<Entrance>,
    /// Dropped, it tells the task to end.
    close: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Porter {
    /// Follows what is open, and says so each time.
    pub(super) async fn follow(self) {
        let mut sets = self.entrances.watch();
        let mut accepting: Vec<Accepting> = Vec::new();
        loop {
            let set = Arc::clone(&sets.borrow_and_update());
            let stays = |one: &mut Accepting| set.open.iter().any(|open| Arc::ptr_eq(&open.entrance, &one.entrance));
            for Accepting { close, task, .. } in accepting.extract_if(.., |one| !stays(one)) {
                drop(close);
                let _ = task.await;
            }
            for open in &set.open {
                if !accepting.iter().any(|one| Arc::ptr_eq(&one.entrance, &open.entrance)) {
                    accepting.extend(self.accept(open));
                }
            }
            self.entrances.note(self.house.worker.index(), &set);
            drop(set);
            if sets.changed().await.is_err() {
                return;
            }
        }
    }

    fn accept(&self, open: &Open) -> Option<Accepting> {
        let socket = open.socket.try_clone().and_then(tokio::net::TcpListener::from_std);
        let socket = socket.inspect_err(|error| tracing::error!(%error, "cannot use a listening socket")).ok()?;
        let entrance = Arc::clone(&open.entrance);
        let desk = Desk {
            house: Rc::clone(&self.house),
            connections: Rc::clone(&self.connections),
            balance: Arc::clone(&self.balance),
            entrance: Arc::clone(&entrance),
        };
        let (close, closed) = oneshot::channel();
        let task = tokio::task::spawn_local(Listener { desk, socket }.accept(closed));
        Some(Accepting { entrance, close, task })
    }
}
