//! Opening sessions and streams, as clients do.

use std::time::{Duration, Instant};

use sluice_load::protocol::LEGACY;

use crate::ask::{CLIENT, session_fields, single};
use crate::client::Clients;

/// What was opened.
pub(crate) struct Opened {
    pub sessions: usize,
    pub streams: usize,
    pub took: Duration,
}

/// A client's session on one path.
pub(crate) struct Session {
    /// Its header lines.
    pub fields: Vec<u8>,
    pub path: usize,
}

/// Sessions, and whose turn it is on each path.
#[derive(Default)]
pub(crate) struct Turns {
    sessions: Vec<Session>,
    /// Of each path, its sessions and the one that is next.
    paths: Vec<(Vec<usize>, usize)>,
}

impl Turns {
    pub(crate) fn new(sessions: Vec<Session>, paths: usize) -> Self {
        let mut turns = vec![(Vec::new(), 0); paths];
        for (number, session) in sessions.iter().enumerate() {
            turns[session.path].0.push(number);
        }
        Self { sessions, paths: turns }
    }

    pub(crate) fn sessions(&self) -> &[Session] {
        &self.sessions
    }

    /// The header lines of the session that is next on a path; none in the modern era.
    pub(crate) fn next(&mut self, path: usize) -> &[u8] {
        let Some((sessions, at)) = self.paths.get_mut(path) else { return b"" };
        *at = (*at + 1) % sessions.len();
        &self.sessions[sessions[*at]].fields
    }
}

impl Clients<'_> {
    /// Opens all that the options ask for, over all connections at once.
    ///
    /// # Errors
    /// A sentence that says what went wrong.
    pub(crate) fn open_sessions(&mut self) -> Result<Opened, String> {
        let begin = Instant::now();
        if !self.options.is_modern {
            self.initialize()?;
        }
        let mut streams = 0;
        if self.options.streams {
            streams = self.open_streams()?;
        }
        Ok(Opened { sessions: self.turns.sessions().len(), streams, took: begin.elapsed() })
    }

    fn initialize(&mut self) -> Result<(), String> {
        let paths = self.asks.paths.len();
        let count = self.options.sessions.unwrap_or(self.options.connections).max(paths);
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"initialize","params":{{"protocolVersion":"{LEGACY}","capabilities":{{}},"clientInfo":{CLIENT}}}}}"#
        );
        let options = self.options;
        let opening: Vec<Vec<u8>> =
            self.asks.paths.iter().map(|path| single("POST", path, b"", &body, options)).collect();
        let mut sessions = Vec::with_capacity(count);
        self.each(
            count,
            |number| opening[number % paths].clone(),
            |number, head| {
                let id = head.session.as_deref().filter(|_| head.status == 200);
                let id = id.ok_or_else(|| format!("initialize is answered {} without a session", head.status))?;
                sessions.push(Session { fields: session_fields(id), path: number % paths });
                Ok(())
            },
        )?;
        let body = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
        let done: Vec<Vec<u8>> = sessions
            .iter()
            .map(|session| single("POST", &self.asks.paths[session.path], &session.fields, body, options))
            .collect();
        self.each(
            count,
            |number| done[number].clone(),
            |_, head| {
                (head.status == 202).then_some(()).ok_or_else(|| format!("initialized is answered {}", head.status))
            },
        )?;
        self.keep(sessions);
        Ok(())
    }
}
