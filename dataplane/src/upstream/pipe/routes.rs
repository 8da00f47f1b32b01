//! Which caller a child's message concerns. Many callers share one pipe, so ids and progress tokens are made unique on the
//! way in and mapped back on the way out; what concerns nobody, or could be somebody else's, is counted and not delivered.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use sluice_mcp::decode_string;

mod said;
mod session;
mod told;

use session::Session;

use super::outbox::Outbox;
use super::task::Parts;
use super::{Caller, scanned};
use crate::auth::PrincipalId;
use crate::observe::metrics::Metrics;
use crate::upstream::tasks::Owners;

/// The routing state of one child.
pub(super) struct Routes {
    server: Arc<str>,
    exclusive: bool,
    depth: u16,
    timeout: Duration,
    metrics: Arc<Metrics>,
    tasks: Arc<Owners>,
    pending: HashMap<u64, Pending>,
    /// Requests of legacy sessions by their own id, for cancellation.
    by_session: HashMap<([u8; 16], Bytes), u64>,
    sessions: HashMap<[u8; 16], Session>,
    /// Progress tokens of answered requests that became tasks: good for the task's lifetime (2025-11-25 *Progress*).
    of_tasks: VecDeque<(u64, [u8; 16], Bytes)>,
    /// The most verbose level any session asked for.
    level: Option<u8>,
    /// The principal served last, and whether there was another one: what names nobody could then be anybody's.
    served: Option<PrincipalId>,
    mixed: bool,
}

struct Pending {
    caller: Caller,
    /// The caller's own id, raw.
    id: Bytes,
    progress: Option<Bytes>,
    outbox: Outbox,
    listen: bool,
    /// Modern: the request asked for log messages.
    logs: bool,
    since: Instant,
}

impl Routes {
    pub(super) fn new(parts: &Parts) -> Self {
        Self {
            server: Arc::clone(&parts.server.name),
            exclusive: parts.exclusive,
            depth: parts.depth,
            timeout: parts.server.timeout,
            metrics: Arc::clone(&parts.metrics),
            tasks: Arc::clone(&parts.tasks),
            pending: HashMap::new(),
            by_session: HashMap::new(),
            sessions: HashMap::new(),
            of_tasks: VecDeque::new(),
            level: None,
            served: None,
            mixed: false,
        }
    }

    /// Requests that wait for an answer, and open streams.
    pub(super) fn in_use(&self) -> usize {
        self.pending.len() + self.sessions.values().filter(|session| session.listens()).count()
    }

    /// Requests that wait for their answer; streams that are open until somebody ends them do not count.
    pub(super) fn calls(&self) -> usize {
        self.pending.values().filter(|pending| !pending.listen).count()
    }

    /// Gives up calls whose callers are gone and that took longer than the server's timeout: nobody else minds them.
    pub(super) fn expire(&mut self, out: &mut BytesMut) {
        let over = |pending: &Pending| !pending.outbox.is_open() && pending.since.elapsed() >= self.timeout;
        let over: Vec<u64> = self.pending.iter().filter(|(_, p)| over(p)).map(|(ticket, _)| *ticket).collect();
        for ticket in over {
            self.cancel(ticket, out);
        }
    }

    /// The child is gone: every caller's queue ends.
    pub(super) fn end(&mut self) {
        self.pending.clear();
        self.sessions.clear();
    }
}

/// Our own numbers come back as plain integers.
fn number(raw: &[u8]) -> Option<u64> {
    std::str::from_utf8(raw).ok()?.parse().ok()
}

/// The rank of a logging level token (RFC 5424), `debug` lowest.
fn severity(raw: &[u8]) -> Option<u8> {
    const LEVELS: [&str; 8] = ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];
    let level = decode_string(raw);
    LEVELS.iter().position(|l| *l == level).map(|rank| rank as u8)
}
