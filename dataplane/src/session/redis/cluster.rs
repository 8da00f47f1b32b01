//! A Redis Cluster: a line to each of its masters, and which of them has a session.
//!
//! The connection that the library has for clusters makes and replaces the connections to nodes by itself, and leaves no moment
//! to ask that changes be told before anything that is read on a new one counts. The rule that a change holds everywhere within a second
//! rests on that; so each master has a line as a single Redis has, and what belongs where is found out here.

mod finding;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Instant;

use arc_swap::ArcSwap;
use futures_util::future::join_all;
use redis::{Cmd, ErrorKind, Pipeline, RedisError, RedisResult, ServerErrorKind, Value, pipe};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::copies::Copies;
use super::line::Line;
use super::name;
use super::place::Place;
use super::slots::{self, Address, Slots};
use super::trouble::Trouble;
use crate::limit;
use crate::session::SessionId;
use crate::session::store::{Down, Look};
use crate::session::tie::Tie;

/// The masters of a cluster.
pub(super) struct Cluster {
    /// The nodes that are configured.
    seeds: Vec<Place>,
    copies: Arc<Copies>,
    masters: ArcSwap<Masters>,
    /// Who is asked next for the others: one that hangs is not the first again.
    turn: AtomicUsize,
    /// Somebody was sent elsewhere: what is known of the slots is old.
    astray: Notify,
    /// The masters are known.
    found: Notify,
    trouble: Trouble,
}

/// The masters as some node knew them.
#[derive(Default)]
struct Masters {
    slots: Slots,
    /// Rises with what the cluster agrees on.
    epoch: u64,
    /// In the order of `slots`.
    lines: Vec<Arc<Master>>,
}

/// A master, and who keeps the line to it.
struct Master {
    address: Address,
    line: Arc<Line>,
    keeping: JoinHandle<()>,
}

impl Drop for Master {
    fn drop(&mut self) {
        self.keeping.abort();
        // copies that came by it are with another one now
        self.line.begin_again();
    }
}

/// Where a node says that a key is.
enum Elsewhere {
    /// For good.
    Moved(Address),
    /// This once: its slot is on the way.
    Ask(Address),
}

impl Elsewhere {
    fn of(error: &RedisError, asked: &Address) -> Option<Self> {
        let (address, _slot) = error.redirect_node()?;
        let address = slots::named(address, &asked.0)?;
        match error.kind() {
            ErrorKind::Server(ServerErrorKind::Moved) => Some(Self::Moved(address)),
            ErrorKind::Server(ServerErrorKind::Ask) => Some(Self::Ask(address)),
            _ => None,
        }
    }
}

impl Cluster {
    pub(super) fn new(seeds: Vec<Place>, copies: Arc<Copies>) -> Self {
        let shown = seeds.iter().map(Place::shown).collect::<Vec<_>>().join(",");
        Self {
            seeds,
            copies,
            masters: ArcSwap::default(),
            turn: AtomicUsize::new(0),
            astray: Notify::new(),
            found: Notify::new(),
            trouble: Trouble::new(shown, Some("not connected yet")),
        }
    }

    fn master_of(&self, id: &SessionId) -> Option<Arc<Master>> {
        let masters = self.masters.load();
        masters.slots.master(self.slot(id)).and_then(|at| masters.lines.get(at).cloned())
    }

    fn master_at(&self, address: &Address) -> Option<Arc<Master>> {
        self.masters.load().lines.iter().find(|master| master.address == *address).cloned()
    }

    /// The lines to all masters.
    pub(super) fn lines(&self) -> Result<Vec<Arc<Line>>, Down> {
        let lines: Vec<_> = self.masters.load().lines.iter().map(|master| Arc::clone(&master.line)).collect();
        if lines.is_empty() { Err(Down) } else { Ok(lines) }
    }

    fn slot(&self, id: &SessionId) -> u16 {
        slots::slot_of(&name(&self.copies.prefix, id))
    }

    /// The moment a look at a record begins.
    pub(super) fn look(&self, id: &SessionId) -> Look {
        match self.master_of(id) {
            Some(master) => master.line.look(id),
            // none that a copy could be confirmed in
            None => self.copies.look(id, 0),
        }
    }

    /// Whether a copy is good at `now`, by whichever master's line it came: one that lost a slot begins again.
    pub(super) fn vouches_for(&self, tie: &Tie, now: Instant) -> bool {
        self.masters.load().lines.iter().any(|master| master.line.vouches_for(tie, now))
    }

