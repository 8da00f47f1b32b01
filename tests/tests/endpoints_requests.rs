//! A server that runs in several places, and requests that may go to any: they are shared out, they go elsewhere where nothing
//! was sent, none runs twice, and a place that fails is left out until it is back.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use sluice_tests::place::{runs, several};
use sluice_tests::upstream::{Answer, Modern};
use sluice_tests::{Call, Gateway, Upstream, message, wait};

const DOOR: &str = "/servers/one/mcp";
/// How long what takes a moment may take on a busy machine.
const SEEN: Duration = Duration::from_secs(10);

fn call(tool: &str, n: u64) -> Call {
    Call::modern(DOOR, "tools/call", 1, json!({ "name": tool, "arguments": { "n": n } }))
}

async fn gateway(places: &[&Upstream], more: Value) -> Gateway {
    Gateway::with(json!({ "one": several(places.iter().copied(), more) })).await
}

/// Calls from so many clients at a time, until told to stop; each call has a number of its own. What failed, with its number.
struct Load {
    over: Arc<AtomicBool>,
    made: Arc<AtomicU64>,
    callers: Vec<tokio::task::JoinHandle<Vec<(u64, String)>>>,
}

impl Load {
    fn of(port: u16, clients: usize, tool: &'static str) -> Self {
        let (over, made) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let callers = (0..clients).map(|_| {
            let (over, made) = (Arc::clone(&over), Arc::clone(&made));
            tokio::spawn(async move {
                let mut failed = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    let n = made.fetch_add(1, Ordering::Relaxed);
                    let reply = call(tool, n).send(port).await;
                    if reply.status != 200 || reply.rpc().get("result").is_none() {
                        failed.push((n, reply.text()));
                    }
                }
                failed
            })
        });
        Self { callers: callers.collect(), over, made }
    }

    /// Waits until so many more calls were made.
    async fn goes_on(&self, calls: u64) {
        let until = self.made.load(Ordering::Relaxed) + calls;
        // as many as a busy machine makes in a minute
        let made = || (self.made.load(Ordering::Relaxed) >= until).then_some(());
        wait::within(Duration::from_secs(60), "calls", made).await;
    }

    async fn end(self) -> (u64, Vec<(u64, String)>) {
        self.over.store(true, Ordering::Relaxed);
        let mut failed = Vec::new();
        for caller in self.callers {
            failed.extend(wait::soon("a client ends", caller).await.unwrap());
        }
        (self.made.load(Ordering::Relaxed), failed)
    }
}

/// A server whose every answer is delayed.
fn slow(delay: Duration) -> Modern {
    Modern::scripted(move |received| {
        let message = received.message();
        let (pipe, answer) = Answer::stream("application/json");
        tokio::spawn(async move {
            wait::pass(delay).await;
            let mut result = message::text("late");
            result["resultType"] = json!("complete");
            pipe.send(message::response(&message["id"], result).to_string()).await;
        });
        Some(answer)
    })
}

/// A server that does what is said of it at present.
fn moody(answer: impl Fn() -> Option<Answer> + Send + Sync + 'static) -> (Modern, Arc<AtomicBool>) {
    let bad = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&bad);
    (Modern::scripted(move |_| told.load(Ordering::Relaxed).then(&answer).flatten()), bad)
}

fn unavailable() -> Option<Answer> {
    Some(Answer::new(503, "text/plain", "overloaded"))
}

/// How the gateway says that an endpoint is.
async fn state(gateway: &Gateway, number: usize) -> String {
    let servers: Value = serde_json::from_str(&gateway.admin("/servers").await.text()).unwrap();
    servers["servers"][0]["endpoints"][number]["state"].as_str().unwrap_or_default().to_owned()
}

async fn becomes(gateway: &Gateway, number: usize, expected: &str) {
    let ask = async || state(gateway, number).await;
    wait::becomes(SEEN, &format!("endpoint {number} is {expected}"), ask, |state| state == expected).await;
}

