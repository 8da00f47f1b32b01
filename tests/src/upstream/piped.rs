//! Scripted servers of one connection for both directions: HTTP+SSE and WebSocket. What they say is in `brain`, how they
//! carry it in `sse` and `websocket`; every bad habit the tests need is a field of [`Manner`].

mod brain;
mod link;
mod sse;
mod websocket;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite};

pub use link::Link;

use super::Received;
use crate::wait;

/// What carries the messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// HTTP+SSE of 2024-11-05.
    Sse,
    /// WebSocket.
    WebSocket,
}

/// How a server behaves.
#[derive(Debug, Clone)]
pub struct Manner {
    /// `legacy`, `modern` or `both`.
    pub era: &'static str,
    /// Listens on a Unix socket instead of a port.
    pub unix: bool,
    /// This status for every request but a message.
    pub status: Option<u16>,
    /// Before anything is answered to a new connection.
    pub slow: Duration,
    /// SSE: the data of the `endpoint` event; `{link}` stands for the connection's number.
    pub endpoint: Option<&'static str>,
    /// SSE: how a message becomes an event; `{}` stands for the message.
    pub event: &'static str,
    /// SSE: what the stream begins with.
    pub preface: &'static str,
    /// SSE: how a POST is answered.
    pub posts: Posts,
    /// SSE: streamable HTTP is answered with this status at the same path.
    pub streamable: u16,
    /// WebSocket: selects the subprotocol.
    pub subprotocol: Option<&'static str>,
    /// WebSocket: says everything in binary frames.
    pub binary: bool,
    /// Takes what it is sent and says nothing after `initialize`, not even a pong.
    pub deaf: bool,
}

/// How a POST is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Posts {
    /// 202 at once.
    Accepted,
    /// 202 once the request is answered.
    Held,
    /// With the answer itself, as a body of this type.
    InPlace(&'static str, Body),
    /// With this status.
    Refused(u16),
}

/// What a body holds, whatever its type says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// A message.
    Json,
    /// An event.
    Event,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            era: "legacy",
            unix: false,
            status: None,
            slow: Duration::ZERO,
            endpoint: None,
            event: "event: message\ndata: {}\n\n",
            preface: "",
            posts: Posts::Accepted,
            streamable: 405,
            subprotocol: Some("mcp"),
            binary: false,
            deaf: false,
        }
    }
}

/// A server with its connections.
pub struct Piped {
    kind: Kind,
    /// Its port; 0 where it has a Unix socket.
    pub port: u16,
    folder: Option<TempDir>,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    manner: Mutex<Manner>,
    /// Connections are dropped before a word is said.
    down: AtomicBool,
    links: Mutex<Vec<Arc<Link>>>,
    requests: Mutex<Vec<Received>>,
}

trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

impl Piped {
    /// A server with the best manners.
    #[must_use]
    pub fn start(kind: Kind) -> Self {
        Self::with(kind, Manner::default())
    }

