//! Credentials that are somewhere else than in the configuration: found at the start, followed while running.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::json;
use sluice_tests::gateway::Start;
use sluice_tests::peer::Peer;
use sluice_tests::upstream::Modern;
use sluice_tests::{Call, Gateway, Session, until};

const PATH: &str = "/servers/one/mcp";

async fn call(gateway: &Gateway) -> u16 {
    let call = Call::modern(PATH, "tools/call", 1, json!({ "name": "echo", "arguments": {} }));
    call.send(gateway.port).await.status
}

/// Replaces a file as whoever mounts secrets does: at once.
fn replace(file: &Path, text: &str) {
    let beside = file.with_extension("new");
    std::fs::write(&beside, text).unwrap();
    std::fs::rename(beside, file).unwrap();
}

#[tokio::test]
async fn values_of_the_environment_and_of_files_reach_the_server() {
    let server = Modern::start();
    let headers = json!({ "X-Env": { "env": "OUTSIDE" }, "X-Fixed": "here" });
    let auth = json!({ "type": "basic", "credentials": { "file": "pair" } });
    let config = json!({ "servers": { "one": { "url": server.url(), "headers": headers, "auth": auth } } });
    let start = Start::new(config).env("OUTSIDE", "value of the node");
    std::fs::write(start.folder().join("pair"), "user:pass word\n").unwrap();
    let gateway = start.ready().await;
    assert_eq!(call(&gateway).await, 200);
    let got = server.calls("echo").pop().unwrap();
    assert_eq!(got.header("x-env"), Some("value of the node"));
    assert_eq!(got.header("x-fixed"), Some("here"));
    assert_eq!(got.header("authorization"), Some("Basic dXNlcjpwYXNzIHdvcmQ="));
    let shown = gateway.admin("/config").await.text();
    assert!(shown.contains("basic") && shown.contains("X-Env") || shown.contains("x-env"), "{shown}");
    assert!(!shown.contains("pass word") && !shown.contains("value of the node"), "{shown}");
}

#[tokio::test]
async fn a_changed_file_counts_without_a_restart_and_without_a_failed_call() {
    let server = Modern::start();
    let auth = json!({ "type": "bearer", "token": { "file": "token" } });
    let start = Start::new(json!({ "servers": { "one": { "url": server.url(), "auth": auth } } }));
    let file = start.folder().join("token");
    std::fs::write(&file, "token-0").unwrap();
    let gateway = Arc::new(start.ready().await);
    let (over, failed, calls) =
        (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let (gateway, over) = (Arc::clone(&gateway), Arc::clone(&over));
            let (failed, calls) = (Arc::clone(&failed), Arc::clone(&calls));
            tokio::spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    failed.fetch_add(usize::from(call(&gateway).await != 200), Ordering::Relaxed);
                    calls.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for round in 1..=3 {
        let token = format!("Bearer token-{round}");
        replace(&file, &format!("token-{round}\n"));
        until("the new token", || {
            let last = server.calls("echo").pop()?;
            (last.header("authorization") == Some(token.as_str())).then_some(())
        })
        .await;
    }
    // what is no token leaves the last one in use
    replace(&file, "");
    gateway.logged("a credential cannot be read; the last one is used").await;
    over.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
    assert_eq!(failed.load(Ordering::Relaxed), 0, "of {} calls", calls.load(Ordering::Relaxed));
    assert!(calls.load(Ordering::Relaxed) > 20);
    assert!(!gateway.log().contains("token-"), "no token in the log");
}

#[tokio::test]
async fn a_process_is_started_anew_when_its_environment_changes_and_nobody_waits_for_it() {
    let peer = Peer::new("legacy");
    let start =
        Start::new(json!({ "servers": { "one": peer.config_with(json!({ "env": { "KEY": { "file": "key" } } })) } }));
    let file = start.folder().join("key");
    std::fs::write(&file, "first-key\n").unwrap();
    let gateway = start.ready().await;
    let session = Session::open(gateway.port, PATH).await;
    assert_eq!(session.call("pid", json!({})).await.status, 200);
    let environment = || {
        let pids = peer.processes();
        let texts = pids.iter().filter_map(|pid| std::fs::read(format!("/proc/{pid}/environ")).ok());
        texts.map(|text| String::from_utf8_lossy(&text).into_owned()).collect::<String>()
    };
    assert!(environment().contains("KEY=first-key"));
    replace(&file, "second-key\n");
    until("the old process goes", || (!environment().contains("first-key")).then_some(())).await;
    assert_eq!(session.call("pid", json!({})).await.status, 200, "the session goes on");
    assert!(environment().contains("KEY=second-key"));
}

#[tokio::test]
async fn what_is_not_there_keeps_the_gateway_from_starting_and_from_changing() {
    let server = Modern::start();
    let config = |value: serde_json::Value| json!({ "servers": { "one": { "url": server.url(), "headers": { "X-Key": value } } } });
    for (value, expected) in [
        (json!({ "env": "NOT_THERE" }), "environment variable `NOT_THERE` is not set"),
        (json!({ "file": "/nowhere/key" }), "file /nowhere/key cannot be read"),
        (json!({ "env": "BROKEN" }), "has a character that no header may have"),
        (json!({ "secret": "github" }), "there is no secret `github`"),
    ] {
        let start = Start::new(config(value)).env("BROKEN", "s3cret\nvalue");
        let (status, stderr) = start.arg("--listen").arg("127.0.0.1:0").arg("--admin").arg("127.0.0.1:0").refused();
        assert!(!status.success() && stderr.contains(expected), "{status} {stderr}");
        assert!(!stderr.contains("s3cret"), "{stderr}");
    }
    let gateway = Start::new(config(json!("fine"))).ready().await;
    std::fs::write(gateway.file(), config(json!({ "env": "NOT_THERE" })).to_string()).unwrap();
    gateway.logged("environment variable `NOT_THERE` is not set").await;
    assert_eq!(call(&gateway).await, 200);
    assert_eq!(server.calls("echo").pop().unwrap().header("x-key"), Some("fine"), "all or nothing");
}
