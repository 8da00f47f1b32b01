//! Asking endpoints how they are, where the configuration says so: each node asks each endpoint, on the control runtime, one
//! question at a time and none in step with the others.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, StatusCode};
use sluice_mcp::header;
use sluice_snapshot::model::HealthCheck;
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::balance::{Endpoints, draw};
use super::endpoint::Endpoint;
use super::era;
use super::http::connection::Connection;
use super::http::{Failure, Request, Target};
use super::pipe::Children;
use super::{Upstream, pipe};
use crate::limit;
use crate::{connection, wire};

/// The checks of a server's endpoints; they end when this is dropped.
pub(super) struct Checks {
    _going_on: watch::Sender<()>,
}

impl Checks {
    /// Begins to ask each endpoint.
    pub(super) fn begin(
        upstream: &Upstream,
        endpoints: &Arc<Endpoints>,
        check: &HealthCheck,
        control: &Handle,
    ) -> Self {
        let (sender, going_on) = watch::channel(());
        for endpoint in endpoints.group().endpoints() {
            let mut checked = Checked {
                server: Arc::clone(upstream.name()),
                era: Arc::clone(&upstream.era),
                children: Arc::clone(&upstream.children),
                endpoints: Arc::downgrade(endpoints),
                endpoint: Arc::clone(endpoint),
                check: check.clone(),
                path: check.path.as_ref().and_then(|path| Some(endpoint.target.at(&path.parse().ok()?))),
                session: None,
                in_a_row: 0,
            };
            let mut going_on = going_on.clone();
            control.spawn(async move {
                tokio::select! {
                    () = checked.keep_asking() => {}
                    // an error: the checks are over
                    _ = going_on.changed() => {}
                }
                checked.end().await;
            });
        }
        Self { _going_on: sender }
    }
}

/// One endpoint, and what is known of it: what stays the same of its server, whatever of that is shown.
struct Checked {
    server: Arc<str>,
    era: Arc<era::Memory>,
    /// Counts its connections.
    children: Arc<Children>,
    /// Hold the checks, and so are not held by them.
    endpoints: Weak<Endpoints>,
    endpoint: Arc<Endpoint>,
    check: HealthCheck,
    /// Where it is asked, if not by MCP.
    path: Option<Target>,
    /// Our own session with a legacy server.
    session: Option<Session>,
    /// How often in a row it was not as it is taken to be.
    in_a_row: u32,
}

/// The fields of a session's requests.
struct Session {
    id: Option<Bytes>,
    version: &'static str,
}

const PING: &[u8] = br#"{"jsonrpc":"2.0","id":"sluice-ping","method":"ping"}"#;
const INITIALIZED: &[u8] = br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
const VERSION: &str = "2025-11-25";
const INITIALIZE: &str = concat!(
    r#"{"jsonrpc":"2.0","id":"sluice","method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"#,
    r#""clientInfo":{"name":"sluice","version":""#,
    env!("CARGO_PKG_VERSION"),
    r#""}}}"#
);

impl Checked {
    async fn keep_asking(&mut self) {
        let mut pause = self.check.interval.mul_f64(f64::from(draw(1000)) / 1000.0);
        loop {
            tokio::time::sleep(pause).await;
            // a tenth more or less, so that nodes that began together do not stay in step
            pause = self.check.interval.mul_f64(0.9 + f64::from(draw(200)) / 1000.0);
            let deadline = Instant::now() + self.check.timeout;
            let well = tokio::time::timeout_at(deadline.into(), self.is_well(deadline)).await;
            self.note(well.unwrap_or(false));
        }
    }

    fn note(&mut self, well: bool) {
        if well == self.endpoint.is_healthy() {
            self.in_a_row = 0;
            return;
        }
        self.in_a_row += 1;
        let enough = if well { self.check.healthy } else { self.check.unhealthy };
        if self.in_a_row < enough {
            return;
        }
        self.in_a_row = 0;
        self.endpoint.set_healthy(well);
        let group = self.endpoints.upgrade().map(|endpoints| Arc::clone(&endpoints.group()));
        let number = group.and_then(|group| group.endpoints().position(|one| one.key == self.endpoint.key));
        let server = &self.server;
        match well {
            true => tracing::info!(%server, endpoint = number, "the endpoint is well again"),
            false => tracing::warn!(%server, endpoint = number, "the endpoint is not well; others get its requests"),
        }
    }

