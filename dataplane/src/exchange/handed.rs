//! Exchanges of sessions that another node holds: handed to it whole, over the link between the two, and answered with what it answers.
//!
//! Who asks was found out here, and the other node is told; what they may do it judges itself, by its own configuration. Its answer
//! streams through as bytes, with backpressure end to end: to give it up is to give up the exchange there.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method as Verb, Request, Response};
use http_body::Body as _;
use http_body_util::Full;
use hyper::body::Incoming;
use sluice_http1::Fields;
use sluice_mcp::{Kind, encode_event, error_body, header};

use super::Outcome;
use super::call::{Base, Call, Content, Posted, Refusal, Reply, Scope};
use super::record::Record;
use crate::auth::Principal;
use crate::auth::quota::Ticket;
use crate::drain::Phase;
use crate::limit;
use crate::node::Worker;
use crate::peer::{Away, Home, Line, SCOPES, Unsent, VOUCHER};
use crate::reason::{Elsewhere, Reason};
use crate::seal;
use crate::upstream::Upstream;

/// What the log says of an exchange that went well elsewhere. How it went is in the log there.
const HANDED_ON: &str = "handed_on";
/// Header fields of a client that the other node is told. Credentials never: it is told whose they are.
const TOLD: [&str; 6] = ["accept", "content-type", "traceparent", "tracestate", "baggage", header::LAST_EVENT_ID];
/// What fields of the protocol begin with; a client's own, but for the few of [`TOLD`].
const OF_PROTOCOL: &[u8] = b"mcp-";
/// Header fields of an answer that clients are told.
const ANSWERED: [&str; 7] = [
    "content-type",
    "cache-control",
    "x-accel-buffering",
    "retry-after",
    "allow",
    "www-authenticate",
    header::SESSION_ID,
];

/// The answer of another node.
pub(crate) struct Handed {
    pub headers: Vec<(&'static str, String)>,
    body: Option<Body>,
    /// An answer in one piece.
    whole: Option<Bytes>,
    record: Record,
    _ticket: Ticket,
}

/// An answer that is still coming.
struct Body {
    incoming: Incoming,
    /// Keeps the link from being given up.
    _line: Rc<Line>,
    form: Form,
}

/// What an answer that breaks off has to end with.
enum Form {
    /// Its length was promised, or its end: the connection ends with it.
    Json,
    /// The events of a request with this id, which has an answer in any case. `closed`: the last event was complete.
    Events { id: Option<Bytes>, closed: bool },
    /// A client's standing stream, which it opens again; also when this node is about to end.
    Standing { leaving: Pin<Box<dyn Future<Output = ()>>> },
}

/// Which door a call came through, as another node finds it.
pub(super) trait Door {
    fn path(&self) -> String;
    /// The one server behind it.
    fn server(&self) -> Option<&Arc<Upstream>>;
}

impl Door for Scope {
    fn path(&self) -> String {
        match self {
            Self::Merged => "/mcp".to_owned(),
            Self::Server(upstream) => upstream.path(),
        }
    }

    fn server(&self) -> Option<&Arc<Upstream>> {
        match self {
            Self::Merged => None,
            Self::Server(upstream) => Some(upstream),
        }
    }
}

impl Door for Arc<Upstream> {
    fn path(&self) -> String {
        format!("/servers/{}/mcp", self.name())
    }

    fn server(&self) -> Option<&Arc<Upstream>> {
        Some(self)
    }
}

/// Hands on a POST.
pub(super) fn post<'w, To: Door + 'w>(
    worker: &'w Rc<Worker>,
    call: Call<To>,
    posted: Posted,
    at: Elsewhere,
) -> Pin<Box<dyn Future<Output = Outcome> + 'w>> {
    Box::pin(async move {
        let id = posted.id().filter(|_| posted.message.kind == Kind::Request);
        post_at(worker, call.base, &call.upstream.path(), posted.body.clone(), id, at).await
    })
}

/// Hands on what was posted at a path; `id` is that of the request, if it is one.
pub(crate) async fn post_at(
    worker: &Rc<Worker>,
    mut base: Box<Base>,
    path: &str,
    body: Bytes,
    id: Option<Bytes>,
    at: Elsewhere,
) -> Outcome {
    match ask(worker, &base, Request::post(Line::url(path)), body, at).await {
        Ok((line, response)) => answer(worker, *base, line, response, Shape::Reply(id)).await,
        Err(reason) => {
            base.record.fail(&reason);
            Err(Refusal { reason, id })
        }
    }
}

