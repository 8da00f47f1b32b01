//! Starting and ending.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use sluice_contract::v1;
use sluice_tests::control::{Start, command};
use sluice_tests::node::seen;
use sluice_tests::{ControlPlane, Node, binary, port};

#[tokio::test]
async fn the_first_start_tells_where_the_token_is_and_not_what_it_is() {
    let mut plane = Start::default().env("RUST_LOG", "trace").ready().await;
    let token = plane.token();
    plane.admin().await.servers(&[("a", r#"{"url":"http://127.0.0.1:1/mcp"}"#)]).await;
    for (file, mode) in [("", 0o700), ("admin.token", 0o600), ("controlplane.db", 0o600), ("secret.keys", 0o600)] {
        let metadata = plane.state().join(file).metadata().unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, mode, "{file}");
    }
    assert!(plane.log().contains("admin.token") && !plane.log().contains(&token[20..]), "{}", plane.log());
    plane.signal(Signal::TERM);
    let start = Instant::now();
    assert!(plane.ended().await.success());
    assert!(start.elapsed() < Duration::from_secs(5));
    plane.again().await;
    assert_eq!(plane.token(), token);
    assert_eq!(plane.admin().await.get("server", "a", 0).await.unwrap().revision, 1);
    assert!(!plane.log().contains("no token of an admin"));
}

#[tokio::test]
async fn an_end_does_not_wait_for_clients_that_stay() {
    let mut plane = ControlPlane::empty().await;
    let admin = plane.admin().await;
    admin.get("", "", 0).await.unwrap();
    let silent = std::net::TcpStream::connect(("127.0.0.1", plane.http)).unwrap();
    plane.signal(Signal::TERM);
    let start = Instant::now();
    assert!(plane.ended().await.success());
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    drop((admin, silent));
}

#[tokio::test]
async fn an_end_takes_leave_of_nodes_and_of_those_who_watch_them() {
    let mut plane = ControlPlane::empty().await;
    let admin = plane.admin().await;
    let revision = admin.servers(&[("a", r#"{"url":"http://127.0.0.1:1/mcp"}"#)]).await.revision;
    let (one, two) = (Node::of(&plane, "one", &[]).await.start(), Node::of(&plane, "two", &[]).await.start());
    for node in [&one, &two] {
        node.runs(revision).await;
    }
    // waits for what never comes
    let mut watch = admin.client().watch(admin.with(v1::WatchRequest { revision: 1_000 })).await.unwrap().into_inner();
    watch.message().await.unwrap().unwrap();
    plane.signal(Signal::TERM);
    let start = Instant::now();
    assert!(plane.ended().await.success());
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    let told = loop {
        match watch.message().await {
            Ok(Some(_)) => {}
            other => break other,
        }
    };
    assert_eq!(told.err().map(|status| status.code()), Some(tonic::Code::Unavailable));
    plane.again().await;
    for node in ["one", "two"] {
        seen(&plane, node, "back", |seen| seen.connected).await;
    }
}

#[tokio::test]
async fn what_stands_in_the_way_of_a_start_is_told_with_a_way_out() {
    let plane = ControlPlane::empty().await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().port();
    let folder = tempfile::tempdir().unwrap();
    let refused = |mut command: Command, told: &[&str]| {
        let output = command.output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{told:?}");
        assert!(told.iter().all(|told| stderr.contains(told)), "{told:?} in {stderr}");
    };
    refused(command(folder.path(), taken, port::free()), &[&taken.to_string(), "`--grpc ADDR`"]);
    refused(command(folder.path(), port::free(), taken), &[&taken.to_string(), "`--http ADDR`"]);
    assert!(!folder.path().join("state").exists(), "a start that cannot be leaves nothing behind");
    let state = plane.state();
    refused(command(state.parent().unwrap(), port::free(), port::free()), &["in use by another control plane"]);
    let keys = folder.path().join("keys");
    std::fs::write(&keys, "k1:short\n").unwrap();
    std::fs::set_permissions(&keys, std::fs::Permissions::from_mode(0o600)).unwrap();
    let mut wrong_keys = command(folder.path(), port::free(), port::free());
    wrong_keys.arg("--secret-keys").arg(&keys);
    refused(wrong_keys, &["key ring", "line 1"]);
    let help = Command::new(binary::controlplane()).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    assert!(help.contains("Examples:") && help.contains("127.0.0.1:9400"), "{help}");
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_left_alone() {
    let mut plane = ControlPlane::empty().await;
    plane.signal(Signal::TERM);
    plane.ended().await;
    let database = plane.state().join("controlplane.db");
    let script = format!(
        "import sqlite3; d = sqlite3.connect({:?}); d.execute(\"INSERT INTO migrations VALUES (9999, '9999_later', 0)\"); d.commit()",
        database.display().to_string()
    );
    assert!(Command::new("python3").arg("-c").arg(script).status().unwrap().success());
    let output = command(plane.state().parent().unwrap(), port::free(), port::free()).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && stderr.contains("changed by a newer version"), "{stderr}");
}

#[tokio::test]
async fn health_and_metrics_are_open_and_tell_no_names() {
    let plane = ControlPlane::empty().await;
    plane.admin().await.servers(&[("secret-name", r#"{"url":"http://127.0.0.1:1/mcp"}"#)]).await;
    let health = plane.get("/health").await;
    assert_eq!((health.status, &*health.text()), (200, r#"{"revision":1,"status":"ok"}"#));
    let metrics = plane.get("/metrics").await.text();
    assert!(metrics.contains("sluice_controlplane_operations_total{operation=\"Apply\"} 1\n"), "{metrics}");
    assert!(metrics.contains("sluice_controlplane_revision 1\n") && !metrics.contains("secret-name"), "{metrics}");
}
