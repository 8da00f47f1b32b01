//! Legacy sessions: what they are, their sealed ids, and where they are kept.
//!
//! A session's owner, server, version and the client's `initialize` never change; the rest ([`State`]) is replaced whole
//! by compare-and-set before it counts. What is alive of a session ([`Session`]) is in the memory of a node; what outlives
//! its process ([`record::Record`]) is in the [`Store`], of which the node then has a copy.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Instant;

use arc_swap::ArcSwap;
use bytes::Bytes;
use sluice_mcp::{ScanLimits, Version, decode_string, scan};
use tokio::sync::Notify;

use crate::auth::PrincipalId;
use crate::auth::quota::Account;
use crate::budget::Held;
use crate::catalog::Kind as Kinds;
use crate::clock::Clock;
use crate::limit;
use crate::seal::Seal;
use crate::upstream::endpoint::Place;
use crate::upstream::pipe::Attachment;

pub(crate) mod definition;
pub(crate) mod endings;
pub(crate) mod id;
pub(crate) mod memory;
pub(crate) mod merged;
pub(crate) mod record;
pub(crate) mod redis;
pub(crate) mod ring;
pub(crate) mod sqlite;
pub(crate) mod store;
pub(crate) mod stream;
pub(crate) mod tie;

pub(crate) use id::{Presented, SessionId};
pub(crate) use merged::Merged;
use ring::Rings;
pub(crate) use store::Store;
use tie::Tie;

/// One legacy session between a client and one server.
pub(crate) struct Session {
    pub id: SessionId,
    /// Who may use the session.
    pub owner: PrincipalId,
    /// Whom its handles and its connections belong to: the owner, but for anonymous sessions, each of which is a principal
    /// of its own.
    pub principal: PrincipalId,
    /// What people know the owner by; empty where that was not kept.
    pub subject: Arc<str>,
    /// The server's key; the server itself is looked up in the current plane on each use.
    pub server: Arc<str>,
    /// The server's definition it was opened with: one that changed is another server, which knows nothing of it.
    /// [`Merged::DEFINITION`] for a session of the merged door.
    pub definition: u64,
    /// A session of the merged door: its parts, one session per server that was needed.
    pub merged: Option<Box<Merged>>,
    /// The merged session this is a part of.
    whole: Option<Weak<Session>>,
    /// The client's `initialize`, as it came: sent again when a server forgets the session.
    pub initialize: Bytes,
    /// What the client declared.
    pub declared: Declared,
    /// When it began, in seconds since the epoch.
    pub created: u64,
    /// What ties it to the store it is a copy from.
    pub tie: Tie,
    state: ArcSwap<State>,
    holder: stream::Holder,
    /// What few sessions have, made when it is needed: there may be a hundred thousand that have not.
    rare: OnceLock<Box<Rare>>,
    /// Milliseconds since the node's start of the last use.
    last_used: AtomicU64,
    in_use: AtomicU32,
    /// The kinds of lists, a bit each, that the server told this session have changed.
    told: AtomicU8,
    /// Ended by its client, by idling or by the node.
    ended: AtomicBool,
    ending: Notify,
    cancelling: Notify,
    /// What its genuine id ends in, once that was found: to compare is cheaper than to compute it for each request.
    mac: OnceLock<[u8; id::MAC]>,
    /// Where its place is counted; parts of a merged session take none.
    account: Option<Arc<Account>>,
    /// What the session keeps counts in the node's byte budget.
    _held: Option<Held>,
}

/// See [`Session::rare`].
#[derive(Default)]
pub(crate) struct Rare {
    /// One re-initialisation at a time; when the last one failed, so that those who waited need not try again.
    pub renewal: tokio::sync::Mutex<Option<Instant>>,
    /// The connection to a stdio server, which cannot leave this node.
    pub attachment: tokio::sync::Mutex<Option<Attachment>>,
    /// Messages for the stream that the client opens here now.
    notes: Mutex<Vec<Bytes>>,
    /// Raw ids of requests the client cancelled whose calls have not noticed yet.
    cancelled: Mutex<VecDeque<Bytes>>,
    /// Events of its streams that the client may come back for.
    pub rings: Rings,
    claims: stream::Claims,
}

/// The capabilities with which a server may ask the client something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Declared {
    pub asks: bool,
}

/// What of a session changes, replaced as a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// Rises with every change of `upstream`; part of what event ids are bound to.
    pub epoch: u64,
    /// The server's own session id, `None` when it gave none.
    pub upstream: Option<Bytes>,
    /// Which of the server's endpoints has that session, `None` where there is none to stay with.
    pub place: Option<Place>,
    /// The revision the server agreed to, where that may be another one than the client's (parts of a merged session).
    pub version: Option<Bytes>,
    /// The client's last `logging/setLevel`, as it came.
    pub log_level: Option<Bytes>,
    /// URIs subscribed to, as raw JSON tokens.
    pub subscriptions: BTreeSet<Bytes>,
    /// The kinds of lists, a bit each, that the server told this session have changed.
    pub told: u8,
    /// The kinds of lists, a bit each, that may have changed, as the client is to be told when it next opens a stream: after a
    /// renewal, and where other things are shown to it.
    pub untold: u8,
}

