//! A worker's thread: its runtime, its share of the entrances, and what it looks after beside traffic.

use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;

use super::porter::Porter;
use crate::drain::Phase;
use crate::exchange::{self, Expiry};
use crate::limit;
use crate::listen::balance::{Balance, Handed};
use crate::listen::berth::Berths;
use crate::listen::connection::Connections;
use crate::listen::door::House;
use crate::listen::entrance::Entrances;
use crate::listen::http;
use crate::listen::link;
use crate::listen::mailbox::Mailboxes;
use crate::listen::stdio;
use crate::node::{Node, Worker};
use crate::session::Session;

/// What a worker thread is started with.
pub(super) struct Thread {
    pub node: Arc<Node>,
    pub index: u8,
    pub mailboxes: Arc<Mailboxes>,
    pub berths: Arc<Berths>,
    pub balance: Arc<Balance>,
    /// Connections that other workers accepted.
    pub handed: UnboundedReceiver<Handed>,
    pub entrances: Arc<Entrances>,
    /// Where links of other nodes are taken.
    pub linking: Option<Arc<TcpListener>>,
    pub stdio: bool,
    pub stopped: watch::Receiver<bool>,
}

impl Thread {
    pub(super) fn run(mut self) {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default()) {
            Ok(runtime) => runtime,
            Err(error) => {
                tracing::error!(%error, "cannot start a worker");
                self.node.drain.enter(Phase::Closing);
                return;
            }
        };
        runtime.block_on(async move {
            let worker = Worker::new(Arc::clone(&self.node), self.index);
            let connections = Rc::new(Connections::default());
            let house = Rc::new(House { worker: Rc::clone(&worker), mailboxes: self.mailboxes, berths: self.berths });
            tokio::task::spawn_local(Rc::clone(&worker).keep_house());
            tokio::task::spawn_local(sweep(Rc::clone(&connections)));
            tokio::task::spawn_local(close(Rc::clone(&worker), Rc::clone(&connections)));
            tokio::task::spawn_local(http::receive(Rc::clone(&house), Rc::clone(&connections), self.handed));
            if let Some(socket) = self.linking.and_then(|socket| shared(&socket)) {
                tokio::task::spawn_local(link::accept(Rc::clone(&house), socket));
            }
            let porter = Porter { house, connections, balance: self.balance, entrances: self.entrances };
            tokio::task::spawn_local(porter.follow());
            if self.stdio {
                tokio::task::spawn_local(stdio::serve(Rc::clone(&worker)));
            }
            if self.index == 0 {
                tokio::task::spawn_local(expire_sessions(Rc::clone(&worker)));
                tokio::task::spawn_local(exchange::follow_sessions(Rc::clone(&worker)));
                tokio::task::spawn_local(exchange::end_asked_sessions(Rc::clone(&worker)));
            }
            let _ = self.stopped.wait_for(|stopped| *stopped).await;
        });
        // a read of stdin cannot be called back: it is left behind rather than waited for
        runtime.shutdown_background();
    }
}

/// A worker's own handle of a socket that all accept on.
fn shared(socket: &TcpListener) -> Option<tokio::net::TcpListener> {
    let socket = socket.try_clone().and_then(tokio::net::TcpListener::from_std);
    socket.inspect_err(|error| tracing::error!(%error, "cannot take links")).ok()
}

async fn sweep(connections: Rc<Connections>) {
    let start = Instant::now();
    let mut tick = tokio::time::interval(limit::SWEEP);
    loop {
        tick.tick().await;
        connections.sweep(start.elapsed().as_secs() as u32);
    }
}

/// Ends connections when the node closes; those whose first request may be on its way have a moment more.
async fn close(worker: Rc<Worker>, connections: Rc<Connections>) {
    worker.node.drain.reached(Phase::Closing).await;
    connections.close_all();
    tokio::time::sleep(limit::FRESH).await;
    connections.close_unused();
}

/// Ends sessions that idle, towards their servers too; and all of them at the end.
async fn expire_sessions(worker: Rc<Worker>) {
    let mut tick = tokio::time::interval(limit::SWEEP);
    let drain = worker.node.drain.clone();
    let mut emptying = Box::pin(async move { drain.reached(Phase::Emptying).await });
    let mut planes = worker.node.planes.clone();
    let mut before = Arc::clone(&planes.borrow_and_update());
    let mut expiry = Expiry::new(&worker);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            Ok(()) = planes.changed() => {
                let now = Arc::clone(&planes.borrow_and_update());
                let (worker, old) = (Rc::clone(&worker), std::mem::replace(&mut before, Arc::clone(&now)));
                tokio::task::spawn_local(async move { exchange::end_gone_sessions(&worker, old, now).await });
                continue;
            }
            () = &mut emptying => return end_sessions(&worker, expiry.leave().await).await,
        }
        let plane = worker.plane();
        for session in expiry.look().await {
            let (worker, plane) = (Rc::clone(&worker), Arc::clone(&plane));
            tokio::task::spawn_local(async move { exchange::end_session(&worker, &plane, &session).await });
        }
    }
}

/// Tells the servers that sessions are over, many at a time; the caller bounds how long.
async fn end_sessions(worker: &Rc<Worker>, sessions: Vec<Arc<Session>>) {
    let plane = worker.plane();
    let mut ending = tokio::task::JoinSet::new();
    for session in sessions {
        while ending.len() >= limit::SESSIONS_ENDING {
            ending.join_next().await;
        }
        let (worker, plane) = (Rc::clone(worker), Arc::clone(&plane));
        ending.spawn_local(async move { exchange::end_session(&worker, &plane, &session).await });
    }
    while ending.join_next().await.is_some() {}
    worker.node.emptied.notify_one();
}
