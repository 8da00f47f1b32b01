//! Sessions as people list and end them: through a control plane for all nodes, or at the admin port of a gateway that has none.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::process::Output;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sluice_contract::v1;
use sluice_tests::control::{Admin, code};
use sluice_tests::fleet::{Fleet, object};
use sluice_tests::gateway::Start;
use sluice_tests::peer::Peer;
use sluice_tests::redis::KEYS;
use sluice_tests::upstream::Legacy;
use sluice_tests::{Call, Redis, Session, until, wait};
use tonic::Code;

const NAMES: [&str; 3] = ["edge-1", "edge-2", "edge-3"];
const ONE: &str = "/servers/one/mcp";
const PIPE: &str = "/servers/pipe/mcp";
const ALICE: &str = "alice-key-0123456789abcdef";
/// What is promised; and what a busy machine adds to it here.
const OVER: Duration = Duration::from_secs(1 + 1);
const BOB: &str = "bob-key-0123456789abcdef0";

fn clients() -> [(&'static str, Value); 2] {
    [("alice", json!({ "api_key": ALICE })), ("bob", json!({ "api_key": BOB }))]
}

async fn open(port: u16, path: &str, key: &str) -> Session {
    Session::with(port, path, json!({}), Some(key)).await
}

fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What `sluice session list` shows to programs.
fn listed(run: impl Fn(&[&str]) -> Output, more: &[&str]) -> Vec<Value> {
    let output = run(&[&["session", "list", "-o", "json"], more].concat());
    serde_json::from_str::<Value>(&succeeded(&output)).unwrap().as_array().unwrap().clone()
}

fn ids(sessions: &[Value]) -> Vec<&str> {
    sessions.iter().map(|session| session["session"].as_str().unwrap()).collect()
}

/// 404 to whoever has it, at each of these ports, in time.
async fn is_over(session: &Session, ports: &[u16]) {
    let begun = Instant::now();
    for port in ports {
        let there = session.at(*port);
        let status = async || there.request("ping", json!({})).await.status;
        wait::becomes(wait::SOON, "the session is over", status, |status| *status == 404).await;
    }
    assert!(begun.elapsed() < OVER, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_fleet_lists_and_ends_the_sessions_of_all_its_nodes() {
    let (server, pipe, redis) = (Legacy::start(), Peer::new("legacy"), Redis::start().await);
    let mut objects: Vec<_> = clients().iter().map(|(name, spec)| object("client", name, spec)).collect();
    objects.extend([object("server", "one", &server.config()), object("server", "pipe", &pipe.config())]);
    let fleet = Fleet::keeping(&redis, &NAMES, objects).await;
    let ports: Vec<u16> = fleet.nodes.iter().map(|node| node.port).collect();
    let run = |args: &[&str]| fleet.control.sluice(args);
    assert_eq!(listed(run, &[]), Vec::<Value>::new());

    let at_one = open(ports[0], ONE, ALICE).await;
    let stream = at_one.at(ports[1]).listen(None).await;
    assert_eq!(stream.status, 200);
    let merged = open(ports[2], "/mcp", ALICE).await;
    // in the memory of one node, with its process
    let held = open(ports[1], PIPE, ALICE).await;
    let others = open(ports[0], ONE, BOB).await;

    // once every node has looked
    let open_at = |all: &[Value]| all.iter().any(|session| session["nodes"] == json!(["edge-2"]));
    let all = wait::becomes(wait::SOON, "all are listed", async || listed(run, &[]), |all| open_at(all)).await;
    assert_eq!(all.len(), 4, "{all:#?}");
    assert!(ids(&all).is_sorted());
    let of = |server: &str, who: &str| {
        let is_it = |session: &&Value| {
            session["servers"][0] == server && session["principal"] == who && session["merged"] == false
        };
        all.iter().find(is_it).unwrap_or_else(|| panic!("{server} {who}: {all:#?}"))
    };
    let own = of("one", "client:alice");
    assert_eq!(
        (&own["client"], &own["client_version"], &own["protocol_version"], &own["store"], &own["nodes"]),
        (&json!("test-client"), &json!("1.2.3"), &json!("2025-11-25"), &json!("redis"), &json!(["edge-2"]))
    );
    assert_eq!(
        (&of("pipe", "client:alice")["store"], &of("one", "client:bob")["merged"]),
        (&json!("memory"), &json!(false))
    );
    assert_eq!(all.iter().filter(|session| session["merged"] == true).count(), 1);
    for text in [all.iter().map(Value::to_string).collect::<String>(), succeeded(&run(&["session", "list"]))] {
        for session in [&at_one, &merged, &held, &others] {
            assert!(!text.contains(&session.id) && !text.contains(&session.id[4..]), "a client's own id");
        }
    }

    assert_eq!(listed(run, &["--principal", "client:bob"]).len(), 1);
    assert_eq!(listed(run, &["--principal", "client:nobody"]).len(), 0);
    assert!(listed(run, &["--server", "pipe"]).iter().any(|session| session["store"] == "memory"));
    let mut one_by_one = listed(run, &["--limit", "1"]);
    while let [next] = &listed(run, &["--limit", "1", "--after", ids(&one_by_one).last().unwrap()])[..] {
        one_by_one.push(next.clone());
    }
    assert_eq!(ids(&one_by_one), ids(&all));

    // a shown id is no session of anybody
    let shown = own["session"].as_str().unwrap();
    let call = Call::get(ONE).header("mcp-session-id", shown).header("mcp-protocol-version", "2025-11-25").key(ALICE);
    assert_eq!(call.send(ports[0]).await.status, 404);

    let mut stream = stream;
    succeeded(&run(&["session", "end", shown]));
    is_over(&at_one, &ports).await;
    assert!(stream.rest().await.iter().all(|message| message.get("id").is_none()), "its stream ends");
    until("its server is told", || (server.verbs("DELETE").len() == 1).then_some(())).await;
    let again = run(&["session", "end", shown]);
    assert!(!again.status.success(), "there is none any more");
    assert_eq!(others.request("ping", json!({})).await.status, 200);

    succeeded(&run(&["session", "end", "--principal", "client:alice"]));
    is_over(&merged, &ports).await;
    is_over(&held, &ports).await;
    assert_eq!(others.request("ping", json!({})).await.status, 200);
    let left = listed(run, &[]);
    assert_eq!((left.len(), &left[0]["principal"]), (1, &json!("client:bob")));
    let audit = succeeded(&run(&["audit", "-o", "json"]));
    assert!(
        audit.contains("session.end") && audit.contains(shown) && audit.contains("principal/client:alice"),
        "{audit}"
    );
    for wrong in [&["session", "end"][..], &["session", "end", "abc"], &["session", "list", "--after", &others.id]] {
        assert!(!run(wrong).status.success(), "{wrong:?}");
    }
}

#[tokio::test]
async fn who_reads_lists_sessions_and_who_writes_ends_them_at_every_door() {
    let (server, redis) = (Legacy::start(), Redis::start().await);
    let fleet = Fleet::keeping(&redis, &NAMES[..2], vec![object("server", "one", &server.config())]).await;
    let session = Session::open(fleet.port(), ONE).await;
    let admin = fleet.control.admin().await;
    let viewer = Admin::at(fleet.control.grpc, &admin.person("reader", "viewer").await).await;
    let editor = Admin::at(fleet.control.grpc, &admin.person("writer", "editor").await).await;
    let list = v1::ListSessionsRequest::default;
    let page = viewer.client().list_sessions(viewer.with(list())).await.unwrap().into_inner();
    assert_eq!((page.sessions.len(), page.next.as_str(), page.trouble.len()), (1, "", 0));
    let id = page.sessions[0].session.clone();
    let end = || v1::EndSessionsRequest { sessions: vec![id.clone()], ..v1::EndSessionsRequest::default() };
    assert_eq!(code(viewer.client().end_sessions(viewer.with(end())).await), Code::PermissionDenied);
    assert_eq!(code(viewer.client().list_sessions(tonic::Request::new(list())).await), Code::Unauthenticated);
    assert_eq!(session.request("ping", json!({})).await.status, 200);
    let (status, shown) = fleet.control.rest("GET", "/sessions?principal=local&limit=10", Value::Null).await;
    assert_eq!((status, shown["sessions"][0]["session"].as_str()), (200, Some(&*id)), "{shown}");
    let ended = editor.client().end_sessions(editor.with(end())).await.unwrap().into_inner();
    assert_eq!((ended.ended, ended.trouble.len()), (1, 0));
    let (status, shown) = fleet.control.rest("POST", "/sessions/end", json!({ "sessions": [id] })).await;
    assert_eq!((status, shown), (200, json!({ "ended": 0, "trouble": [] })));
    let (status, _) = fleet.control.rest("POST", "/sessions/end", json!({})).await;
    assert_eq!(status, 400);
    is_over(&session, &[fleet.nodes[0].port, fleet.nodes[1].port]).await;
}

#[tokio::test]
async fn what_cannot_be_looked_through_is_said() {
    let (server, mut redis) = (Legacy::start(), Redis::start().await);
    let mut fleet = Fleet::keeping(&redis, &NAMES[..2], vec![object("server", "one", &server.config())]).await;
    let session = Session::open(fleet.nodes[0].port, ONE).await;
    // nobody who lives has it in memory: it is in Redis
    fleet.nodes[0].kill().await;
    let said = async || {
        let output = fleet.control.sluice(&["session", "list", "-o", "json"]);
        let warned = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(i32::from(warned.contains("warning: "))), "{warned}");
        (String::from_utf8_lossy(&output.stdout).into_owned(), warned)
    };
    let (shown, warned) =
        wait::becomes(wait::SOON, "a node is missed", said, |(_, warned)| warned.contains("not connected")).await;
    assert!(shown.contains("\"store\": \"redis\"") && warned.contains("edge-1"), "{shown} {warned}");
    redis.kill().await;
    let (_, warned) =
        wait::becomes(wait::SOON, "Redis is missed", said, |(_, warned)| warned.contains("does not answer")).await;
    assert!(warned.contains("edge-2") && warned.contains("not known which sessions there are"), "{warned}");
    redis.again().await;
    let node = &fleet.nodes[1];
    let status = async || session.at(node.port).request("ping", json!({})).await.status;
    wait::becomes(wait::SOON, "it is there again", status, |status| *status == 200).await;
}

#[tokio::test]
async fn a_gateway_without_a_control_plane_is_asked_itself() {
    let (server, pipe) = (Legacy::start(), Peer::new("legacy"));
    for store in ["memory", "sqlite"] {
        let servers = json!({ "one": server.config(), "pipe": pipe.config() });
        let config = json!({ "servers": servers, "proxy": { "sessions": { "store": store } } });
        let gateway = Start::new(config).env("SLUICE_SESSION_KEYS", KEYS).ready().await;
        let (one, pipe) = (Session::open(gateway.port, ONE).await, Session::open(gateway.port, PIPE).await);
        let at = format!("127.0.0.1:{}", gateway.admin);
        let run = |args: &[&str]| gateway.run(&[args, &["--admin", &at]].concat());
        let all = listed(run, &[]);
        let mut stores: Vec<_> = all.iter().map(|session| session["store"].as_str().unwrap()).collect();
        stores.sort_unstable();
        assert_eq!(stores, if store == "memory" { ["memory", "memory"] } else { ["memory", "sqlite"] }, "{all:#?}");
        assert!(all.iter().all(|session| session["principal"] == "local"), "{all:#?}");
        let kept = listed(run, &["--server", "one"]);
        assert_eq!(kept.len(), 1, "{store}: {kept:#?}");
        succeeded(&run(&["session", "end", kept[0]["session"].as_str().unwrap()]));
        is_over(&one, &[gateway.port]).await;
        succeeded(&run(&["session", "end", "--principal", "local"]));
        is_over(&pipe, &[gateway.port]).await;
        assert_eq!(listed(run, &[]), Vec::<Value>::new(), "{store}");
    }
    // those of anonymous clients over the network, or of pages in browsers, are not told
    let gateway = Start::new(json!({ "servers": {} })).ready().await;
    let asked = Call::get("/sessions").bare().header("origin", "http://localhost").send(gateway.admin).await;
    assert_eq!(asked.status, 403);
}

#[tokio::test]
async fn many_sessions_come_in_pages() {
    let (server, redis) = (Legacy::start(), Redis::start().await);
    let client = object("client", "alice", &json!({ "api_key": ALICE }));
    let fleet = Fleet::keeping(&redis, &NAMES[..2], vec![object("server", "one", &server.config()), client]).await;
    for _ in 0..60 {
        let opening = [open(fleet.port(), ONE, ALICE), open(fleet.port(), ONE, ALICE)];
        futures_util::future::join_all(opening).await;
    }
    let admin = fleet.control.admin().await;
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let request = v1::ListSessionsRequest { limit: 7, after, ..v1::ListSessionsRequest::default() };
        let page = admin.client().list_sessions(admin.with(request)).await.unwrap().into_inner();
        assert!(page.sessions.len() <= 7);
        seen.extend(page.sessions.into_iter().map(|session| session.session));
        after = page.next;
        if after.is_empty() {
            break;
        }
    }
    assert!(seen.is_sorted() && seen.windows(2).all(|two| two[0] != two[1]));
    assert_eq!(seen.len(), 120);
    let ended = fleet.control.sluice(&["session", "end", "--principal", "client:alice"]);
    assert!(String::from_utf8_lossy(&ended.stderr).contains("120 sessions are over"), "{ended:?}");
    wait::becomes(wait::SOON, "none is kept", async || redis.sessions().await.len(), |kept| *kept == 0).await;
}

#[tokio::test]
async fn a_node_that_was_away_ends_what_was_asked_for_when_it_comes_back() {
    let server = Legacy::start();
    let kept = json!({ "sessions": { "store": "sqlite" } });
    let objects = vec![object("server", "one", &server.config()), object("proxy", "proxy", &kept)];
    let mut fleet = Fleet::running(&NAMES[..1], objects).await;
    let port = fleet.nodes[0].port;
    let session = Session::open(port, ONE).await;
    let sessions = listed(|args| fleet.control.sluice(args), &[]);
    let id = ids(&sessions)[0].to_owned();
    let other = Session::open(port, ONE).await;
    fleet.nodes[0].kill().await;
    let (control, end) = (&fleet.control, ["session", "end", &id]);
    let said = async || String::from_utf8_lossy(&control.sluice(&end).stderr).into_owned();
    let told = |said: &String| said.contains("edge-1 is not connected: it is told when it comes back");
    // that it is gone, the control plane sees a moment later
    wait::becomes(wait::SOON, "it is kept for the node", said, told).await;
    fleet.nodes[0].again();
    fleet.nodes[0].is_ready().await;
    let status = async |session: &Session| session.request("ping", json!({})).await.status;
    wait::becomes(wait::SOON, "it is over", async || status(&session).await, |status| *status == 404).await;
    assert_eq!(status(&other).await, 200, "and no other");
    let kept = server.verbs("DELETE").len();
    assert_eq!(kept, 1, "its server was told");
}

#[tokio::test]
async fn without_the_store_what_is_at_hand_is_listed_and_what_it_keeps_is_not_said_to_be_over() {
    let (server, pipe, mut redis) = (Legacy::start(), Peer::new("legacy"), Redis::start().await);
    let config = json!({ "servers": { "one": server.config(), "pipe": pipe.config() } });
    let gateway = redis.gateway(&config).await;
    let (kept, own) = (Session::open(gateway.port, ONE).await, Session::open(gateway.port, PIPE).await);
    let at = format!("127.0.0.1:{}", gateway.admin);
    let run = |args: &[&str]| gateway.run(&[args, &["--admin", &at]].concat());
    let all = listed(run, &[]);
    assert_eq!(all.len(), 2, "{all:#?}");
    let id = |store: &str| {
        let session = all.iter().find(|session| session["store"] == store).unwrap();
        session["session"].as_str().unwrap().to_owned()
    };
    redis.kill().await;
    let said = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let output = run(&["session", "list", "-o", "json"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(ids(shown.as_array().unwrap()), ids(&all), "as before");
    assert!(said(&output).contains("does not answer"), "{}", said(&output));
    let output = run(&["session", "end", &id("redis")]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("0 sessions are over") && said(&output).contains("may go on"), "{}", said(&output));
    let output = run(&["session", "end", "--principal", "local"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("1 session is over"), "that of the process: {}", said(&output));
    assert_eq!(own.request("ping", json!({})).await.status, 503, "nobody can say that it is nowhere");
    redis.again().await;
    let end = async || run(&["session", "end", &id("redis")]).status.success();
    wait::becomes(wait::SOON, "it is ended", end, |done| *done).await;
    is_over(&kept, &[gateway.port]).await;
    is_over(&own, &[gateway.port]).await;
}
