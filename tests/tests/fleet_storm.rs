//! Many revisions in a short time under load, wrong ones among them: no call fails, each is served by one revision, and who
//! applied a wrong one is told why. `SLUICE_LONG=1`: 1,000 of them in 60 s.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sluice_contract::v1;
use sluice_tests::catalogue::Catalogue;
use sluice_tests::client::Era;
use sluice_tests::control::messages;
use sluice_tests::long::form;
use sluice_tests::node::seen;
use sluice_tests::server::Server;
use sluice_tests::traffic::{Caller, Record, Traffic, percentile};
use sluice_tests::upstream::{Answer, Received};
use sluice_tests::{Call, ControlPlane, Node, Reply, message, process, wait};

/// On each node: clients of a server that changes with each revision, and behind them one of a server that stays as it is.
const CALLERS: usize = 5;
const STEADY: usize = CALLERS - 1;
/// What a wrong revision refers to, and no node has.
const ABSENT: &str = "NOT_ON_ANY_NODE";

fn key(caller: usize) -> String {
    format!("key-of-caller-{caller}-0123456789abcdef")
}

/// Says which mark its configuration put into a header, and which into an argument.
fn says_its_marks(received: &Received) -> Option<Answer> {
    let message = received.message();
    let shown = json!({ "header": received.header("x-mark"), "argument": message["params"]["arguments"]["mark"] });
    let answer = || Answer::message(&message::response(&message["id"], message::text(&shown.to_string())));
    (!received.tool().is_empty()).then(answer)
}

struct Servers {
    one: Server,
    steady: Server,
}

/// All of a revision: its mark is in a header and in an argument of the server, and says in the policy which tool may be called.
fn configuration(servers: &Servers, mark: u64) -> Vec<v1::Object> {
    let object = |kind: &str, name: &str, spec: Value| v1::Object {
        kind: kind.into(),
        name: name.into(),
        spec_json: spec.to_string(),
        revision: 0,
    };
    let edit = json!({ "forced": { "mark": mark } });
    let one = json!({
        "url": servers.one.url(), "headers": { "X-Mark": mark.to_string() },
        "tools": { "edit": { "even": edit, "odd": edit } },
    });
    let allow = json!({ "who": ["*"], "allow": [{ "tools": [parity(mark), "steady"] }] });
    let clients = (0..CALLERS).map(|n| object("client", &format!("c{n}"), json!({ "api_key": key(n) })));
    let servers = [object("server", "one", one), object("server", "steady", servers.steady.config())];
    servers.into_iter().chain([object("policy", "by-parity", allow)]).chain(clients).collect()
}

fn parity(mark: u64) -> &'static str {
    if mark.is_multiple_of(2) { "even" } else { "odd" }
}

/// A client that calls the even or the odd tool, at the door of all servers or at the one of the server; or what stays.
fn caller(node: &Node, number: usize) -> Caller {
    let call = |path: &str, name: &str| {
        let params = json!({ "name": name, "arguments": {} });
        let call = Call::modern(path, "tools/call", 1, params).key(&key(number));
        Caller::new(node.port, call).pausing(Duration::from_millis(5))
    };
    if number == STEADY {
        return call("/servers/steady/mcp", "steady");
    }
    let tool = if number.is_multiple_of(2) { "even" } else { "odd" };
    let (path, name) = match number / 2 % 2 {
        0 => ("/servers/one/mcp", tool.to_owned()),
        _ => ("/mcp", format!("one_{tool}")),
    };
    call(path, &name).judging(move |reply| judge(reply, tool))
}

/// The mark a call was served by; 0: it was denied.
fn judge(reply: &Reply, tool: &str) -> Result<u64, String> {
    let answer = reply.rpc();
    if reply.status != 200 || !matches!(answer["error"]["code"].as_i64(), None | Some(-32602)) {
        return Err(format!("{} {answer}", reply.status));
    }
    let Some(text) = answer["result"]["content"][0]["text"].as_str() else { return Ok(0) };
    let shown: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let mark = shown["argument"].as_u64().unwrap_or_default();
    let is_one = shown["header"].as_str() == Some(mark.to_string().as_str()) && parity(mark) == tool;
    if is_one { Ok(mark) } else { Err(format!("of more than one revision: {shown} for {tool}")) }
}

/// What is applied, and what came of it.
struct Storm<'a> {
    control: &'a ControlPlane,
    nodes: &'a [Node],
    servers: &'a Servers,
    /// The marks of the revisions that can be run.
    good: BTreeMap<u64, u64>,
    refused: [u64; 3],
    /// The most configurations a node had in memory at a time.
    alive: f64,
}

