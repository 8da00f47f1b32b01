//! Who was denied what: lines for the audit log of the control plane, numbered and kept until it has heard them.
//!
//! The first denial of a kind is a line at once; what follows of that kind is counted, and the count is a line each minute. So a
//! flood costs two lines a minute for each kind, and kinds are bounded: of one principal, or of all who do not come in, so that they
//! cannot push out what others are denied, and of all. What there is no room for is counted, and the count is a line, too.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

use crate::clock::epoch_ms;
use crate::limit;

/// The reason of a line about denials of more kinds than are told apart.
const SEVERAL: &str = "several";

/// A kind of denial: what was denied, and why.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Denied {
    pub who: Who,
    pub method: &'static str,
    pub server: Arc<str>,
    /// Tool, prompt or URI without its query; empty: the server.
    pub object: Box<str>,
    /// `hidden`, `denied`, or an outcome of the access log.
    pub why: &'static str,
    /// Where the rule stands; `policies`: none allows it; empty: it is no rule's doing.
    pub rule: Arc<str>,
}

/// Who was denied something.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Who {
    /// A principal, as policies know it.
    Principal(Arc<str>),
    /// Somebody who did not come in, by the address they came from.
    Stranger(IpAddr),
    /// Several of these.
    Strangers,
}

impl Who {
    /// Whose kinds are counted together: strangers have many addresses.
    fn account(&self) -> Self {
        match self {
            Self::Principal(_) => self.clone(),
            Self::Stranger(_) | Self::Strangers => Self::Strangers,
        }
    }
}

impl Denied {
    /// What this and everything else that is denied to the same is counted as, where it is too much to tell apart.
    fn among_others(&self) -> Self {
        Self {
            who: self.who.account(),
            method: "",
            server: "".into(),
            object: "".into(),
            why: SEVERAL,
            rule: "".into(),
        }
    }
}

/// Denials, as they are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// `None`: those there was no room for.
    pub denied: Option<Denied>,
    /// The last time, milliseconds since 1970.
    pub at_ms: u64,
    pub count: u64,
}

/// Some lines, and the number of the first.
pub(crate) struct Lines {
    pub first: u64,
    pub lines: Vec<Line>,
}

/// The denials of a node.
pub(crate) struct Denials {
    /// Tells this process' numbers from those of others.
    pub life: u64,
    /// There are new lines.
    pub news: Notify,
    kept: Mutex<Kept>,
}

struct Kept {
    /// By kind, what happened since it was told last.
    windows: HashMap<Denied, Window, foldhash::fast::RandomState>,
    /// How many kinds of each are told apart.
    kinds: HashMap<Who, usize, foldhash::fast::RandomState>,
    /// Those there was no room for.
    unlisted: Window,
    /// Not known to be heard; the first has the number `first`.
    lines: VecDeque<Line>,
    first: u64,
}

/// What is counted until it is told.
struct Window {
    ends: Instant,
    count: u64,
    at_ms: u64,
}

impl Window {
    fn new(now: Instant) -> Self {
        Self { ends: now + limit::DENIALS_WINDOW, count: 0, at_ms: 0 }
    }

    fn count(&mut self, more: u64) {
        self.count += more;
        self.at_ms = epoch_ms();
    }

    /// What was counted; another minute begins.
    fn take(&mut self, now: Instant) -> (u64, u64) {
        let Self { count, at_ms, .. } = std::mem::replace(self, Self::new(now));
        (count, at_ms)
    }
}

impl Denials {
    /// None so far; `life` is random.
    pub(crate) fn new(life: u64) -> Self {
        let kept = Kept {
            windows: HashMap::default(),
            kinds: HashMap::default(),
            unlisted: Window::new(Instant::now()),
            lines: VecDeque::new(),
            first: 1,
        };
        Self { life, news: Notify::new(), kept: Mutex::new(kept) }
    }

    pub(crate) fn note(&self, denied: Denied) {
        if self.kept().note(denied, Instant::now()) {
            self.news.notify_one();
        }
    }

