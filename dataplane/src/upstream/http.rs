//! Connections to HTTP servers: per worker, a plain stack of HTTP/1.1 connections per server; no lock, no other thread.

use std::cell::RefCell;
use std::collections::HashMap;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, Response, Uri};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use sluice_mcp::Chunks;
use sluice_snapshot::model::HttpEndpoint;

use super::connection;
use crate::limit;
use crate::observe::metrics::Gauge;

/// A request body: the client's bytes, perhaps with splices, written as they are.
pub(crate) struct Outgoing {
    chunks: smallvec::IntoIter<[Bytes; 5]>,
    left: u64,
}

impl Outgoing {
    pub(crate) fn new(chunks: Chunks) -> Self {
        let left = chunks.iter().map(|c| c.len() as u64).sum();
        Self { chunks: chunks.into_iter(), left }
    }

    pub(crate) fn whole(body: Bytes) -> Self {
        Self::new(Chunks::from_iter([body]))
    }

    pub(crate) fn empty() -> Self {
        Self::new(Chunks::new())
    }
}

impl Clone for Outgoing {
    fn clone(&self) -> Self {
        Self { chunks: self.chunks.clone(), left: self.left }
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let chunk = self.chunks.by_ref().find(|c| !c.is_empty());
        self.left -= chunk.as_ref().map_or(0, |c| c.len() as u64);
        Poll::Ready(chunk.map(|c| Ok(Frame::data(c))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// Where an HTTP server is, and what every request to it carries; made once.
pub(crate) struct Target {
    endpoint: HttpEndpoint,
    uri: Uri,
    headers: HeaderMap,
}

impl Target {
    pub(crate) fn new(endpoint: &HttpEndpoint) -> Self {
        let mut headers = HeaderMap::with_capacity(8);
        if let Ok(host) = HeaderValue::from_str(&endpoint.authority) {
            headers.insert(HOST, host);
        }
        for (name, value) in &endpoint.headers {
            let name = HeaderName::from_bytes(name.as_bytes());
            if let (Ok(name), Ok(mut value)) = (name, HeaderValue::from_str(value.expose())) {
                value.set_sensitive(true);
                headers.insert(name, value);
            }
        }
        Self { uri: endpoint.path.parse().unwrap_or_default(), headers, endpoint: endpoint.clone() }
    }

    /// Another path of the same server, to which the same headers go.
    pub(crate) fn at(&self, uri: Uri) -> Self {
        Self { endpoint: self.endpoint.clone(), uri, headers: self.headers.clone() }
    }

    /// Where it is.
    pub(crate) fn endpoint(&self) -> &HttpEndpoint {
        &self.endpoint
    }

    /// A GET with nothing but the server's host and credential.
    pub(crate) fn bare(&self) -> Request<Outgoing> {
        let mut request = Request::new(Outgoing::empty());
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }

    /// A request with the server's host and credential, and our media types.
    pub(crate) fn request(&self, verb: Method, body: Outgoing) -> Request<Outgoing> {
        let mut request = Request::new(body);
        *request.uri_mut() = self.uri.clone();
        let headers = request.headers_mut();
        headers.reserve(12);
        if verb == Method::POST {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let accepted = if verb == Method::GET { "text/event-stream" } else { "application/json, text/event-stream" };
        headers.insert(ACCEPT, HeaderValue::from_static(accepted));
        for (name, value) in &self.headers {
            headers.insert(name, value.clone());
        }
        *request.method_mut() = verb;
        request
    }
}

/// Why a server gave no answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Nothing was sent: repeating is safe.
    Unreachable(String),
    /// It may have been received.
    Broken(String),
    /// No answer in time; it may have been received.
    Timeout,
}

/// The idle connections of one worker.
#[derive(Default)]
pub(crate) struct Pools {
    idle: RefCell<HashMap<u64, Vec<Idle>, foldhash::fast::RandomState>>,
    open: Arc<Gauge>,
}

struct Idle {
    sender: SendRequest<Outgoing>,
    until: Instant,
}

impl Pools {
    pub(crate) fn new(open: Arc<Gauge>) -> Self {
        Self { idle: RefCell::default(), open }
    }

    /// Sends a request and waits for the head of its answer. A connection that turned out to be closed before the request
    /// was written is replaced once; nothing is ever written twice.
    ///
    /// # Errors
    /// See [`Failure`].
    pub(crate) async fn send(
        self: &Rc<Self>,
        upstream: u64,
        target: &Target,
        request: Request<Outgoing>,
        wait: Duration,
    ) -> Result<Response<Answer>, Failure> {
        tokio::time::timeout(wait, self.exchange(upstream, &target.endpoint, request))
            .await
            .unwrap_or(Err(Failure::Timeout))
    }

    async fn exchange(
        self: &Rc<Self>,
        upstream: u64,
        endpoint: &HttpEndpoint,
        mut request: Request<Outgoing>,
    ) -> Result<Response<Answer>, Failure> {
        while let Some(mut sender) = self.take(upstream) {
            if !sender.is_ready() {
                // it may need one more turn; if not, it still writes a request that was answered early
                tokio::task::yield_now().await;
                if !sender.is_ready() {
                    continue;
                }
            }
            match sender.try_send_request(request).await {
                Ok(response) => return Ok(self.answer(upstream, sender, response)),
                Err(mut failed) => match failed.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(Failure::Broken(failed.into_error().to_string())),
                },
            }
        }
        let mut sender = Box::pin(self.connect(endpoint)).await?;
        match sender.try_send_request(request).await {
            Ok(response) => Ok(self.answer(upstream, sender, response)),
            Err(mut failed) => Err(match failed.take_message() {
                Some(_) => Failure::Unreachable(failed.into_error().to_string()),
                None => Failure::Broken(failed.into_error().to_string()),
            }),
        }
    }

    fn take(&self, upstream: u64) -> Option<SendRequest<Outgoing>> {
        let mut idle = self.idle.borrow_mut();
        let stack = idle.get_mut(&upstream)?;
        let now = Instant::now();
        while let Some(connection) = stack.pop() {
            if connection.until < now {
                // the stack is ordered by last use: everything below is older still
                stack.clear();
                return None;
            }
            if !connection.sender.is_closed() {
                return Some(connection.sender);
            }
        }
        None
    }

    fn give(&self, upstream: u64, sender: SendRequest<Outgoing>, keep: Duration) {
        if sender.is_closed() {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        let stack = idle.entry(upstream).or_default();
        if stack.len() < limit::UPSTREAM_IDLE_CONNECTIONS {
            stack.push(Idle { sender, until: Instant::now() + keep });
        }
    }

    /// Closes connections idle for too long, and those of servers no longer configured.
    pub(crate) fn sweep(&self, alive: impl Fn(u64) -> bool) {
        let now = Instant::now();
        self.idle.borrow_mut().retain(|upstream, stack| {
            stack.retain(|c| c.until >= now && !c.sender.is_closed());
            alive(*upstream) && !stack.is_empty()
        });
    }

    fn answer(
        self: &Rc<Self>,
        upstream: u64,
        sender: SendRequest<Outgoing>,
        response: Response<Incoming>,
    ) -> Response<Answer> {
        let keep = keep_alive(response.headers());
        let lease = Lease { pools: Rc::clone(self), upstream, sender, keep };
        response.map(|incoming| Answer::new(incoming, lease))
    }

    async fn connect(&self, endpoint: &HttpEndpoint) -> Result<SendRequest<Outgoing>, Failure> {
        let io = connection::open(endpoint).await.map_err(|e| Failure::Unreachable(e.to_string()))?;
        let (sender, connection) = http1::Builder::new()
            .max_headers(limit::HEADERS)
            .handshake(TokioIo::new(io))
            .await
            .map_err(|e| Failure::Unreachable(e.to_string()))?;
        let open = self.open.enter();
        tokio::task::spawn_local(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "upstream connection ended");
            }
            drop(open);
        });
        Ok(sender)
    }
}

/// How long the server says it keeps an idle connection (`Keep-Alive: timeout=N`), less a second for the way.
fn keep_alive(headers: &http::HeaderMap) -> Duration {
    headers
        .get("keep-alive")
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.split(',').find_map(|p| p.trim().strip_prefix("timeout=")))
        .and_then(|n| n.parse::<u64>().ok())
        .map_or(limit::UPSTREAM_IDLE, |n| Duration::from_secs(n.clamp(1, 300) - 1))
}