    /// Whether a copy may be used although its master does not answer.
    pub(super) fn holds_over(&self, tie: &Tie, now: Instant) -> bool {
        self.masters.load().lines.iter().any(|master| master.line.holds_over(tie, now))
    }

    /// Copies may be changed from now on without a word on it.
    pub(super) fn begin_again(&self) {
        self.masters.load().lines.iter().for_each(|master| master.line.begin_again());
    }

    /// Whether some of the sessions that begin would be kept.
    pub(super) fn is_up(&self) -> bool {
        self.masters.load().lines.iter().any(|master| master.line.is_up())
    }

    /// Waits until all masters answer.
    pub(super) async fn reached(&self) {
        loop {
            let mut found = std::pin::pin!(self.found.notified());
            // listening before looking: what is found in between is not missed
            found.as_mut().enable();
            let masters = self.masters.load_full();
            if !masters.lines.is_empty() {
                join_all(masters.lines.iter().map(|master| master.line.reached())).await;
                return;
            }
            found.await;
        }
    }

    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.told().or_else(|| self.masters.load().lines.iter().find_map(|master| master.line.trouble()))
    }

    /// A command for the key of a session, and its answer.
    pub(super) async fn read(&self, id: &SessionId, command: &Cmd) -> Result<Value, Down> {
        let asking = async { self.ask(id, command).await?.1.map_err(|_| Down) };
        timeout(limit::STORE_DEADLINE, asking).await.map_err(|_| Down)?
    }

    /// The same of one that writes.
    pub(super) async fn write(&self, id: &SessionId, command: &Cmd) -> Result<Value, Down> {
        let asking = async {
            let (master, answer) = self.ask(id, command).await?;
            master.line.note(answer.as_ref().err());
            answer.map_err(|_| Down)
        };
        timeout(limit::STORE_DEADLINE, asking).await.map_err(|_| Down)?
    }

    /// Asks the master that has the key, and where that sends on to, the other one. Who sends on has not done anything.
    async fn ask(&self, id: &SessionId, command: &Cmd) -> Result<(Arc<Master>, RedisResult<Value>), Down> {
        let master = self.master_of(id).ok_or(Down)?;
        let answer = match master.line.ask(command).await {
            Ok(answer) => answer,
            Err(Down) => {
                // its replica may have taken its place
                self.astray.notify_one();
                return Err(Down);
            }
        };
        let Some(elsewhere) = answer.as_ref().err().and_then(|error| Elsewhere::of(error, &master.address)) else {
            return Ok((master, answer));
        };
        // changes may be told by another than the one that the look began with
        self.copies.spoil(id);
        match elsewhere {
            Elsewhere::Moved(address) => {
                self.astray.notify_one();
                let other = self.master_at(&address).ok_or(Down)?;
                let answer = other.line.ask(command).await?;
                Ok((other, answer))
            }
            Elsewhere::Ask(address) => {
                let other = self.master_at(&address).ok_or(Down)?;
                let mut asking = pipe();
                asking.cmd("ASKING").add_command(command.clone());
                let answer = other.line.ask_all(&asking, 2).await?.pop().ok_or(Down)?;
                Ok((other, answer))
            }
        }
    }

    /// A command for each of many sessions, in one round trip to each master. Each has its answer.
    pub(super) async fn ask_all(&self, asked: &[(SessionId, Cmd)]) -> Result<Vec<Option<Value>>, Down> {
        let masters = self.masters.load_full();
        let mut shares = vec![(Pipeline::new(), Vec::new()); masters.lines.len()];
        for (at, (id, command)) in asked.iter().enumerate() {
            let master = masters.slots.master(self.slot(id)).ok_or(Down)?;
            let (commands, places) = shares.get_mut(master).ok_or(Down)?;
            commands.add_command(command.clone());
            places.push(at);
        }
        let asking = masters
            .lines
            .iter()
            .zip(&shares)
            .map(|(master, (commands, places))| master.line.ask_all(commands, places.len()));
        let mut answers = vec![None; asked.len()];
        for (answered, (_, places)) in join_all(asking).await.into_iter().zip(&shares) {
            for (answer, at) in answered.inspect_err(|_| self.astray.notify_one())?.into_iter().zip(places) {
                answers[*at] = match answer {
                    Ok(answer) => Some(answer),
                    // its slot is on the way, or has arrived
                    Err(error) if error.redirect_node().is_some() => {
                        Some(self.read(&asked[*at].0, &asked[*at].1).await?)
                    }
                    Err(_) => None,
                };
            }
        }
        Ok(answers)
    }
}
