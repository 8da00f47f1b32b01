//! HTTP/2 towards clients (RFC 9113), by `hyper`: a stream for each request.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::task::Poll;

use http::Method as Verb;
use http::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use sluice_http1::{Fields, Target};
use tokio::io::{AsyncRead, AsyncWrite};

use super::body::Body;
use super::connection::{Answer, Connection};
use super::door::{self, House, Peer};
use super::received::Received;
use super::request::{Head, Request};
use super::response::Response;
use crate::limit;
use crate::reason::Reason;

mod stream;

use stream::{Outgoing, Stream};

/// Serves a connection to its end.
pub(super) async fn serve<I>(house: Rc<House>, io: I, connection: Rc<Connection>, peer: Peer)
where
    I: AsyncRead + AsyncWrite + Unpin + 'static,
{
    connection.is_multiplexed();
    let streams = Streams::default();
    let service = {
        let (connection, peer, streams) = (Rc::clone(&connection), Rc::new(peer), streams.clone());
        service_fn(move |request| {
            let stream = streams.begin(&connection);
            Box::pin(answer(Rc::clone(&house), Rc::clone(&connection), Rc::clone(&peer), stream, request))
        })
    };
    let served = http2::Builder::new(streams)
        .timer(TokioTimer::new())
        .max_concurrent_streams(limit::H2_STREAMS)
        .max_header_list_size(limit::HEAD_BYTES as u32)
        .keep_alive_interval(limit::KEEP_ALIVE)
        .keep_alive_timeout(limit::HEAD_READ)
        .serve_connection(TokioIo::new(io), service);
    let mut served = std::pin::pin!(served);
    let mut closing = false;
    let result = poll_fn(|cx| {
        if connection.poll_cut(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        if !closing && connection.poll_leaving(cx).is_ready() {
            closing = true;
            served.as_mut().graceful_shutdown();
        }
        served.as_mut().poll(cx)
    });
    if let Err(error) = result.await {
        tracing::debug!(%error, "client connection ended");
    }
}

async fn answer(
    house: Rc<House>,
    connection: Rc<Connection>,
    peer: Rc<Peer>,
    stream: Rc<Stream>,
    request: http::Request<Incoming>,
) -> Result<http::Response<Outgoing>, Infallible> {
    let busy = connection.begin();
    let judged = judge(request.headers());
    let mut request = taken(request);
    let response = match judged {
        Ok(()) => door::answer(&house, &peer, &mut request).await.response,
        Err(reason) => door::turn_away(&house, &peer, reason),
    };
    let mut response = if request.head.verb == Verb::HEAD { response.without_body() } else { response };
    response.body.keep(busy);
    if !request.body.is_end() {
        tokio::task::spawn_local(discard(request.body));
    }
    let weak: Weak<Stream> = Rc::downgrade(&stream);
    connection.carries(weak as Weak<dyn Answer>);
    Ok(given(response).map(|body| Outgoing::new(stream, body)))
}

/// What HTTP/1 refuses while it reads a head, and the library lets pass.
fn judge(headers: &HeaderMap) -> Result<(), Reason> {
    if headers.len() > limit::HEADERS {
        return Err(Reason::HeadTooLarge);
    }
    match headers.get_all(CONTENT_LENGTH).iter().nth(1) {
        Some(_) => Err(Reason::HeadMalformed),
        None => Ok(()),
    }
}

/// A request as the doors know it.
pub(super) fn taken(request: http::Request<Incoming>) -> Request {
    let (parts, body) = request.into_parts();
    let mut headers = Fields::with_capacity(512);
    for (name, value) in &parts.headers {
        // HTTP/2 knows no other fields (RFC 9113 section 8.2.1)
        let _ = headers.push(name.as_str().as_bytes(), value.as_bytes());
    }
    let target = Target::of_uri(&parts.uri);
    let head = Head { verb: parts.method, target, headers, http_11: false };
    Request { head, body: Received::Stream(body) }
}

pub(super) fn given(response: Response) -> http::Response<Body> {
    let mut given = http::Response::new(response.body);
    *given.status_mut() = response.status;
    for (name, value) in response.headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            given.headers_mut().append(HeaderName::from_static(name), value);
        }
    }
    given
}

/// Reads on for a moment what was refused unread and throws it away, so that the client can read why.
async fn discard(mut body: Received) {
    let mut left = limit::DISCARD_BYTES;
    let reading = async {
        while let Some(Ok(data)) = body.data().await {
            match left.checked_sub(data.len()) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    };
    let _ = tokio::time::timeout(limit::DISCARD, reading).await;
}

/// Runs the streams of a connection on the worker's own thread, until they are cut.
#[derive(Clone, Default)]
struct Streams {
    /// The one of which the request was just taken: `hyper` runs it next.
    begun: Rc<RefCell<Option<Rc<Stream>>>>,
}

impl Streams {
    fn begin(&self, connection: &Rc<Connection>) -> Rc<Stream> {
        let stream = Rc::new(Stream::new(Rc::clone(connection)));
        *self.begun.borrow_mut() = Some(Rc::clone(&stream));
        stream
    }
}

impl<F: Future + 'static> hyper::rt::Executor<F> for Streams {
    fn execute(&self, future: F) {
        let stream = self.begun.borrow_mut().take();
        tokio::task::spawn_local(async move {
            let mut future = std::pin::pin!(future);
            poll_fn(|cx| match &stream {
                // what is dropped is reset
                Some(stream) if stream.is_cut(cx) => Poll::Ready(()),
                _ => future.as_mut().poll(cx).map(drop),
            })
            .await;
        });
    }
}

/// Runs streams on the worker's own thread.
#[derive(Clone, Copy)]
pub(super) struct LocalExecutor;

impl<F: Future + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(async move {
            future.await;
        });
    }
}