/// Hands on a GET or DELETE.
pub(super) fn bare<'w, To: Door + 'w>(
    worker: &'w Rc<Worker>,
    call: Call<To>,
    verb: Verb,
    at: Elsewhere,
) -> Pin<Box<dyn Future<Output = Outcome> + 'w>> {
    Box::pin(async move {
        let (path, mut base) = (call.upstream.path(), call.base);
        let shape = if verb == Verb::GET { Shape::Stream } else { Shape::Reply(None) };
        let request = Request::builder().method(verb).uri(Line::url(&path));
        let asked = ask(worker, &base, request, Bytes::new(), at).await;
        // nothing runs by it: it can be sent again
        let asked = asked.map_err(|reason| if reason == Reason::HolderLost { Reason::HolderAway } else { reason });
        match asked {
            Ok((line, response)) => answer(worker, *base, line, response, shape).await,
            Err(reason) => {
                base.record.fail(&reason);
                Err(reason.into())
            }
        }
    })
}

/// Hands on the resumption of a stream whose events another node keeps. The call comes back where that is not to be had.
pub(super) fn resumption<'w, To: Door + 'w>(
    worker: &'w Rc<Worker>,
    call: Call<To>,
    home: Home,
) -> Pin<Box<dyn Future<Output = Result<Outcome, Call<To>>> + 'w>> {
    Box::pin(async move {
        let request = Request::get(Line::url(&call.upstream.path()));
        let at = Elsewhere { home: home.bytes(), unseen: false };
        match ask(worker, &call.base, request, Bytes::new(), at).await {
            Ok((line, response)) => Ok(answer(worker, *call.base, line, response, Shape::Stream).await),
            Err(reason) => {
                tracing::debug!(outcome = reason.row().outcome, "who keeps the events of a stream is not to be had");
                Err(call)
            }
        }
    })
}

/// Asks the other node; its answer is there with its head.
async fn ask(
    worker: &Worker,
    base: &Base,
    request: http::request::Builder,
    body: Bytes,
    at: Elsewhere,
) -> Result<(Rc<Line>, Response<Incoming>), Reason> {
    let mut request = request.body(Full::new(body)).map_err(|_| Reason::HolderAway)?;
    tell(&base.headers, &base.principal, request.headers_mut())?;
    // a link that turns out to be gone has sent nothing: one more is tried
    for _ in 0..2 {
        let line = worker.lines.to(at.home.into()).await.map_err(|away| match away {
            // it may be kept where nobody can look at the moment
            Away::Gone | Away::Ended if at.unseen => Reason::SessionStore,
            Away::Gone => Reason::SessionUnknown,
            Away::Ended if !worker.node.sessions.returns_with_its_node() => Reason::SessionUnknown,
            Away::Ended => Reason::HolderAway,
            Away::Unreachable => Reason::HolderAway,
            Away::Busy => Reason::Busy,
        })?;
        match line.ask(request).await {
            Ok(response) => return Ok((line, response)),
            Err(Unsent::Whole(unsent)) => request = *unsent,
            Err(Unsent::Perhaps(error)) => {
                tracing::debug!(peer = %line.peer, %error, "a link broke off");
                return Err(Reason::HolderLost);
            }
        }
    }
    Err(Reason::HolderAway)
}

/// Tells the other node what the client said, and who it is.
fn tell(headers: &Fields, principal: &Principal, told: &mut HeaderMap) -> Result<(), Reason> {
    let is_told = |name: &[u8]| {
        name.get(..OF_PROTOCOL.len()).is_some_and(|start| start.eq_ignore_ascii_case(OF_PROTOCOL))
            || TOLD.iter().any(|told| name.eq_ignore_ascii_case(told.as_bytes()))
    };
    for (name, value) in headers.iter().filter(|(name, _)| is_told(name)) {
        if let (Ok(name), Ok(value)) = (http::HeaderName::from_bytes(name), http::HeaderValue::from_bytes(value)) {
            told.append(name, value);
        }
    }
    let voucher = principal.voucher();
    if voucher.len() > limit::VOUCHER_BYTES {
        return Err(Reason::Busy);
    }
    told.insert(VOUCHER, http::HeaderValue::try_from(voucher).map_err(|_| Reason::Busy)?);
    Ok(())
}

/// What is asked for.
enum Shape {
    /// An answer to the request of this id, if it is one.
    Reply(Option<Bytes>),
    /// A client's standing stream.
    Stream,
}