#[tokio::test]
async fn requests_are_shared_out_and_a_slow_endpoint_gets_less() {
    let (one, two, late) = (Modern::start(), Modern::start(), slow(Duration::from_millis(500)));
    let gateway = gateway(&[&one, &two, &late], json!({})).await;
    let load = Load::of(gateway.port, 8, "echo");
    load.goes_on(600).await;
    let (made, failed) = load.end().await;
    assert!(failed.is_empty(), "{failed:?}");
    let share = |place: &Modern| place.got("tools/call").len() as u64 * 1000 / made;
    let shares = [share(&one), share(&two), share(&late)];
    assert!(shares[0] > 250 && shares[1] > 250, "{shares:?}");
    assert!(shares[2] < 200 && shares[2] > 0, "{shares:?}");
    assert!(runs([&*one, &*two, &*late]).values().all(|times| *times == 1));
}

#[tokio::test]
async fn weights_are_kept() {
    let (light, heavy) = (slow(Duration::from_millis(5)), slow(Duration::from_millis(5)));
    let endpoints = json!([{ "url": light.url() }, { "url": heavy.url(), "weight": 4 }]);
    let gateway = Gateway::with(json!({ "one": { "endpoints": endpoints } })).await;
    let load = Load::of(gateway.port, 16, "echo");
    load.goes_on(800).await;
    let (_, failed) = load.end().await;
    assert!(failed.is_empty(), "{failed:?}");
    let [light, heavy] = [&light, &heavy].map(|place| place.got("tools/call").len());
    assert!(heavy > light * 5 / 2 && light > 0, "{light} and {heavy}");
}

#[tokio::test]
async fn an_endpoint_that_is_killed_under_load_fails_only_what_it_may_have_run() {
    let places = [slow(Duration::from_millis(3)), slow(Duration::from_millis(3)), slow(Duration::from_millis(3))];
    let all = || places.iter().map(|place| &**place);
    let config = several(all(), json!({ "balance": { "eject_seconds": 0.2 } }));
    let gateway = Gateway::with(json!({ "one": config })).await;
    let load = Load::of(gateway.port, 16, "echo");
    load.goes_on(200).await;
    let mut killed = 0;
    for place in &places {
        place.kill();
        load.goes_on(300).await;
        killed += 1;
        place.revive().await;
        let before = place.received().len();
        wait::until("the endpoint is used again", || (place.received().len() > before + 20).then_some(())).await;
    }
    let (made, failed) = load.end().await;
    assert_eq!(killed, 3);
    let runs = runs(all());
    assert!(runs.values().all(|times| *times == 1), "a call ran twice");
    for (n, told) in &failed {
        assert!(told.contains("may have run"), "call {n} did not run, and nobody else was asked: {told}");
    }
    // what was in flight at one of three when it was killed, three times
    assert!(failed.len() <= 3 * 16, "{} of {made} calls failed: {:?}", failed.len(), failed.first());
    assert!(gateway.metric("sluice_endpoint_ejections_total", &["server=\"one\""]).await >= 1.0);
}

