//! A client session on a shared pipe: what it waits for, and what waits for it.

use std::collections::{HashSet, VecDeque};

use bytes::Bytes;

use crate::auth::PrincipalId;
use crate::limit;
use crate::upstream::pipe::outbox::Outbox;

/// What the pipe knows of one session.
pub(super) struct Session {
    pub principal: PrincipalId,
    listen: Option<Outbox>,
    /// What came while no stream was open.
    backlog: VecDeque<Bytes>,
    backlog_bytes: usize,
    pub subscriptions: HashSet<String>,
    /// Ids of the server's requests that wait for the client's answer, oldest first.
    asked: VecDeque<Bytes>,
    /// The rank of the log level it asked for.
    pub level: Option<u8>,
}

impl Session {
    pub(super) fn new(principal: PrincipalId) -> Self {
        Self {
            principal,
            listen: None,
            backlog: VecDeque::new(),
            backlog_bytes: 0,
            subscriptions: HashSet::new(),
            asked: VecDeque::new(),
            level: None,
        }
    }

    /// Whether the client is interested in a resource: it subscribed to it, or to what it is part of (2025-11-25
    /// *Resource Updated*: the URI may be a sub-resource).
    pub(super) fn is_subscribed(&self, uri: &str) -> bool {
        self.subscriptions.contains(uri)
            || self
                .subscriptions
                .iter()
                .any(|s| uri.strip_prefix(s.trim_end_matches('/')).is_some_and(|r| r.starts_with('/')))
    }

    /// Forgets a question; `true` if it was open.
    pub(super) fn answered(&mut self, id: &[u8]) -> bool {
        let at = self.asked.iter().position(|asked| asked == id);
        at.and_then(|at| self.asked.remove(at)).is_some()
    }
    /// Notes a question of the server.
    pub(super) fn ask(&mut self, id: Bytes) {
        // a server that withdraws or forgets its questions does not use up the session's
        if self.asked.len() >= limit::ASKED {
            self.asked.pop_front();
        }
        self.asked.push_back(id);
    }

    /// Whether its standalone stream is open.
    pub(super) fn listens(&self) -> bool {
        self.listen.as_ref().is_some_and(Outbox::is_open)
    }

    /// Opens its standalone stream, with what came before.
    pub(super) fn listen(&mut self, outbox: Outbox) {
        self.backlog_bytes = 0;
        for message in self.backlog.drain(..) {
            outbox.put(message);
        }
        self.listen = Some(outbox);
    }

    /// Sends a message down its standalone stream, or keeps it for the next one; how many messages there was no room for.
    #[must_use]
    pub(super) fn deliver(&mut self, line: &Bytes) -> u64 {
        if self.listen.as_ref().is_some_and(|listen| listen.put(line.clone())) {
            return 0;
        }
        self.listen = None;
        self.backlog.push_back(line.clone());
        self.backlog_bytes += line.len();
        let mut lost = 0;
        while self.backlog.len() > limit::BACKLOG_MESSAGES || self.backlog_bytes > limit::BACKLOG_BYTES {
            let Some(oldest) = self.backlog.pop_front() else { break };
            self.backlog_bytes -= oldest.len();
            lost += 1;
        }
        lost
    }
}
