//! What a door shows of one kind: the lists of all its servers in configured order, serialised once for all who ask.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use papaya::HashMap as Concurrent;

use super::exposure::Naming;
use super::{Audience, Holder, Kind, List};
use crate::limit;
use crate::wire::MemoryFile;

/// One server's part in an offer.
pub(crate) struct Part {
    pub server: Arc<str>,
    pub list: Arc<List>,
    /// Which of its items policies let these clients see; `None`: all.
    pub seen: Option<Box<[bool]>>,
}

/// Who is shown the same, of which kind of list: an audience, as far as policies let it see; 0: there are none.
pub(crate) type Viewer = (Audience, u64, Kind);

/// The lists of one kind of all servers of a door, as one audience sees them. Never changes; replaced when something does.
pub(crate) struct Offer {
    /// The state of catalogues and configuration it was made from.
    version: u64,
    revision: u64,
    /// Until when nobody need be asked.
    pub good_until: Instant,
    /// The lowest time that servers promise their lists to be good for, where all promise it.
    pub promised_until: Option<Instant>,
    /// Not for other principals.
    pub private: bool,
    content: Arc<Content>,
}

/// What an offer shows; shared with the one before while the lists are the same.
struct Content {
    naming: Naming,
    parts: Vec<Part>,
    /// Where names do not say which server they belong to.
    owners: HashMap<Box<str>, (u32, u32), foldhash::fast::RandomState>,
    /// Names that several servers have: who has it, who has it too.
    clashes: Vec<(Box<str>, u32, u32)>,
    first: Page,
}

/// A part of an offer that fits into one answer.
#[derive(Clone)]
pub(crate) struct Page {
    /// Members of an array, separated by commas, and behind them [`Page::END`].
    pub items: Bytes,
    /// The same, where many ask for it.
    pub file: Option<Arc<MemoryFile>>,
    /// Where the next page begins: after this item.
    pub last: Option<String>,
}

impl Page {
    /// The end of the array, of the result and of the message: what is not the same for everybody stands before the items.
    const END: &[u8] = b"]}}";

    fn new(mut items: BytesMut, last: Option<String>) -> Self {
        items.extend_from_slice(Self::END);
        Self { items: items.freeze(), file: None, last }
    }
}

impl Part {
    fn is(&self, other: &Self) -> bool {
        self.server == other.server && Arc::ptr_eq(&self.list.shown, &other.list.shown) && self.seen == other.seen
    }

    fn shows(&self, item: usize) -> bool {
        self.seen.as_ref().is_none_or(|seen| seen.get(item) == Some(&true))
    }
}

impl Offer {
    /// An offer of these lists. `before` is the last one; what it serialised is used again where it is the same.
    pub(crate) fn new(
        state: (u64, u64),
        naming: Naming,
        parts: Vec<Part>,
        good_until: Instant,
        filtered: bool,
        before: Option<&Self>,
    ) -> Self {
        let promised = |part: &Part| Some(part.list.fetched + part.list.ttl?);
        let promised_until = parts.iter().map(promised).min_by_key(|at| (at.is_some(), *at)).flatten();
        let private = filtered || parts.iter().any(|part| part.list.private);
        let same = before.map(|before| &before.content).filter(|content| content.is(naming, &parts));
        let content = same.cloned().unwrap_or_else(|| Arc::new(Content::new(naming, parts)));
        let (version, revision) = state;
        Self { version, revision, good_until, promised_until, private, content }
    }

    /// Whether it shows what would be shown now.
    pub(crate) fn is_good(&self, state: (u64, u64), now: Instant) -> bool {
        (self.version, self.revision) == state && self.good_until > now
    }

    /// The first page.
    pub(crate) fn first(&self) -> &Page {
        &self.content.first
    }

    /// The page after an item that [`Page::last`] named; `None` when it names nothing that could have been.
    pub(crate) fn after(&self, last: &str) -> Option<Page> {
        self.content.after(last)
    }

    /// The owner of a name and the owner's own name for it, where names do not say whose they are.
    pub(crate) fn owner(&self, name: &str) -> Option<(&Arc<str>, &str)> {
        let (p, i) = *self.content.owners.get(name)?;
        let part = self.content.parts.get(p as usize)?;
        let item = part.list.shown.items.get(i as usize)?;
        Some((&part.server, item.original()))
    }

    /// Names that several servers have: the name, the server it leads to, another one that has it.
    pub(crate) fn clashes(&self) -> impl Iterator<Item = (&str, &Arc<str>, &Arc<str>)> {
        let server = |at: &u32| &self.content.parts[*at as usize].server;
        self.content.clashes.iter().map(move |(name, has, too)| (&**name, server(has), server(too)))
    }

    /// Every item: its server and the server's own name.
    pub(crate) fn items(&self) -> impl Iterator<Item = (&Arc<str>, &str)> {
        self.content.parts.iter().flat_map(move |part| {
            let shown = part.list.shown.items.iter().enumerate().filter(|(i, _)| part.shows(*i));
            shown.map(move |(_, item)| (&part.server, item.original()))
        })
    }
}

