//! HTTP servers: what is sent to them, and the idle connections to them. Per worker, a plain stack of HTTP/1.1 connections per
//! server; no lock, no other task.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, StatusCode, Uri};
use sluice_http1::{Fields, ResponseHead};
use sluice_snapshot::model::HttpEndpoint;

use crate::limit;
use crate::observe::metrics::Gauge;
use crate::upstream::credential::{self, Credentials, Grant, Unavailable};
use crate::upstream::endpoint::{Key, Place};
use crate::wire::Room;

mod answer;
pub(super) mod connection;

pub(crate) use answer::Answer;
use answer::Lease;
use connection::{Connection, Fault};

/// A request: the client's bytes, perhaps with splices, written as they are.
pub(crate) struct Request<'b> {
    verb: Method,
    /// Beside those of the [`Target`].
    pub headers: Fields,
    body: &'b [Bytes],
    /// No media types are named.
    bare: bool,
    /// Where the session is that it belongs to; it goes nowhere else.
    pub place: Option<Place>,
    /// Its answer is a stream that lasts.
    pub lasts: bool,
    /// Time for a connection.
    pub connect: Cell<Duration>,
    /// The endpoint it was sent to last, where there are several.
    pub last: Cell<Option<Key>>,
}

impl<'b> Request<'b> {
    pub(crate) fn new(verb: Method, body: &'b [Bytes]) -> Self {
        let lasts = verb == Method::GET;
        Self {
            verb,
            headers: Fields::with_capacity(256),
            body,
            bare: false,
            place: None,
            lasts,
            connect: Cell::new(limit::CONNECT),
            last: Cell::new(None),
        }
    }

    /// A POST of one piece.
    pub(crate) fn post(body: &'b Bytes) -> Self {
        Self::new(Method::POST, std::slice::from_ref(body))
    }

    /// Without a body.
    pub(crate) fn empty(verb: Method) -> Self {
        Self::new(verb, &[])
    }

    /// A GET with nothing but the server's host and credential.
    pub(super) fn bare() -> Self {
        Self { bare: true, ..Self::empty(Method::GET) }
    }

    /// Names the revision and the method of a modern request of our own.
    pub(crate) fn modern(mut self, method: &str) -> Self {
        use sluice_mcp::header::{METHOD, PROTOCOL_VERSION};
        for (name, value) in [(PROTOCOL_VERSION, "2026-07-28"), (METHOD, method)] {
            // a word of the specification is a field value
            let _ = self.headers.set(name, value.as_bytes());
        }
        self
    }
}

/// Where an HTTP server is, and the head of every request to it, as far as it is always the same; made once.
pub(crate) struct Target {
    endpoint: HttpEndpoint,
    /// Lines that follow their sources; `None`: there are none.
    credentials: Option<Arc<Credentials>>,
    post: Vec<u8>,
    get: Vec<u8>,
    delete: Vec<u8>,
    bare: Vec<u8>,
}

impl Target {
    pub(crate) fn new(endpoint: &HttpEndpoint, credentials: &Arc<Credentials>) -> Self {
        let credentials = credentials.changes().then(|| Arc::clone(credentials));
        Self::with_uri(endpoint, credentials, &endpoint.path.parse().unwrap_or_default())
    }

    /// Another path of the same server, to which the same headers go.
    pub(crate) fn at(&self, uri: &Uri) -> Self {
        Self::with_uri(&self.endpoint, self.credentials.clone(), uri)
    }

    fn with_uri(endpoint: &HttpEndpoint, credentials: Option<Arc<Credentials>>, uri: &Uri) -> Self {
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let head = |verb: &str, accept: Option<&str>, content_type: Option<&str>| {
            let mut fields = Fields::default();
            let own = [("host", Some(&*endpoint.authority)), ("content-type", content_type), ("accept", accept)];
            let own = own.into_iter().filter_map(|(name, value)| Some((name, value?)));
            let configured = credential::fixed(endpoint);
            let configured = configured.iter().map(|(name, value)| (*name, value.as_str()));
            for (name, value) in own.chain(configured) {
                // the configuration was checked; what is no field is not sent
                let _ = fields.set(name, value.as_bytes());
            }
            let mut head = format!("{verb} {path} HTTP/1.1\r\n").into_bytes();
            fields.write(&mut head);
            head
        };
        let both = Some("application/json, text/event-stream");
        Self {
            post: head("POST", both, Some("application/json")),
            get: head("GET", Some("text/event-stream"), None),
            delete: head("DELETE", both, None),
            bare: head("GET", None, None),
            credentials,
            endpoint: endpoint.clone(),
        }
    }

