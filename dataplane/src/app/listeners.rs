//! Where clients come in. What a snapshot says of it is proved before anything changes, and then becomes so without a gap: what is
//! new is bound before what is old is closed, and what is old is closed before its lock changes.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use sluice_snapshot::Fault;
use sluice_snapshot::model::Listener;

use super::sockets::{self, listen_beside};
use crate::listen::balance::{Balance, Handed};
use crate::listen::entrance::{Closed, Entrance, Entrances, Open};
use crate::listen::tls::{self, Tls};
use crate::settings::{Settings, StartError};

/// The listeners of a node.
pub(super) struct Listeners {
    /// In place of the snapshot's addresses.
    told: Option<SocketAddr>,
    stdio: bool,
    tls: Arc<Tls>,
    pub entrances: Arc<Entrances>,
    balance: Arc<Balance>,
}

/// What a snapshot says, bound and read. Dropped: nothing has changed.
pub(super) struct Prepared {
    open: Vec<Open>,
    leaving: Vec<Open>,
    tls: tls::Prepared,
    is_locked: bool,
}

impl Listeners {
    /// None is open yet. `balance` knows the workers.
    pub(super) fn new(settings: &Settings, balance: Arc<Balance>) -> Self {
        let entrances = Entrances::new(balance.workers());
        Self { told: settings.listen, stdio: settings.stdio, tls: Tls::new(), entrances, balance }
    }

    /// Reads and binds what a snapshot says. `is_locked`: not everybody may come in, or it was said that everybody may. `doors` are
    /// open already. `is_sound`: the rest of the snapshot can be run.
    ///
    /// # Errors
    /// Everything that cannot be had.
    pub(super) fn prepare(
        &self,
        listener: &Listener,
        is_locked: bool,
        doors: &[TcpListener],
        is_sound: bool,
    ) -> Result<Prepared, Vec<StartError>> {
        let mut errors = Vec::new();
        let addresses = self.addresses(listener);
        let reached = addresses.iter().find(|address| !address.ip().to_canonical().is_loopback());
        errors.extend(reached.filter(|_| !is_locked).map(|address| StartError::Open(*address)));
        let tls = self.tls.prepare(listener).map_err(|faults| errors.push(StartError::Faults(faults)));
        let is_sound = is_sound && errors.is_empty();
        let (open, leaving) = self.bind(&addresses, doors, is_sound, &mut errors);
        match tls {
            Ok(tls) if errors.is_empty() => Ok(Prepared { open, leaving, tls, is_locked }),
            _ => Err(errors),
        }
    }

    fn addresses(&self, listener: &Listener) -> Vec<SocketAddr> {
        match self.told {
            Some(address) => vec![address],
            None if self.stdio => Vec::new(),
            None => listener.addresses.clone(),
        }
    }

    /// What is to be open, and what is to be open no longer.
    fn bind(
        &self,
        addresses: &[SocketAddr],
        doors: &[TcpListener],
        is_sound: bool,
        errors: &mut Vec<StartError>,
    ) -> (Vec<Open>, Vec<Open>) {
        let mut leaving = self.entrances.open();
        let (mut open, mut fresh) = (Vec::new(), Vec::new());
        for address in addresses {
            match leaving.iter().position(|open| open.entrance.asked == *address) {
                Some(at) => open.push(leaving.swap_remove(at)),
                None => fresh.push(*address),
            }
        }
        let beside: Vec<&TcpListener> = leaving.iter().map(|open| &*open.socket).collect();
        for asked in fresh {
            if !is_sound && leaving.iter().any(|open| open.entrance.address.port() == asked.port()) {
                // it would take connections from the old one, and be dropped with them
                continue;
            }
            let socket = match sockets::at(asked, doors) {
                Some(door) => door.try_clone().map_err(StartError::Io),
                None => listen_beside(asked, "--listen", &beside),
            };
            let opened = socket.and_then(|socket| {
                let entrance = Entrance::new(asked, socket.local_addr()?, Arc::clone(&self.tls));
                Ok(Open { entrance, socket: Arc::new(socket) })
            });
            match opened {
                Ok(opened) => open.push(opened),
                Err(error) => errors.push(error),
            }
        }
        drop(beside);
        (open, leaving)
    }

