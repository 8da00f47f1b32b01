//! The catalogue: what servers offer, as they last said, per server and [`Audience`]. It only keeps and arranges; who
//! fetches lists, and when, is the business of `exchange/merged`.
//!
//! Each server keeps its own [`Catalogue`], carried over from plane to plane with the server. What a door shows of all of
//! them together is an [`Offer`], made of one plane and one state of the catalogues and used to the end of a request.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use serde_json::Value;
use sluice_mcp::path::member;
use sluice_mcp::{Era, Method, decode_string};
use sluice_snapshot::policy::Object;
use tokio::sync::watch;

pub(crate) mod answers;
pub(crate) mod exposure;
mod inventory;
pub(crate) mod list;
pub(crate) mod memory;
pub(crate) mod offer;

pub(crate) use answers::Answers;
pub(crate) use exposure::Exposure;
pub(crate) use list::List;
pub(crate) use memory::Memory;
pub(crate) use offer::{Offer, Offers};

use crate::auth::{Principal, PrincipalId};
use crate::limit;
use crate::reason::Reason;
use crate::seal;

/// The kinds of lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Tools,
    Prompts,
    Resources,
    Templates,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Tools, Self::Prompts, Self::Resources, Self::Templates];

    /// The kind a list method asks for.
    pub(crate) fn of(method: Method) -> Option<Self> {
        Some(match method {
            Method::ToolsList => Self::Tools,
            Method::PromptsList => Self::Prompts,
            Method::ResourcesList => Self::Resources,
            Method::ResourcesTemplatesList => Self::Templates,
            _ => return None,
        })
    }

    /// The kinds that a notification says have changed.
    pub(crate) fn changed_by(method: Method) -> &'static [Self] {
        match method {
            Method::NotificationToolsListChanged => &[Self::Tools],
            Method::NotificationPromptsListChanged => &[Self::Prompts],
            Method::NotificationResourcesListChanged => &[Self::Resources, Self::Templates],
            _ => &[],
        }
    }

    pub(crate) fn method(self) -> Method {
        match self {
            Self::Tools => Method::ToolsList,
            Self::Prompts => Method::PromptsList,
            Self::Resources => Method::ResourcesList,
            Self::Templates => Method::ResourcesTemplatesList,
        }
    }

    /// The member of the result that holds the items.
    pub(crate) fn member(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Prompts => "prompts",
            Self::Resources => "resources",
            Self::Templates => "resourceTemplates",
        }
    }

    /// What policies call an item of this kind.
    pub(crate) fn object(self, name: &str) -> Object<'_> {
        match self {
            Self::Tools => Object::Tool(name),
            Self::Prompts => Object::Prompt(name),
            Self::Resources => Object::Resource(name),
            Self::Templates => Object::Template(name),
        }
    }

    /// That nothing of this kind has that name.
    pub(crate) fn unknown(self, name: &str) -> Reason {
        let name = name.chars().take(limit::SHOWN_NAME_CHARS).collect();
        match self {
            Self::Tools => Reason::UnknownTool(name),
            Self::Prompts => Reason::UnknownPrompt(name),
            Self::Resources | Self::Templates => Reason::UnknownResource { uri: name, legacy: false },
        }
    }

    /// The server capability without which there is no such list.
    pub(crate) fn capability(self) -> &'static str {
        match self {
            Self::Templates => "resources",
            kind => kind.member(),
        }
    }
}

/// On what a server's lists may depend: two clients of one audience see the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Audience {
    pub era: Era,
    /// A digest of the capabilities the client declared, `None` for none: servers show tools that need a capability only to
    /// clients that have it.
    pub declared: Option<[u8; 16]>,
    /// Where the configuration separates clients further, whom the lists were fetched for.
    pub holder: Holder,
}

/// Whom lists were fetched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Holder {
    Everybody,
    Principal(PrincipalId),
    Session([u8; 16]),
}

impl Holder {
    /// A client without a session: anonymous ones share nothing.
    pub(crate) fn sessionless(principal: &Principal) -> Self {
        match principal.anonymous {
            true => Self::Session(seal::random()),
            false => Self::Principal(principal.id),
        }
    }
}

impl Audience {
    /// Whether nobody asks for this audience again: a modern client nobody knows is another one with each request.
    pub(crate) fn is_for_once(&self) -> bool {
        self.era == Era::Modern && matches!(self.holder, Holder::Session(_))
    }
}

/// What changed, told to everybody on the node who shows lists.
pub(crate) struct Changes {
    /// Rises with everything that may change what a list shows, or how long it is good for.
    version: AtomicU64,
    /// Per kind of list (tools, prompts, resources), how often clients were to be told.
    told: watch::Sender<[u64; 3]>,
}

impl Default for Changes {
    fn default() -> Self {
        Self { version: AtomicU64::new(0), told: watch::Sender::new([0; 3]) }
    }
}

impl Changes {
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    pub(crate) fn told(&self) -> watch::Receiver<[u64; 3]> {
        self.told.subscribe()
    }

    fn touch(&self) {
        self.version.fetch_add(1, Ordering::AcqRel);
    }

