//! What a control plane knows, as `get`, `history`, `status`, `token`, `secret`, `node` and `audit` show it.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sluice_contract::v1::*;
use tonic::Status;

use crate::admin::{ControlPlane, Script, TOKEN, change, fault, lately};
use crate::process::{finished, in_colour, sluice, told};

/// Columns of a table's lines.
fn cells(table: &str) -> Vec<Vec<&str>> {
    table.lines().map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect()).collect()
}

fn parsed(json: &str) -> Value {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}"))
}

#[test]
fn objects_are_listed_or_shown_as_a_configuration() {
    let home = tempfile::tempdir().unwrap();
    let object = |kind: &str, name: &str, spec: &str| Object {
        kind: kind.to_owned(),
        name: name.to_owned(),
        spec_json: spec.to_owned(),
        revision: 4,
    };
    let get = move |request: GetRequest| {
        let objects = match request.name.as_str() {
            "nobody" => vec![],
            _ => vec![
                object("proxy", "proxy", r#"{"port":8000}"#),
                object("server", "weather", r#"{"auth":{"token":"***","type":"bearer"},"url":"http://w/mcp"}"#),
            ],
        };
        Ok(GetResponse { objects, revision: 6 })
    };
    let control_plane = ControlPlane::start(Script { get: Some(Box::new(get)), ..Script::default() });
    let (code, table, talk) = control_plane.finished(home.path(), &["get"]);
    assert_eq!(code, 0, "{talk}");
    assert_eq!(cells(&table)[0], ["KIND", "NAME", "REVISION", "SAYS"]);
    assert_eq!(cells(&table)[2], ["server", "weather", "4", "url: http://w/mcp, auth: {token: ***, type: bearer}"]);
    let (_, json, _) = control_plane.finished(home.path(), &["get", "-o", "json"]);
    assert_eq!(parsed(&json)["servers"]["weather"]["url"], "http://w/mcp");
    let (_, yaml, _) = control_plane.finished(home.path(), &["get", "-o", "yaml"]);
    std::fs::write(home.path().join("got.yaml"), yaml).unwrap();
    let (code, _, talk) = finished(home.path(), &["validate", "-f", "got.yaml"]);
    assert_eq!(code, 0, "what comes out can go in: {talk}");
    let (code, data, talk) = control_plane.finished(home.path(), &["get", "servers", "nobody"]);
    assert_eq!((code, data.as_str()), (1, ""), "nothing that was typed is wrong");
    assert!(talk.contains("no server is called `nobody`"), "{talk}");
}

#[test]
fn history_tells_who_what_when_and_why() {
    let home = tempfile::tempdir().unwrap();
    let history = |request: HistoryRequest| {
        let revision = Revision {
            revision: if request.before == 0 { 6 } else { request.before - 1 },
            at_ms: lately(),
            author: "alice".to_owned(),
            message: "slower".to_owned(),
            base: 5,
            changes: vec![change(ChangeKind::Changed, "weather", &[("timeout", "30", "60"), ("cwd", "", "\"/\"")])],
        };
        Ok(HistoryResponse { revisions: vec![revision] })
    };
    let control_plane = ControlPlane::start(Script { history: Some(Box::new(history)), ..Script::default() });
    let (code, table, talk) = control_plane.finished(home.path(), &["history"]);
    assert_eq!(code, 0, "{talk}");
    assert_eq!(cells(&table)[1], ["6", "1 min ago", "alice", "~server/weather", "slower"]);
    let (_, one, _) = control_plane.finished(home.path(), &["history", "6"]);
    assert_eq!(one, "server/weather  changed  timeout 30 → 60\n                         +cwd /\n");
    let (_, json, _) = control_plane.finished(home.path(), &["history", "-o", "json"]);
    let json = parsed(&json);
    assert_eq!((&json[0]["author"], &json[0]["changes"][0]["fields"][0]["after"]), (&"alice".into(), &60.into()));
    assert!(json[0]["at"].as_str().unwrap().ends_with('Z'), "{json}");
}

#[test]
fn status_tells_what_is_wrong_where() {
    let home = tempfile::tempdir().unwrap();
    let status = |_| {
        let well = NodeStatus {
            node: "edge-1".into(),
            state: NodeState::Current.into(),
            labels: BTreeMap::from([("zone".into(), "eu".into())]),
            version: "0.1.0".into(),
            revision: 7,
            since_ms: lately(),
            connected: true,
            ready: true,
            servers: vec![
                ServerStatus {
                    server: "github".into(),
                    reason: "connection refused".into(),
                    credential_trouble: "credential `crm`: no token in time".into(),
                    credential_since_ms: 1_000,
                    ..ServerStatus::default()
                },
                ServerStatus {
                    server: "wiki".into(),
                    available: true,
                    reason: "answers 404".into(),
                    ..ServerStatus::default()
                },
            ],
            certificate_expires_ms: lately() + 180_000,
            faults: vec![fault(&["ledger"], "cannot be written: disk full")],
            ..NodeStatus::default()
        };
        let refusing = NodeStatus {
            node: "edge-2".into(),
            state: NodeState::Rejected.into(),
            revision: 6,
            rejected_revision: 7,
            rejected_ms: lately(),
            rejected: vec![fault(&["servers", "a", "url"], "is odd"), fault(&["proxy", "port"], "is taken")],
            certificate_expires_ms: 0,
            faults: vec![],
            connected: true,
            ready: true,
            servers: vec![],
            ..well.clone()
        };
        let stale = NodeStatus {
            node: "edge-3".into(),
            state: NodeState::Stale.into(),
            revision: 5,
            seen_ms: lately(),
            ..NodeStatus::default()
        };
        Ok(StatusResponse {
            revision: 7,
            at_ms: lately() + 90_000,
            version: "0.1.0".into(),
            nodes: vec![well, refusing, stale],
        })
    };
    let control_plane = ControlPlane::start(Script { status: Some(Box::new(status)), ..Script::default() });
    let (code, shown, talk) = control_plane.finished(home.path(), &["status"]);
    assert_eq!(code, 0, "{talk}");
    for part in [
        ", version 0.1.0\nrevision       7\nnodes          1 current, 1 rejected, 1 stale\n",
        "edge-1: server github is down: connection refused\n",
        "edge-1: server wiki is in trouble: answers 404\n",
        "edge-1 runs revision 7, and not all is well:\nwarning: ledger: cannot be written: disk full\n",
        "edge-1: server github lacks its credential since 1970-01-01T00:00:01Z: credential `crm`: no token in time\n",
        "edge-1: its certificate ends in 1 min",
        "edge-2 refused revision 7, 1 min ago, and goes on with 6:\nerror: servers.a.url: is odd\nerror: proxy.port: is taken\n",
        "edge-3 is not connected, seen 1 min ago, and may go on with revision 5\n",
    ] {
        assert!(shown.contains(part), "{part}\n{shown}");
    }
    let (_, json, _) = control_plane.finished(home.path(), &["status", "-o", "json"]);
    let json = parsed(&json);
    assert_eq!(json["nodes"][1]["rejected"]["faults"][1]["path"], "proxy.port");
    assert_eq!((&json["nodes"][0]["state"], &json["nodes"][0]["labels"]["zone"]), (&"current".into(), &"eu".into()));
}

#[test]
fn tokens_are_made_for_clients_people_and_nodes() {
    let home = tempfile::tempdir().unwrap();
    let create = |request: CreateTokenRequest| {
        let token = format!("{}-{}-{}", request.kind, request.role, request.expires_in_seconds);
        Ok(CreateTokenResponse { token, about: None })
    };
    let list = |_| {
        let token = Token {
            id: "t1".into(),
            kind: TokenKind::Person.into(),
            name: "bob".into(),
            role: "editor".into(),
            created_ms: lately(),
            ..Token::default()
        };
        Ok(ListTokensResponse { tokens: vec![token] })
    };
    let revoke = |request: RevokeTokenRequest| {
        Ok(RevokeTokenResponse { revoked: u32::from(request.token == "bob"), revision: 0 })
    };
    let control_plane = ControlPlane::start(Script {
        create_token: Some(Box::new(create)),
        list_tokens: Some(Box::new(list)),
        revoke_token: Some(Box::new(revoke)),
        ..Script::default()
    });
    for (args, token) in [
        (&["alice"][..], "1--0\n"),
        (&["bob", "--role", "editor", "--expires", "90d"], "2-editor-7776000\n"),
        (&["edge-1", "--join", "--label", "zone=eu"], "3--0\n"),
    ] {
        let (code, data, talk) = control_plane.finished(home.path(), &[&["token", "create"], args].concat());
        assert_eq!((code, data.as_str()), (0, token), "{talk}");
    }
    assert!(!home.path().join(".local").exists(), "keys of a control plane are not kept here");
    let (_, table, _) = control_plane.finished(home.path(), &["token", "list"]);
    assert!(cells(&table)[1].starts_with(&["bob", "person", "editor", "1 min ago"]), "{table}");
    assert_eq!(control_plane.finished(home.path(), &["token", "revoke", "bob"]).0, 0);
    let (code, _, talk) = control_plane.finished(home.path(), &["token", "revoke", "eve"]);
    assert!(code == 1 && talk.contains("nobody called `eve`"), "{talk}");
}

#[test]
fn a_revoked_key_that_a_node_may_still_take_is_told_by_the_exit_code() {
    let home = tempfile::tempdir().unwrap();
    let refusing = |entitled_revision| NodeStatus {
        node: "edge-1".into(),
        connected: true,
        revision: 6,
        rejected_revision: 7,
        rejected: vec![fault(&["servers", "weather"], "no such variable")],
        entitled_revision,
        ..NodeStatus::default()
    };
    let revoked = |node: NodeStatus| {
        let script = Script {
            revoke_token: Some(Box::new(|_| Ok(RevokeTokenResponse { revoked: 1, revision: 7 }))),
            watch: vec![WatchResponse { revision: 7, nodes: vec![node], settled: true }],
            ..Script::default()
        };
        let (code, _, talk) = ControlPlane::start(script).finished(home.path(), &["token", "revoke", "bob"]);
        (code, talk)
    };
    for (goes_by, code, told) in [
        (7, 0, "edge-1 refuses the key after"),
        (6, 1, "refused revision 7 and may still take the key"),
        (0, 1, "refused revision 7 and may still take the key"),
    ] {
        let (ended, talk) = revoked(refusing(goes_by));
        assert!(talk.contains(told) && talk.contains("no such variable"), "{talk}");
        assert_eq!(ended, code, "{talk}");
    }
    let away = |seen_ms| NodeStatus { node: "edge-1".into(), revision: 6, seen_ms, ..NodeStatus::default() };
    let (code, talk) = revoked(away(lately()));
    assert!(code == 1 && talk.contains("edge-1 is not connected (seen 1 min ago)"), "{talk}");
    assert!(talk.contains("may still take the key\n") && talk.contains("`sluice node revoke NODE`"), "{talk}");
    let (code, talk) = revoked(away(0));
    assert!(code == 0 && talk.contains("was never connected"), "{talk}");
}

#[test]
fn what_is_painted_is_painted_for_the_stream_it_goes_to() {
    let home = tempfile::tempdir().unwrap();
    let heeding = NodeStatus {
        node: "edge-1".into(),
        connected: true,
        revision: 6,
        rejected_revision: 7,
        entitled_revision: 7,
        ..NodeStatus::default()
    };
    let changes = vec![change(ChangeKind::Removed, "weather", &[])];
    let answer = ApplyResponse { revision: 7, changes, ..ApplyResponse::default() };
    let control_plane = ControlPlane::start(Script {
        revoke_token: Some(Box::new(|_| Ok(RevokeTokenResponse { revoked: 1, revision: 7 }))),
        watch: vec![WatchResponse { revision: 7, nodes: vec![heeding], settled: true }],
        apply: Some(Box::new(move |_| Ok(answer.clone()))),
        ..Script::default()
    });
    let shown = in_colour(&control_plane.command(home.path(), &["token", "revoke", "bob"]));
    assert!(shown.contains("edge-1 \x1b[32mrefuses the key\x1b[0m after"), "{shown}");
    assert!(shown.contains("but \x1b[31mrefused\x1b[0m revision 7"), "{shown}");
    std::fs::write(home.path().join("mcp.yaml"), "servers: {a: {url: 'http://127.0.0.1:1/mcp'}}\n").unwrap();
    let shown = in_colour(&control_plane.command(home.path(), &["apply", "-f", "mcp.yaml", "--prune"]));
    assert!(shown.contains("server/weather  \x1b[31mremoved\x1b[0m"), "{shown}");
}

#[test]
fn secrets_come_from_stdin_and_are_never_told() {
    let home = tempfile::tempdir().unwrap();
    let set = |request: SetSecretRequest| {
        assert_eq!((request.name.as_str(), &request.value[..]), ("github", &b"s3cret value"[..]));
        Ok(SetSecretResponse { version: 2, revision: 9 })
    };
    let watch = vec![WatchResponse { revision: 9, nodes: Vec::new(), settled: true }];
    let control_plane = ControlPlane::start(Script { set_secret: Some(Box::new(set)), watch, ..Script::default() });
    let give = |control_plane: &ControlPlane, value: &str| {
        let mut command = control_plane.command(home.path(), &["secret", "set", "github"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(value.as_bytes()).unwrap();
        told(child.wait_with_output().unwrap())
    };
    let (code, data, talk) = give(&control_plane, "s3cret value\n");
    let told = "`github` has a new value, version 2: revision 9\nthere is no node; those that join get it\n";
    assert_eq!((code, data.as_str(), talk.as_str()), (0, "", told));
    let (code, _, talk) = give(&control_plane, "");
    assert!(code == 2 && talk.contains("is empty; nothing was changed"), "{talk}");
    let refusing = NodeStatus {
        node: "edge-1".into(),
        connected: true,
        revision: 8,
        rejected_revision: 9,
        ..NodeStatus::default()
    };
    let watch = vec![WatchResponse { revision: 9, nodes: vec![refusing], settled: true }];
    let refused = ControlPlane::start(Script { set_secret: Some(Box::new(set)), watch, ..Script::default() });
    let (code, _, talk) = give(&refused, "s3cret value\n");
    assert!(code == 1 && talk.contains("no rollback changes a secret: `sluice secret set`"), "{talk}");
    let (code, _, talk) = control_plane.finished(home.path(), &["secret", "set", "github", "s3cret"]);
    assert!(code == 2 && talk.contains("unexpected argument"), "a value is never an argument: {talk}");
}

#[test]
fn the_audit_log_is_listed_and_checked() {
    let home = tempfile::tempdir().unwrap();
    let audit = |_| {
        let entry = AuditEntry {
            number: 3,
            at_ms: lately(),
            actor: "bob".into(),
            action: "denied".into(),
            object: "secret/github".into(),
            detail: "needs admin".into(),
            ..AuditEntry::default()
        };
        Ok(AuditResponse { entries: vec![entry] })
    };
    let verify = |intact: bool| {
        let answer = move |_| Ok(VerifyAuditResponse { intact, entries: 3, broken_at: 2, head: "abc".into() });
        ControlPlane::start(Script {
            audit: Some(Box::new(audit)),
            verify_audit: Some(Box::new(answer)),
            ..Script::default()
        })
    };
    let control_plane = verify(true);
    for verb in [&["audit"][..], &["audit", "list"]] {
        let (_, table, talk) = control_plane.finished(home.path(), verb);
        assert_eq!(cells(&table)[1], ["3", "1 min ago", "bob", "denied", "secret/github", "needs admin"], "{talk}");
    }
    let (code, data, talk) = control_plane.finished(home.path(), &["audit", "verify"]);
    assert_eq!((code, data.as_str(), talk.as_str()), (0, "abc\n", "the audit log is whole: 3 entries\n"));
    let (code, data, talk) = control_plane.finished(home.path(), &["audit", "verify", "-o", "json"]);
    let told: Value = serde_json::from_str(&data).unwrap();
    assert_eq!(told, json!({ "intact": true, "entries": 3, "broken_at": null, "head": "abc" }));
    assert_eq!((code, talk.as_str()), (0, ""));
    let (code, data, talk) = verify(false).finished(home.path(), &["audit", "verify"]);
    assert!(code == 1 && data.is_empty() && talk.contains("broken: entry 2"), "{talk}");
    let (code, data, talk) = verify(false).finished(home.path(), &["audit", "verify", "-o", "yaml"]);
    assert!(code == 1 && talk.contains("broken: entry 2"), "{talk}");
    assert!(data.contains("intact: false\n") && data.contains("broken_at: 2\n"), "{data}");
}

#[test]
fn who_is_not_there_and_who_does_not_let_us_in_is_told() {
    let home = tempfile::tempdir().unwrap();
    let (code, data, talk) = finished(home.path(), &["status", "--control-plane", "http://127.0.0.1:1"]);
    assert_eq!((code, data.as_str()), (1, ""));
    assert!(talk.starts_with("error: no control plane at http://127.0.0.1:1: Connection refused\n"), "{talk}");
    assert!(talk.contains("sluice-controlplane --state-dir") && talk.contains("--control-plane"), "{talk}");

    let denied = |_| Err(Status::permission_denied("this takes the role `viewer`"));
    let control_plane = ControlPlane::start(Script { status: Some(Box::new(denied)), ..Script::default() });
    let (code, _, talk) = control_plane.finished(home.path(), &["status"]);
    assert_eq!((code, talk.as_str()), (1, "error: this takes the role `viewer`\n"));
    let (code, _, talk) =
        told(control_plane.command(home.path(), &["status"]).env_remove("SLUICE_TOKEN").output().unwrap());
    assert!(code == 2 && talk.contains("there is no token") && talk.contains("admin.token"), "{talk}");
    let (code, _, talk) =
        told(control_plane.command(home.path(), &["status"]).env("SLUICE_TOKEN", "other").output().unwrap());
    assert!(code == 1 && talk.contains("does not accept the token in SLUICE_TOKEN"), "{talk}");
    assert!(!talk.contains("other\n") && !talk.contains(TOKEN), "{talk}");

    std::fs::write(home.path().join("token"), format!("{TOKEN}\n")).unwrap();
    let (code, _, talk) = control_plane.finished(home.path(), &["audit", "--token-file", "token"]);
    assert!(code == 1 && talk.contains("no control plane of this version"), "{talk}");
}

#[test]
fn shells_get_what_they_need_to_complete() {
    let home = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (code, script, talk) = finished(home.path(), &["completion", shell]);
        assert!(code == 0 && script.contains("rollback") && script.contains("credential"), "{shell}: {talk}");
    }
}

#[test]
fn a_control_plane_that_hangs_is_told_within_ten_seconds() {
    let home = tempfile::tempdir().unwrap();
    // connections come about, and nobody takes them
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    for (scheme, told) in
        [("http", "hangs: it took the connection, and gave no sign of life"), ("https", "answered within 5 s")]
    {
        let since = Instant::now();
        let mut command = sluice(home.path(), &["status", "--control-plane", &format!("{scheme}://{address}")]);
        let (code, data, talk) = self::told(command.env("SLUICE_TOKEN", TOKEN).output().unwrap());
        assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
        assert_eq!((code, data.as_str()), (1, ""));
        assert!(talk.contains(told) && talk.contains(&address.to_string()) && !talk.contains(TOKEN), "{talk}");
    }
}

#[test]
fn long_lists_are_asked_for_in_parts() {
    let home = tempfile::tempdir().unwrap();
    let history = |request: HistoryRequest| {
        assert!(request.limit <= 1_000, "more are not listed at a time");
        let newest = if request.before == 0 { 2_400 } else { request.before - 1 };
        let revision = |revision| Revision { revision, author: "alice".to_owned(), ..Revision::default() };
        Ok(HistoryResponse { revisions: (1..=newest).rev().take(request.limit as usize).map(revision).collect() })
    };
    let control_plane = ControlPlane::start(Script { history: Some(Box::new(history)), ..Script::default() });
    let listed = |limit: &str| {
        let (code, json, talk) = control_plane.finished(home.path(), &["history", "--limit", limit, "-o", "json"]);
        assert_eq!(code, 0, "{talk}");
        parsed(&json).as_array().unwrap().len()
    };
    assert_eq!((listed("5"), listed("1500"), listed("5000")), (5, 1_500, 2_400));
}

#[test]
fn what_is_misspelt_is_a_mistake_and_what_is_not_there_is_not() {
    let home = tempfile::tempdir().unwrap();
    let (code, _, talk) = finished(home.path(), &["explain", "call", "a_b", "--as", "clinet:alice"]);
    assert!(code == 2 && talk.contains("did you mean `client:NAME`?"), "{talk}");
    let catalogue = |_| Ok(CatalogueResponse::default());
    let control_plane = ControlPlane::start(Script { catalogue: Some(Box::new(catalogue)), ..Script::default() });
    let (code, data, talk) = control_plane.finished(home.path(), &["get", "tools", "nope"]);
    assert_eq!((code, data.as_str()), (1, ""));
    assert!(talk.contains("no node has heard of a tool `nope`"), "{talk}");
}