#[tokio::test]
async fn a_failing_endpoint_is_left_out_and_comes_back_by_itself() {
    let (good, (bad, is_bad)) = (Modern::start(), moody(unavailable));
    let gateway = gateway(&[&good, &bad], json!({ "balance": { "eject_failures": 3, "eject_seconds": 0.3 } })).await;
    let load = Load::of(gateway.port, 4, "echo");
    load.goes_on(50).await;
    is_bad.store(true, Ordering::Relaxed);
    becomes(&gateway, 1, "ejected").await;
    assert_eq!(gateway.metric("sluice_endpoint_up", &["endpoint=\"1\""]).await, 0.0);
    assert_eq!(gateway.metric("sluice_endpoint_up", &["endpoint=\"0\""]).await, 1.0);
    let health = Call::get("/health").bare().send(gateway.port).await.text();
    assert!(health.contains(r#""endpoints_out":1"#), "{health}");
    load.goes_on(200).await;
    is_bad.store(false, Ordering::Relaxed);
    becomes(&gateway, 1, "in service").await;
    let before = bad.got("tools/call").len();
    load.goes_on(100).await;
    assert!(bad.got("tools/call").len() > before + 10);
    let (made, failed) = load.end().await;
    // a few to find out, then one at a time
    assert!(failed.len() < 20, "{} of {made} calls failed", failed.len());
    let log = gateway.log();
    assert_eq!(log.matches("the endpoint is back in service").count(), log.matches("the endpoint fails").count());
    assert!(!log.contains(&bad.url()), "no address in the log");
}

#[tokio::test]
async fn an_error_of_mcp_is_no_failure() {
    let (good, (bad, is_bad)) = (
        Modern::start(),
        moody(|| Some(Answer::new(500, "application/json", message::error(&json!(1), -32603, "broken").to_string()))),
    );
    let gateway = gateway(&[&good, &bad], json!({ "balance": { "eject_failures": 1 } })).await;
    assert_eq!(call("echo", 0).send(gateway.port).await.status, 200);
    is_bad.store(true, Ordering::Relaxed);
    for n in 1..40 {
        call("echo", n).send(gateway.port).await;
    }
    assert!(bad.got("tools/call").len() > 5);
    assert_eq!(state(&gateway, 1).await, "in service");
}

/// Two places, one of which breaks off every call; tools that say whether they may run twice.
async fn breaking(retries: &str) -> (Modern, Modern, Gateway) {
    let tools = json!([
        { "name": "read", "inputSchema": { "type": "object" }, "annotations": { "readOnlyHint": true } },
        { "name": "set", "inputSchema": { "type": "object" }, "annotations": { "idempotentHint": true } },
        { "name": "add", "inputSchema": { "type": "object" } },
        { "name": "lying", "inputSchema": { "type": "object" }, "annotations": { "readOnlyHint": true } },
    ]);
    let listing = move |received: &sluice_tests::upstream::Received| {
        let message = received.message();
        let result = json!({ "resultType": "complete", "tools": tools, "ttlMs": 60000, "cacheScope": "public" });
        (message["method"] == "tools/list").then(|| Answer::message(&message::response(&message["id"], result)))
    };
    let breaks = listing.clone();
    let good = Modern::scripted(listing);
    let bad = Modern::scripted(move |received| match received.tool().is_empty() {
        true => breaks(received),
        false => Some(Answer::cut()),
    });
    let more = json!({
        "balance": { "retries": retries, "eject_failures": 1000 },
        "tools": { "edit": { "lying": { "annotations": { "readOnlyHint": false } } } },
    });
    let gateway = gateway(&[&good, &bad], more).await;
    (good, bad, gateway)
}

#[tokio::test]
async fn what_may_have_run_is_repeated_only_where_the_configuration_trusts_that_it_may_run_twice() {
    for (retries, tool, repeated) in [
        ("unsent", "read", false),
        ("idempotent", "read", true),
        ("idempotent", "set", true),
        ("idempotent", "add", false),
        ("idempotent", "lying", false),
    ] {
        let (good, bad, gateway) = breaking(retries).await;
        let mut failed = 0;
        for n in 0..30 {
            failed += usize::from(call(tool, n).send(gateway.port).await.status != 200);
        }
        let broken = bad.calls(tool).len();
        assert!(broken > 3, "{retries} {tool}: {broken}");
        assert_eq!(failed, if repeated { 0 } else { broken }, "{retries} {tool}");
        let most = runs([&*good, &*bad]).into_values().max();
        assert_eq!(most, Some(if repeated { 2 } else { 1 }), "{retries} {tool}");
        assert!(runs([&*good]).into_values().all(|times| times == 1), "never twice to the same endpoint");
    }
}

#[tokio::test]
async fn a_storm_of_failures_is_not_answered_by_a_storm_of_retries() {
    let places = [moody(unavailable), moody(unavailable), moody(unavailable)];
    let all = || places.iter().map(|(place, _)| &**place);
    let balance = json!({ "retries": "idempotent", "retry_percent": 10, "eject_failures": 1000 });
    let gateway = Gateway::with(json!({ "one": several(all(), json!({ "balance": balance })) })).await;
    let read = || Call::modern(DOOR, "resources/read", 1, json!({ "uri": "file:///a" }));
    read().send(gateway.port).await;
    places.iter().for_each(|(_, bad)| bad.store(true, Ordering::Relaxed));
    let before: usize = all().map(|place| place.got("resources/read").len()).sum();
    for _ in 0..50 {
        futures_util::future::join_all((0..20).map(|_| async { read().send(gateway.port).await })).await;
    }
    let came = all().map(|place| place.got("resources/read").len()).sum::<usize>() - before;
    let windows = 3;
    assert!(came > 1000 && came <= 1000 + 100 + windows * 100, "{came} requests for 1000");
    assert!(gateway.metric("sluice_retries_total", &["server=\"one\""]).await > 0.0);
}

#[tokio::test]
async fn where_no_endpoint_can_be_reached_the_error_says_that_nothing_was_sent() {
    let (one, two) = (Modern::start(), Modern::start());
    let gateway = gateway(&[&one, &two], json!({ "balance": { "eject_seconds": 0.2 } })).await;
    assert_eq!(call("echo", 0).send(gateway.port).await.status, 200);
    one.kill();
    two.kill();
    for n in 1..30 {
        let reply = call("echo", n).send(gateway.port).await;
        assert_eq!(reply.status, 502, "{reply:?}");
        assert!(reply.text().contains("nothing was sent"), "{reply:?}");
    }
    two.revive().await;
    let well = async || call("echo", 99).send(gateway.port).await.status;
    wait::becomes(SEEN, "the one that is back is found", well, |status| *status == 200).await;
}

#[tokio::test]
async fn endpoints_are_asked_how_they_are_where_the_configuration_says_so() {
    let is_bad = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&is_bad);
    let ill = Upstream::start(move |received| {
        let well = !told.load(Ordering::Relaxed);
        async move {
            match (received.path.as_str(), well) {
                ("/health", true) => Answer::new(200, "text/plain", "ok"),
                ("/health", false) => Answer::new(500, "text/plain", "ill"),
                _ => {
                    let mut result = message::text("here");
                    result["resultType"] = json!("complete");
                    Answer::message(&message::response(&received.message()["id"], result))
                }
            }
        }
    });
    let well = Upstream::always(|| Answer::new(200, "text/plain", "ok"));
    let check = json!({ "path": "/health", "interval_seconds": 0.1, "unhealthy": 2, "healthy": 1 });
    let endpoints = json!([{ "url": ill.url() }, { "url": well.url() }]);
    let config = json!({ "endpoints": endpoints, "protocol": "modern", "balance": { "health_check": check } });
    let gateway = Gateway::with(json!({ "one": config })).await;
    ill.receives("a check", |received| received.path == "/health").await;
    is_bad.store(true, Ordering::Relaxed);
    becomes(&gateway, 0, "unhealthy").await;
    assert_eq!(state(&gateway, 1).await, "in service");
    is_bad.store(false, Ordering::Relaxed);
    becomes(&gateway, 0, "in service").await;
    let again = || gateway.log().contains("the endpoint is well again").then_some(());
    wait::until("the log says so", again).await;
    let log = gateway.log();
    assert_eq!(log.matches("the endpoint is not well").count(), 1, "{log}");
    assert_eq!(log.matches("the endpoint is well again").count(), 1, "{log}");
}

#[tokio::test]
async fn mcp_itself_is_asked_where_no_path_is_given_and_nothing_where_checks_are_off() {
    let (one, two, unasked) = (Modern::start(), Modern::start(), Modern::start());
    let check = json!({ "balance": { "health_check": { "interval_seconds": 0.1, "unhealthy": 1, "healthy": 1 } } });
    let config = json!({ "one": several([&*one, &*two], check), "two": several([&*unasked], json!({})) });
    let gateway = Gateway::with(config).await;
    one.receives("a question", |received| received.method() == "server/discover").await;
    two.kill();
    becomes(&gateway, 1, "unhealthy").await;
    two.revive().await;
    becomes(&gateway, 1, "in service").await;
    assert!(unasked.received().is_empty());
}