    /// Where it is.
    pub(crate) fn endpoint(&self) -> &HttpEndpoint {
        &self.endpoint
    }

    /// The token that is shown, where we obtain one.
    fn grant(&self) -> Option<&Arc<Grant>> {
        self.credentials.as_ref().and_then(|credentials| credentials.grant())
    }

    /// The server refused what it is shown now: the next connection is opened with another token.
    pub(super) fn refused(&self) {
        if let Some((grant, number)) = self.grant().and_then(|grant| Some((grant, grant.number()?))) {
            grant.refused(number);
        }
    }

    /// Waits for what is to be shown.
    ///
    /// # Errors
    /// There is none to be had, or not in time.
    pub(super) async fn ready(&self, deadline: Instant) -> Result<(), Failure> {
        let Some(grant) = self.grant() else { return Ok(()) };
        match tokio::time::timeout_at(deadline.into(), grant.ready()).await {
            Ok(ready) => ready.map_err(Failure::NoToken),
            Err(_) => Err(Failure::NoToken(grant.late())),
        }
    }

    /// The whole head of a request.
    fn head(&self, request: &Request<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(match request.verb {
            Method::GET if request.bare => &self.bare,
            Method::GET => &self.get,
            Method::DELETE => &self.delete,
            _ => &self.post,
        });
        if let Some(credentials) = &self.credentials {
            credentials.write(out);
        }
        request.headers.write(out);
        let length: usize = request.body.iter().map(Bytes::len).sum();
        if length > 0 || request.verb == Method::POST {
            out.extend_from_slice(b"content-length: ");
            out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// Why a server gave no answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Nothing was sent: repeating is safe.
    Unreachable(String),
    /// It may have been received.
    Broken(String),
    /// The head of the answer exceeds a limit; the request may have run.
    Head,
    /// No answer in time; it may have been received.
    Timeout,
    /// There is no token to show the server: nothing was sent.
    NoToken(Unavailable),
    /// The endpoint that has the session is out of service or gone, and another is in service or may be: nothing was sent.
    Moved,
}

/// The head of an answer, and its body as it comes.
pub(crate) struct Response {
    pub status: StatusCode,
    pub headers: Fields,
    pub body: Answer,
    /// Of the endpoint it came from.
    pub from: Key,
}

/// The idle connections of one worker.
#[derive(Default)]
pub(crate) struct Pools {
    idle: RefCell<HashMap<Key, Vec<Idle>, foldhash::fast::RandomState>>,
    open: Arc<Gauge>,
    /// When they were looked over last.
    looked: Cell<Option<Instant>>,
}

struct Idle {
    connection: Connection,
    until: Instant,
}

impl Pools {
    pub(crate) fn new(open: Arc<Gauge>) -> Self {
        Self { idle: RefCell::default(), open, looked: Cell::new(None) }
    }

    /// Sends a request at `now` and waits for the head of its answer, no longer than `wait`.
    ///
    /// # Errors
    /// See [`Failure`].
    pub(crate) async fn send(
        self: &Rc<Self>,
        from: Key,
        target: &Target,
        request: &Request<'_>,
        now: Instant,
        wait: Duration,
    ) -> Result<Response, Failure> {
        match target.grant() {
            None => self.attempt(from, target, request, now, wait).await,
            Some(grant) => Box::pin(self.send_with(grant, from, target, request, now, wait)).await,
        }
    }

    /// The same with a token, which may have to be obtained first. A request whose token is refused did not run: it is sent once
    /// more with another.
    async fn send_with(
        self: &Rc<Self>,
        grant: &Arc<Grant>,
        from: Key,
        target: &Target,
        request: &Request<'_>,
        now: Instant,
        wait: Duration,
    ) -> Result<Response, Failure> {
        let deadline = now + wait;
        target.ready(deadline).await?;
        let shown = grant.number();
        let response = self.attempt(from, target, request, now, wait).await?;
        if response.status != StatusCode::UNAUTHORIZED || !shown.is_some_and(|number| grant.refused(number)) {
            return Ok(response);
        }
        drop(response);
        target.ready(deadline).await?;
        self.attempt(from, target, request, now, wait).await
    }

    /// Sends a request. A connection that turned out to be closed before a byte of the request was written is replaced; nothing is
    /// ever written twice.
    async fn attempt(
        self: &Rc<Self>,
        from: Key,
        target: &Target,
        request: &Request<'_>,
        now: Instant,
        wait: Duration,
    ) -> Result<Response, Failure> {
        let deadline = now + wait;
        let mut head = Room::take();
        target.head(request, &mut head);
        let small = request.body.iter().map(Bytes::len).sum::<usize>() <= limit::COPIED_BYTES;
        if small {
            request.body.iter().for_each(|piece| head.extend_from_slice(piece));
        }
        let apart = if small { &[][..] } else { request.body };
        while let Some(mut connection) = self.take(from, now) {
            match connection.ask(&request.verb, &head, apart, deadline).await {
                Ok(answered) => return self.answer(from, connection, now, answered),
                Err(Fault::Unsent(_)) => {}
                Err(fault) => return Err(fault.into()),
            }
        }
        let mut connection = Box::pin(self.connect(&target.endpoint, deadline, request.connect.get())).await?;
        let answered = connection.ask(&request.verb, &head, apart, deadline).await?;
        self.answer(from, connection, now, answered)
    }

    fn answer(
        self: &Rc<Self>,
        from: Key,
        connection: Connection,
        asked: Instant,
        (head, came): (ResponseHead, Bytes),
    ) -> Result<Response, Failure> {
        let keep = head.keep_alive.then(|| keep_alive(&head.fields));
        let lease = Lease { pools: Rc::clone(self), from, connection, asked, keep, flight: None };
        let body = Answer::new(head.framing, came, lease).map_err(|error| Failure::Broken(error.to_string()))?;
        Ok(Response { status: head.status, headers: head.fields, body, from })
    }

    async fn connect(
        &self,
        endpoint: &HttpEndpoint,
        deadline: Instant,
        patience: Duration,
    ) -> Result<Connection, Failure> {
        let opening = crate::connection::open_within(endpoint, patience);
        match tokio::time::timeout_at(deadline.into(), opening).await {
            Ok(Ok(socket)) => Ok(Connection::new(socket, self.open.enter())),
            Ok(Err(error)) => Err(Failure::Unreachable(error.to_string())),
            Err(_) => Err(Failure::Timeout),
        }
    }

    fn take(&self, from: Key, now: Instant) -> Option<Connection> {
        let mut idle = self.idle.borrow_mut();
        let stack = idle.get_mut(&from)?;
        let last = stack.pop()?;
        if last.until < now {
            // the stack is ordered by last use: everything below is older still
            stack.clear();
            return None;
        }
        Some(last.connection)
    }

    /// Puts a connection back that was asked something at `asked`, to be kept so long from then, or from the last look: the time
    /// is not asked for each.
    fn give(&self, from: Key, connection: Connection, asked: Instant, keep: Duration) {
        let since = self.looked.get().map_or(asked, |looked| looked.max(asked));
        let mut idle = self.idle.borrow_mut();
        let stack = idle.entry(from).or_default();
        if stack.len() < limit::UPSTREAM_IDLE_CONNECTIONS {
            stack.push(Idle { connection, until: since + keep });
        }
    }

    /// Closes the idle connections to a server that answered with what is no answer: the one it came on is among them.
    pub(crate) fn distrust(&self, from: Key) {
        self.idle.borrow_mut().remove(&from);
    }

    /// Closes connections idle for too long or closed by their servers, and those of servers no longer configured.
    pub(crate) fn sweep(&self, alive: impl Fn(Key) -> bool) {
        let now = Instant::now();
        self.looked.set(Some(now));
        self.idle.borrow_mut().retain(|from, stack| {
            stack.retain_mut(|idle| idle.until >= now && idle.connection.is_quiet());
            alive(*from) && !stack.is_empty()
        });
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Unsent(cause) => Self::Unreachable(cause),
            Fault::Broken(cause) => Self::Broken(cause),
            Fault::Head => Self::Head,
            Fault::Late => Self::Timeout,
        }
    }
}

/// How long the server says it keeps an idle connection (`Keep-Alive: timeout=N`), less a second for the way.
fn keep_alive(headers: &Fields) -> Duration {
    headers
        .list("keep-alive")
        .find_map(|parameter| parameter.strip_prefix(b"timeout="))
        .and_then(|n| std::str::from_utf8(n).ok()?.parse::<u64>().ok())
        .map_or(limit::UPSTREAM_IDLE, |n| Duration::from_secs(n.clamp(1, 300) - 1))
}
