//! HTTP/2 with prior knowledge: many requests in flight on each connection. The requests are those of HTTP/1.1, in its form.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use futures_util::future::try_join_all;
use h2::client::{SendRequest, handshake};
use http::{Method, Request, Response, Uri, Version};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::task::LocalSet;

use crate::lanes::{Next, Work};
use crate::options::Options;
use crate::wire::Head;

/// Fields in a head: more than are written here.
const FIELDS: usize = 32;

/// Connections, and what drives them.
pub(crate) struct Multiplexed {
    runtime: Runtime,
    local: LocalSet,
    connections: Vec<SendRequest<Bytes>>,
    /// Requests in flight on each.
    streams: usize,
    authority: Rc<str>,
}

impl Multiplexed {
    pub(crate) fn connect(options: &Options, streams: usize) -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let local = LocalSet::new();
        let mut connections = Vec::with_capacity(options.connections);
        for _ in 0..options.connections {
            connections.push(local.block_on(&runtime, connect(options))?);
        }
        Ok(Self { runtime, local, connections, streams, authority: options.connect.to_string().into() })
    }

    /// Works until there is nothing to do, and everything was answered.
    ///
    /// # Errors
    /// A sentence that says what went wrong.
    pub(crate) fn work(&mut self, work: &mut impl Work) -> Result<(), String> {
        let work = RefCell::new(work);
        let lanes = self.connections.iter().flat_map(|connection| (0..self.streams).map(move |_| connection));
        let all = lanes.map(|connection| go_on(&work, connection, &self.authority));
        self.local.block_on(&self.runtime, try_join_all(all)).map(drop)
    }
}

async fn connect(options: &Options) -> Result<SendRequest<Bytes>, String> {
    let socket = TcpStream::connect(options.connect).await.map_err(failed)?;
    socket.set_nodelay(true).map_err(failed)?;
    let (requests, connection) = handshake(socket).await.map_err(failed)?;
    // its end is told to whoever waits for an answer
    tokio::task::spawn_local(connection);
    Ok(requests)
}

/// One request after the other.
async fn go_on(work: &RefCell<&mut impl Work>, to: &SendRequest<Bytes>, authority: &str) -> Result<(), String> {
    let mut wire = Vec::new();
    loop {
        wire.clear();
        let next = work.borrow_mut().next(Instant::now(), &mut wire);
        let flight = match next {
            Next::Sent(flight) => flight,
            Next::At(when) => {
                tokio::time::sleep_until(when.into()).await;
                continue;
            }
            Next::Nothing => return Ok(()),
        };
        let (head, body) = exchange(to, request(&wire, authority)?).await?;
        work.borrow_mut().answered(flight, &head, &body, body.len())?;
    }
}

async fn exchange(to: &SendRequest<Bytes>, request: Request<Bytes>) -> Result<(Head, Vec<u8>), String> {
    let mut ready = to.clone().ready().await.map_err(failed)?;
    let (head, body) = request.into_parts();
    let (answer, mut stream) = ready.send_request(Request::from_parts(head, ()), body.is_empty()).map_err(failed)?;
    if !body.is_empty() {
        stream.send_data(body, true).map_err(failed)?;
    }
    let answer = answer.await.map_err(failed)?;
    let head = head_of(&answer);
    let mut frames = answer.into_body();
    let mut whole = Vec::new();
    while let Some(frame) = frames.data().await {
        let frame = frame.map_err(failed)?;
        frames.flow_control().release_capacity(frame.len()).map_err(failed)?;
        whole.extend_from_slice(&frame);
    }
    Ok((head, whole))
}

/// The request that stands in these bytes.
fn request(wire: &[u8], authority: &str) -> Result<Request<Bytes>, String> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut parsed = httparse::Request::new(&mut fields);
    let httparse::Status::Complete(end) = parsed.parse(wire).map_err(failed)? else {
        return Err("an unfinished request".to_owned());
    };
    let path = parsed.path.unwrap_or_default();
    let uri: Uri = format!("http://{authority}{path}").parse().map_err(failed)?;
    let method: Method = parsed.method.unwrap_or_default().parse().map_err(failed)?;
    let mut request = Request::builder().version(Version::HTTP_2).method(method).uri(uri);
    for field in parsed.headers.iter().filter(|field| !field.name.eq_ignore_ascii_case("host")) {
        request = request.header(field.name, field.value);
    }
    request.body(Bytes::copy_from_slice(&wire[end..])).map_err(failed)
}

fn head_of<B>(answer: &Response<B>) -> Head {
    let text = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok());
    let is_events = text("content-type").is_some_and(|kind| kind.starts_with("text/event-stream"));
    Head::new(answer.status().as_u16(), text("mcp-session-id").map(str::to_owned), is_events)
}

fn failed(error: impl std::fmt::Display) -> String {
    format!("connection: {error}")
}