/// What a new session starts with.
pub(crate) struct Opening {
    pub owner: PrincipalId,
    pub principal: PrincipalId,
    pub subject: Arc<str>,
    pub server: Arc<str>,
    pub definition: u64,
    pub initialize: Bytes,
    pub declared: Declared,
    pub upstream: Option<Bytes>,
    pub place: Option<Place>,
    pub version: Option<Bytes>,
    pub attachment: Option<Attachment>,
    pub merged: Option<Box<Merged>>,
    pub whole: Option<Weak<Session>>,
    pub created: u64,
    pub account: Option<Arc<Account>>,
    pub held: Option<Held>,
}

impl Session {
    pub(crate) fn new(id: SessionId, opening: Opening, now: u64) -> Self {
        let attachment = opening.attachment.map(|attachment| tokio::sync::Mutex::new(Some(attachment)));
        let rare = attachment.map(|attachment| Box::new(Rare { attachment, ..Rare::default() }));
        Self {
            id,
            owner: opening.owner,
            principal: opening.principal,
            subject: opening.subject,
            server: opening.server,
            definition: opening.definition,
            merged: opening.merged,
            whole: opening.whole,
            initialize: opening.initialize,
            declared: opening.declared,
            created: opening.created,
            tie: Tie::default(),
            state: ArcSwap::from_pointee(State {
                upstream: opening.upstream,
                place: opening.place,
                version: opening.version,
                ..State::default()
            }),
            holder: stream::Holder::default(),
            rare: rare.map_or_else(OnceLock::new, OnceLock::from),
            last_used: AtomicU64::new(now),
            in_use: AtomicU32::new(0),
            told: AtomicU8::new(0),
            ended: AtomicBool::new(false),
            ending: Notify::new(),
            cancelling: Notify::new(),
            mac: OnceLock::new(),
            account: opening.account,
            _held: opening.held,
        }
    }

    /// Whether an id that names this session was given out by us.
    pub(crate) fn is_genuine(&self, presented: &Presented, seal: &Seal) -> bool {
        if let Some(mac) = self.mac.get() {
            return presented.ends_in(mac, seal);
        }
        let genuine = presented.is_genuine(seal);
        if genuine {
            self.mac.get_or_init(|| presented.mac());
        }
        genuine
    }

    /// The changeable part, as it is now.
    pub(crate) fn state(&self) -> Arc<State> {
        self.state.load_full()
    }

    /// Replaces the state of a session that is nowhere but here as `change` says; tried again when somebody else was faster.
    /// `false`: the change does not apply any more.
    pub(crate) fn update(&self, mut change: impl FnMut(&mut State) -> bool) -> bool {
        let mut applies = true;
        self.state.rcu(|current| {
            let mut next = State::clone(current);
            applies = change(&mut next);
            if applies { Arc::new(next) } else { Arc::clone(current) }
        });
        applies
    }

    /// Goes by what the store has.
    pub(crate) fn set_state(&self, state: State) {
        self.told.fetch_or(state.told, Ordering::AcqRel);
        self.state.store(Arc::new(state));
    }

    /// The merged session this is a part of; `None` for one that is whole. A part outlives its whole only while it ends.
    pub(crate) fn whole(&self) -> Option<Option<Arc<Self>>> {
        self.whole.as_ref().map(Weak::upgrade)
    }

    /// Whether a request or stream is open in it.
    pub(crate) fn is_in_use(&self) -> bool {
        self.in_use.load(Ordering::Relaxed) > 0
    }

    /// The client's own session: on the merged door, the one this is a part of. `None`: it is over.
    pub(crate) fn of_client(self: &Arc<Self>) -> Option<Arc<Self>> {
        self.whole().unwrap_or_else(|| Some(Arc::clone(self)))
    }

    /// The revision its client asked for, where that is known.
    pub(crate) fn asked_for(&self) -> Option<Version> {
        let message = scan(&self.initialize, ScanLimits { depth: u16::MAX }).ok()?;
        let version = decode_string(message.p.protocol_version?.of(&self.initialize));
        Version::parse(version.as_bytes())
    }

    /// Events of its streams that the client may come back for, if there ever were any.
    pub(crate) fn rings(&self) -> Option<&Rings> {
        self.rare.get().map(|rare| &rare.rings)
    }

    /// What few sessions have.
    pub(crate) fn rare(&self) -> &Rare {
        self.rare.get_or_init(Box::default)
    }

    /// Takes the connection to a stdio server, if there is one.
    pub(crate) async fn take_attachment(&self) -> Option<Attachment> {
        self.rare.get()?.attachment.lock().await.take()
    }

    /// The server told this session that its lists changed; the bits of the kinds for which it is the first time.
    pub(crate) fn told_of_lists(&self, kinds: &[Kinds]) -> u8 {
        let told = kinds.iter().fold(0, |all, kind| all | 1 << *kind as u8);
        told & !self.told.fetch_or(told, Ordering::AcqRel)
    }

