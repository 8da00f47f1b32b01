//! What is wrong with servers is told where people look: at the admin port, by `sluice get servers` and `sluice status`.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use serde_json::{Value, json};
use sluice_tests::gateway::Start;
use sluice_tests::upstream::{Answer, Modern, Upstream};
use sluice_tests::wait::eventually;
use sluice_tests::{Call, Gateway, port};

/// What the admin port shows of a server.
async fn shown(gateway: &Gateway, server: &str) -> Value {
    let shown: Value = serde_json::from_str(&gateway.admin("/servers").await.text()).unwrap();
    shown["servers"].as_array().unwrap().iter().find(|shown| shown["name"] == server).unwrap().clone()
}

/// Its trouble once it says this.
async fn says(gateway: &Gateway, server: &str, part: &str) {
    let trouble = async || {
        let trouble = shown(gateway, server).await["trouble"].as_str().unwrap_or_default().to_owned();
        trouble.contains(part).then_some(trouble)
    };
    let trouble = eventually(&format!("{server}: {part}"), trouble).await;
    assert!(trouble.len() < 120, "a phrase: {trouble}");
}

async fn call(gateway: &Gateway, server: &str) -> u16 {
    let path = format!("/servers/{server}/mcp");
    let call = Call::modern(&path, "tools/call", 1, json!({ "name": "echo", "arguments": {} }));
    call.send(gateway.port).await.status
}

#[tokio::test]
async fn each_trouble_is_told_in_a_phrase_and_without_secrets() {
    let status = |status: u16| Upstream::always(move || Answer::empty(status));
    let servers = [404, 401, 503, 307].map(|number| (format!("s{number}"), status(number)));
    let silent = Upstream::start(|_| Answer::never());
    let mut entries = json!({
        "nobody": { "url": format!("http://127.0.0.1:{}/mcp", port::free()) },
        "silent": { "url": silent.url(), "timeout": 1 },
        "ends": { "command": "sh", "args": ["-c", "echo s3cret-value >&2; exit 3"], "env": { "TOKEN": "s3cret-value" } },
        "lacks": { "command": "/nowhere/at-all" },
        "hurt": { "command": "sh", "args": ["-c", "kill -9 $$"] },
    });
    for (name, server) in &servers {
        let headers = json!({ "authorization": "Bearer s3cret-value" });
        entries[name] = json!({ "url": server.url(), "headers": headers });
    }
    let gateway = Gateway::with(entries).await;
    for (server, part) in [
        ("s404", "answers 404"),
        ("s401", "answers 401"),
        ("s503", "answers 503"),
        ("s307", "answers 307"),
        ("nobody", "connection refused"),
        ("silent", "did not answer in time"),
        ("ends", "exit code 3"),
        ("lacks", "No such file"),
        ("hurt", "signal 9"),
    ] {
        assert_eq!(shown(&gateway, server).await["trouble"], Value::Null, "{server}");
        assert!(call(&gateway, server).await >= 500, "{server}");
        says(&gateway, server, part).await;
    }
    let admin = format!("127.0.0.1:{}", gateway.admin);
    let table = gateway.run(&["get", "servers", "--admin", &admin]);
    let table = String::from_utf8(table.stdout).unwrap();
    for part in ["answers 404", "connection refused", "exit code 3"] {
        assert!(table.contains(part), "{part}\n{table}");
    }
    let all = format!("{table}{}", gateway.admin("/servers").await.text());
    assert!(!all.contains("s3cret"), "{all}");
}

#[tokio::test]
async fn a_trouble_is_over_when_the_server_answers_again() {
    let server = Modern::start();
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    assert_eq!(call(&gateway, "one").await, 200);
    server.kill();
    assert_eq!(call(&gateway, "one").await, 502);
    says(&gateway, "one", "connection refused").await;
    assert_eq!(shown(&gateway, "one").await["state"], "down");
    server.revive().await;
    assert_eq!(call(&gateway, "one").await, 200);
    let shown = shown(&gateway, "one").await;
    assert_eq!((&shown["trouble"], &shown["state"]), (&Value::Null, &json!("up")), "{shown}");
}

#[tokio::test]
async fn what_was_never_listed_is_not_shown_as_nothing() {
    let server = Modern::start();
    let gateway = Start::new(json!({ "servers": { "one": server.config() } })).ready().await;
    let row = || {
        let admin = format!("127.0.0.1:{}", gateway.admin);
        let table = String::from_utf8(gateway.run(&["get", "servers", "--admin", &admin]).stdout).unwrap();
        let row = table.lines().find(|line| line.starts_with("one")).unwrap();
        row.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(row()[4..7], ["-", "-", "-"]);
    let listed = Call::modern("/mcp", "tools/list", 1, json!({})).send(gateway.port).await.result();
    assert_eq!(listed["tools"].as_array().unwrap().len(), 1);
    assert_eq!(row()[4..6], ["1", "-"]);
}

#[tokio::test]
async fn what_servers_offer_is_told_by_a_gateway_without_a_control_plane() {
    let server = Modern::start();
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let admin = format!("127.0.0.1:{}", gateway.admin);
    let get = |args: &[&str]| {
        let output = gateway.run(&[&["get"], args, &["--admin", &admin]].concat());
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    };
    let (code, shown, said) = get(&["tools"]);
    assert_eq!((code, shown.as_str()), (0, ""), "{said}");
    assert!(said.contains("when the first client lists"), "{said}");
    assert_eq!(Call::modern("/mcp", "tools/list", 1, json!({})).send(gateway.port).await.status, 200);
    let (code, shown, said) = get(&["tools"]);
    assert!(code == 0 && shown.lines().nth(1).is_some_and(|line| line.starts_with("one_echo")), "{shown}{said}");
    let (code, shown, _) = get(&["tool", "echo", "-o", "json"]);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!((code, &shown[0]["name"], &shown[0]["server"]), (0, &json!("one_echo"), &json!("one")));
    assert_eq!(get(&["prompts", "--server", "one"]).0, 0, "it has none");
    let (code, _, said) = get(&["tools", "--server", "nobody"]);
    assert!(code == 1 && said.contains("no server is called `nobody`"), "{said}");
    let (code, _, said) = get(&["tool", "nobody"]);
    assert!(code == 1 && said.contains("nobody"), "{said}");
}
