//! Sessions in a file: they outlive the gateway's process.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use futures_util::future::join_all;
use rustix::process::Signal;
use serde_json::{Value, json};
use sluice_tests::catalogue::Catalogue;
use sluice_tests::client::Era;
use sluice_tests::gateway::{Start, sluice};
use sluice_tests::server::Server;
use sluice_tests::upstream::Legacy;
use sluice_tests::{Gateway, Session, wait};

const PATH: &str = "/servers/one/mcp";

fn kept(servers: Value) -> Value {
    json!({ "servers": servers, "proxy": { "sessions": { "store": "sqlite" } } })
}

fn again(gateway: &Gateway) -> Command {
    let mut command = sluice(gateway.folder());
    command.arg("run").arg("--config").arg(gateway.file());
    command.args([
        "--listen",
        &format!("127.0.0.1:{}", gateway.port),
        "--admin",
        &format!("127.0.0.1:{}", gateway.admin),
    ]);
    command
}

#[tokio::test]
async fn sessions_go_on_after_a_restart_however_it_came() {
    let (server, merged) = (Legacy::start(), Server::start(Era::Legacy, &Catalogue::new("left").tool("echo")));
    let mut gateway = Start::new(kept(json!({ "one": server.config(), "left": merged.config() }))).ready().await;
    let sessions = join_all((0..50).map(|_| Session::open(gateway.port, PATH))).await;
    let whole = Session::open(gateway.port, "/mcp").await;
    assert_eq!(whole.call("left_echo", json!({})).await.status, 200);
    assert_eq!(sessions[0].request("logging/setLevel", json!({ "level": "warning" })).await.status, 200);
    let opened = server.got("initialize").len() + merged.got("initialize").len();
    for signal in [Signal::KILL, Signal::TERM] {
        gateway.signal(signal);
        gateway.ended().await;
        let command = again(&gateway);
        gateway.again(command);
        let admin = gateway.admin;
        assert!(gateway.is_ready(admin, "/readyz").await);
        let replies = join_all(sessions.iter().map(|session| session.call("echo", json!({})))).await;
        assert!(replies.iter().all(|reply| reply.status == 200), "{signal:?}: {replies:?}");
        assert_eq!(whole.call("left_echo", json!({})).await.status, 200, "{signal:?}");
    }
    assert_eq!(server.got("initialize").len() + merged.got("initialize").len(), opened, "nothing was opened again");
    assert!(server.verbs("DELETE").is_empty(), "and nothing was ended");
    for session in &sessions[1..] {
        assert_eq!(session.delete().await.status / 100, 2);
        assert_eq!(session.call("echo", json!({})).await.status, 404);
    }
    let state = wait::until("the file", || find(gateway.folder(), "sessions.db")).await;
    assert_eq!(std::fs::metadata(&state).unwrap().permissions().mode() & 0o777, 0o600);
    let file = std::fs::read(&state).unwrap();
    assert!(memchr::memmem::find(&file, b"clientInfo").is_none(), "what is kept is sealed");
}

#[tokio::test]
async fn a_file_in_use_is_refused() {
    let server = Legacy::start();
    let gateway = Start::new(kept(json!({ "one": server.config() }))).ready().await;
    let mut second = sluice(gateway.folder());
    second.arg("run").arg("--config").arg(gateway.file()).args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    let output = second.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("sessions cannot be kept"), "{said}");
}

#[tokio::test]
async fn what_idled_while_nobody_ran_is_ended_at_the_server() {
    let server = Legacy::start();
    let mut config = kept(json!({ "one": server.config() }));
    config["proxy"]["limits"] = json!({ "session_idle_seconds": 1 });
    let mut gateway = Start::new(config).ready().await;
    let session = Session::open(gateway.port, PATH).await;
    gateway.signal(Signal::KILL);
    gateway.ended().await;
    // what a session may idle, and the time in which a gateway would have noted a use, and ended it
    wait::pass(std::time::Duration::from_secs(9)).await;
    let command = again(&gateway);
    gateway.again(command);
    let admin = gateway.admin;
    assert!(gateway.is_ready(admin, "/readyz").await);
    assert_eq!(session.call("echo", json!({})).await.status, 404);
    wait::until("the server is told", || (server.verbs("DELETE").len() == 1).then_some(())).await;
}