    /// The first step: what is to be open no longer is closed. It is done when nobody comes in there any more.
    pub(super) async fn close(&self, prepared: &mut Prepared) {
        let leaving = std::mem::take(&mut prepared.leaving);
        if leaving.is_empty() {
            return;
        }
        for Open { entrance, .. } in &leaving {
            let keeps_its_lock = prepared.is_locked || entrance.address.ip().to_canonical().is_loopback();
            entrance.close(if keeps_its_lock { Closed::Drained } else { Closed::Cut });
            tracing::info!(address = %entrance.address, "not listening any more");
        }
        let stays = |open: &Open| !leaving.iter().any(|leaving| Arc::ptr_eq(&leaving.entrance, &open.entrance));
        let serial = self.entrances.change(self.entrances.open().into_iter().filter(stays).collect());
        self.entrances.followed(serial).await;
        leaving.into_iter().for_each(|open| self.empty(open));
    }

    /// Takes those that wait at an entrance where no worker accepts any more, so that none of them is reset, and closes the socket.
    fn empty(&self, Open { entrance, socket }: Open) {
        sockets::deafen(&socket);
        while let Ok((stream, from)) = socket.accept() {
            if let Err(error) = sockets::take_up(&stream) {
                tracing::warn!(%error, "cannot take over a connection");
                continue;
            }
            let (tls, place) = (entrance.tls.spoken(), self.balance.place(0));
            let peer = entrance.peer(from, tls.is_some());
            Handed { stream, peer, tls, entrance: Arc::clone(&entrance), place }.on();
        }
    }

    /// The last step, when all workers know who may come in: what is new is opened, and certificates count for whoever connects
    /// from then on. It is done when all workers accept there.
    pub(super) async fn open(&self, prepared: Prepared) {
        let Prepared { open, tls, .. } = prepared;
        self.tls.adopt(tls);
        let before = self.entrances.open();
        let is_new = |open: &&Open| !before.iter().any(|old| Arc::ptr_eq(&old.entrance, &open.entrance));
        let fresh: Vec<SocketAddr> = open.iter().filter(is_new).map(|open| open.entrance.address).collect();
        if fresh.is_empty() {
            return;
        }
        let serial = self.entrances.change(open);
        self.entrances.followed(serial).await;
        for address in fresh {
            tracing::info!(%address, tls = self.tls.spoken().is_some(), "listening");
        }
    }

    /// Another process accepts on the same sockets from now on: this one does not any more.
    pub(super) fn leave(&self) {
        self.entrances.change(Vec::new());
    }

    /// The node is about to end: nothing is open any more. It is done when all who had connected are let in.
    pub(super) async fn end(&self) {
        let open = self.entrances.open();
        open.iter().for_each(|open| open.entrance.close(Closed::Drained));
        let serial = self.entrances.change(Vec::new());
        self.entrances.followed(serial).await;
        open.into_iter().for_each(|open| self.empty(open));
    }

    /// Whether connections are served, or handed on to be.
    pub(super) fn serve_somebody(&self) -> bool {
        self.balance.serves_somebody()
    }

    /// Counts changes of what certificates of clients are verified by.
    pub(super) fn state(&self) -> u64 {
        self.tls.state()
    }

    /// Reads files again that have changed.
    pub(super) fn refresh(&self) {
        self.tls.refresh();
    }
}

impl Prepared {
    /// What is not as it should be, and keeps nobody from being served.
    pub(super) fn faults(&self) -> Vec<Fault> {
        self.tls.kept.clone()
    }
}