    /// Clients are to be told that these lists may have changed.
    pub(crate) fn tell(&self, kinds: &[Kind]) {
        self.touch();
        self.told.send_modify(|told| {
            for kind in kinds {
                let at = match kind {
                    Kind::Tools => 0,
                    Kind::Prompts => 1,
                    // one notification for both (*List Changed Notification*)
                    Kind::Resources => 2,
                    Kind::Templates => continue,
                };
                told[at] += 1;
            }
        });
    }
}

type Entries = HashMap<Audience, Arc<Entry>, foldhash::fast::RandomState>;

/// What one server offers.
pub(crate) struct Catalogue {
    /// Copied when an audience is added, which is rare; read without a lock.
    entries: ArcSwap<Entries>,
    /// Its answers as its own door gives them.
    pub answers: Arc<Answers>,
    /// What the server said of itself before this process began.
    remembered: Option<Arc<About>>,
    changes: Arc<Changes>,
    /// Which of the server's lists were for those only who asked (`cacheScope`), by [`bit`]. With any, all its lists are kept
    /// apart by principals.
    private: AtomicU8,
    /// The streams of audiences that have any open.
    watched: Mutex<HashMap<Audience, Weak<Watched>, foldhash::fast::RandomState>>,
    begun: Instant,
    /// What the control plane was last told of it.
    reported: inventory::Reported,
}

fn bit(kind: Kind) -> u8 {
    1 << kind as u8
}

impl Catalogue {
    pub(crate) fn new(changes: Arc<Changes>, remembered: Option<Arc<About>>) -> Self {
        Self {
            entries: ArcSwap::default(),
            answers: Arc::default(),
            remembered,
            changes,
            private: AtomicU8::new(0),
            watched: Mutex::default(),
            begun: Instant::now(),
            reported: Default::default(),
        }
    }

    /// What that audience is shown.
    pub(crate) fn entry(&self, audience: &Audience) -> Arc<Entry> {
        let now = self.begun.elapsed().as_millis() as u64;
        if let Some(entry) = self.known(audience) {
            entry.used.store(now, Ordering::Relaxed);
            return entry;
        }
        let fresh = Arc::new(Entry::new(Arc::clone(&self.changes), self.watched(audience)));
        fresh.used.store(now, Ordering::Relaxed);
        self.entries.rcu(|entries| {
            let mut entries = Entries::clone(entries);
            if entries.len() >= limit::AUDIENCES {
                // whoever still needs one of these fetches it again
                make_room(&mut entries);
            }
            entries.entry(*audience).or_insert_with(|| Arc::clone(&fresh));
            entries
        });
        self.known(audience).unwrap_or(fresh)
    }

    /// What an audience was shown is not kept.
    pub(crate) fn forget(&self, audience: &Audience) {
        self.entries.rcu(|entries| {
            let mut entries = Entries::clone(entries);
            entries.remove(audience);
            entries
        });
    }

    /// Whether the server's lists are for those only who ask, as far as it said so.
    pub(crate) fn is_private(&self) -> bool {
        self.private.load(Ordering::Acquire) != 0
    }

    /// A list says whether it is for those only whom it was fetched for. While such a list of somebody is still good, another
    /// one's that is for everybody does not end it: the server may tell them apart.
    pub(crate) fn learn_list(&self, kind: Kind, private: bool) {
        let now = Instant::now();
        let is_kept = |entry: &Arc<Entry>| {
            entry.list(kind).is_some_and(|list| list.private) && entry.good_until(kind, now).is_some()
        };
        let before = match private {
            true => self.private.fetch_or(bit(kind), Ordering::AcqRel),
            false if self.is_private() && !self.entries.load().values().any(is_kept) => {
                self.private.fetch_and(!bit(kind), Ordering::AcqRel)
            }
            false => return,
        };
        if (before & bit(kind) != 0) != private {
            // what is shown together was made for others
            self.changes.touch();
        }
    }

    /// The list, where somebody was shown the same with what is there of it: thousands of tools are there once.
    pub(crate) fn sharing(&self, kind: Kind, mut list: List) -> List {
        let entries = self.entries.load();
        let mut shown = entries.values().filter_map(|entry| Some(Arc::clone(&entry.list(kind)?.shown)));
        if let Some(alike) = shown.find(|shown| **shown == *list.shown) {
            list.shown = alike;
        }
        list
    }

    /// A stream is open on behalf of that audience, on which the server says when lists change.
    /// `true`: it is the first one, so that what was listed before may have changed unheard.
    pub(crate) fn watch(&self, audience: &Audience) -> (Watch, bool) {
        let watched = self.watched(audience);
        let mut watching = watched.lock();
        watching.streams += 1;
        watching.since.get_or_insert_with(Instant::now);
        let first = watching.streams == 1;
        drop(watching);
        (Watch { watched, changes: Arc::clone(&self.changes) }, first)
    }

