//! Where sessions are kept. One contract for all stores: what [`Shared::create`] acknowledged, [`Shared::read`] finds until
//! [`Shared::remove`] or expiry, on whichever node; what a writer did not know of, it does not write over.
//!
//! Sessions that are alive are in this node's memory. With a shared store they are copies: good for use without asking
//! ([`Store::near`]) as long as nobody changed the record, which the store's line would have told.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::memory::Memory;
use super::record::{Record, Sealed};
use super::redis::Redis;
use super::sqlite::Sqlite;
use super::stream::Process;
use super::{Session, SessionId};
use crate::limit;
use crate::seal::Seal;

/// Sessions that share a lock for changing their records: it is held for a round trip.
const TURNS: usize = 256;

/// The sessions of a node.
pub(crate) struct Store {
    near: Arc<Memory>,
    shared: Option<Shared>,
    /// This one, as others know it.
    pub process: Process,
}

/// What keeps sessions beyond the process.
pub(crate) struct Shared {
    backend: Backend,
    /// One at a time brings copies to where the store is.
    pub adopting: Mutex<()>,
    /// Who of this node changes the record of a session; one lock for many of them.
    turns: Box<[tokio::sync::Mutex<()>]>,
    doubted: Arc<Doubted>,
    /// Sessions that are over without anybody being known to have told their servers.
    owed: Mutex<Vec<Arc<Session>>>,
}

enum Backend {
    Redis(Redis),
    Sqlite(Sqlite),
}

/// The store does not answer, or not in time, or refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Down;

/// What became of a change.
pub(crate) enum Replaced {
    Done,
    /// Somebody was faster; this is what the store has now.
    Other(Sealed),
    /// The session is not there any more.
    Gone,
}

/// Sessions of which copies here have to be looked at: something was changed, or nobody knows.
#[derive(Default)]
pub(crate) struct Doubted {
    ids: Mutex<HashSet<SessionId>>,
    told: Notify,
}

impl Doubted {
    pub(super) fn add(&self, ids: impl IntoIterator<Item = SessionId>) {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner).extend(ids);
        self.told.notify_one();
    }
}

impl Store {
    fn new(near: Arc<Memory>, shared: Option<Shared>) -> Self {
        Self { near, shared, process: Process::fresh() }
    }

    /// Sessions that end with the process.
    pub(crate) fn in_memory() -> Self {
        Self::new(Arc::default(), None)
    }

    /// Sessions that are kept in a Redis; `open` begins to connect to it.
    ///
    /// # Errors
    /// Those of `open`.
    pub(crate) fn redis<E>(open: impl FnOnce(Arc<Memory>, Arc<Doubted>) -> Result<Redis, E>) -> Result<Self, E> {
        let (near, doubted) = (Arc::<Memory>::default(), Arc::<Doubted>::default());
        let backend = Backend::Redis(open(Arc::clone(&near), Arc::clone(&doubted))?);
        Ok(Self::new(near, Some(Shared::new(backend, doubted))))
    }

    /// Sessions that are kept in a file.
    pub(crate) fn sqlite(file: Sqlite) -> Self {
        Self::new(Arc::default(), Some(Shared::new(Backend::Sqlite(file), Arc::default())))
    }

    /// What keeps sessions beyond the process, where something does.
    pub(crate) fn shared(&self) -> Option<&Shared> {
        self.shared.as_ref()
    }

    /// The session of that id, if this node has it and knows that nobody changed it: no store is asked, so a forged id costs
    /// nothing. `now` is the time of the request.
    pub(crate) fn near(&self, id: &SessionId, now: Instant) -> Option<Arc<Session>> {
        let session = self.near.get(id)?;
        self.vouches_for(&session, now).then_some(session)
    }

    /// Whether a session is known to be at `now` as the copy here says.
    pub(crate) fn vouches_for(&self, session: &Session, now: Instant) -> bool {
        self.shared.as_ref().is_none_or(|shared| shared.vouches_for(session, now))
    }

    /// The session of that id, if this node has it, whatever became of it elsewhere.
    pub(crate) fn held(&self, id: &SessionId) -> Option<Arc<Session>> {
        self.near.get(id)
    }