impl Storm<'_> {
    async fn apply(&self, objects: Vec<v1::Object>) -> v1::ApplyResponse {
        let request = v1::ApplyRequest { objects, ..v1::ApplyRequest::default() };
        self.control.admin().await.apply(request).await.unwrap()
    }

    async fn good(&mut self, mark: u64) {
        let answer = self.apply(configuration(self.servers, mark)).await;
        assert!(answer.faults.is_empty(), "{:?}", messages(&answer.faults));
        self.good.insert(answer.revision, mark);
        for node in self.nodes {
            self.alive = self.alive.max(node.metric("sluice_snapshots_alive", &[]).await);
        }
    }

    /// Applies a wrong one of each kind in turn: a value, a word, and something that only nodes can know.
    async fn wrong(&mut self, number: u64) {
        let kind = usize::try_from(number % 3).unwrap();
        let spec = match kind {
            0 => json!({ "url": format!("ftp://{}", self.servers.one.port) }),
            1 => json!({ "url": self.servers.one.url(), "tiemout": 1 }),
            _ => json!({ "url": self.servers.one.url(), "headers": { "X-Mark": { "env": ABSENT } } }),
        };
        let one = v1::Object { kind: "server".into(), name: "one".into(), spec_json: spec.to_string(), revision: 0 };
        let answer = self.apply(vec![one]).await;
        let told = messages(&answer.faults).join("\n");
        match kind {
            0 => assert!(told.contains("servers.one.url"), "{told}"),
            1 => assert!(told.contains("servers.one.tiemout"), "{told}"),
            _ => self.is_refused_by_all(answer.revision).await,
        }
        self.refused[kind] += 1;
    }

    async fn is_refused_by_all(&self, revision: u64) {
        for node in self.nodes {
            seen(self.control, &node.name, "refusing", |seen| seen.rejected_revision == revision).await;
            let status = sluice_tests::node::status(self.control, &node.name).await.unwrap();
            let told = messages(&status.rejected).join("\n");
            assert!(told.contains(ABSENT) && told.contains("servers.one"), "{told}");
        }
    }
}

#[tokio::test]
async fn revision_after_revision_is_run_whole_or_refused_and_no_call_fails() {
    let (revisions, wrong, length) = form((100, 20, Duration::from_secs(6)), (1_000, 200, Duration::from_secs(60)));
    let offer = Catalogue::new("one").tool("even").tool("odd").ttl(600_000);
    let steady = Catalogue::new("steady").tool("steady").ttl(600_000);
    let servers = Servers {
        one: Server::scripted(Era::Modern, &offer, says_its_marks),
        steady: Server::start(Era::Modern, &steady),
    };
    let control = ControlPlane::empty().await;
    let nodes = [Node::of(&control, "east", &[]).await.start(), Node::of(&control, "west", &[]).await.start()];
    let mut storm = Storm {
        control: &control,
        nodes: &nodes,
        servers: &servers,
        good: BTreeMap::new(),
        refused: [0; 3],
        alive: 0.0,
    };
    storm.good(1).await;
    for node in &nodes {
        node.is_ready().await;
    }
    let callers = || nodes.iter().flat_map(|node| (0..CALLERS).map(|number| caller(node, number)));
    let traffic = Traffic::of(callers());
    wait::pass(length / 6).await;
    let quiet = slow(&traffic.was_well().await);
    let before = answered(&nodes);

    let traffic = Traffic::of(callers());
    let (start, mut pace) = (Instant::now(), tokio::time::interval(length / (revisions + wrong)));
    let mut memory = Vec::new();
    for number in 0..u64::from(revisions) {
        if number % u64::from(revisions / wrong) == 2 {
            pace.tick().await;
            storm.wrong(number / 5).await;
        }
        pace.tick().await;
        storm.good(number + 2).await;
        if number % u64::from(revisions / 4) == 20 {
            memory.push(resident(&control, &nodes));
        }
    }
    let took = start.elapsed();
    memory.push(resident(&control, &nodes));
    assert!(took < length * 2, "{took:?} instead of {length:?}");
    assert_eq!((storm.good.len() as u64, storm.refused.iter().sum()), (u64::from(revisions) + 1, u64::from(wrong)));
    traffic.goes_on(50).await;
    shown_to_people(&storm).await;
    let records = traffic.was_well().await;

    let (last, _) = storm.good.last_key_value().unwrap();
    for node in &nodes {
        assert_eq!(node.revision().await, *last);
        let alive = async || node.metric("sluice_snapshots_alive", &[]).await;
        wait::becomes(wait::SOON, "one configuration is left in memory", alive, |alive| *alive == 1.0).await;
    }
    assert!(storm.alive <= (2 + CALLERS) as f64, "{} configurations in memory", storm.alive);
    never_back(&records);
    let seen = log_fits(&nodes, &storm.good, &before, &records).await;
    eprintln!(
        "{} revisions and {:?} wrong ones in {took:?}; {} calls, of {seen} revisions; p99 of what changes and of \
         what stays {:?}, quiet {quiet:?}; \
         at most {} configurations in memory; KiB of control plane and nodes: {memory:?}",
        storm.good.len(),
        storm.refused,
        records.iter().map(|record| record.answers.len()).sum::<usize>(),
        slow(&records),
        storm.alive,
    );
    let (early, late) = (memory.first().unwrap(), memory.last().unwrap());
    for (early, late) in early.iter().zip(late) {
        assert!(*late < early + early / 4 + (8 << 10), "memory grows: {memory:?}");
    }
}