impl Content {
    fn new(naming: Naming, parts: Vec<Part>) -> Self {
        let mut owners: HashMap<Box<str>, (u32, u32), _> = HashMap::default();
        let mut clashes = Vec::new();
        if naming == Naming::Plain {
            for (p, part) in parts.iter().enumerate() {
                for (i, item) in part.list.shown.items.iter().enumerate().filter(|(i, _)| part.shows(*i)) {
                    let owner = *owners.entry(item.exposed.clone()).or_insert((p as u32, i as u32));
                    if owner.0 != p as u32 {
                        clashes.push((item.exposed.clone(), owner.0, p as u32));
                    }
                }
            }
        }
        let first = Page::new(BytesMut::new(), None);
        let mut content = Self { naming, parts, owners, clashes, first };
        content.first = content.page_from(0, 0);
        content.first.file = Some(MemoryFile::new(content.first.items.clone()));
        content
    }

    fn is(&self, naming: Naming, parts: &[Part]) -> bool {
        self.naming == naming
            && self.parts.len() == parts.len()
            && self.parts.iter().zip(parts).all(|(one, two)| one.is(two))
    }

    fn after(&self, last: &str) -> Option<Page> {
        let mut fields = last.splitn(3, '\0');
        let at: usize = fields.next()?.parse().ok()?;
        let (server, name) = (fields.next()?, fields.next()?);
        let Some(p) = self.parts.iter().position(|part| &*part.server == server) else {
            // the server is gone: what came before it is known, what follows it is not
            return Some(self.page_from(0, 0));
        };
        let part = &self.parts[p];
        let items = &part.list.shown.items;
        // the item itself may be gone: then what stands at its place now comes next
        let next = items.iter().position(|item| *item.exposed == *name).map_or(at, |found| found + 1);
        Some(self.page_from(p, next))
    }

    fn page_from(&self, part: usize, item: usize) -> Page {
        let mut items = BytesMut::new();
        let mut begin = item;
        for (p, part) in self.parts.iter().enumerate().skip(part) {
            let shown = &part.list.shown;
            for (i, item) in shown.items.iter().enumerate().skip(begin).filter(|(i, _)| part.shows(*i)) {
                let elsewhere = self.owners.get(&item.exposed).is_some_and(|owner| *owner != (p as u32, i as u32));
                if elsewhere {
                    continue;
                }
                if !items.is_empty() {
                    items.extend_from_slice(b",");
                }
                items.extend_from_slice(shown.json(item));
                if items.len() >= limit::LIST_PAGE_BYTES {
                    let last = format!("{i}\0{}\0{}", part.server, item.exposed);
                    return Page::new(items, self.follows(p, i).then_some(last));
                }
            }
            begin = 0;
        }
        Page::new(items, None)
    }

    /// Whether anything comes after that item.
    fn follows(&self, part: usize, item: usize) -> bool {
        let any = |part: &Part, from: usize| (from..part.list.shown.items.len()).any(|item| part.shows(item));
        any(&self.parts[part], item + 1) || self.parts[part + 1..].iter().any(|part| any(part, 0))
    }
}

/// A name, and the server that has it beside the one it leads to.
type Clash = (Kind, Box<str>, Arc<str>);

/// The offers of a node that somebody asked for.
#[derive(Default)]
pub(crate) struct Offers {
    made: Concurrent<Viewer, Arc<Offer>, foldhash::fast::RandomState>,
    /// Clashes that are in the log.
    told: Mutex<HashSet<Clash>>,
}

impl Offers {
    /// The offer, if one was made that is still good.
    pub(crate) fn get(&self, viewer: &Viewer, state: (u64, u64), now: Instant) -> Option<Arc<Offer>> {
        self.made.pin().get(viewer).filter(|offer| offer.is_good(state, now)).cloned()
    }

    /// One that shows just these parts, be it good or not: the last one made for them, or where policies left something out,
    /// or servers were asked for them alone, any other's. What it serialised is shared by all who see the same.
    pub(crate) fn alike(&self, viewer: &Viewer, naming: Naming, parts: &[Part]) -> Option<Arc<Offer>> {
        let made = self.made.pin();
        let last = made.get(viewer).filter(|offer| offer.content.is(naming, parts));
        let (audience, view, kind) = viewer;
        let apart = *view != 0 || audience.holder != Holder::Everybody;
        let others = || made.iter().filter(|((_, _, other), _)| apart && other == kind).map(|(_, offer)| offer);
        last.or_else(|| others().find(|offer| offer.content.is(naming, parts))).cloned()
    }

    /// Keeps an offer for the next who asks.
    pub(crate) fn keep(&self, viewer: &Viewer, offer: &Arc<Offer>) {
        if !viewer.0.is_for_once() {
            let made = self.made.pin();
            if made.len() >= limit::OFFERS {
                made.clear();
            }
            made.insert(*viewer, Arc::clone(offer));
        }
        self.tell_clashes(viewer.2, offer);
    }

    /// Each clash is told once.
    fn tell_clashes(&self, kind: Kind, offer: &Offer) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, has, too) in offer.clashes() {
            if told.len() < limit::CLASHES && told.insert((kind, name.into(), Arc::clone(too))) {
                let list = kind.member();
                tracing::warn!(list, name, server = %has, also = %too, "several servers have this name; it leads to the one configured first");
            }
        }
    }
}
