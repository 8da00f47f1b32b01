//! Clients that call on and on, each over a connection that it keeps as long as it can, and remember what they got.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::{Call, Node, Reply, wait};

/// A node that leaves closes connections on which nothing is asked for half a second: clients of a machine that is too busy to ask
/// in time may meet that.
const IDLE: Duration = Duration::from_millis(400);

/// Judges an answer: what it showed, or what is wrong with it.
type Judge = dyn Fn(&Reply) -> Result<u64, String> + Send + Sync;

/// Where a client may go.
#[derive(Clone, Copy)]
struct Place {
    port: u16,
    /// Where it is asked whether it is ready, if it is.
    admin: Option<u16>,
}

/// One client: what it calls, and where.
#[derive(Clone)]
pub struct Caller {
    places: Vec<Place>,
    call: Call,
    judge: Arc<Judge>,
    pause: Duration,
}

impl Caller {
    /// Makes the same call again and again. An answer is good when it has a result.
    #[must_use]
    pub fn new(port: u16, call: Call) -> Self {
        let judge = |reply: &Reply| match reply.status == 200 && reply.rpc().get("result").is_some() {
            true => Ok(0),
            false => Err(format!("{} {}", reply.status, reply.text())),
        };
        Self { places: vec![Place { port, admin: None }], call, judge: Arc::new(judge), pause: Duration::ZERO }
    }

    /// Calls `tool-000` of a server, at the server's own door.
    #[must_use]
    pub fn of_server(port: u16, server: &str) -> Self {
        let params = json!({ "name": "tool-000", "arguments": {} });
        Self::new(port, Call::modern(&format!("/servers/{server}/mcp"), "tools/call", 1, params))
    }

    /// Connects to the first of these nodes that is ready, as a balancer would.
    #[must_use]
    pub fn balanced<'n>(mut self, nodes: impl IntoIterator<Item = &'n Node>) -> Self {
        self.places = nodes.into_iter().map(|node| Place { port: node.port, admin: Some(node.admin) }).collect();
        self
    }

    /// Judges answers in another way.
    #[must_use]
    pub fn judging(mut self, judge: impl Fn(&Reply) -> Result<u64, String> + Send + Sync + 'static) -> Self {
        self.judge = Arc::new(judge);
        self
    }

    /// Pauses after each answer.
    #[must_use]
    pub fn pausing(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// Calls until it is told to stop.
    async fn run(self, over: Arc<AtomicBool>, answered: Arc<AtomicU64>) -> Record {
        let (mut record, mut connection) = (Record::default(), None);
        while !over.load(Ordering::Relaxed) {
            let began = Instant::now();
            match self.ask(&mut connection, &mut record.connections).await.and_then(|reply| (self.judge)(&reply)) {
                Ok(shown) => record.answers.push(Answered { took: began.elapsed(), shown }),
                Err(failure) => record.failures.push(failure),
            }
            answered.fetch_add(1, Ordering::Relaxed);
            if self.pause > Duration::ZERO {
                tokio::time::sleep(self.pause).await;
            }
        }
        record
    }

    /// One call, over the connection there is or another one. As clients do, it sends again what never left, and nothing else.
    async fn ask(&self, kept: &mut Option<Connection>, connections: &mut u64) -> Result<Reply, String> {
        loop {
            let ready = match kept.take() {
                Some(mut connection) => connection.sender.ready().await.is_ok().then_some(connection),
                None => None,
            };
            let mut connection = match ready {
                Some(connection) => connection,
                None => {
                    *connections += 1;
                    self.connect().await?
                }
            };
            let idled = connection.used.elapsed() > IDLE;
            let request = self.call.request(&format!("127.0.0.1:{}", connection.port));
            match connection.sender.send_request(request).await {
                Ok(response) => {
                    let is_last = response.headers().get("connection").is_some_and(|value| value == "close");
                    let reply = Reply::read(response).await.map_err(|error| format!("in the answer: {error}"))?;
                    connection.used = Instant::now();
                    *kept = (!is_last).then_some(connection);
                    return Ok(reply);
                }
                Err(error) if error.is_canceled() => {}
                // closed because nobody used it, at the moment somebody did
                Err(error) if idled && error.is_incomplete_message() => {}
                Err(error) => return Err(format!("no answer: {error:?}")),
            }
        }
    }

    async fn connect(&self) -> Result<Connection, String> {
        let mut refused = String::new();
        for &Place { port, admin } in &self.places {
            if let Some(admin) = admin
                && Call::get("/readyz").bare().try_send(admin).await.is_none_or(|reply| reply.status != 200)
            {
                refused = format!("{port} is not ready");
                continue;
            }
            match TcpStream::connect(("127.0.0.1", port)).await {
                Ok(stream) => {
                    let shaken = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
                    let (sender, connection) = shaken.map_err(|error| error.to_string())?;
                    tokio::spawn(connection);
                    return Ok(Connection { port, sender, used: Instant::now() });
                }
                Err(error) => refused = error.to_string(),
            }
        }
        Err(format!("no connection: {refused}"))
    }
}

struct Connection {
    port: u16,
    sender: SendRequest<Full<Bytes>>,
    /// When it was made, or its last answer came.
    used: Instant,
}

/// What one client got.
#[derive(Default)]
pub struct Record {
    /// In the order they came.
    pub answers: Vec<Answered>,
    /// What was wrong with the others.
    pub failures: Vec<String>,
    /// How often it had to connect.
    pub connections: u64,
}

/// A good answer.
pub struct Answered {
    /// From the question to its end.
    pub took: Duration,
    /// As it was judged.
    pub shown: u64,
}

/// Several clients at work.
pub struct Traffic {
    over: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    callers: Vec<JoinHandle<Record>>,
}

impl Traffic {
    /// Sets clients to work.
    pub fn of(callers: impl IntoIterator<Item = Caller>) -> Self {
        let (over, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let run = |caller: Caller| tokio::spawn(caller.run(Arc::clone(&over), Arc::clone(&answered)));
        let callers = callers.into_iter().map(run).collect();
        Self { over, answered, callers }
    }

    /// How many calls were answered, or failed, so far.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Waits until so many more calls were answered.
    pub async fn goes_on(&self, calls: u64) {
        let until = self.answered() + calls;
        wait::until("traffic", || (self.answered() >= until).then_some(())).await;
    }

    /// Ends it: what each client got.
    pub async fn end(self) -> Vec<Record> {
        self.over.store(true, Ordering::Relaxed);
        let mut records = Vec::new();
        for caller in self.callers {
            records.push(wait::soon("a client ends", caller).await.unwrap());
        }
        records
    }

    /// Ends it: there were calls, and none failed.
    pub async fn was_well(self) -> Vec<Record> {
        let records = self.end().await;
        for record in &records {
            let first: Vec<_> = record.failures.iter().take(5).collect();
            assert!(first.is_empty(), "{} of {} calls failed: {first:#?}", record.failures.len(), record.answers.len());
            assert!(!record.answers.is_empty(), "a client got no answer");
        }
        records
    }
}

/// The time within which this share of the answers came, in hundredths.
#[must_use]
pub fn percentile<'r>(records: impl IntoIterator<Item = &'r Record>, hundredths: usize) -> Duration {
    let mut all: Vec<_> = records.into_iter().flat_map(|record| &record.answers).map(|answer| answer.took).collect();
    all.sort_unstable();
    all[(all.len() * hundredths / 100).min(all.len() - 1)]
}