    fn watched(&self, audience: &Audience) -> Arc<Watched> {
        let mut all = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(watched) = all.get(audience).and_then(Weak::upgrade) {
            return watched;
        }
        if all.len() == all.capacity() {
            all.retain(|_, watched| watched.strong_count() > 0);
        }
        let fresh = Arc::default();
        all.insert(*audience, Arc::downgrade(&fresh));
        fresh
    }

    /// The same, if it was ever fetched.
    pub(crate) fn known(&self, audience: &Audience) -> Option<Arc<Entry>> {
        self.entries.load().get(audience).cloned()
    }

    /// What the server last said of itself, to whomever: for our own use, not to be shown.
    pub(crate) fn about(&self) -> Option<Arc<About>> {
        let heard = self.entries.load().values().find_map(|entry| entry.about.load_full());
        heard.or_else(|| self.remembered.clone())
    }

    /// What the server said of itself to this client alone, or to its audience, or else to whomever for everybody.
    pub(crate) fn about_to(&self, alone: &Audience, audience: &Audience) -> Option<Arc<About>> {
        let own = self.known(alone).and_then(|entry| entry.about.load_full());
        let heard = || self.known(audience)?.about.load_full().filter(|about| !about.private);
        own.or_else(heard).or_else(|| self.about_to_all())
    }

    /// What the server said of itself for everybody.
    pub(crate) fn about_to_all(&self) -> Option<Arc<About>> {
        let entries = self.entries.load();
        let heard = entries.values().filter_map(|entry| entry.about.load_full()).find(|about| !about.private);
        heard.or_else(|| self.remembered.clone())
    }

    /// The server says that lists changed: whatever the audience, they are fetched again before they are shown, and clients
    /// are told.
    pub(crate) fn changed(&self, kinds: &[Kind]) {
        if kinds.is_empty() {
            return;
        }
        self.answers.changed(kinds);
        for entry in self.entries.load().values() {
            for kind in kinds {
                let kept = &entry.kept[*kind as usize];
                kept.stale.store(true, Ordering::Release);
                kept.announced.store(true, Ordering::Release);
            }
        }
        self.changes.tell(kinds);
    }

    /// Whether a template that was listed, to whomever, is as `fits` says.
    pub(crate) fn templates(&self, fits: impl Fn(&str) -> bool) -> bool {
        let entries = self.entries.load();
        let mut lists = entries.values().filter_map(|entry| entry.list(Kind::Templates));
        lists.any(|list| list.shown.items.iter().any(|item| fits(item.original())))
    }

    /// Why its lists could not be fetched last time, for whomever; `None` when they could.
    pub(crate) fn trouble(&self) -> Option<Reason> {
        self.entries.load().values().find_map(|entry| entry.failure())
    }

    /// For people: how many of each kind are known, as the audience sees that sees most.
    pub(crate) fn counts(&self) -> [usize; 4] {
        let mut counts = [0; 4];
        for entry in self.entries.load().values() {
            for kind in Kind::ALL {
                let count = entry.list(kind).map_or(0, |list| list.shown.items.len());
                counts[kind as usize] = counts[kind as usize].max(count);
            }
        }
        counts
    }
}

/// What a server said of itself when it was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct About {
    /// Its `capabilities`, an object.
    pub capabilities: Value,
    pub instructions: Option<String>,
    /// It was said to those only who asked (`cacheScope`).
    pub private: bool,
    /// It was said to a modern client: whether the server takes `initialize` as well, it does not say.
    pub modern: bool,
}

impl About {
    /// From the raw result of `server/discover`.
    pub(crate) fn discovered(result: &[u8]) -> Self {
        let scope = member(result, "cacheScope").ok().flatten().map(|scope| scope.of(result));
        let private = scope.is_some_and(|scope| decode_string(scope) != "public");
        Self { private, modern: true, ..Self::of(result) }
    }

    /// From the raw result of `initialize`, which knows no such scope.
    pub(crate) fn of(result: &[u8]) -> Self {
        let mut value: Value = serde_json::from_slice(result).unwrap_or_default();
        let instructions = value["instructions"].as_str().filter(|text| !text.trim().is_empty()).map(str::to_owned);
        let capabilities = value.get_mut("capabilities").filter(|c| c.is_object()).map(Value::take);
        let capabilities = capabilities.unwrap_or_else(|| Value::Object(Default::default()));
        Self { capabilities, instructions, private: false, modern: false }
    }
}

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

/// Makes room among what is kept: of what no stream watches, the half goes that was not needed for longest. What somebody
/// fetches right now is not among it.
fn make_room(entries: &mut Entries) {
    let unwatched = entries.iter().filter(|(_, entry)| entry.watched.lock().streams == 0);
    let mut unneeded: Vec<_> =
        unwatched.map(|(audience, entry)| (entry.used.load(Ordering::Relaxed), *audience)).collect();
    unneeded.sort_unstable_by_key(|(used, _)| *used);
    unneeded.truncate(unneeded.len().div_ceil(2));
    for (_, audience) in unneeded {
        entries.remove(&audience);
    }
}

/// The streams that are open on behalf of an audience.
#[derive(Default)]
struct Watched(Mutex<Watching>);

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
    fn new(changes: Arc<Changes>, watched: Arc<Watched>) -> Self {
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