    /// A server that behaves so.
    #[must_use]
    pub fn with(kind: Kind, manner: Manner) -> Self {
        let unix = manner.unix;
        let state = Arc::new(State { manner: Mutex::new(manner), ..State::default() });
        let folder = unix.then(|| tempfile::tempdir().unwrap());
        let (port, listener) = if let Some(folder) = &folder {
            let socket = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
            socket.set_nonblocking(true).unwrap();
            (0, Listener::Unix(socket))
        } else {
            let socket = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            socket.set_nonblocking(true).unwrap();
            (socket.local_addr().unwrap().port(), Listener::Tcp(socket))
        };
        let own = Arc::clone(&state);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(serve(kind, listener, own));
        });
        Self { kind, port, folder, state }
    }

    /// Its entry in a configuration.
    #[must_use]
    pub fn config(&self) -> Value {
        let (transport, scheme) = match self.kind {
            Kind::Sse => ("sse", "http"),
            Kind::WebSocket => ("websocket", "ws"),
        };
        let mut config = json!({ "transport": transport, "url": format!("{scheme}://127.0.0.1:{}/sse", self.port) });
        if let Some(socket) = self.socket() {
            config["url"] = format!("{scheme}://inside.example/sse").into();
            config["socket"] = socket.to_str().unwrap().into();
        }
        config
    }

    /// As [`Piped::config`], with further keys.
    #[must_use]
    pub fn config_with(&self, more: Value) -> Value {
        let mut config = self.config();
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        config
    }

    /// Its Unix socket.
    #[must_use]
    pub fn socket(&self) -> Option<PathBuf> {
        Some(self.folder.as_ref()?.path().join("socket"))
    }

    /// Behaves otherwise from now on.
    pub fn behave(&self, change: impl FnOnce(&mut Manner)) {
        change(&mut self.state.manner.lock().unwrap());
    }

    /// Ends all connections, as the end of its process would, and takes no others until it is [`Piped::back`].
    pub fn dies(&self) {
        self.state.down.store(true, Ordering::SeqCst);
        self.links().iter().for_each(|link| link.close());
    }

    /// Takes connections again; of the earlier ones it knows nothing.
    pub fn back(&self) {
        self.state.links.lock().unwrap().iter().for_each(|link| link.close());
        self.state.down.store(false, Ordering::SeqCst);
    }

    /// Every connection there ever was, oldest first.
    #[must_use]
    pub fn links(&self) -> Vec<Arc<Link>> {
        self.state.links.lock().unwrap().clone()
    }

    /// Connections that are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.links().iter().filter(|link| link.is_open()).count()
    }

    /// Every HTTP request received so far, handshakes included.
    #[must_use]
    pub fn requests(&self) -> Vec<Received> {
        self.state.requests.lock().unwrap().clone()
    }

    /// Every message of this method received so far, in order within each connection.
    #[must_use]
    pub fn got(&self, method: &str) -> Vec<Value> {
        self.links().iter().flat_map(|link| link.received()).filter(|message| message["method"] == method).collect()
    }

    /// Waits until so many messages of this method were received.
    pub async fn receives(&self, method: &str, count: usize) -> Vec<Value> {
        wait::until(&format!("the server receives {count} {method}"), || {
            let got = self.got(method);
            (got.len() >= count).then_some(got)
        })
        .await
    }
}

impl Drop for Piped {
    fn drop(&mut self) {
        self.dies();
    }
}

enum Listener {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener),
}

async fn serve(kind: Kind, listener: Listener, state: Arc<State>) {
    match listener {
        Listener::Tcp(socket) => {
            let socket = tokio::net::TcpListener::from_std(socket).unwrap();
            while let Ok((stream, _peer)) = socket.accept().await as std::io::Result<(_, SocketAddr)> {
                accepted(kind, Box::new(stream), &state);
            }
        }
        Listener::Unix(socket) => {
            let socket = tokio::net::UnixListener::from_std(socket).unwrap();
            while let Ok((stream, _peer)) = socket.accept().await {
                accepted(kind, Box::new(stream), &state);
            }
        }
    }
}

fn accepted(kind: Kind, stream: Box<dyn Duplex>, state: &Arc<State>) {
    if state.down.load(Ordering::SeqCst) {
        return;
    }
    let state = Arc::clone(state);
    tokio::spawn(async move {
        match kind {
            Kind::Sse => sse::serve(stream, state).await,
            Kind::WebSocket => websocket::serve(stream, state).await,
        }
    });
}

impl State {
    fn manner(&self) -> Manner {
        self.manner.lock().unwrap().clone()
    }

    /// A new connection, and what is said on it.
    fn link(&self) -> (Arc<Link>, link::Said) {
        let mut links = self.links.lock().unwrap();
        let (link, said) = Link::new(links.len(), self.manner().deaf);
        links.push(Arc::clone(&link));
        (link, said)
    }
}
