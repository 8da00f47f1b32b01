//! A disk that takes nothing more: whoever wants to change something is told what is wrong and what to do, what runs goes on, and with room
//! everything is as before.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use serde_json::{Value, json};
use sluice_tests::control::{Start, command, servers_request};
use sluice_tests::disk::Disk;
use sluice_tests::node::seen;
use sluice_tests::{Call, ControlPlane, Node, port, until, wait};
use tonic::Code;

/// What is told of a disk.
struct Told {
    what: &'static str,
    way: &'static str,
    code: Code,
    status: u16,
}

impl Told {
    fn of(disk: Disk) -> Self {
        match disk {
            Disk::Small => Self {
                what: "the disk with the state folder is full",
                way: "make room there",
                code: Code::ResourceExhausted,
                status: 507,
            },
            Disk::Failing => Self {
                what: "the disk with the state folder does not take what is written",
                way: "look at its errors in the log of the system, at quotas, and at limits for the size of files",
                code: Code::Unavailable,
                status: 503,
            },
        }
    }

    /// What somebody is told who wanted to change something.
    fn change(&self, plane: &ControlPlane) -> String {
        let (folder, Self { what, way, .. }) = (plane.state_as_it_says(), self);
        let folder = folder.display();
        format!("nothing was changed: {what} ({folder}): {way}, and try again. Nodes go on with what they run")
    }
}

/// Status, `status` and `reason` of `/health`.
async fn health(plane: &ControlPlane) -> (u16, String, String) {
    let reply = plane.get("/health").await;
    let health: Value = serde_json::from_slice(&reply.body).unwrap();
    let text = |key: &str| health[key].as_str().unwrap_or_default().to_owned();
    (reply.status, text("status"), text("reason"))
}

async fn is_writable(plane: &ControlPlane) -> bool {
    plane.get("/metrics").await.text().contains("sluice_controlplane_store_writable 1\n")
}

#[tokio::test]
async fn a_full_disk_is_told_with_what_to_do_and_hurts_nothing_that_runs() {
    hindered(Disk::small()).await;
}

#[tokio::test]
async fn a_disk_that_fails_is_told_with_what_to_do_and_hurts_nothing_that_runs() {
    hindered(Disk::Failing).await;
}

async fn hindered(disk: Disk) {
    let plane = Start::default().on(disk).ready().await;
    let told = Told::of(disk);
    let admin = plane.admin().await;
    admin.servers(&[("a", r#"{"url":"http://127.0.0.1:1/mcp"}"#)]).await;
    let edge = Node::of(&plane, "edge", &[]).await.start();
    edge.runs(1).await;
    let (viewer, late) = (admin.person("vera", "viewer").await, Node::of(&plane, "late", &[]).await);
    assert_eq!(health(&plane).await, (200, "ok".into(), String::new()));
    assert!(is_writable(&plane).await);

    plane.fill_disk();
    // before anybody needs room, they can know
    let degraded = async || health(&plane).await;
    wait::becomes(wait::SOON, "it says so by itself", degraded, |(_, status, _)| status == "degraded").await;
    let change = told.change(&plane);
    let request = servers_request(&[("b", r#"{"url":"http://127.0.0.1:2/mcp"}"#)]);
    let refused = admin.apply(request).await.err().unwrap();
    assert_eq!((refused.code(), refused.message()), (told.code, &*change));
    let spec = json!({"url": "http://127.0.0.1:2/mcp"});
    let (status, problem) = plane.rest("PUT", "/objects/server/b", spec).await;
    assert_eq!((status, problem["detail"].as_str()), (told.status, Some(&*change)), "{problem}");
    let file = plane.state_as_it_says().parent().unwrap().join("mcp.yaml");
    std::fs::write(&file, "servers: {b: {url: 'http://127.0.0.1:2/mcp'}}\n").unwrap();
    let applied = plane.sluice(&["apply", "-f", file.to_str().unwrap()]);
    let said = String::from_utf8(applied.stderr).unwrap();
    assert!(applied.status.code() == Some(1) && said.contains(&change), "{said}");
    // probes are to leave it where it is: it is asked, and by nodes as well
    assert_eq!(health(&plane).await, (200, "degraded".into(), told.what.into()));
    assert!(!is_writable(&plane).await);

    // what can be done without writing is done, and who is nobody is told no more than ever
    let (status, objects) = plane.rest("GET", "/objects", Value::Null).await;
    assert_eq!((status, &objects["revision"], objects["objects"].as_array().unwrap().len()), (200, &json!(1), 1));
    let asked = async |token: &str, method: &str| {
        let call = Call::post("/api/v1/objects/server/a", "{}").method(method).key(token).send(plane.http).await;
        (call.status, call.text())
    };
    for (token, status) in [("nobody", 401), (&*viewer, 403)] {
        let (refused, text) = asked(token, "DELETE").await;
        assert!(refused == status && !text.contains("disk"), "{refused}: {text}");
    }
    let late = late.start();
    late.logged(&format!("cannot write down who joins: {}", told.what)).await;
    assert!(!late.log().contains(&plane.state_as_it_says().display().to_string()), "no node yet: {}", late.log());
    assert_eq!(edge.readiness().await, Some(200));
    seen(&plane, "edge", "connected all the time", |seen| seen.connected).await;
    let log = plane.log();
    let lines: Vec<_> = log.lines().filter(|line| line.contains("until then nothing can be changed")).collect();
    assert!(lines.len() == 1 && lines[0].contains(told.what), "{log}");

    plane.make_room();
    let whole = async || health(&plane).await;
    wait::becomes(wait::SOON, "it is whole again", whole, |(_, status, _)| status == "ok").await;
    assert!(is_writable(&plane).await);
    let revision = admin.servers(&[("b", r#"{"url":"http://127.0.0.1:2/mcp"}"#)]).await.revision;
    assert_eq!(revision, 2);
    edge.runs(2).await;
    late.runs(2).await;
    assert!(admin.audited().await.intact);
    plane.logged("nothing is in the way of writing the database any more").await;
}

#[tokio::test]
async fn whom_a_node_refuses_meanwhile_is_in_the_audit_log_afterwards() {
    let plane = Start::default().on(Disk::Failing).ready().await;
    let objects = vec![
        sluice_tests::fleet::object("server", "a", &json!({"url": "http://127.0.0.1:1/mcp"})),
        sluice_tests::fleet::object("client", "ann", &json!({"api_key": "ann-key-0123456789abcdef"})),
    ];
    let revision = sluice_tests::fleet::apply(&plane, objects).await;
    let edge = Node::of(&plane, "edge", &[]).await.start();
    edge.runs(revision).await;
    plane.fill_disk();
    let refused = Call::post("/servers/a/mcp", "{}").key("of-nobody").send(edge.port).await;
    assert_eq!(refused.status, 401);
    plane.logged("whom a node refused is not in the audit log before that can be written").await;
    seen(&plane, "edge", "connected all the same", |seen| seen.connected).await;
    plane.make_room();
    until("it is written down", || {
        let denials = plane.sluice(&["audit", "--denials"]);
        String::from_utf8(denials.stdout).unwrap().contains("edge").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_start_that_can_write_nothing_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let plain = command(folder.path(), port::free(), port::free());
    let mut limited = Command::new("/bin/sh");
    limited.args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$0\" \"$@\""]).arg(plain.get_program());
    let output = limited.args(plain.get_args()).env_clear().process_group(0).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    for part in ["does not take what is written", "limits for the size of files", "nodes serve what they have"] {
        assert!(said.contains(part), "{part}\n{said}");
    }
}
