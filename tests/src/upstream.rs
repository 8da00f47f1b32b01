//! Scripted MCP servers over HTTP. Each runs on a thread of its own, answers as its script says, and remembers every
//! request it got.

mod answer;
mod legacy;
mod modern;
pub mod piped;

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use bytes::Bytes;
use http::HeaderMap;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::sync::oneshot;

pub use answer::{Answer, Pipe};
pub use legacy::Legacy;
pub use modern::Modern;
pub use piped::Piped;

use crate::wait;

/// A request as a server got it.
#[derive(Debug, Clone)]
pub struct Received {
    /// The HTTP method.
    pub verb: String,
    /// The path with its query.
    pub path: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Received {
    /// The body as a message, or null.
    #[must_use]
    pub fn message(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The message's method, or nothing.
    #[must_use]
    pub fn method(&self) -> String {
        self.message()["method"].as_str().unwrap_or_default().to_owned()
    }

    /// The name of the tool that is called, or nothing.
    #[must_use]
    pub fn tool(&self) -> String {
        let message = self.message();
        let tool = if message["method"] == "tools/call" { &message["params"]["name"] } else { &Value::Null };
        tool.as_str().unwrap_or_default().to_owned()
    }

    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// A server on a free port.
#[derive(Clone)]
pub struct Upstream {
    /// Its port.
    pub port: u16,
    received: Arc<Mutex<Vec<Received>>>,
    script: Arc<Script>,
    running: Arc<Mutex<Option<Running>>>,
}

/// A server's thread, and what ends it.
struct Running {
    thread: JoinHandle<()>,
    end: oneshot::Sender<()>,
}

type Script = dyn Fn(Received) -> Pin<Box<dyn Future<Output = Answer> + Send>> + Send + Sync;

impl Upstream {
    /// Starts a server that answers by `script`.
    pub fn start<F>(script: impl Fn(Received) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let upstream = Self {
            port: listener.local_addr().unwrap().port(),
            received: Arc::default(),
            script: Arc::new(move |request| Box::pin(script(request))),
            running: Arc::default(),
        };
        upstream.run(listener);
        upstream
    }

    fn run(&self, listener: TcpListener) {
        listener.set_nonblocking(true).unwrap();
        let (received, script) = (Arc::clone(&self.received), Arc::clone(&self.script));
        let (end, ended) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                tokio::select! {
                    () = serve(listener, received, script) => {}
                    // whoever could end it may have gone away: then it goes on
                    Ok(()) = ended => {}
                }
            });
        });
        *self.running.lock().unwrap() = Some(Running { thread, end });
    }

    /// Ends it as `kill -9` would: its connections close in the middle of whatever they carry, and new ones are refused.
    pub fn kill(&self) {
        let Some(Running { thread, end }) = self.running.lock().unwrap().take() else { return };
        end.send(()).unwrap();
        thread.join().unwrap();
    }

    /// Starts it again where it was.
    pub async fn revive(&self) {
        let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, self.port)).ok();
        self.run(wait::until("the port is free again", bind).await);
    }

    /// Starts a server that gives the same answer to everything.
    pub fn always(answer: impl Fn() -> Answer + Send + Sync + 'static) -> Self {
        Self::start(move |_| std::future::ready(answer()))
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/mcp", self.port)
    }

    /// Its entry in a configuration.
    #[must_use]
    pub fn config(&self) -> Value {
        json!({ "url": self.url() })
    }

    /// Everything received so far.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// The requests and notifications of one JSON-RPC method received so far.
    #[must_use]
    pub fn got(&self, method: &str) -> Vec<Received> {
        self.received().into_iter().filter(|received| received.method() == method).collect()
    }

    /// The calls of one tool received so far.
    #[must_use]
    pub fn calls(&self, tool: &str) -> Vec<Received> {
        self.received().into_iter().filter(|received| received.tool() == tool).collect()
    }

    /// The requests with one HTTP method received so far.
    #[must_use]
    pub fn verbs(&self, verb: &str) -> Vec<Received> {
        self.received().into_iter().filter(|received| received.verb == verb).collect()
    }

    /// Waits until a request fits.
    pub async fn receives(&self, what: &str, fits: impl Fn(&Received) -> bool) -> Received {
        wait::until(&format!("the server receives {what}"), || self.received().into_iter().find(|r| fits(r))).await
    }
}

async fn serve(listener: TcpListener, received: Arc<Mutex<Vec<Received>>>, script: Arc<Script>) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    while let Ok((stream, _peer)) = listener.accept().await as std::io::Result<(_, SocketAddr)> {
        let (received, script) = (Arc::clone(&received), Arc::clone(&script));
        tokio::spawn(async move {
            let service = service_fn(|request: http::Request<Incoming>| {
                let (received, script) = (Arc::clone(&received), Arc::clone(&script));
                async move {
                    let (head, body) = request.into_parts();
                    let body = body.collect().await?.to_bytes();
                    let (verb, path) = (head.method.to_string(), head.uri.to_string());
                    let request = Received { verb, path, headers: head.headers, body };
                    received.lock().unwrap().push(request.clone());
                    Ok::<_, hyper::Error>(script(request).await.into_response())
                }
            });
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}