/// What a gateway finds that was killed, and whose file somebody or something changed.
async fn with_file(gateway: &mut Gateway, change: impl FnOnce(&std::path::Path)) {
    gateway.signal(Signal::TERM);
    gateway.ended().await;
    change(&find(gateway.folder(), "sessions.db").unwrap());
    let command = again(gateway);
    gateway.again(command);
    let admin = gateway.admin;
    assert!(gateway.is_ready(admin, "/readyz").await, "{}", gateway.log());
}

#[tokio::test]
async fn a_damaged_file_is_put_aside_and_clients_begin_anew() {
    let server = Legacy::start();
    let mut gateway = Start::new(kept(json!({ "one": server.config() }))).ready().await;
    // all is in the file itself, nothing in its log any more
    let settle = |file: &std::path::Path| {
        let settle = "PRAGMA wal_checkpoint(TRUNCATE)";
        rusqlite::Connection::open(file).unwrap().query_row(settle, [], |_| Ok(())).unwrap();
    };
    let half = |file: &std::path::Path| {
        let length = std::fs::metadata(file).unwrap().len();
        std::fs::OpenOptions::new().write(true).open(file).unwrap().set_len(length / 2).unwrap();
    };
    let garbage = |file: &std::path::Path| std::fs::write(file, vec![0x5a; 40_000]).unwrap();
    // its head is whole: it opens, and is found out when it is read
    let hollow = |file: &std::path::Path| {
        let mut bytes = std::fs::read(file).unwrap();
        bytes[4096..].fill(0);
        std::fs::write(file, bytes).unwrap();
    };
    let damages: [&dyn Fn(&std::path::Path); 3] = [&half, &garbage, &hollow];
    for damage in damages {
        let session = Session::open(gateway.port, PATH).await;
        assert_eq!(session.call("echo", json!({})).await.status, 200);
        with_file(&mut gateway, |file| {
            settle(file);
            damage(file);
        })
        .await;
        let answered = async || session.call("echo", json!({})).await.status;
        wait::becomes(std::time::Duration::from_secs(20), "nobody knows it", answered, |status| *status == 404).await;
        gateway.logged("the file of sessions is damaged").await;
        assert!(find(gateway.folder(), "sessions.db.damaged").is_some(), "it is there for whoever wants to know");
        let session = Session::open(gateway.port, PATH).await;
        with_file(&mut gateway, |_| {}).await;
        assert_eq!(session.call("echo", json!({})).await.status, 200, "what comes after is kept as ever");
    }
}

#[tokio::test]
async fn where_the_disk_is_full_no_end_of_a_session_is_acknowledged_that_is_none() {
    let server = Legacy::start();
    let mut gateway = Start::new(kept(json!({ "one": server.config() }))).ready().await;
    gateway.signal(Signal::TERM);
    gateway.ended().await;
    // no file of it can grow beyond 100 KB
    let plain = again(&gateway);
    let mut full = sluice(gateway.folder());
    let mut limited = Command::new("sh");
    limited
        .args(["-c", "trap '' XFSZ; ulimit -f 200; exec \"$@\"", "sh"])
        .arg(full.get_program())
        .args(plain.get_args());
    limited.envs(full.get_envs().filter_map(|(name, value)| Some((name, value?))));
    full = limited;
    gateway.again(full);
    let admin = gateway.admin;
    assert!(gateway.is_ready(admin, "/readyz").await, "{}", gateway.log());
    let mut opened = Vec::new();
    let refused = loop {
        match Session::try_with(gateway.port, PATH, json!({}), None).await {
            Ok(session) => opened.push(session),
            Err(reply) => break reply,
        }
        assert!(opened.len() < 10_000, "it never fills");
    };
    assert_eq!(refused.status, 503, "{refused:?}");
    let ended = join_all(opened.iter().map(Session::delete)).await;
    gateway.signal(Signal::KILL);
    gateway.ended().await;
    let command = again(&gateway);
    gateway.again(command);
    assert!(gateway.is_ready(admin, "/readyz").await);
    let there = join_all(opened.iter().map(|session| session.call("echo", json!({})))).await;
    for (ended, there) in ended.iter().zip(&there) {
        match ended.status {
            503 => assert!(matches!(there.status, 200 | 404), "{there:?}"),
            status => assert_eq!((status / 100, there.status), (2, 404), "an acknowledged end is one"),
        }
    }
    assert!(ended.iter().any(|reply| reply.status == 503), "the disk was full");
}

fn find(folder: &std::path::Path, name: &str) -> Option<std::path::PathBuf> {
    std::fs::read_dir(folder).ok()?.flatten().find_map(|entry| match entry.path() {
        path if path.is_dir() => find(&path, name),
        path => path.ends_with(name).then_some(path),
    })
}