    /// Takes in a session; where one of that id is there already, it stays and is returned.
    pub(crate) fn take_in(&self, session: Arc<Session>) -> Arc<Session> {
        self.near.insert(session)
    }

    /// Lets go of a session; `true` for the one caller who did.
    pub(crate) fn let_go(&self, id: &SessionId) -> bool {
        self.near.remove(id).is_some()
    }

    /// Sessions that this node has, as they are now.
    pub(crate) fn those(&self, are: impl Fn(&Session) -> bool) -> Vec<Arc<Session>> {
        self.near.those(are)
    }

    /// Whether sessions of a node that ended are there again when it is.
    pub(crate) fn returns_with_its_node(&self) -> bool {
        matches!(&self.shared, Some(Shared { backend: Backend::Sqlite(_), .. }))
    }

    /// Another process is about to take the place of this one, with what this one keeps; or does not after all.
    pub(crate) fn share(&self, shared: bool) {
        if let Some(Shared { backend: Backend::Sqlite(file), .. }) = &self.shared {
            file.share(shared);
        }
    }

    /// How many sessions this node has.
    pub(crate) fn len(&self) -> usize {
        self.near.len()
    }

    /// Waits until what keeps sessions is there; not longer than it takes if all is well.
    pub(crate) async fn opened(&self) {
        if let Some(shared) = &self.shared {
            let _ = tokio::time::timeout(limit::STORE_CONNECT, shared.reached()).await;
        }
    }

    /// Why sessions cannot be looked up or kept at the moment, where that is so.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.shared.as_ref().and_then(Shared::trouble)
    }
}

impl Shared {
    fn new(backend: Backend, doubted: Arc<Doubted>) -> Self {
        let turns = (0..TURNS).map(|_| tokio::sync::Mutex::default()).collect();
        Self { backend, adopting: Mutex::default(), turns, doubted, owed: Mutex::default() }
    }

