//! Where a walk through JSON text stands among the few places that hold handles. It can stop and go on at any byte,
//! checks no grammar, and never looks back.

use smallvec::SmallVec;

use super::HandleKind;
use crate::{Method, scan::window::Window, text};

/// A container whose members matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Outside of everything: messages follow each other.
    Top,
    /// An array of messages.
    Batch,
    Message,
    Result,
    Params,
    /// An object with a `taskId`.
    Task,
    /// An array of those.
    Tasks,
    Meta,
    /// The filter of a subscription.
    Filter,
    /// An array of task ids.
    Ids,
}

/// A string value that matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Site {
    RequestState,
    Cursor,
    Task,
    /// `taskId` directly in `params`.
    NotifiedTask,
    /// A member of `params.notifications.taskIds`.
    ListenedTask,
    /// Not a handle: the message's method.
    Method,
}

impl Site {
    pub(super) fn kind(self) -> HandleKind {
        match self {
            Site::RequestState => HandleKind::RequestState,
            Site::Cursor => HandleKind::Cursor,
            _ => HandleKind::Task,
        }
    }

    /// Whether it depends on the method if this is a handle.
    pub(super) fn tentative(self) -> bool {
        matches!(self, Site::NotifiedTask | Site::ListenedTask)
    }

    pub(super) fn counts_in(self, method: Method) -> bool {
        match self {
            Site::NotifiedTask => {
                matches!(method, Method::NotificationTasksStatus | Method::NotificationTasks)
            }
            Site::ListenedTask => method == Method::NotificationSubscriptionsAcknowledged,
            _ => true,
        }
    }
}

/// What the value at hand is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Nothing,
    Enter(Place),
    String(Site),
}

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

/// The longest key that matters, with every character spelled as a `\u` escape.
const LONGEST_KEY: usize = RELATED_TASK.len() * 6;
const RELATED_TASK: &[u8] = b"io.modelcontextprotocol/related-task";

/// Batch, message, params, filter, ids: nothing that matters lies deeper.
const DEEPEST: usize = 6;

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
}

impl Walk {
    pub(super) fn new(params: bool) -> Self {
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
                self.mode = match self.take_target() {
                    Target::String(site) => Mode::Value(site),
                    _ => Mode::Other,
                };
            }
            b'{' | b'[' => self.enter(byte),
            b'}' | b']' => {
                self.depth = (self.depth - 1).max(1);
                self.at_key = false;
                self.target = Target::Nothing;
            }
            b',' => {
                self.at_key = !matches!(self.place(), Place::Top | Place::Batch | Place::Tasks | Place::Ids);
                self.target = Target::Nothing;
            }
            b':' => self.at_key = false,
            _ => {}
        }
    }

    fn enter(&mut self, bracket: u8) {
        let place = match self.take_target() {
            Target::Enter(place) => place,
            _ if matches!(self.place(), Place::Top) && bracket == b'[' => Place::Batch,
            _ if matches!(self.place(), Place::Top | Place::Batch) && bracket == b'{' => Place::Message,
            _ if matches!(self.place(), Place::Tasks) && bracket == b'{' => Place::Task,
            _ => Place::Top,
        };
        let array = matches!(place, Place::Batch | Place::Tasks | Place::Ids);
        if place == Place::Top || array != (bracket == b'[') || self.depth == DEEPEST {
            self.ignored = 1;
            return;
        }
        self.open[self.depth] = place;
        self.depth += 1;
        self.at_key = !array;
    }

    fn take_target(&mut self) -> Target {
        match self.place() {
            Place::Ids => Target::String(Site::ListenedTask),
            _ => std::mem::replace(&mut self.target, Target::Nothing),
        }
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
        match (self.place(), key) {
            (Place::Message, b"result") => Target::Enter(Place::Result),
            (Place::Message, b"params") if self.params => Target::Enter(Place::Params),
            (Place::Message, b"method") if self.params => Target::String(Site::Method),
            (Place::Result, b"requestState") => Target::String(Site::RequestState),
            (Place::Result, b"nextCursor") => Target::String(Site::Cursor),
            (Place::Result | Place::Task, b"taskId") => Target::String(Site::Task),
            (Place::Result, b"task") => Target::Enter(Place::Task),
            (Place::Result, b"tasks") => Target::Enter(Place::Tasks),
            (Place::Result | Place::Params, b"_meta") => Target::Enter(Place::Meta),
            (Place::Meta, RELATED_TASK) => Target::Enter(Place::Task),
            (Place::Params, b"taskId") => Target::String(Site::NotifiedTask),
            (Place::Params, b"notifications") => Target::Enter(Place::Filter),
            (Place::Filter, b"taskIds") => Target::Enter(Place::Ids),
            _ => Target::Nothing,
        }
    }
}
