//! A state folder that lost a file, or holds one that is broken: nothing is made anew by itself, and the error leads out.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use rustix::process::Signal;
use serde_json::Value;
use sluice_tests::control::{Start, command};
use sluice_tests::{ControlPlane, Node, node, port};

/// One that was used and has ended: there is a server, a secret, and a node that joined.
async fn used() -> (ControlPlane, Node) {
    let mut plane = ControlPlane::empty().await;
    plane.admin().await.servers(&[("a", r#"{"url":"http://127.0.0.1:1/mcp"}"#)]).await;
    assert_eq!(plane.rest("PUT", "/secrets/s", serde_json::json!({"value": "v"})).await.0, 200);
    let node = Node::of(&plane, "edge-1", &[]).await.start();
    node.runs(2).await;
    end(&mut plane).await;
    (plane, node)
}

async fn end(plane: &mut ControlPlane) {
    plane.signal(Signal::TERM);
    assert!(plane.ended().await.success());
}

fn start(state: &Path, args: &[&str]) -> Output {
    command(state.parent().unwrap(), port::free(), port::free()).args(args).output().unwrap()
}

/// It does not start, and says why, what is lost, what works, and what to do.
fn refused(state: &Path, told: &[&str]) {
    let output = start(state, &[]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "{said}");
    let always = ["lost: ", "still works: nodes serve what they have", "\n  = "];
    for part in told.iter().chain(&always) {
        assert!(said.contains(part), "{part}\n{said}");
    }
    assert!(!said.contains("panicked"), "{said}");
}

/// What was said to be done, done.
fn made_anew(state: &Path, file: &str) {
    let output = start(state, &["--make-anew", file]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
}

fn python(script: &str) {
    assert!(Command::new("python3").arg("-c").arg(script).status().unwrap().success());
}

#[tokio::test]
async fn a_lost_token_is_made_anew_by_who_has_the_folder() {
    let (mut plane, _node) = used().await;
    let file = plane.state().join("admin.token");
    let before = plane.token();
    fs::remove_file(&file).unwrap();
    plane.again().await;
    plane.logged("--make-anew admin.token").await;
    let typed = start(&plane.state(), &["--make-anew", "admin.token"]);
    assert!(String::from_utf8(typed.stderr).unwrap().contains("in use by another control plane"));
    assert!(!file.exists());
    end(&mut plane).await;
    made_anew(&plane.state(), "admin.token");
    plane.again().await;
    assert_ne!(plane.token(), before);
    assert_eq!(plane.rest("GET", "/objects/server/a", Value::Null).await.0, 200);
    let old = sluice_tests::Call::get("/api/v1/objects").bare().key(&before).send(plane.http).await;
    assert_eq!(old.status, 401, "what is lost may have been found");
    assert_eq!(plane.rest("GET", "/audit/verify", Value::Null).await.1["intact"], true);
}

#[tokio::test]
async fn a_lost_or_broken_authority_is_never_replaced_unasked() {
    let (mut plane, mut edge) = used().await;
    let file = plane.state().join("authority.json");
    let kept = fs::read(&file).unwrap();
    fs::write(&file, "[{\"certificate\": ").unwrap();
    refused(&plane.state(), &["authority.json is not what was written", "--make-anew authority.json"]);
    fs::remove_file(&file).unwrap();
    refused(&plane.state(), &["authority.json is not there", "every node has to join it"]);
    assert!(!file.exists(), "it was not made");
    fs::write(&file, kept).unwrap();
    plane.again().await;
    node::seen(&plane, "edge-1", "back", |seen| seen.connected).await;
    end(&mut plane).await;
    let before = plane.token();
    fs::remove_file(&file).unwrap();
    made_anew(&plane.state(), "authority.json");
    plane.again().await;
    assert_ne!(plane.token().split('.').nth(1), before.split('.').nth(1), "the token names the new one");
    assert_eq!(plane.rest("GET", "/objects/server/a", Value::Null).await.0, 200);
    edge.kill().await;
    fs::remove_dir_all(edge.state()).unwrap();
    edge.give(&node::join_token(&plane, "edge-1").await);
    edge.again();
    node::seen(&plane, "edge-1", "joined again", |seen| seen.connected).await;
}

#[tokio::test]
async fn a_lost_key_ring_is_never_replaced() {
    let (mut plane, _node) = used().await;
    let file = plane.state().join("secret.keys");
    let kept = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    refused(&plane.state(), &["secret.keys is not there", "--secret-keys FILE", "Start over with `mv "]);
    assert!(!file.exists(), "it was not made");
    let other = Start::default().ready().await;
    fs::copy(other.state().join("secret.keys"), &file).unwrap();
    refused(&plane.state(), &["is not the key ring that this folder was sealed with"]);
    fs::write(&file, kept).unwrap();
    plane.again().await;
    assert_eq!(plane.rest("GET", "/secrets", Value::Null).await.1["secrets"][0]["name"], "s");
}

#[tokio::test]
async fn a_ring_in_a_variable_that_lacks_the_key_in_use_is_named_with_the_way_out() {
    const VARIABLE: &str = "SLUICE_SECRET_KEYS";
    let key = |id: &str, digit: &str| format!("{id}:{}=", digit.repeat(43));
    let mut plane = Start::default().env(VARIABLE, &key("old", "A")).ready().await;
    assert_eq!(plane.rest("PUT", "/secrets/s", serde_json::json!({"value": "v"})).await.0, 200);
    end(&mut plane).await;
    let started = |keys: &str| {
        let mut command = command(plane.state().parent().unwrap(), port::free(), port::free());
        let output = command.env(VARIABLE, keys).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let said = started(&key("new", "E"));
    for part in [
        "the variable `SLUICE_SECRET_KEYS` is not the key ring that this folder was sealed with",
        "sealed with key `old`, which is not in the key ring",
        "put the line of the key `old` back into the variable `SLUICE_SECRET_KEYS`, before the newer ones, and start again",
        "it is read at the start only",
        "still works: nodes serve what they have",
    ] {
        assert!(said.contains(part), "{part}\n{said}");
    }
    let said = started(&key("old", "E"));
    assert!(said.contains("put back the key `old` as it was into the variable `SLUICE_SECRET_KEYS`"), "{said}");
    assert!(!said.contains("EEEE"), "{said}");
    let help = Command::new(sluice_tests::binary::controlplane()).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    assert!(help.contains("is read at the start only: start again with both keys in it"), "{help}");
}

#[tokio::test]
async fn a_key_ring_that_is_lost_while_it_runs_is_not_made_by_a_rotation() {
    let mut plane = ControlPlane::empty().await;
    let file = plane.state().join("secret.keys");
    let kept = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    let (status, told) = plane.rest("POST", "/keys/rotate", Value::Null).await;
    assert!(status == 409 && told["detail"].as_str().unwrap().contains("secret.keys"), "{told}");
    assert!(!file.exists(), "it was not made");
    fs::write(&file, kept).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(plane.rest("POST", "/keys/rotate", Value::Null).await.0, 200);
    end(&mut plane).await;
}

#[tokio::test]
async fn a_lost_broken_or_foreign_database_is_left_as_it_is() {
    let (mut plane, _node) = used().await;
    let file = plane.state().join("controlplane.db");
    let kept = plane.backup();
    let remove = || ["", "-wal", "-shm"].map(|end| drop(fs::remove_file(format!("{}{end}", file.display()))));
    remove();
    refused(&plane.state(), &["controlplane.db is not there", "--make-anew controlplane.db"]);
    assert!(!file.exists(), "it was not made");
    fs::write(&file, "this is no database".repeat(500)).unwrap();
    refused(&plane.state(), &["controlplane.db cannot be read: ", "--make-anew controlplane.db"]);
    remove();
    let path = file.display();
    python(&format!(
        "import sqlite3; d = sqlite3.connect('{path}'); d.execute('CREATE TABLE migrations (id, app)'); d.commit()"
    ));
    let before = fs::read(&file).unwrap();
    refused(&plane.state(), &["controlplane.db is the database of another program", "left as it is"]);
    assert_eq!(fs::read(&file).unwrap(), before);
    plane.restore(&kept);
    python(&format!(
        "import sqlite3; d = sqlite3.connect('{path}'); d.execute(\"INSERT INTO migrations VALUES (9999, '9999_later', 0)\"); d.commit()"
    ));
    refused(
        &plane.state(),
        &["changed by a newer version of Sluice (`9999_later`)", "left as it is", "run that version"],
    );
    // the way out for one that has no backup: nodes stay, and what is to be applied is applied again
    made_anew(&plane.state(), "controlplane.db");
    plane.again().await;
    assert_eq!(plane.rest("GET", "/objects", Value::Null).await.1["revision"], 0);
    node::seen(&plane, "edge-1", "back without joining", |seen| seen.connected).await;
    let aside = |entry: fs::DirEntry| entry.file_name().into_string().unwrap().starts_with("controlplane.db.");
    assert!(fs::read_dir(plane.state()).unwrap().map(Result::unwrap).any(aside), "nothing is thrown away");
}

#[tokio::test]
async fn a_damaged_page_is_told_like_a_damaged_file() {
    let (plane, _node) = used().await;
    let file = plane.state().join("controlplane.db");
    let path = file.display();
    // all pages but the first, which says what the file is
    python(&format!(
        "import sqlite3; d = sqlite3.connect('{path}'); d.execute('PRAGMA wal_checkpoint(TRUNCATE)'); d.close()\n\
         f = open('{path}', 'r+b'); f.seek(0, 2); n = f.tell(); f.seek(4096); f.write(b'\\xff' * (n - 4096))"
    ));
    refused(&plane.state(), &["controlplane.db cannot be read: ", "put back a backup"]);
}

#[tokio::test]
async fn help_leads_out_as_well() {
    let help = Command::new(sluice_tests::binary::controlplane()).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    for file in ["admin.token", "authority.json", "controlplane.db"] {
        assert!(help.contains(&format!("--make-anew {file}")), "{help}");
    }
}

#[tokio::test]
async fn a_file_that_others_may_read_is_told_of() {
    let (mut plane, _node) = used().await;
    let files = ["admin.token", "authority.json"].map(|name| plane.state().join(name));
    for file in &files {
        fs::set_permissions(file, fs::Permissions::from_mode(0o644)).unwrap();
    }
    plane.again().await;
    for file in files {
        plane.logged(&format!(r#""file":"{}","mode":"0644""#, file.display())).await;
    }
}
