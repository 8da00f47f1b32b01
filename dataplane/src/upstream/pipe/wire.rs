//! What carries a child's messages. All three kinds are one connection for both directions, on which an answer is linked
//! to its request by its id only.

use std::borrow::Cow;
use std::process::ExitStatus;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use sluice_snapshot::model::Transport;

use super::process::Process;
use super::sse::Sse;
use super::task::Parts;
use super::websocket::WebSocket;
use crate::reason::Reason;
use crate::upstream::http::{Failure, Target};
use crate::upstream::trouble;

/// Bytes waiting for a server that does not read; beyond it no message is taken from its queue.
pub(super) const UNWRITTEN_BYTES: usize = 1 << 20;

/// An open connection to a server, or its running process.
pub(super) enum Wire {
    Process(Box<Process>),
    WebSocket(Box<WebSocket>),
    Sse(Box<Sse>),
}

/// Why a wire carries nothing more.
#[derive(Debug)]
pub(super) struct Cause {
    pub text: Cow<'static, str>,
    /// What clients are told, where it is more than that it ended.
    pub reason: Option<Reason>,
}

/// Why a wire could not be opened.
#[derive(Debug)]
pub(super) struct Unopened {
    /// What clients are told.
    pub reason: Reason,
    /// What the log is told beyond it.
    pub detail: String,
}

impl Cause {
    pub(super) const fn of(text: &'static str) -> Self {
        Self { text: Cow::Borrowed(text), reason: None }
    }

    /// The server said something longer than the limit: a line, frame or event.
    pub(super) const fn too_long(text: &'static str) -> Self {
        Self { text: Cow::Borrowed(text), reason: Some(Reason::ChildTooLong) }
    }
}

impl Unopened {
    pub(super) fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }

    /// What an answer says that is not the stream that was asked for.
    pub(super) fn of_status(status: StatusCode) -> Self {
        Self::new(Reason::of_status(status), format!("the answer was {status}"))
    }

    /// The same as a phrase.
    pub(super) fn phrase(&self) -> String {
        match self.reason {
            Reason::ServerUnreachable => trouble::of_cause(&self.detail),
            Reason::ChildStart => format!("cannot be started: {}", trouble::of_cause(&self.detail)),
            _ => self.reason.phrase().into_owned(),
        }
    }

    /// Whether the server is there and does not speak this transport.
    pub(super) fn is_another_transport(&self) -> bool {
        matches!(self.reason, Reason::ServerStatus(400..=499) | Reason::NoEndpoint)
    }
}

impl From<Failure> for Unopened {
    /// What failed before anything was asked of the server failed without consequences.
    fn from(failure: Failure) -> Self {
        let detail = match failure {
            Failure::Unreachable(detail) | Failure::Broken(detail) => detail,
            Failure::Head => return Self::new(Reason::ServerHead, "the head of the answer exceeds a limit"),
            Failure::Timeout => "no answer in time".to_owned(),
            Failure::Moved => "the endpoint is out of service".to_owned(),
            Failure::NoToken(missing) => {
                return Self::new(Reason::NoToken(missing.name.to_string()), missing.cause.to_string());
            }
        };
        Self::new(Reason::ServerUnreachable, detail)
    }
}

impl Wire {
    /// Starts the process or opens the connection.
    pub(super) async fn open(parts: &Parts) -> Result<Self, Unopened> {
        let connections = &parts.metrics.upstream_connections;
        Ok(match &parts.server.transport {
            Transport::Stdio(command) => {
                let spawned = Process::spawn(parts, command);
                let spawned = spawned
                    .map_err(|error| Unopened::new(Reason::ChildStart, format!("{}: {error}", command.program)))?;
                Self::Process(Box::new(spawned))
            }
            Transport::WebSocket(endpoint) => Self::WebSocket(Box::new(
                WebSocket::open(&parts.server, &Target::new(endpoint, &parts.credentials), &parts.quirks, connections)
                    .await?,
            )),
            Transport::Sse(endpoint) | Transport::Http(endpoint) => Self::Sse(Box::new(
                Sse::open(&parts.server, &Target::new(endpoint, &parts.credentials), &parts.quirks, connections)
                    .await?,
            )),
        })
    }

    /// Carries on until something was written or read: takes messages from `output`, each ended by a newline, and adds
    /// what the server said to `said`. Nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// The wire carries nothing more; what was said before is in `said`.
    pub(super) async fn turn(&mut self, output: &mut BytesMut, said: &mut Vec<Bytes>) -> Result<(), Cause> {
        match self {
            Self::Process(process) => process.turn(output, said).await,
            Self::WebSocket(socket) => socket.turn(output, said).await,
            Self::Sse(sse) => sse.turn(output, said).await,
        }
    }

    /// Looks, every [`crate::limit::SWEEP`], whether the other side is still there.
    ///
    /// # Errors
    /// It is not.
    pub(super) fn tick(&mut self, output: &mut BytesMut) -> Result<(), Cause> {
        match self {
            Self::Process(_) => Ok(()),
            Self::WebSocket(socket) => socket.tick(),
            Self::Sse(sse) => sse.tick(output),
        }
    }

    /// Takes leave; how the process ended.
    pub(super) async fn end(self) -> Option<ExitStatus> {
        match self {
            Self::Process(process) => process.end().await,
            Self::WebSocket(socket) => {
                socket.end().await;
                None
            }
            Self::Sse(_) => None,
        }
    }
}

/// Takes the first message off `output`, without its newline.
pub(super) fn take_line(output: &mut BytesMut) -> Option<Bytes> {
    let end = memchr::memchr(b'\n', output)?;
    let mut line = output.split_to(end + 1);
    line.truncate(end);
    Some(line.freeze())
}