/// The answer as it comes.
async fn answer(
    worker: &Rc<Worker>,
    base: Base,
    line: Rc<Line>,
    response: Response<Incoming>,
    shape: Shape,
) -> Outcome {
    let Base { mut record, mut ticket, .. } = base;
    let (head, incoming) = response.into_parts();
    if let Some(reason) = lacks_scopes(&head) {
        // answered here, where it is known what this client is told to do about it
        let (row, cause) = (reason.row(), format!("held by {}", line.peer));
        record.hand_on(row.outcome, row.status, cause);
        let id = if let Shape::Reply(id) = shape { id } else { None };
        return Err(Refusal { reason, id });
    }
    let text = |name: &'static str| Some((name, head.headers.get(name)?.to_str().ok()?.to_owned()));
    let headers: Vec<_> = ANSWERED.into_iter().filter_map(text).collect();
    record.hand_on(HANDED_ON, head.status, format!("held by {}", line.peer));
    let length = incoming.size_hint().exact();
    let is_stream =
        headers.iter().any(|(name, value)| *name == "content-type" && value.starts_with("text/event-stream"));
    let form = match shape {
        Shape::Stream if is_stream => {
            ticket = super::stream_ticket(ticket, &mut record, None)?;
            let drain = worker.node.drain.clone();
            Form::Standing { leaving: Box::pin(async move { drain.reached(Phase::Closing).await }) }
        }
        Shape::Reply(id) if is_stream => Form::Events { id, closed: true },
        Shape::Stream | Shape::Reply(_) => Form::Json,
    };
    let mut body = Body { incoming, _line: line, form };
    let (body, whole) = match length {
        Some(length) if length <= limit::REPLY_HOLD as u64 => match body.whole().await {
            Some(whole) => (None, Some(whole)),
            None => {
                let reason = Reason::HolderLost;
                record.fail(&reason);
                return Err(reason.into());
            }
        },
        _ => (Some(body), None),
    };
    let handed = Handed { headers, body, whole, record, _ticket: ticket };
    Ok(Reply::of(head.status, Content::Handed(Box::new(handed))))
}

/// What the holder misses in the client's token.
fn lacks_scopes(head: &http::response::Parts) -> Option<Reason> {
    let scopes = head.headers.get(SCOPES)?.to_str().ok()?;
    Some(Reason::InsufficientScope(scopes.split(' ').map(Arc::from).collect()))
}

impl Body {
    /// All of a short answer; `None`: it broke off.
    async fn whole(&mut self) -> Option<Bytes> {
        let mut whole = BytesMut::new();
        while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut self.incoming).poll_frame(cx)).await {
            if let Ok(data) = frame.ok()?.into_data() {
                whole.extend_from_slice(&data);
            }
        }
        Some(whole.freeze())
    }
}

impl Handed {
    /// The answer, if it is there in one piece.
    pub(crate) fn take_whole(&mut self) -> Option<Bytes> {
        self.whole.take()
    }

    /// The next piece of an answer that is still coming. An error ends the client's connection.
    pub(crate) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, std::io::Error>>> {
        loop {
            let Some(body) = &mut self.body else { return Poll::Ready(None) };
            if let Form::Standing { leaving } = &mut body.form
                && leaving.as_mut().poll(cx).is_ready()
            {
                self.body = None;
                return Poll::Ready(Some(Ok(come_back())));
            }
            match ready!(Pin::new(&mut body.incoming).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    let Ok(data) = frame.into_data() else { continue };
                    if let Form::Events { closed, .. } = &mut body.form
                        && !data.is_empty()
                    {
                        *closed = data.ends_with(b"\n\n") || data.ends_with(b"\r\n\r\n");
                    }
                    return Poll::Ready(Some(Ok(data)));
                }
                None => {
                    self.body = None;
                    return Poll::Ready(None);
                }
                Some(Err(error)) => return Poll::Ready(self.broken(&error)),
            }
        }
    }

    /// What comes after an answer that broke off.
    fn broken(&mut self, error: &hyper::Error) -> Option<Result<Bytes, std::io::Error>> {
        let reason = Reason::HolderLost;
        self.record.outcome = reason.row().outcome;
        self.record.cause = Some(error.to_string());
        match self.body.take()?.form {
            // nobody was promised anything
            Form::Standing { .. } => None,
            Form::Events { id: Some(id), closed: true } => {
                let body = error_body(Some(&id), reason.row().code, &reason.text(), None);
                let mut event = Vec::with_capacity(body.len() + 32);
                encode_event(&mut event, None, Some(b"message"), Some(&body), None);
                Some(Ok(event.into()))
            }
            Form::Events { .. } | Form::Json => Some(Err(std::io::Error::other("the holder's answer broke off"))),
        }
    }
}

/// When to open a stream again: spread out, so that a thousand clients do not come in one millisecond.
fn come_back() -> Bytes {
    format!("retry: {}\n\n", 500 + u64::from(seal::random::<1>()[0]) * 8).into()
}
