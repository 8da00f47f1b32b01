//! What one server shows one audience: its lists, how long they are good for, who fetches them, and what trouble there was.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;

use super::about::About;
use super::changes::Changes;
use super::kind::Kind;
use super::list::List;
use crate::limit;
use crate::reason::Reason;

/// What one server shows one audience.
pub(crate) struct Entry {
    kept: [Kept; 4],
    /// What the server said of itself, be it to one of the audience alone: then it is not to be shown to others.
    pub about: ArcSwapOption<About>,
    watched: Arc<Watched>,
    /// When it was last needed, in milliseconds of the catalogue.
    used: AtomicU64,
    /// One opening at a time, whichever list it is for.
    pub opening: tokio::sync::Mutex<()>,
    trouble: Mutex<Option<Trouble>>,
    changes: Arc<Changes>,
}

/// The streams that are open on behalf of an audience.
#[derive(Default)]
pub(super) struct Watched(Mutex<Watching>);

impl Watched {
    fn lock(&self) -> std::sync::MutexGuard<'_, Watching> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Open streams on which the server would say that lists change, and since when there has been one.
#[derive(Default)]
struct Watching {
    streams: usize,
    since: Option<Instant>,
}

#[derive(Default)]
struct Kept {
    list: ArcSwapOption<List>,
    stale: AtomicBool,
    /// Clients were told already that the list is another one.
    announced: AtomicBool,
    fetching: tokio::sync::Mutex<()>,
    /// Clients were shown lists without this one: when it comes, they are told.
    missed: AtomicBool,
}

/// The last attempts to fetch failed.
#[derive(Debug, Clone)]
pub(crate) struct Trouble {
    reason: Reason,
    times: u32,
    since: Instant,
    retry: Instant,
}

impl Entry {
    pub(super) fn new(changes: Arc<Changes>, watched: Arc<Watched>) -> Self {
        Self {
            kept: Default::default(),
            about: ArcSwapOption::empty(),
            watched,
            used: AtomicU64::new(0),
            opening: tokio::sync::Mutex::default(),
            trouble: Mutex::default(),
            changes,
        }
    }

    /// It is needed at this time of the catalogue, in milliseconds.
    pub(super) fn needed(&self, now: u64) {
        self.used.store(now, Ordering::Relaxed);
    }

    /// When it was last needed.
    pub(super) fn last_needed(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Whether a stream is open on which the server would say that lists change.
    pub(super) fn is_watched(&self) -> bool {
        self.watched.lock().streams > 0
    }

    /// The server said that this list is another one, and clients are told so.
    pub(super) fn outdate(&self, kind: Kind) {
        let kept = &self.kept[kind as usize];
        kept.stale.store(true, Ordering::Release);
        kept.announced.store(true, Ordering::Release);
    }

    /// The list as last fetched, be it fresh or not.
    pub(crate) fn list(&self, kind: Kind) -> Option<Arc<List>> {
        self.kept[kind as usize].list.load_full()
    }

    /// Until when the list is good without asking the server; `None` when it must be asked first.
    pub(crate) fn good_until(&self, kind: Kind, now: Instant) -> Option<Instant> {
        let kept = &self.kept[kind as usize];
        let list = kept.list.load();
        let list = list.as_ref()?;
        if kept.stale.load(Ordering::Acquire) {
            return None;
        }
        // what was fetched before the stream was open may have changed in between
        if self.watched.lock().since.is_some_and(|since| since <= list.begun) && self.announces(kind) {
            return Some(now + limit::CATALOGUE_WATCHED);
        }
        let until = list.fetched + list.ttl.unwrap_or(limit::CATALOGUE_UNWATCHED);
        (until > now).then_some(until)
    }

    /// Whether the server said that it tells of changes.
    fn announces(&self, kind: Kind) -> bool {
        let about = self.about.load();
        about.as_ref().is_some_and(|about| about.capabilities[kind.capability()]["listChanged"] == true)
    }

    /// One fetch at a time; whoever waited looks again before fetching.
    pub(crate) async fn fetching(&self, kind: Kind) -> tokio::sync::MutexGuard<'_, ()> {
        self.kept[kind as usize].fetching.lock().await
    }

    /// A fetch begins: what the server says from now on makes its outcome stale.
    pub(crate) fn begin(&self, kind: Kind) {
        self.kept[kind as usize].stale.store(false, Ordering::Release);
    }

    /// Keeps what was fetched. Clients are told when it differs from what they were shown.
    pub(crate) fn keep(&self, kind: Kind, list: List) {
        let kept = &self.kept[kind as usize];
        *self.trouble() = None;
        let list = Arc::new(list);
        let before = kept.list.swap(Some(Arc::clone(&list)));
        let missed = kept.missed.swap(false, Ordering::AcqRel);
        let announced = kept.announced.swap(false, Ordering::AcqRel);
        let differs = match before {
            Some(before) => !announced && !before.same(&list),
            None => missed && !list.shown.items.is_empty(),
        };
        if differs {
            self.changes.tell(&[kind]);
        } else {
            self.changes.touch();
        }
    }