    /// Makes lines of what was counted in minutes that are over; with `all`, also of the others.
    pub(crate) fn sum_up(&self, all: bool) {
        self.kept().sum_up(all, Instant::now());
    }

    /// Some of the lines that are kept, from this number on; `None`: there are no such.
    pub(crate) fn lines(&self, from: u64) -> Option<Lines> {
        let kept = self.kept();
        let first = from.max(kept.first);
        let skip = usize::try_from(first - kept.first).unwrap_or(usize::MAX);
        let lines: Vec<_> = kept.lines.iter().skip(skip).take(limit::DENIALS_AT_ONCE).cloned().collect();
        (!lines.is_empty()).then_some(Lines { first, lines })
    }

    /// Lines up to this number need not be kept any more.
    pub(crate) fn heard(&self, number: u64) {
        let mut kept = self.kept();
        while kept.first <= number && kept.lines.pop_front().is_some() {
            kept.first += 1;
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// `true`: it is a line of its own.
    fn note(&mut self, denied: Denied, now: Instant) -> bool {
        if let Some(window) = self.windows.get_mut(&denied) {
            window.count(1);
            return false;
        }
        let account = denied.who.account();
        let is_one_too_many = self.kinds.get(&account).is_some_and(|kinds| *kinds >= limit::DENIALS_OF_ONE);
        let denied = if is_one_too_many { denied.among_others() } else { denied };
        if let Some(window) = self.windows.get_mut(&denied) {
            window.count(1);
            return false;
        }
        if self.windows.len() >= limit::DENIALS {
            self.unlisted.count(1);
            return false;
        }
        *self.kinds.entry(account).or_default() += 1;
        self.windows.insert(denied.clone(), Window::new(now));
        self.tell(Line { denied: Some(denied), at_ms: epoch_ms(), count: 1 });
        true
    }

    fn sum_up(&mut self, all: bool, now: Instant) {
        let mut counted = Vec::new();
        let kinds = &mut self.kinds;
        self.windows.retain(|denied, window| {
            if !all && now < window.ends {
                return true;
            }
            let (count, at_ms) = window.take(now);
            if count > 0 {
                counted.push(Line { denied: Some(denied.clone()), at_ms, count });
                return true;
            }
            // a minute without one: the next is a first again
            let account = denied.who.account();
            if let Some(of_one) = kinds.get_mut(&account) {
                *of_one -= 1;
                if *of_one == 0 {
                    kinds.remove(&account);
                }
            }
            false
        });
        counted.sort_by_key(|line| line.at_ms);
        counted.into_iter().for_each(|line| self.tell(line));
        if self.unlisted.count > 0 && (all || now >= self.unlisted.ends) {
            let (count, at_ms) = self.unlisted.take(now);
            self.tell(Line { denied: None, at_ms, count });
        }
    }

    /// Keeps a line. Where there is no room the oldest one goes, and is counted.
    fn tell(&mut self, line: Line) {
        if self.lines.len() >= limit::DENIALS_KEPT
            && let Some(oldest) = self.lines.pop_front()
        {
            self.first += 1;
            self.unlisted.count(oldest.count);
        }
        self.lines.push_back(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denied(principal: &str, object: usize) -> Denied {
        Denied {
            who: Who::Principal(principal.into()),
            method: "tools/call",
            server: "s".into(),
            object: object.to_string().into(),
            why: "hidden",
            rule: "policies".into(),
        }
    }

    /// Principal, object and count of the lines from a number on.
    fn told(denials: &Denials, from: u64) -> Vec<(String, String, u64)> {
        let lines = denials.lines(from).map(|lines| lines.lines).unwrap_or_default();
        let shown = |line: Line| match line.denied {
            Some(Denied { who: Who::Principal(name), object, .. }) => (name.to_string(), object.into(), line.count),
            Some(Denied { who, object, .. }) => (format!("{who:?}"), object.into(), line.count),
            None => ("unlisted".to_owned(), String::new(), line.count),
        };
        lines.into_iter().map(shown).collect()
    }

    fn line(principal: &str, object: &str, count: u64) -> (String, String, u64) {
        (principal.to_owned(), object.to_owned(), count)
    }

    #[test]
    fn the_first_of_a_kind_is_told_at_once_and_the_rest_as_a_count_each_minute() {
        let denials = Denials::new(1);
        let start = Instant::now();
        for _ in 0..1_000 {
            denials.kept().note(denied("a", 1), start);
        }
        denials.kept().note(denied("a", 2), start);
        assert_eq!(told(&denials, 1), [line("a", "1", 1), line("a", "2", 1)]);
        denials.kept().sum_up(false, start + limit::DENIALS_WINDOW / 2);
        assert_eq!(told(&denials, 3), []);
        denials.kept().sum_up(false, start + limit::DENIALS_WINDOW);
        assert_eq!(told(&denials, 3), [line("a", "1", 999)]);
        // what went on is counted on; what ended is forgotten, and a first again
        let later = start + limit::DENIALS_WINDOW;
        assert!(!denials.kept().note(denied("a", 1), later));
        assert!(denials.kept().note(denied("a", 2), later));
        denials.sum_up(true);
        assert_eq!(told(&denials, 4), [line("a", "2", 1), line("a", "1", 1)]);
    }

    #[test]
    fn a_flood_of_kinds_costs_a_bounded_number_of_lines_and_leaves_others_their_room() {
        let denials = Denials::new(1);
        let start = Instant::now();
        for object in 0..5_000 {
            denials.kept().note(denied("flood", object), start);
        }
        assert!(denials.kept().note(denied("other", 0), start), "it is told all the same");
        denials.sum_up(true);
        let lines = told(&denials, 1);
        assert_eq!(lines.len(), limit::DENIALS_OF_ONE + 3);
        let of_flood =
            lines.iter().filter(|(principal, ..)| principal == "flood").map(|(.., count)| count).sum::<u64>();
        assert_eq!(of_flood, 5_000, "every one is counted");
        for principal in 0..2 * limit::DENIALS {
            denials.kept().note(denied(&principal.to_string(), 0), start);
        }
        assert_eq!(denials.kept().windows.len(), limit::DENIALS);
        assert!(denials.kept().unlisted.count > 0);
    }

    #[test]
    fn strangers_have_many_addresses_and_one_account() {
        let denials = Denials::new(1);
        let start = Instant::now();
        for address in 0..5_000 {
            let who = Who::Stranger(IpAddr::from([10, 0, (address >> 8) as u8, address as u8]));
            denials.kept().note(Denied { who, ..denied("", 0) }, start);
        }
        assert!(denials.kept().note(denied("a", 0), start), "who comes in has room");
        denials.sum_up(true);
        let lines = told(&denials, 1);
        assert_eq!(lines.len(), limit::DENIALS_OF_ONE + 3);
        assert_eq!(lines.last(), Some(&line("Strangers", "", 5_000 - limit::DENIALS_OF_ONE as u64 - 1)));
    }

    #[test]
    fn lines_are_kept_until_they_were_heard_and_what_had_to_go_is_counted() {
        let denials = Denials::new(1);
        let start = Instant::now();
        for object in 0..3 {
            denials.kept().note(denied("a", object), start);
        }
        denials.heard(2);
        assert_eq!(denials.lines(1).map(|lines| (lines.first, lines.lines.len())), Some((3, 1)), "not what was heard");
        assert!(denials.lines(4).is_none());
        denials.heard(9);
        for number in 0..limit::DENIALS_KEPT as u64 + 7 {
            denials.kept().tell(Line { denied: None, at_ms: number, count: 2 });
        }
        let kept = denials.kept();
        assert_eq!((kept.first, kept.lines.len(), kept.unlisted.count), (4 + 7, limit::DENIALS_KEPT, 14));
    }
}
