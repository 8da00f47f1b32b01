//! Where a walk through JSON text stands among the few places that hold handles. It can stop and go on at any byte,
//! checks no grammar, and never looks back.

use smallvec::SmallVec;

use super::place::{LONGEST_KEY, Place, Site, Target};
use crate::{scan::window::Window, text};

/// What the text at hand is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Between,
    /// In a key that may matter.
    Key,
    /// In a string that does not matter.
    Other,
    /// In a string that matters.
    Value(Site),
}

/// A step of the walk that its owner must know about; `at` has just passed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hit {
    /// The opening quote of a string that matters.
    Begin,
    /// Its closing quote.
    End(Site),
}

/// The top, batch, message, result, messages, one of them, its items, one of them, its resource: nothing that matters lies
/// deeper.
const DEEPEST: usize = 9;

pub(super) struct Walk {
    /// Containers that matter, the outermost first; `depth` of them are open.
    open: [Place; DEEPEST],
    depth: usize,
    /// Containers that do not matter, open within the innermost that does.
    ignored: usize,
    mode: Mode,
    /// The last byte was a backslash in a string.
    escaped: bool,
    /// In an object that matters: a string here is a key.
    at_key: bool,
    /// What the last key announced.
    target: Target,
    /// The part of a key that came in earlier chunks.
    key: SmallVec<[u8; 64]>,
    /// Requests and notifications matter, too.
    params: bool,
    /// URIs matter, too.
    links: bool,
}

impl Walk {
    pub(super) fn new(params: bool, links: bool) -> Self {
        Self {
            open: [Place::Top; DEEPEST],
            depth: 1,
            ignored: 0,
            mode: Mode::Between,
            escaped: false,
            at_key: false,
            target: Target::Nothing,
            key: SmallVec::new(),
            params,
            links,
        }
    }

    /// Whether the walk stands in a string that matters.
    pub(super) fn in_value(&self) -> bool {
        matches!(self.mode, Mode::Value(_))
    }

    /// Goes on from `at` to the next hit in this chunk, or to its end. Each chunk has its own window.
    pub(super) fn next(&mut self, chunk: &[u8], at: &mut usize, window: &mut Window) -> Option<Hit> {
        while *at < chunk.len() {
            match self.mode {
                Mode::Between if self.ignored > 0 => self.ignore(chunk, at, window),
                Mode::Between => {
                    let byte = chunk[*at];
                    *at += 1;
                    self.between(byte);
                    if self.in_value() {
                        return Some(Hit::Begin);
                    }
                }
                mode => {
                    let start = *at;
                    let ended = self.string(chunk, at, window);
                    if mode == Mode::Key {
                        self.add_key(&chunk[start..*at], ended);
                    }
                    if ended {
                        self.mode = Mode::Between;
                        if let Mode::Value(site) = mode {
                            return Some(Hit::End(site));
                        }
                    }
                }
            }
        }
        None
    }

    fn place(&self) -> Place {
        self.open[self.depth - 1]
    }

    /// One byte between strings, in a container that matters.
    fn between(&mut self, byte: u8) {
        match byte {
            b'"' if self.at_key => {
                self.key.clear();
                self.mode = Mode::Key;
            }
            b'"' => {
                self.mode = match self.take_target(byte) {
                    Target::String(site) => Mode::Value(site),
                    _ => Mode::Other,
                };
            }
            b'{' | b'[' => self.enter(byte),
            b'}' | b']' => {
                self.depth = (self.depth - 1).max(1);
                self.at_key = false;
            }
            b',' => {
                self.at_key = !self.place().is_array() && self.place() != Place::Top;
            }
            b':' => self.at_key = false,
            _ => {}
        }
    }

    fn enter(&mut self, bracket: u8) {
        let target = match self.take_target(bracket) {
            // One item may stand where an array of them is expected.
            Target::Enter(Place::Items) if bracket == b'{' => Target::Enter(Place::Item),
            target => target,
        };
        match target {
            Target::Enter(place) if place.is_array() == (bracket == b'[') && self.depth < DEEPEST => {
                self.open[self.depth] = place;
                self.depth += 1;
                self.at_key = !place.is_array();
            }
            _ => self.ignored = 1,
        }
    }

    /// What the value that begins with this byte is.
    fn take_target(&mut self, first: u8) -> Target {
        let place = self.place();
        if place.is_array() || place == Place::Top {
            return place.member(first);
        }
        std::mem::replace(&mut self.target, Target::Nothing)
    }

    /// Containers that do not matter: only their brackets and strings are seen.
    fn ignore(&mut self, chunk: &[u8], at: &mut usize, window: &mut Window) {
        while let Some(&byte) = chunk.get(*at) {
            *at += 1;
            match byte {
                b'"' => {
                    self.mode = Mode::Other;
                    if !self.string(chunk, at, window) {
                        return;
                    }
                    self.mode = Mode::Between;
                }
                b'{' | b'[' => self.ignored += 1,
                b'}' | b']' => {
                    self.ignored -= 1;
                    if self.ignored == 0 {
                        self.at_key = false;
                        return;
                    }
                }
                _ => {}
            }
        }
    }

    /// Goes on in a string; true past its closing quote.
    fn string(&mut self, chunk: &[u8], at: &mut usize, window: &mut Window) -> bool {
        loop {
            if self.escaped && *at < chunk.len() {
                self.escaped = false;
                *at += 1;
            }
            *at = window.plain(chunk, *at);
            let Some(&byte) = chunk.get(*at) else { return false };
            *at += 1;
            match byte {
                b'"' => return true,
                b'\\' => self.escaped = true,
                _ => {}
            }
        }
    }

    /// Adds what this chunk holds of a key, closing quote included if it has `ended`.
    fn add_key(&mut self, part: &[u8], ended: bool) {
        if self.key.is_empty() && ended {
            self.target = self.announced(&part[..part.len() - 1]);
            return;
        }
        let room = (LONGEST_KEY + 2).saturating_sub(self.key.len());
        self.key.extend_from_slice(&part[..part.len().min(room)]);
        if ended {
            let key = std::mem::take(&mut self.key);
            let whole = key.strip_suffix(b"\"").unwrap_or(&[]);
            self.target = self.announced(whole);
        }
    }

    /// What a key, spelled as in the text, says of the value that follows it.
    fn announced(&self, key: &[u8]) -> Target {
        if key.len() > LONGEST_KEY {
            return Target::Nothing;
        }
        if memchr::memchr(b'\\', key).is_some() {
            return self.meaning(text::decode_string(key).as_bytes());
        }
        self.meaning(key)
    }

    fn meaning(&self, key: &[u8]) -> Target {
        match self.place().meaning(key, self.params) {
            Target::Nothing if self.links => self.place().link(key),
            target => target,
        }
    }
}