    /// Keeps what was fetched for the audience of another entry, before it was known to be for this one's.
    pub(crate) fn keep_instead(&self, other: &Self, kind: Kind, list: List) {
        if let (None, Some(about)) = (self.about.load_full(), other.about.load_full().filter(|about| !about.private)) {
            self.about.store(Some(about));
        }
        self.begin(kind);
        // what the server said before, only the other one heard
        let outdated = other.kept[kind as usize].stale.load(Ordering::Acquire);
        self.keep(kind, list);
        if outdated {
            self.undo(kind);
        }
        other.undo(kind);
    }

    /// The server was heard: whatever trouble there was is over.
    pub(crate) fn heard(&self) {
        *self.trouble() = None;
    }

    /// The list may have changed unheard; `true` when there is one, or one is missed.
    pub(crate) fn doubt(&self, kind: Kind) -> bool {
        let kept = &self.kept[kind as usize];
        let listed = kept.list.load().is_some();
        kept.stale.store(listed, Ordering::Release);
        self.changes.touch();
        listed || kept.missed.load(Ordering::Acquire)
    }

    /// A fetch was given up; what was kept before is shown on, and fetched again by the next who asks.
    pub(crate) fn undo(&self, kind: Kind) {
        let kept = &self.kept[kind as usize];
        kept.stale.store(kept.list.load().is_some(), Ordering::Release);
        self.changes.touch();
    }

    /// A fetch failed; what was kept before is shown on.
    pub(crate) fn fail(&self, kind: Kind, reason: Reason) {
        self.undo(kind);
        let mut trouble = self.trouble();
        let times = trouble.as_ref().map_or(0, |trouble| trouble.times).saturating_add(1);
        let pause = limit::CATALOGUE_RETRY_FIRST * 2u32.saturating_pow(times.saturating_sub(1).min(8));
        let since = trouble.as_ref().map_or_else(Instant::now, |trouble| trouble.since);
        *trouble =
            Some(Trouble { reason, times, since, retry: Instant::now() + pause.min(limit::CATALOGUE_RETRY_LAST) });
    }

    /// Why the server was not reached last time, while it is too early to try again.
    pub(crate) fn held_back(&self, now: Instant) -> Option<Trouble> {
        self.trouble().clone().filter(|trouble| trouble.retry > now)
    }

    /// Why the server could not be asked last time, however long ago.
    pub(crate) fn failure(&self) -> Option<Reason> {
        self.trouble().as_ref().map(|trouble| trouble.reason.clone())
    }

    /// Whether the server has only been silent, and that for a short while: it may be starting.
    pub(crate) fn may_be_starting(&self) -> bool {
        let trouble = self.trouble();
        trouble.as_ref().is_none_or(|trouble| {
            trouble.reason == Reason::ServerSilent && trouble.since.elapsed() < limit::CHILD_START
        })
    }

    /// Clients were shown lists without this server's.
    pub(crate) fn miss(&self, kind: Kind) {
        self.kept[kind as usize].missed.store(true, Ordering::Release);
    }

    /// Whether some client was shown lists without this server's, so that it should be tried again without being asked.
    pub(crate) fn is_missed(&self) -> bool {
        self.kept.iter().any(|kept| kept.missed.load(Ordering::Acquire))
    }

    /// The same for one list.
    pub(crate) fn is_missed_in(&self, kind: Kind) -> bool {
        self.kept[kind as usize].missed.load(Ordering::Acquire)
    }

    /// Whether the list is being fetched.
    pub(crate) fn is_fetching(&self, kind: Kind) -> bool {
        self.kept[kind as usize].fetching.try_lock().is_err()
    }

    fn trouble(&self) -> std::sync::MutexGuard<'_, Option<Trouble>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Trouble {
    /// How long until it makes sense to try again.
    pub(crate) fn wait(&self, now: Instant) -> Duration {
        self.retry.saturating_duration_since(now)
    }
}

/// Held while a stream is open on which the server says when lists change; see [`Catalogue::watch`].
pub(crate) struct Watch {
    watched: Arc<Watched>,
    changes: Arc<Changes>,
}

impl Watch {
    /// `true`: it is the only one.
    pub(super) fn open(watched: Arc<Watched>, changes: Arc<Changes>) -> (Self, bool) {
        let mut watching = watched.lock();
        watching.streams += 1;
        watching.since.get_or_insert_with(Instant::now);
        let first = watching.streams == 1;
        drop(watching);
        (Self { watched, changes }, first)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut watching = self.watched.lock();
        watching.streams -= 1;
        if watching.streams == 0 {
            // from now on lists are good for a shorter time
            watching.since = None;
            drop(watching);
            self.changes.touch();
        }
    }
}