/// The body of an answer. Read to its end, its connection goes back to the stack; dropped before, the connection closes,
/// which in the modern era tells the server that the request is cancelled.
pub(crate) struct Answer {
    incoming: Incoming,
    lease: Option<Lease>,
}

struct Lease {
    pools: Rc<Pools>,
    upstream: u64,
    sender: SendRequest<Outgoing>,
    keep: Duration,
}

impl Answer {
    fn new(incoming: Incoming, lease: Lease) -> Self {
        let mut answer = Self { incoming, lease: Some(lease) };
        if answer.incoming.is_end_stream() {
            answer.finish();
        }
        answer
    }

    fn finish(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.pools.give(lease.upstream, lease.sender, lease.keep);
        }
    }

    /// The whole body, if it is at most `limit` bytes.
    ///
    /// # Errors
    /// [`Failure::Broken`] when it is longer, ends early, or takes longer than `wait`.
    pub(crate) async fn collect(mut self, limit: usize, wait: Duration) -> Result<Bytes, Failure> {
        let collecting = async {
            let mut whole = Bytes::new();
            let mut more = Vec::new();
            while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut self).poll_frame(cx)).await {
                let Ok(data) = frame.map_err(|e| Failure::Broken(e.to_string()))?.into_data() else { continue };
                if whole.len() + more.len() + data.len() > limit {
                    return Err(Failure::Broken(format!("the answer is longer than {limit} bytes")));
                }
                if whole.is_empty() && more.is_empty() {
                    whole = data;
                    continue;
                }
                if more.is_empty() {
                    more.extend_from_slice(&whole);
                    whole = Bytes::new();
                }
                more.extend_from_slice(&data);
            }
            Ok(if more.is_empty() { whole } else { Bytes::from(more) })
        };
        tokio::time::timeout(wait, collecting).await.unwrap_or(Err(Failure::Timeout))
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.incoming).poll_frame(cx);
        match &polled {
            Poll::Ready(None) => self.finish(),
            Poll::Ready(Some(Ok(_))) if self.incoming.is_end_stream() => self.finish(),
            _ => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