    /// Whether its lists may be unlike those of other sessions: servers change what one session sees and tell only that one.
    pub(crate) fn has_own_lists(&self, kind: Kinds) -> bool {
        self.told.load(Ordering::Acquire) & 1 << kind as u8 != 0
    }

    /// Leaves messages for the stream that the client opens here now, in place of earlier ones. What is for its next one, whoever
    /// opens that, is in the state.
    pub(crate) fn leave_notes(&self, notes: Vec<Bytes>) {
        *self.rare().notes.lock().unwrap_or_else(PoisonError::into_inner) = notes;
    }

    /// Takes the messages left for the client.
    pub(crate) fn take_notes(&self) -> Vec<Bytes> {
        let notes = self.rare.get().map(|rare| &rare.notes);
        notes
            .map(|notes| std::mem::take(&mut *notes.lock().unwrap_or_else(PoisonError::into_inner)))
            .unwrap_or_default()
    }

    /// Marks the session used for as long as the guard lives.
    pub(crate) fn hold(self: &Arc<Self>, clock: Clock) -> InUse {
        self.in_use.fetch_add(1, Ordering::Relaxed);
        InUse { session: Arc::clone(self), clock, whole: None, requests: Requests::None }
    }

    /// Milliseconds of disuse at `now`; 0 while a request or stream is open.
    pub(crate) fn idle(&self, now: u64) -> u64 {
        if self.in_use.load(Ordering::Relaxed) > 0 {
            return 0;
        }
        now.saturating_sub(self.last_used.load(Ordering::Relaxed))
    }
}

impl Session {
    /// The session is over: its place is free at once, and its streams end. A store may keep the memory a while longer.
    pub(crate) fn end(&self) {
        if !self.ended.swap(true, Ordering::AcqRel) {
            if let Some(account) = &self.account {
                account.close_session();
            }
            if let Some(merged) = &self.merged {
                merged.parts().iter().for_each(|part| part.end());
            }
            self.ending.notify_waiters();
        }
    }

    /// The client cancelled a request: its call need not wait for an answer that a server does not owe.
    pub(crate) fn cancel(&self, id: &[u8]) {
        let mut cancelled = self.rare().cancelled.lock().unwrap_or_else(PoisonError::into_inner);
        cancelled.push_back(Bytes::copy_from_slice(id));
        if cancelled.len() > limit::CANCELLED {
            cancelled.pop_front();
        }
        drop(cancelled);
        self.cancelling.notify_waiters();
    }

    /// Waits until the request with this raw id is cancelled.
    pub(crate) async fn cancelled(&self, id: &[u8]) {
        loop {
            let mut told = std::pin::pin!(self.cancelling.notified());
            told.as_mut().enable();
            if self.take_cancelled(id) {
                return;
            }
            told.await;
        }
    }

    fn take_cancelled(&self, id: &[u8]) -> bool {
        let Some(rare) = self.rare.get() else { return false };
        let mut cancelled = rare.cancelled.lock().unwrap_or_else(PoisonError::into_inner);
        let at = cancelled.iter().position(|c| c == id);
        at.and_then(|at| cancelled.remove(at)).is_some()
    }

    /// Whether the session has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Waits for the end of the session.
    pub(crate) async fn over(&self) {
        let mut told = std::pin::pin!(self.ending.notified());
        // listening before looking: an end in between is not missed
        told.as_mut().enable();
        if !self.ended.load(Ordering::Acquire) {
            told.await;
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.end();
    }
}

/// Keeps a session from expiring; see [`Session::hold`].
pub(crate) struct InUse {
    pub session: Arc<Session>,
    clock: Clock,
    /// The merged session this one is a part of.
    whole: Option<Box<InUse>>,
    /// The requests of the merged session this is held for.
    requests: Requests,
}

/// Requests of a merged session whose places were noted ([`Merged::sent`]).
pub(crate) enum Requests {
    None,
    /// The one with this raw id, which is forgotten when the session is let go.
    One(Bytes),
    /// Whichever is answered meanwhile: a stream that was left is resumed.
    Answered,
}

impl InUse {
    /// A part is in use, and the merged session with it.
    pub(crate) fn part(self, part: &Arc<Session>, requests: Requests) -> Self {
        let mut in_use = part.hold(self.clock);
        in_use.requests = requests;
        in_use.whole = Some(Box::new(self));
        in_use
    }

    /// The server ended the stream of this request, and answers on another: its place stays noted.
    pub(crate) fn answered_elsewhere(&mut self) {
        self.requests = Requests::None;
    }

    /// A request is answered on a stream that is not its own.
    pub(crate) fn answers(&self, id: &[u8]) {
        if let (Some(merged), Requests::Answered) = (self.merged(), &self.requests) {
            merged.answered(id);
        }
    }

    /// The merged session of the part in use.
    fn merged(&self) -> Option<&Merged> {
        self.whole.as_ref().and_then(|whole| whole.session.merged.as_deref())
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.session.last_used.store(self.clock.ms(), Ordering::Relaxed);
        self.session.in_use.fetch_sub(1, Ordering::Relaxed);
        if let (Some(merged), Requests::One(id)) = (self.merged(), &self.requests) {
            merged.answered(id);
        }
    }
}