/// The 99th percentile of calls to the server that changes, and to the one that stays.
fn slow(records: &[Record]) -> [Duration; 2] {
    let of = |steady: bool| {
        let group = records.iter().enumerate().filter(move |(at, _)| (at % CALLERS == STEADY) == steady);
        percentile(group.map(|(_, record)| record), 99)
    };
    [of(false), of(true)]
}

fn resident(control: &ControlPlane, nodes: &[Node]) -> Vec<u64> {
    [control.pid()].into_iter().chain(nodes.iter().map(|node| node.pid())).map(process::resident_kib).collect()
}

/// A person who applies what nodes refuse is told by `sluice apply`, and everybody by `sluice status`, while calls go on.
async fn shown_to_people(storm: &Storm<'_>) {
    let file = storm.control.state().with_file_name("wrong.yaml");
    let url = storm.servers.one.url();
    std::fs::write(&file, format!("servers: {{one: {{url: '{url}', headers: {{X-Mark: {{env: {ABSENT}}}}}}}}}"))
        .unwrap();
    let applied = storm.control.sluice(&["apply", "-f", &file.display().to_string()]);
    let told = String::from_utf8(applied.stderr).unwrap();
    assert!(applied.status.code() == Some(1) && told.contains(ABSENT) && told.contains("east"), "{told}");
    let status = String::from_utf8(storm.control.sluice(&["status"]).stdout).unwrap();
    assert!(status.contains("2 rejected") && status.contains(ABSENT), "{status}");
}

/// On no connection an older revision came after a newer one.
fn never_back(records: &[Record]) {
    for record in records {
        assert_eq!(record.connections, 1);
        let marks: Vec<_> = record.answers.iter().map(|answer| answer.shown).filter(|mark| *mark > 0).collect();
        assert!(marks.is_sorted(), "back to an older one: {marks:?}");
    }
}

/// The lines of the access log of each caller on each node: revision, and whether the call was let through.
fn lines(node: &Node) -> HashMap<String, Vec<(u64, bool)>> {
    let mut lines: HashMap<_, Vec<_>> = HashMap::new();
    for line in node.log().lines().filter(|line| line.contains(r#""log":"access""#)) {
        let line: Value = serde_json::from_str(line).unwrap();
        let (revision, outcome) = (line["revision"].as_u64().unwrap(), line["outcome"].as_str().unwrap());
        lines.entry(line["principal"].as_str().unwrap().to_owned()).or_default().push((revision, outcome == "ok"));
    }
    lines
}

/// How many lines each node has written.
fn answered(nodes: &[Node]) -> Vec<usize> {
    nodes.iter().map(|node| lines(node).values().map(Vec::len).sum()).collect()
}

/// Each call is a line of the log, with a revision that could be run and that let it through or not as its policy says. How many
/// revisions there are.
async fn log_fits(nodes: &[Node], good: &BTreeMap<u64, u64>, before: &[usize], records: &[Record]) -> usize {
    let mut seen = std::collections::BTreeSet::new();
    for ((node, before), records) in nodes.iter().zip(before).zip(records.chunks(CALLERS)) {
        let calls: usize = records.iter().map(|record| record.answers.len()).sum();
        let written = async || answered(std::slice::from_ref(node))[0];
        wait::becomes(wait::SOON, "a line for each call", written, |lines| *lines >= before + calls).await;
        for number in 0..CALLERS {
            let lines = lines(node).remove(&format!("c{number}")).unwrap();
            assert!(lines.is_sorted_by_key(|(revision, _)| *revision), "back to an older revision");
            for (revision, passed) in &lines {
                let mark = good.get(revision).unwrap_or_else(|| panic!("served by {revision}, which is refused"));
                let allowed = number == STEADY || mark % 2 == number as u64 % 2;
                assert_eq!(*passed, allowed, "of more than one revision: {revision}");
                seen.insert(*revision);
            }
        }
        assert_eq!(node.metric("sluice_access_log_lost_total", &[]).await, 0.0);
    }
    seen.len()
}
