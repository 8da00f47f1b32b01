//! What a server does otherwise than the specification says, and is served all the same; shown to people.

use std::sync::atomic::{AtomicU32, Ordering};

/// One such habit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Quirk {
    /// Has no standalone stream: 405 or 404 to GET. Allowed, but then nobody hears what it has to say outside of calls.
    NoStream = 1,
    /// Types a JSON answer as an event stream.
    JsonAsEvents = 2,
    /// Types an event stream as JSON.
    EventsAsJson = 4,
    /// Answers 400, not 404, to a session it does not know.
    DeadSession400 = 8,
    /// Does not know `server/discover`, which modern servers must.
    NoDiscovery = 16,
    /// Names one item of a list twice.
    Duplicates = 32,
    /// HTTP+SSE: answers a message in its POST's answer, not on the stream.
    AnswersPosts = 64,
    /// WebSocket: selects no subprotocol.
    NoSubprotocol = 128,
    /// WebSocket: speaks in binary frames.
    BinaryFrames = 256,
    /// Lists items nobody could ask for, because they have no name.
    Nameless = 512,
}

impl Quirk {
    const ALL: [(Self, &'static str); 10] = [
        (Self::NoStream, "no-get-stream"),
        (Self::JsonAsEvents, "json-typed-as-events"),
        (Self::EventsAsJson, "events-typed-as-json"),
        (Self::DeadSession400, "400-for-a-dead-session"),
        (Self::NoDiscovery, "no-server-discover"),
        (Self::Duplicates, "duplicate-names"),
        (Self::AnswersPosts, "answers-in-posts"),
        (Self::NoSubprotocol, "no-websocket-subprotocol"),
        (Self::BinaryFrames, "binary-frames"),
        (Self::Nameless, "items-without-a-name"),
    ];
}

/// The habits of one server, as far as they were seen.
#[derive(Default)]
pub(crate) struct Quirks(AtomicU32);

impl Quirks {
    /// Notes one; said once in the log.
    pub(crate) fn saw(&self, server: &str, quirk: Quirk) {
        let before = self.0.fetch_or(quirk as u32, Ordering::Relaxed);
        if before & quirk as u32 == 0 {
            let words = Self::word(quirk);
            tracing::info!(server, quirk = words, "the server has a habit of its own; it is served all the same");
        }
    }

    /// Their names.
    pub(crate) fn words(&self) -> Vec<&'static str> {
        let seen = self.0.load(Ordering::Relaxed);
        Quirk::ALL.iter().filter(|(quirk, _)| seen & *quirk as u32 != 0).map(|(_, word)| *word).collect()
    }

    fn word(quirk: Quirk) -> &'static str {
        Quirk::ALL.iter().find(|(known, _)| *known == quirk).map_or("", |(_, word)| word)
    }
}
