//! Questions to one small snapshot.

use std::time::{Duration, SystemTime};

use sluice_contract::v1;

use super::{Action, Answer, Question, Verdict, explain};
use crate::model::Snapshot;
use crate::share::{Share, Shares};

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn server(name: &str, transport: v1::server::Transport, curation: Option<v1::Curation>) -> v1::Server {
    v1::Server {
        name: name.to_owned(),
        transport: Some(transport),
        protocol: v1::Protocol::Auto.into(),
        isolation: v1::Isolation::Auto.into(),
        timeout_ms: 60_000,
        curation,
        balance: None,
    }
}

fn said(value: &str) -> v1::Sensitive {
    v1::Sensitive { source: Some(v1::sensitive::Source::Value(value.to_owned())) }
}

fn coverage(servers: &[&str], tools: &[&str]) -> Option<v1::Coverage> {
    Some(v1::Coverage {
        servers: strings(servers),
        everything: tools.is_empty(),
        tools: strings(tools),
        ..v1::Coverage::default()
    })
}

fn rule(servers: &[&str], tools: &[&str], actions: &[v1::Action], scopes: &[&str]) -> v1::Rule {
    v1::Rule {
        coverage: coverage(servers, tools),
        actions: actions.iter().map(|action| (*action).into()).collect(),
        scopes: strings(scopes),
        when: vec![],
    }
}

/// Weather with a renamed tool and one that is hidden, a process, a client with a key, an issuer, two policies.
fn wire() -> v1::Snapshot {
    let both = [v1::Action::List, v1::Action::Call];
    let endpoint = v1::HttpEndpoint {
        url: "https://weather.example.com/mcp?key=s3cret".to_owned(),
        headers: vec![v1::Header { name: "authorization".to_owned(), value: Some(said("Bearer s3cret")) }],
        ..v1::HttpEndpoint::default()
    };
    let edit = v1::ToolEdit {
        tool: "get".to_owned(),
        name: Some("forecast".to_owned()),
        forced: vec![v1::Argument { name: "token".to_owned(), value_json: "\"s3cret\"".to_owned() }],
        ..v1::ToolEdit::default()
    };
    let curation = v1::Curation {
        tools: Some(v1::Selection { allow: vec![], deny: strings(&["admin_*"]) }),
        tool_edits: vec![edit],
        ..v1::Curation::default()
    };
    let command =
        v1::Command { program: "git-mcp".to_owned(), args: strings(&["--token", "s3cret"]), ..v1::Command::default() };
    let reader = v1::Policy {
        name: "readers".to_owned(),
        who: strings(&["client:alice", "jwt:corp:*"]),
        allow: vec![
            rule(&["weather"], &["get"], &both, &[]),
            rule(&["git"], &["push"], &both, &["git:write"]),
            rule(&["git"], &["log"], &[v1::Action::List], &[]),
        ],
        limit: vec![v1::Limit {
            coverage: coverage(&["weather"], &[]),
            per: v1::Per::Tool.into(),
            requests_per_minute: Some(7),
            concurrent_requests: None,
            of_fleet: true,
        }],
        ..v1::Policy::default()
    };
    v1::Snapshot {
        revision: 5,
        name: "sluice".to_owned(),
        listener: Some(v1::Listener { addresses: strings(&["127.0.0.1:8000"]), ..v1::Listener::default() }),
        access: Some(v1::Access {
            required: true,
            clients: vec![v1::Client {
                name: "alice".to_owned(),
                keys: vec![v1::Key { sha256: vec![7; 32], expires_at: Some(2_000_000_000) }],
                roles: strings(&["ops"]),
            }],
            issuers: vec![v1::Issuer {
                name: "corp".to_owned(),
                issuer: "https://id.example.com".to_owned(),
                algorithms: strings(&["RS256"]),
                scopes_claim: "scope".to_owned(),
                authorization_servers: strings(&["https://id.example.com"]),
                ..v1::Issuer::default()
            }],
            ..v1::Access::default()
        }),
        servers: vec![
            server("weather", v1::server::Transport::Http(endpoint), Some(curation)),
            server("git", v1::server::Transport::Stdio(command), None),
        ],
        limits: Some(v1::Limits {
            body_bytes: 4 << 20,
            json_depth: 127,
            concurrent_requests: 1024,
            sessions_per_principal: 10_000,
            session_idle_ms: 3_600_000,
            children_per_server: 32,
            children_per_principal: 8,
            child_idle_ms: 600_000,
            ..v1::Limits::default()
        }),
        monitoring: Some(v1::Monitoring::default()),
        prefix: v1::Prefix::Always.into(),
        sessions: None,
        policies: Some(v1::Policies { policies: vec![reader] }),
        secrets: Vec::new(),
    }
}

fn snapshot(wire: &v1::Snapshot) -> Snapshot {
    crate::parse(wire).unwrap_or_else(|faults| panic!("{faults:?}"))
}

fn ask(snapshot: &Snapshot, name: &str, principal: &str, scopes: &[&str]) -> Answer {
    let question = Question {
        action: Action::Call,
        name,
        principal,
        roles: &[],
        scopes: &strings(scopes),
        arguments: &strings(&["city", "token"]),
        now: SystemTime::UNIX_EPOCH + Duration::from_secs(1_900_000_000),
        shares: &Shares { all: Share::new(3, 0), ..Shares::default() },
    };
    let answer = explain(snapshot, &question);
    let told = format!("{answer:?}");
    assert!(!told.contains("s3cret"), "{told}");
    answer
}

