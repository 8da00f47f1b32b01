//! The standing stream of the door of all servers, resumed: where it was kept, and where only the servers know what was said. No event
//! is missed or told twice, of servers that number theirs; of others the client is told what it may have missed.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use sluice_tests::counting::Counting;
use sluice_tests::events::Events;

use sluice_tests::{Gateway, Redis, Session, wait};
use tokio::task::JoinHandle;

const NAMES: [&str; 2] = ["left", "right"];

fn servers() -> [Arc<Counting>; 2] {
    NAMES.map(|name| Arc::new(Counting::saying(name)))
}

fn entries(servers: &[Arc<Counting>; 2]) -> Value {
    json!({ "left": servers[0].config(), "right": servers[1].config() })
}

/// Opens the parts of a session, by a call of each.
async fn opened(session: &Session) {
    for name in NAMES {
        let called =
            session.call(&format!("{name}_count"), json!({ "mark": format!("{name} of {}", session.id) })).await;
        assert_eq!(called.status, 200, "{called:?}");
    }
}

/// What a client was told, and where it goes on.
#[derive(Default)]
struct Told {
    numbers: HashMap<String, Vec<u64>>,
    updated: Vec<String>,
    lists: usize,
    last: Option<String>,
}

impl Told {
    /// Reads for as long, up to a place that nobody chose.
    async fn read(&mut self, stream: &mut Events, time: Duration) {
        let reading = async {
            loop {
                let event = stream.event().await.expect("the stream goes on");
                if let Some(id) = &event.id {
                    assert!(id.len() <= 512, "{id}");
                    self.last = Some(id.clone());
                }
                let message = event.message();
                if let Some(number) = message["params"]["_meta"]["number"].as_u64() {
                    let name = message["params"]["data"].as_str().unwrap().to_owned();
                    self.numbers.entry(name).or_default().push(number);
                } else if let Some(uri) = message["params"]["uri"].as_str() {
                    self.updated.push(uri.to_owned());
                } else if message["method"].as_str().is_some_and(|method| method.ends_with("list_changed")) {
                    self.lists += 1;
                }
            }
        };
        let _ = tokio::time::timeout(time, reading).await;
    }

    /// Reads until all that the servers said was told.
    async fn read_all(&mut self, stream: &mut Events, servers: &[Arc<Counting>; 2]) {
        let begun = std::time::Instant::now();
        let is_all = |told: &Self| {
            NAMES.iter().zip(servers).all(|(name, server)| {
                told.numbers
                    .get(*name)
                    .and_then(|numbers| numbers.last())
                    .is_some_and(|last| *last >= server.happened())
            })
        };
        while !is_all(self) {
            assert!(begun.elapsed() < wait::SOON, "{:?}", self.numbers);
            self.read(stream, Duration::from_millis(50)).await;
        }
    }

    /// All of them were told once, and in order.
    fn was_whole(&self, servers: &[Arc<Counting>; 2]) {
        for (name, server) in NAMES.iter().zip(servers) {
            let all: Vec<u64> = (1..=server.happened()).collect();
            assert_eq!(self.numbers[*name], all, "{name}");
        }
    }
}

/// Both say something all the time.
fn talking(servers: &[Arc<Counting>; 2]) -> JoinHandle<()> {
    let servers = servers.clone();
    tokio::spawn(async move {
        loop {
            for server in &servers {
                server.happens();
                tokio::time::sleep(Duration::from_millis(7)).await;
            }
        }
    })
}

/// Until there is an id to come back with.
async fn primed(told: &mut Told, stream: &mut Events) {
    let begun = std::time::Instant::now();
    while told.last.is_none() {
        assert!(begun.elapsed() < wait::SOON, "no id");
        told.read(stream, Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_stream_that_breaks_again_and_again_tells_everything_once() {
    let servers = servers();
    let gateway = Gateway::with(entries(&servers)).await;
    let session = Session::open(gateway.port, "/mcp").await;
    opened(&session).await;
    let talk = talking(&servers);
    let mut told = Told::default();
    let mut stream = session.listen(None).await;
    primed(&mut told, &mut stream).await;
    for round in 0..30_u64 {
        told.read(&mut stream, Duration::from_millis(round * 37 % 50)).await;
        drop(stream);
        stream = session.listen(told.last.as_deref()).await;
        assert_eq!(stream.status, 200);
    }
    talk.abort();
    told.read_all(&mut stream, &servers).await;
    told.was_whole(&servers);
    for server in &servers {
        assert_eq!(server.verbs("GET").len(), 1, "the servers noticed nothing");
    }
    assert_eq!(told.lists, 0);
}

#[tokio::test]
async fn where_nobody_has_kept_them_each_server_is_asked_for_the_rest() {
    let (servers, redis) = (servers(), Redis::start().await);
    let config = json!({ "servers": entries(&servers) });
    let gateways = [redis.gateway(&config).await, redis.gateway(&config).await];
    let session = Session::open(gateways[0].port, "/mcp").await;
    opened(&session).await;
    let talk = talking(&servers);
    let mut told = Told::default();
    let mut stream = session.listen(None).await;
    primed(&mut told, &mut stream).await;
    // no event of ours that was kept at one of them is known at the other
    for round in 1..=6_usize {
        told.read(&mut stream, Duration::from_millis(100)).await;
        assert_eq!(told.numbers.len(), 2, "both have a place to go on from");
        drop(stream);
        stream = session.at(gateways[round % 2].port).listen(told.last.as_deref()).await;
        assert_eq!(stream.status, 200, "round {round}");
        let before = told.numbers.clone();
        let goes_on = async {
            while NAMES.iter().any(|name| told.numbers[*name].len() == before[*name].len()) {
                told.read(&mut stream, Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(wait::SOON, goes_on).await.expect("both go on");
    }
    talk.abort();
    told.read_all(&mut stream, &servers).await;
    told.was_whole(&servers);
    assert!(told.lists >= 3, "what others said is not known: {}", told.lists);
}