    async fn is_well(&mut self, deadline: Instant) -> bool {
        let asked = match &self.path {
            Some(path) => self.ask(path, Request::bare(), deadline).await.map(|status| status.0.is_success()),
            None if self.era.is_legacy() => self.ping(deadline).await,
            None => self.discover(deadline).await,
        };
        asked.unwrap_or(false)
    }

    /// Any answer of MCP will do, an error, too; a server whose era is not known may not even understand the question.
    async fn discover(&self, deadline: Instant) -> Result<bool, Failure> {
        let body = Bytes::from_static(pipe::child::DISCOVER.as_bytes());
        let request = Request::post(&body).modern("server/discover");
        let (status, _) = self.ask(&self.endpoint.target, request, deadline).await?;
        Ok(!status.is_server_error())
    }

    /// A ping in our own session, which is opened where there is none, or the endpoint forgot it.
    async fn ping(&mut self, deadline: Instant) -> Result<bool, Failure> {
        if self.session.is_some() {
            let (status, _) = self.say(PING, deadline).await?;
            if !matches!(status, StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST) {
                return Ok(status.is_success());
            }
            self.session = None;
        }
        let (status, id) = self.say(INITIALIZE.as_bytes(), deadline).await?;
        if !status.is_success() {
            return Ok(false);
        }
        self.session = Some(Session { id, version: VERSION });
        self.say(INITIALIZED, deadline).await?;
        Ok(self.say(PING, deadline).await?.0.is_success())
    }

    async fn say(&self, body: &'static [u8], deadline: Instant) -> Result<(StatusCode, Option<Bytes>), Failure> {
        let body = Bytes::from_static(body);
        let mut request = Request::post(&body);
        self.in_session(&mut request);
        self.ask(&self.endpoint.target, request, deadline).await
    }

    fn in_session(&self, request: &mut Request<'_>) {
        let Some(session) = &self.session else { return };
        let id = session.id.as_deref().map(|id| (header::SESSION_ID, id));
        for (name, value) in id.into_iter().chain([(header::PROTOCOL_VERSION, session.version.as_bytes())]) {
            // it came as a field value, or is a word of the specification
            let _ = request.headers.set(name, value);
        }
    }

    /// Asks over a connection of its own: that the endpoint takes connections is part of the question.
    async fn ask(
        &self,
        target: &Target,
        request: Request<'_>,
        deadline: Instant,
    ) -> Result<(StatusCode, Option<Bytes>), Failure> {
        target.ready(deadline).await?;
        let unreachable = |error: std::io::Error| Failure::Unreachable(error.to_string());
        let socket = connection::open(target.endpoint()).await.map_err(unreachable)?;
        let mut connection = Connection::new(socket, self.children.upstream_connections().enter());
        let (head, came) = connection.say(target, request, deadline).await?;
        let id = head.fields.get(header::SESSION_ID).filter(|id| !id.is_empty()).map(Bytes::copy_from_slice);
        // a server that is cut off in its answer may take the request for cancelled
        let mut body = sluice_http1::Body::new(head.framing, came).map_err(|e| Failure::Broken(e.to_string()))?;
        let mut read = 0;
        while read < limit::SMALL_REPLY_BYTES {
            if let Some(data) = body.data().map_err(|error| Failure::Broken(error.to_string()))? {
                read += data.len();
                continue;
            }
            if body.is_end() || (read > 0 && head.fields.get("content-length").is_none()) {
                break;
            }
            let more = std::future::poll_fn(|cx| wire::poll_bytes(&mut connection.socket, cx, body.ahead())).await;
            let more = more.map_err(unreachable)?;
            if more.is_empty() {
                break;
            }
            body.feed(more).map_err(|error| Failure::Broken(error.to_string()))?;
        }
        Ok((head.status, id))
    }

    /// Ends our session.
    async fn end(&mut self) {
        if self.session.as_ref().is_none_or(|session| session.id.is_none()) {
            return;
        }
        let mut request = Request::empty(Method::DELETE);
        self.in_session(&mut request);
        let wait: Duration = self.check.timeout;
        let _ = tokio::time::timeout(wait, self.ask(&self.endpoint.target, request, Instant::now() + wait)).await;
    }
}