/// Value and source of a step.
fn step<'a>(answer: &'a Answer, name: &str) -> (&'a str, &'a str) {
    let found = answer.steps.iter().find(|step| step.name == name).unwrap_or_else(|| panic!("no {name}: {answer:#?}"));
    (&found.value, &found.source)
}

#[test]
fn an_allowed_call_is_told_from_who_to_where() {
    let snapshot = snapshot(&wire());
    let answer = ask(&snapshot, "weather_forecast", "client:alice", &[]);
    assert_eq!(answer.verdict, Verdict::Allowed);
    assert_eq!(step(&answer, "principal"), ("client:alice, roles ops", "clients.alice"));
    assert_eq!(step(&answer, "route"), ("on /mcp: the tool `get` of server weather", "servers.weather"));
    assert_eq!(step(&answer, "endpoint"), ("https://weather.example.com/mcp?***", "servers.weather.url"));
    assert_eq!(step(&answer, "credential").0, "header authorization");
    assert_eq!(step(&answer, "name"), ("clients know it as `forecast`", "servers.weather.tools.get.name"));
    assert_eq!(step(&answer, "argument").0, "`token` is set, whatever the caller says");
    assert_eq!(step(&answer, "rule"), ("allows it", "policies.readers.allow[0]"));
    let each = "7 calls a minute of one principal, counted apart for each tool, prompt and resource; this node holds 3 of them, \
                being one of 3";
    assert_eq!(step(&answer, "limit"), (each, "policies.readers.limit[0]"));
    let target = answer.target.as_ref().map(|target| (&*target.server, target.name.as_str()));
    assert_eq!(target, Some(("weather", "get")), "by the server's own name");
    let own = ask(&snapshot, "weather/get", "client:alice", &[]);
    assert_eq!(
        (own.verdict, step(&own, "route").0),
        (Verdict::Allowed, "on /servers/weather/mcp: the tool `get` of server weather")
    );
}

#[test]
fn what_is_not_allowed_is_told_with_its_reason() {
    let snapshot = snapshot(&wire());
    for (name, principal, verdict, reason) in [
        ("weather_forecast", "local", Verdict::Unauthenticated, "principal"),
        ("weather_forecast", "client:bob", Verdict::Unauthenticated, "principal"),
        ("weather_forecast", "jwt:other:eve", Verdict::Unauthenticated, "principal"),
        ("weather_forecast", "certificate:x", Verdict::Unauthenticated, "principal"),
        ("weather_forecast", "alice", Verdict::Unauthenticated, "principal"),
        ("nothing_here", "client:alice", Verdict::Unknown, "route"),
        ("weather_admin_reset", "client:alice", Verdict::Hidden, "shown"),
        ("weather_get", "client:alice", Verdict::Hidden, "name"),
        ("git_status", "client:alice", Verdict::Hidden, "rule"),
        ("git_log", "client:alice", Verdict::Denied, "rule"),
    ] {
        let answer = ask(&snapshot, name, principal, &[]);
        assert_eq!(answer.verdict, verdict, "{name} {principal}: {answer:#?}");
        assert_eq!(answer.steps.last().unwrap().name, reason, "{name} {principal}: {answer:#?}");
    }
}

#[test]
fn a_rule_that_only_lists_is_named_where_no_rule_allows_the_call() {
    let answer = ask(&snapshot(&wire()), "git_log", "client:alice", &[]);
    let expected = "lets the tool be listed, and not called; no other rule allows the call";
    assert_eq!(step(&answer, "rule"), (expected, "policies.readers.allow[2]"));
}

#[test]
fn scopes_count_for_tokens_and_ends_for_keys() {
    let mut wire = wire();
    let answer = ask(&snapshot(&wire), "git_push", "jwt:corp:ann", &["git:read"]);
    assert_eq!(answer.verdict, Verdict::InsufficientScope);
    assert!(step(&answer, "rule").0.contains("`git:write`"), "{answer:#?}");
    assert_eq!(ask(&snapshot(&wire), "git_push", "jwt:corp:ann", &["git:write"]).verdict, Verdict::Allowed);
    assert_eq!(ask(&snapshot(&wire), "git_push", "client:alice", &[]).verdict, Verdict::Allowed, "keys lack no scope");
    wire.access.as_mut().unwrap().clients[0].keys[0].expires_at = Some(1_800_000_000);
    let answer = ask(&snapshot(&wire), "git_push", "client:alice", &[]);
    assert_eq!(
        (answer.verdict, step(&answer, "principal").0),
        (Verdict::Unauthenticated, "client:alice: its key has expired")
    );
}

#[test]
fn without_policies_whoever_comes_in_may_do_everything() {
    let mut wire = wire();
    wire.policies = None;
    wire.access.as_mut().unwrap().required = false;
    let answer = ask(&snapshot(&wire), "git_status", "local", &[]);
    assert_eq!((answer.verdict, step(&answer, "endpoint").0), (Verdict::Allowed, "git-mcp with 2 arguments"));
    wire.prefix = v1::Prefix::Never.into();
    assert_eq!(ask(&snapshot(&wire), "status", "local", &[]).verdict, Verdict::Unknown, "two servers may have it");
    wire.servers.truncate(1);
    assert_eq!(ask(&snapshot(&wire), "forecast", "local", &[]).verdict, Verdict::Allowed);
}
