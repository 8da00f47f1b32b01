//! The catalogue: what servers offer, as they last said, per server and [`Audience`]. It only keeps and arranges; who
//! fetches lists, and when, is the business of `exchange/merged`.
//!
//! Each server keeps its own [`Catalogue`], carried over from plane to plane with the server. What a door shows of all of
//! them together is an [`Offer`], made of one plane and one state of the catalogues and used to the end of a request.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

use arc_swap::ArcSwap;

mod about;
pub(crate) mod answers;
mod audience;
mod changes;
mod entry;
pub(crate) mod exposure;
mod inventory;
mod kind;
pub(crate) mod list;
pub(crate) mod memory;
pub(crate) mod offer;

pub(crate) use about::About;
pub(crate) use answers::Answers;
pub(crate) use audience::{Audience, Holder};
pub(crate) use changes::Changes;
pub(crate) use entry::{Entry, Watch};
pub(crate) use exposure::Exposure;
pub(crate) use kind::Kind;
pub(crate) use list::List;
pub(crate) use memory::Memory;
pub(crate) use offer::{Offer, Offers};

use crate::limit;
use crate::reason::Reason;
use entry::Watched;

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
            entry.needed(now);
            return entry;
        }
        let fresh = Arc::new(Entry::new(Arc::clone(&self.changes), self.watched(audience)));
        fresh.needed(now);
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
        Watch::open(self.watched(audience), Arc::clone(&self.changes))
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
            kinds.iter().for_each(|kind| entry.outdate(*kind));
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

    /// For people: how many of each kind are known, as the audience sees that sees most; `None`: they were never listed.
    pub(crate) fn counts(&self) -> [Option<usize>; 4] {
        let mut counts = [None; 4];
        for entry in self.entries.load().values() {
            for kind in Kind::ALL {
                let count = entry.list(kind).map(|list| list.shown.items.len());
                counts[kind as usize] = counts[kind as usize].max(count);
            }
        }
        counts
    }
}

/// Makes room among what is kept: of what no stream watches, the half goes that was not needed for longest. What somebody
/// fetches right now is not among it.
fn make_room(entries: &mut Entries) {
    let unwatched = entries.iter().filter(|(_, entry)| !entry.is_watched());
    let mut unneeded: Vec<_> = unwatched.map(|(audience, entry)| (entry.last_needed(), *audience)).collect();
    unneeded.sort_unstable_by_key(|(used, _)| *used);
    unneeded.truncate(unneeded.len().div_ceil(2));
    for (_, audience) in unneeded {
        entries.remove(&audience);
    }
}
