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
    tokio::time::sleep(std::time::Duration::from_secs(9)).await;
    let command = again(&gateway);
    gateway.again(command);
    let admin = gateway.admin;
    assert!(gateway.is_ready(admin, "/readyz").await);
    assert_eq!(session.call("echo", json!({})).await.status, 404);
    wait::until("the server is told", || (server.verbs("DELETE").len() == 1).then_some(())).await;
}

fn find(folder: &std::path::Path, name: &str) -> Option<std::path::PathBuf> {
    std::fs::read_dir(folder).ok()?.flatten().find_map(|entry| match entry.path() {
        path if path.is_dir() => find(&path, name),
        path => path.ends_with(name).then_some(path),
    })
}