    /// Waits for the turn to change the record of a session.
    pub(crate) async fn turn(&self, id: &SessionId) -> tokio::sync::MutexGuard<'_, ()> {
        // ids are random
        self.turns[usize::from(id.0[0]) % TURNS].lock().await
    }

    /// The name a session is kept under.
    fn name(&self, id: &SessionId) -> Vec<u8> {
        match &self.backend {
            Backend::Redis(redis) => redis.name(id),
            Backend::Sqlite(_) => id.0.to_vec(),
        }
    }

    /// What this is called in metrics and pages.
    pub(crate) fn word(&self) -> &'static str {
        match &self.backend {
            Backend::Redis(_) => "redis",
            Backend::Sqlite(_) => "sqlite",
        }
    }

    /// Whether other nodes keep their sessions here, too.
    pub(crate) fn is_of_many(&self) -> bool {
        matches!(&self.backend, Backend::Redis(_))
    }

    /// The next sessions in the order of their ids, at most so many, and whether there are no others after them.
    pub(crate) async fn ids(&self, after: Option<SessionId>, most: usize) -> Result<(Vec<SessionId>, bool), Down> {
        match &self.backend {
            Backend::Redis(redis) => redis.ids(after, most).await,
            Backend::Sqlite(file) => file.ids(after, most).await,
        }
    }

    /// What is kept of each of these sessions.
    pub(crate) async fn read_all(&self, seal: &Seal, ids: Vec<SessionId>) -> Result<Vec<Option<Record>>, Down> {
        let all = match &self.backend {
            Backend::Redis(redis) => redis.read_all(&ids).await?,
            Backend::Sqlite(file) => file.read_all(ids.clone()).await?,
        };
        let open = |(id, bytes): (&SessionId, Option<Vec<u8>>)| Some(self.open(seal, id, Sealed::of(bytes?)?)?.0);
        Ok(ids.iter().zip(all).map(open).collect())
    }

    /// Keeps a new session for so long, unless it is used.
    ///
    /// # Errors
    /// It is not known whether it is kept.
    pub(crate) async fn create(
        &self,
        seal: &Seal,
        id: &SessionId,
        record: &Record,
        life: Duration,
    ) -> Result<(), Down> {
        let sealed = record.seal(seal, &self.name(id), 1);
        let created = match &self.backend {
            Backend::Redis(redis) => redis.create(id, sealed.bytes, life).await?,
            Backend::Sqlite(file) => file.create(*id, sealed.bytes, life).await?,
        };
        // ids are random: one that is there already is somebody else's doing
        created.then_some(()).ok_or(Down)
    }

    /// What is kept of a session, and its revision. A record that is not ours is none.
    pub(crate) async fn read(&self, seal: &Seal, id: &SessionId) -> Result<Option<(Record, u64)>, Down> {
        let bytes = match &self.backend {
            Backend::Redis(redis) => redis.read(id).await?,
            Backend::Sqlite(file) => file.read(*id).await?,
        };
        Ok(bytes.and_then(|bytes| self.open(seal, id, Sealed::of(bytes)?)))
    }

    /// Opens what is kept of a session.
    pub(crate) fn open(&self, seal: &Seal, id: &SessionId, sealed: Sealed) -> Option<(Record, u64)> {
        let record = sealed.open(seal, &self.name(id));
        if record.is_none() {
            tracing::warn!("a session's record was not sealed for it with a key of ours; it is left out");
        }
        Some((record?, sealed.revision))
    }

    /// Puts another revision of a record in the place of the revision `from`.
    ///
    /// # Errors
    /// It is not known whether it was.
    pub(crate) async fn replace(
        &self,
        seal: &Seal,
        id: &SessionId,
        from: u64,
        record: &Record,
        revision: u64,
    ) -> Result<Replaced, Down> {
        let sealed = record.seal(seal, &self.name(id), revision);
        match &self.backend {
            Backend::Redis(redis) => redis.replace(id, from, sealed.bytes).await,
            Backend::Sqlite(file) => file.replace(*id, from, sealed.bytes).await,
        }
    }

    /// Keeps the events of a stream of a session for so long: who had them in its memory ends.
    pub(crate) async fn spill(
        &self,
        seal: &Seal,
        id: &SessionId,
        stream: u64,
        events: &[u8],
        life: Duration,
    ) -> Result<(), Down> {
        let sealed = seal.seal_record(&self.name_beside(id, stream), events);
        match &self.backend {
            Backend::Redis(redis) => redis.spill(id, stream, sealed, life).await,
            Backend::Sqlite(file) => file.spill(*id, stream, sealed, life).await,
        }
    }

    /// What was spilled of a stream.
    pub(crate) async fn spilled(&self, seal: &Seal, id: &SessionId, stream: u64) -> Result<Option<Vec<u8>>, Down> {
        let sealed = match &self.backend {
            Backend::Redis(redis) => redis.spilled(id, stream).await?,
            Backend::Sqlite(file) => file.spilled(*id, stream).await?,
        };
        Ok(sealed.and_then(|sealed| seal.open_record(&self.name_beside(id, stream), &sealed)))
    }

    /// What the events of a stream are bound to.
    fn name_beside(&self, id: &SessionId, stream: u64) -> Vec<u8> {
        [&self.name(id)[..], &stream.to_be_bytes()].concat()
    }

    /// Removes a session; what was there goes to the one caller who did.
    pub(crate) async fn remove(&self, id: &SessionId) -> Result<Option<Sealed>, Down> {
        let bytes = match &self.backend {
            Backend::Redis(redis) => redis.remove(id).await?,
            Backend::Sqlite(file) => file.remove(*id).await?,
        };
        Ok(bytes.and_then(Sealed::of))
    }

    /// Notes that these sessions were used: each is kept for so long from now on, or longer, where somebody else noted that.
    pub(crate) async fn touch(&self, lives: Vec<(SessionId, Duration)>) -> Result<(), Down> {
        match &self.backend {
            Backend::Redis(redis) => redis.touch(&lives).await,
            Backend::Sqlite(file) => file.touch(lives).await,
        }
    }

    /// The revisions of what is kept of these sessions; `None` for those that are not there.
    pub(crate) async fn revisions(&self, ids: Vec<SessionId>) -> Result<Vec<Option<u64>>, Down> {
        match &self.backend {
            Backend::Redis(redis) => redis.revisions(&ids).await,
            Backend::Sqlite(file) => file.revisions(ids).await,
        }
    }

    /// How long these sessions are kept unless they are used; `None` for those that are not there.
    pub(crate) async fn left(&self, ids: Vec<SessionId>) -> Result<Vec<Option<Duration>>, Down> {
        match &self.backend {
            Backend::Redis(redis) => redis.left(&ids).await,
            Backend::Sqlite(file) => file.left(ids).await,
        }
    }

    /// Some of the sessions whose time is over and that the store does not remove by itself.
    pub(crate) async fn over(&self) -> Result<Vec<SessionId>, Down> {
        match &self.backend {
            Backend::Redis(_) => Ok(Vec::new()),
            Backend::Sqlite(file) => file.over().await,
        }
    }

    /// The moment a look at a record begins: what is changed from now on is noticed by [`Shared::confirm`].
    pub(crate) fn look(&self, id: &SessionId) -> Look {
        match &self.backend {
            Backend::Redis(redis) => redis.look(id),
            Backend::Sqlite(_) => Look { generation: 1, changes: 0 },
        }
    }

    /// A copy is as the record was when the look began; good for use unless something was changed meanwhile.
    pub(crate) fn confirm(&self, session: &Session, look: Look) {
        session.tie.confirm(look.generation);
        if let Backend::Redis(redis) = &self.backend
            // a copy of a generation that is over is good for nothing but being held over
            && redis.look(&session.id).changes != look.changes
        {
            redis.doubt(&session.tie);
        }
    }

    fn vouches_for(&self, session: &Session, now: Instant) -> bool {
        let tie = &session.tie;
        if !tie.is_kept() {
            return true;
        }
        match &self.backend {
            Backend::Redis(redis) => redis.vouches_for(tie, now),
            Backend::Sqlite(file) => !file.is_shared(),
        }
    }

    /// Whether a copy may be used although the store does not answer: nobody is known to have changed it, and it is not long.
    pub(crate) fn holds_over(&self, session: &Session) -> bool {
        match &self.backend {
            Backend::Redis(redis) => redis.holds_over(&session.tie),
            Backend::Sqlite(_) => true,
        }
    }

    /// Waits for sessions whose copies have to be looked at.
    pub(crate) async fn doubted(&self) -> Vec<SessionId> {
        loop {
            let told = self.doubted.told.notified();
            let ids = std::mem::take(&mut *self.doubted.ids.lock().unwrap_or_else(PoisonError::into_inner));
            if !ids.is_empty() {
                return ids.into_iter().collect();
            }
            told.await;
        }
    }

    /// These could not be looked at.
    pub(crate) fn doubt_again(&self, ids: Vec<SessionId>) {
        self.doubted.add(ids);
    }

    /// The server of a session that is over is to be told so.
    pub(crate) fn owe_end(&self, session: &Arc<Session>) {
        self.owed.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(session));
    }

    /// Those of which servers are to be told.
    pub(crate) fn take_owed(&self) -> Vec<Arc<Session>> {
        std::mem::take(&mut *self.owed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until it answers.
    pub(crate) async fn reached(&self) {
        if let Backend::Redis(redis) = &self.backend {
            redis.reached().await;
        }
    }

    /// Whether new sessions would be kept, as far as that is known.
    pub(crate) fn is_up(&self) -> bool {
        match &self.backend {
            Backend::Redis(redis) => redis.is_up(),
            Backend::Sqlite(_) => true,
        }
    }

    fn trouble(&self) -> Option<String> {
        match &self.backend {
            Backend::Redis(redis) => redis.trouble(),
            Backend::Sqlite(file) => file.trouble(),
        }
    }
}

/// See [`Shared::look`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Look {
    /// Rises with each new line to the store.
    pub generation: u64,
    /// Rises with changes that were told.
    pub changes: u32,
}

#[cfg(test)]
mod tests;
