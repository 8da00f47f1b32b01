//! `sluice` with a real control plane: what people type, what they see, and what they never do.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use sluice_tests::Node;
use sluice_tests::control::ControlPlane;
use sluice_tests::node::{self, seen, status};
use sluice_tests::wait;

/// What a command left.
struct Typed {
    code: i32,
    data: String,
    talk: String,
}

impl Typed {
    /// stdout of a command that succeeded.
    fn fine(self) -> String {
        assert_eq!(self.code, 0, "{}", self.talk);
        self.data
    }

    /// stdout of a command that succeeded, as JSON.
    fn json(self) -> Value {
        let data = self.fine();
        serde_json::from_str(&data).unwrap_or_else(|error| panic!("{error}: {data}"))
    }
}

fn typed(plane: &ControlPlane, args: &[&str]) -> Typed {
    let output = plane.sluice(args);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Typed { code: output.status.code().unwrap(), data: text(output.stdout), talk: text(output.stderr) }
}

/// Writes a configuration beside the state of a control plane.
fn written(plane: &ControlPlane, name: &str, text: &str) -> String {
    let file: PathBuf = plane.state().with_file_name(name);
    std::fs::write(&file, text).unwrap();
    file.display().to_string()
}

fn weather(timeout: u32) -> String {
    format!(
        "servers:\n  weather:\n    url: http://127.0.0.1:1/mcp\n    timeout: {timeout}\n    \
         auth: {{type: bearer, token: canary-bearer-4711}}\nclients:\n  alice: {{api_key: canary-key-0123456789abcdef}}\n\
         features: {{authentication: true}}\n"
    )
}

#[tokio::test]
async fn a_file_is_compared_applied_changed_and_taken_back() {
    let plane = ControlPlane::empty().await;
    let file = written(&plane, "mcp.yaml", &weather(30));
    let added = "features        added\nserver/weather  added\nclient/alice    added\n";
    assert_eq!(typed(&plane, &["diff", "-f", &file]).fine(), added);
    assert_eq!(typed(&plane, &["apply", "-f", &file, "--dry-run"]).fine(), added);
    assert_eq!(typed(&plane, &["apply", "-f", &file, "--no-wait"]).fine(), added);
    let again = typed(&plane, &["apply", "-f", &file, "--no-wait"]);
    assert_eq!((again.data.as_str(), again.talk.as_str()), ("", "nothing to change: revision 1 says the same\n"));

    written(&plane, "mcp.yaml", &weather(60));
    let changed = "server/weather  changed  timeout 30 → 60\n";
    assert_eq!(typed(&plane, &["diff", "-f", &file]).fine(), changed);
    assert_eq!(typed(&plane, &["diff", "-f", &file, "--exit-code"]).code, 1);
    assert_eq!(typed(&plane, &["apply", "-f", &file, "--no-wait", "-m", "slower"]).fine(), changed);
    let history = typed(&plane, &["history", "-o", "json"]).json();
    assert_eq!((&history[0]["revision"], &history[0]["message"]), (&2.into(), &"slower".into()));
    assert_eq!(typed(&plane, &["history", "2"]).fine(), changed);

    let back = "server/weather  changed  timeout 60 → 30\n";
    assert_eq!(typed(&plane, &["rollback", "1", "--dry-run"]).fine(), back);
    assert_eq!(typed(&plane, &["rollback", "1", "--no-wait"]).fine(), back);
    assert_eq!(typed(&plane, &["get", "-o", "json"]).json()["servers"]["weather"]["timeout"], 30);
    assert_eq!(typed(&plane, &["get", "-o", "json", "--revision", "2"]).json()["servers"]["weather"]["timeout"], 60);
    let none = typed(&plane, &["rollback", "99"]);
    assert!(none.code == 1 && none.talk.contains("there is no revision 99; the head is 3"), "{}", none.talk);
    let first = typed(&plane, &["rollback", "0"]);
    assert!(first.code == 2 && first.talk.contains("revisions count from 1"), "{}", first.talk);
    let same = typed(&plane, &["rollback", "3", "--no-wait"]);
    assert!(same.talk.starts_with("revision 3 is the newest one: there is nothing to go back from\n"), "{}", same.talk);
    assert_eq!((same.code, typed(&plane, &["history", "-o", "json"]).json()[0]["revision"].as_u64()), (0, Some(3)));
}

/// Types at a terminal: what was shown, and the exit code.
fn at_a_terminal(plane: &ControlPlane, answer: &str, args: &[&str]) -> (i32, String) {
    on_a_terminal(plane, 200, answer, args)
}

/// The same at one with so many columns.
fn on_a_terminal(plane: &ControlPlane, columns: u16, answer: &str, args: &[&str]) -> (i32, String) {
    const TERMINAL: &str = "
import fcntl, os, pty, struct, sys, termios
pid, terminal = pty.fork()
if pid == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack('HHHH', 24, int(sys.argv.pop(1)), 0, 0))
    os.execv(sys.argv[2], sys.argv[2:])
sys.argv.pop(1)
os.write(terminal, sys.argv[1].encode() + b'\\n')
shown = b''
try:
    while part := os.read(terminal, 4096):
        shown += part
except OSError:
    pass
sys.stdout.buffer.write(shown)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
";
    let mut command = Command::new("python3");
    command.args(["-c", TERMINAL, &columns.to_string(), answer]).arg(sluice_tests::binary::sluice()).args(args);
    command.env("SLUICE_CONTROL_PLANE", format!("http://127.0.0.1:{}", plane.grpc)).env("SLUICE_TOKEN", plane.token());
    let output = command.env("TERM", "dumb").output().unwrap();
    (output.status.code().unwrap(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[tokio::test]
async fn whoever_sits_at_a_terminal_is_asked_before_something_goes() {
    let plane = ControlPlane::empty().await;
    let file = written(&plane, "mcp.yaml", &weather(30));
    typed(&plane, &["apply", "-f", &file, "--no-wait"]).fine();
    let file = written(&plane, "mcp.yaml", &weather(60));
    typed(&plane, &["apply", "-f", &file, "--no-wait"]).fine();
    for (args, question) in [
        (&["rollback", "1", "--no-wait"][..], "Go back to what revision 1 said? [y/N]"),
        (&["delete", "server", "weather", "--no-wait"], "Remove it? [y/N]"),
    ] {
        let (code, shown) = at_a_terminal(&plane, "n", args);
        assert!(code == 1 && shown.contains(question) && shown.contains("server/weather"), "{shown}");
        assert!(shown.contains("nothing was changed, as you wish"), "{shown}");
    }
    assert_eq!(typed(&plane, &["history", "-o", "json"]).json()[0]["revision"], 2);
    let (code, shown) = at_a_terminal(&plane, "y", &["rollback", "1", "--no-wait"]);
    assert!(code == 0 && shown.contains("this is revision 3"), "{shown}");
    let (code, shown) = at_a_terminal(&plane, "", &["delete", "server", "weather", "--no-wait", "--yes"]);
    assert!(code == 0 && !shown.contains("[y/N]"), "{shown}");
}

#[tokio::test]
async fn a_control_plane_that_is_stopped_in_its_tracks_is_told_within_ten_seconds() {
    let plane = ControlPlane::empty().await;
    typed(&plane, &["status"]).fine();
    plane.signal(Signal::STOP);
    for args in [&["status"][..], &["get", "-o", "json"], &["delete", "server", "a"]] {
        let since = Instant::now();
        let hung = typed(&plane, args);
        assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
        assert!(hung.code == 1 && hung.data.is_empty() && hung.talk.contains("gave no sign of life"), "{}", hung.talk);
    }
    plane.signal(Signal::CONT);
    typed(&plane, &["status"]).fine();
}

#[tokio::test]
async fn what_is_doubtful_is_said_and_done() {
    let plane = ControlPlane::empty().await;
    let node = Node::of(&plane, "edge-1", &["region=eu"]).await.start();
    seen(&plane, "edge-1", "there", |seen| seen.connected).await;
    let text = "issuers: {corp: {issuer: 'https://login.example.com', audiences: [mcp]}}\n\
        servers: {a: {url: 'http://127.0.0.1:1/mcp', nodes: {region: us}}}\n\
        clients: {old: {api_key: 0123456789abcdef0123456789abcdef, expires: '2020-01-01T00:00:00Z'}}\n\
        policies: {p: {who: ['jwt:corp:*', 'jwt:crop:ann', local], allow: [{servers: ['*']}]}}\n";
    let file = written(&plane, "mcp.yaml", text);
    let applied = typed(&plane, &["apply", "-f", &file, "--no-wait"]);
    for doubt in [
        "warning: policies.p.who[1]: is of no issuer of this configuration",
        "warning: servers.a.nodes: choose none of the nodes that are known",
        "edge-1 has region=eu",
        "warning: clients.old.expires: is over",
    ] {
        assert!(applied.talk.contains(doubt), "{doubt}\n{}", applied.talk);
    }
    assert!(!applied.talk.contains("who[0]") && applied.fine().contains("server/a"));
    let deleted = typed(&plane, &["delete", "issuer", "corp", "--no-wait"]);
    assert!(deleted.talk.contains("policies.p.who[0]: is of no issuer"), "{}", deleted.talk);
    drop(node);
}

#[tokio::test]
async fn a_node_has_the_labels_its_token_gave_it_whatever_it_says() {
    let plane = ControlPlane::empty().await;
    let args = ["token", "create", "edge-1", "--join", "--label", "region=eu"];
    let token = typed(&plane, &args).fine();
    let node = node::Start::new("edge-1", plane.grpc, token.trim()).label("region=us").label("tier=free").start();
    seen(&plane, "edge-1", "there", |seen| seen.connected).await;
    let known = status(&plane, "edge-1").await.unwrap();
    assert_eq!(known.labels, [("region".to_owned(), "eu".to_owned())].into());
    plane.logged("the token counts").await;
    drop(node);
}

#[tokio::test]
async fn a_node_that_joins_again_keeps_the_labels_it_was_given_unless_somebody_says_otherwise() {
    let plane = ControlPlane::empty().await;
    let create = |more: &[&str]| typed(&plane, &[&["token", "create", "edge-1", "--join"], more].concat());
    let token = create(&["--label", "region=eu"]).fine();
    let mut node = node::Start::new("edge-1", plane.grpc, token.trim()).label("region=us").start();
    seen(&plane, "edge-1", "there", |seen| seen.connected).await;
    let region = |value: &str| [("region".to_owned(), value.to_owned())].into();
    for (revoked, more, bound, is) in [
        (false, &[][..], "is bound to region=eu", "eu"),
        (true, &[], "is bound to region=eu", "eu"),
        (true, &["--label", "region=ap"], "is bound to region=ap", "ap"),
        (true, &[], "is bound to region=ap, as when it joined last", "ap"),
        (false, &["--own-labels"], "made a token", "us"),
        (false, &[], "made a token", "us"),
    ] {
        if revoked {
            typed(&plane, &["node", "revoke", "edge-1"]).fine();
        }
        let made = create(more);
        assert!(made.talk.contains(bound), "{}", made.talk);
        assert_eq!(made.talk.contains("is bound"), bound.contains("is bound"), "{}", made.talk);
        node.kill().await;
        std::fs::remove_file(node.state().join("identity.pem")).unwrap();
        node.give(made.fine().trim());
        node.again();
        let labels = region(is);
        seen(&plane, "edge-1", "back", |seen| seen.connected && seen.labels == labels).await;
    }
}

#[tokio::test]
async fn what_get_shows_can_be_applied_again_and_keeps_its_secrets() {
    let plane = ControlPlane::empty().await;
    let file = written(&plane, "mcp.yaml", &weather(30));
    typed(&plane, &["apply", "-f", &file, "--no-wait"]).fine();
    for format in ["yaml", "json"] {
        let got = typed(&plane, &["get", "-o", format]).fine();
        assert!(got.contains("***"), "{got}");
        let got = written(&plane, &format!("got.{format}"), &got);
        let again = typed(&plane, &["apply", "-f", &got, "--prune", "--yes", "--no-wait"]);
        assert_eq!((again.code, again.data.as_str()), (0, ""), "{}", again.talk);
    }
}

#[tokio::test]
async fn of_two_who_apply_on_the_same_revision_the_second_is_told_who_was_first() {
    let plane = ControlPlane::empty().await;
    let file = written(&plane, "mcp.yaml", &weather(30));
    typed(&plane, &["apply", "-f", &file, "--no-wait"]).fine();
    let bob = typed(&plane, &["token", "create", "bob", "--role", "editor"]).fine();
    let token = written(&plane, "bob.token", &bob);
    let first = written(&plane, "first.yaml", &weather(60));
    let second = written(&plane, "second.yaml", &weather(90));
    typed(&plane, &["apply", "-f", &first, "--base", "1", "--no-wait", "--token-file", &token]).fine();
    let late = typed(&plane, &["apply", "-f", &second, "--base", "1", "--no-wait"]);
    assert_eq!((late.code, late.data.as_str()), (1, ""));
    assert!(late.talk.contains("moved on since revision 1, and nothing was changed"), "{}", late.talk);
    assert!(late.talk.contains("revision 2 by bob, ") && late.talk.contains("~server/weather"), "{}", late.talk);
    assert_eq!(typed(&plane, &["get", "-o", "json"]).json()["servers"]["weather"]["timeout"], 60);
    typed(&plane, &["apply", "-f", &second, "--base", "2", "--no-wait"]).fine();
}

#[tokio::test]
async fn only_pruning_removes_what_a_file_does_not_have() {
    let plane = ControlPlane::empty().await;
    let file = written(&plane, "mcp.yaml", &weather(30));
    typed(&plane, &["apply", "-f", &file, "--no-wait"]).fine();
    let other = written(&plane, "other.yaml", "servers: {other: {url: 'http://127.0.0.1:1/mcp'}}\n");
    assert_eq!(typed(&plane, &["apply", "-f", &other, "--no-wait"]).fine(), "server/other  added\n");
    let unsure = typed(&plane, &["apply", "-f", &other, "--prune", "--no-wait"]);
    assert!(unsure.code == 2 && unsure.talk.contains("server/weather  removed"), "{}", unsure.talk);
    let pruned = typed(&plane, &["apply", "-f", &other, "--prune", "--yes", "--no-wait"]).fine();
    assert!(pruned.contains("server/weather  removed\n") && !pruned.contains("other"), "{pruned}");
    assert_eq!(typed(&plane, &["delete", "server", "other", "--no-wait"]).fine(), "server/other  removed\n");
    assert_eq!(typed(&plane, &["get", "-o", "json"]).json(), serde_json::json!({}));
}

#[tokio::test]
async fn faults_are_shown_at_their_place_and_nothing_is_changed() {
    let plane = ControlPlane::empty().await;
    let file = written(&plane, "mcp.yaml", "servers:\n  weather:\n    url: ftp://example.com\n");
    let refused = typed(&plane, &["apply", "-f", &file, "--no-wait"]);
    assert_eq!((refused.code, refused.data.as_str()), (2, ""));
    assert!(refused.talk.contains("error: servers.weather.url: "), "{}", refused.talk);
    assert!(refused.talk.contains("mcp.yaml:3:10\n") && refused.talk.contains("^^^"), "{}", refused.talk);
    assert_eq!(typed(&plane, &["history", "-o", "json"]).json(), serde_json::json!([]));
}

#[tokio::test]
async fn no_verb_tells_a_secret_and_every_list_is_json() {
    let plane = ControlPlane::empty().await;
    let file = written(&plane, "mcp.yaml", &weather(30));
    let mut told = String::new();
    for args in [
        &["diff", "-f", &file, "-o", "json"][..],
        &["apply", "-f", &file, "--no-wait", "-o", "json"],
        &["get", "-o", "json"],
        &["get", "server", "weather", "-o", "json"],
        &["history", "-o", "json"],
        &["history", "1", "-o", "json"],
        &["audit", "-o", "json"],
        &["audit", "verify", "-o", "json"],
        &["token", "list", "-o", "json"],
        &["explain", "call", "weather_get", "--as", "client:alice", "-o", "json"],
        &["rollback", "1", "--dry-run", "-o", "json"],
        &["delete", "client", "alice", "--dry-run", "-o", "json"],
    ] {
        let typed = typed(&plane, args);
        told.push_str(&typed.talk);
        told.push_str(&typed.data);
        typed.json();
    }
    for args in [&["get"][..], &["get", "-o", "yaml"], &["history"], &["audit"], &["audit", "verify"]] {
        let typed = typed(&plane, args);
        told.push_str(&typed.talk);
        told.push_str(&typed.fine());
    }
    assert!(!told.contains("canary") && !told.contains(&plane.token()), "{told}");
    assert!(!plane.log().contains("canary"), "{}", plane.log());
}

#[tokio::test]
async fn roles_bound_what_a_person_can_type() {
    let plane = ControlPlane::empty().await;
    let token = typed(&plane, &["token", "create", "eve", "--role", "viewer", "--expires", "1h"]).fine();
    let token = written(&plane, "eve.token", &token);
    let file = written(&plane, "mcp.yaml", &weather(30));
    assert_eq!(typed(&plane, &["diff", "-f", &file, "--token-file", &token]).code, 0, "judging is reading");
    let refused = typed(&plane, &["apply", "-f", &file, "--no-wait", "--token-file", &token]);
    assert!(refused.code == 1 && refused.talk.contains("takes the role `editor`"), "{}", refused.talk);
    typed(&plane, &["token", "revoke", "eve"]).fine();
    let refused = typed(&plane, &["get", "--token-file", &token]);
    assert!(refused.code == 1 && refused.talk.contains("does not accept the token in"), "{}", refused.talk);
}

#[tokio::test]
async fn a_call_is_explained_alike_by_the_control_plane_and_from_the_file() {
    let plane = ControlPlane::empty().await;
    let file = written(&plane, "mcp.yaml", &weather(30));
    typed(&plane, &["apply", "-f", &file, "--no-wait"]).fine();
    let call = ["explain", "call", "weather_forecast", "-o", "json", "--as"];
    for (principal, verdict) in
        [("client:alice", "allowed"), ("local", "unauthenticated"), ("client:bob", "unauthenticated")]
    {
        let explained = |file: &[&str]| {
            let typed = typed(&plane, &[&call[..], &[principal], file].concat());
            // nobody who does not come in is told with a success
            assert_eq!(typed.code, i32::from(verdict == "unauthenticated"), "{}", typed.talk);
            serde_json::from_str::<Value>(&typed.data).unwrap()
        };
        let (asked, local) = (explained(&[]), explained(&["-f", &file]));
        assert_eq!((&asked["verdict"], &asked["revision"]), (&verdict.into(), &1.into()), "{asked:#}");
        assert_eq!(asked["steps"], local["steps"]);
    }
    let shown = typed(&plane, &["explain", "call", "weather_forecast", "--as", "client:alice"]).fine();
    assert!(shown.starts_with("allowed by revision 1\n") && shown.contains("servers.weather.url"), "{shown}");
    assert_eq!(typed(&plane, &["explain", "call", "x", "--node", "nowhere"]).code, 1);
}

#[tokio::test]
async fn who_waits_for_nodes_is_told_for_whom() {
    let plane = ControlPlane::empty().await;
    let node = Node::of(&plane, "edge-1", &[]).await.start();
    seen(&plane, "edge-1", "there", |seen| seen.connected).await;
    let file = written(&plane, "mcp.yaml", "servers: {a: {url: 'http://127.0.0.1:1/mcp'}}\n");
    node.signal(Signal::STOP);
    let applied = typed(&plane, &["apply", "-f", &file, "--timeout", "7s"]);
    node.signal(Signal::CONT);
    assert!(applied.code == 1 && applied.data == "server/a  added\n", "{}", applied.talk);
    for told in ["waiting for edge-1, ", "edge-1 has not answered after 7 s\n", "did not say in time"] {
        assert!(applied.talk.contains(told), "{told}\n{}", applied.talk);
    }
}

/// What a terminal would obey, and what turns letters around.
const ODD: &str = "x\u{1b}]0;pwned\u{7}\u{1b}[31m\nFAKE\u{9b}2J\u{7f}\u{202e}cba";

#[tokio::test]
async fn nothing_that_others_write_is_obeyed_by_a_terminal() {
    let plane = ControlPlane::empty().await;
    let file = written(&plane, "mcp.yaml", &weather(30));
    typed(&plane, &["apply", "-f", &file, "--no-wait", "--message", ODD]).fine();
    let visible = r"x\x1b]0;pwned\x07\x1b[31m\nFAKE\x9b2J\x7f\u{202e}cba";
    let acts = |text: &str| text.contains(|c: char| (c.is_control() && c != '\n') || c == '\u{202e}');
    for args in [
        &["history"][..],
        &["history", "1"],
        &["apply", "-f", &file, "--no-wait", "--base", "0"],
        &["explain", "call", ODD],
        &["get", "server", ODD],
        &["delete", "server", ODD],
        &["token", "revoke", ODD],
        &["session", "list", "--principal", ODD],
        &["audit"],
        &["history", "-o", "json"],
        &["history", "-o", "yaml"],
    ] {
        let Typed { data, talk, .. } = typed(&plane, args);
        assert!(!acts(&data) && !acts(&talk), "{args:?}: {data:?} {talk:?}");
    }
    let history = typed(&plane, &["history"]).fine();
    assert!(history.lines().count() == 2 && history.contains(visible), "{history}");
    // programs read what was written
    assert_eq!(typed(&plane, &["history", "-o", "json"]).json()[0]["message"], ODD);
    let yaml = typed(&plane, &["history", "-o", "yaml"]).fine();
    assert_eq!(serde_saphyr::from_str::<Value>(&yaml).unwrap()[0]["message"], ODD);
    // in colour as well
    let (_, shown) = at_a_terminal(&plane, "", &["history"]);
    assert!(shown.contains(visible) && !shown.contains('\u{7}'), "{shown:?}");
}

#[tokio::test]
async fn what_a_credential_file_holds_is_sealed_and_shown_to_nobody() {
    use std::os::unix::fs::PermissionsExt;
    let plane = ControlPlane::empty().await;
    let folder = plane.state().parent().unwrap().join(".config/sluice");
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("credentials.json");
    let keep = |value: &str| {
        std::fs::write(&file, format!(r#"{{"CAN_CRED": "{value}"}}"#)).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    };
    keep("canary-4711");
    let text = "servers:\n  ca: {command: x, args: [go, \"${CAN_CRED}\"], cwd: \"/${CAN_CRED}\"}\n  \
        web: {url: \"http://${CAN_CRED}.localhost/mcp\"}\n";
    let configuration = written(&plane, "mcp.yaml", text);
    let apply = &["apply", "-f", &configuration, "--no-wait"];
    typed(&plane, apply).fine();
    let again = typed(&plane, apply);
    assert_eq!(again.talk, "nothing to change: revision 1 says the same\n");
    keep("canary-4712");
    let changed = typed(&plane, apply).fine();
    assert!(changed.contains("server/ca   changed  args[1] (another value)"), "{changed}");
    let mut told = changed;
    for args in [&["get"][..], &["get", "-o", "yaml"], &["history", "2", "-o", "json"], &["audit"]] {
        told.push_str(&typed(&plane, args).fine());
    }
    let got = typed(&plane, &["get", "-o", "json"]).json();
    assert_eq!(got["servers"]["ca"]["args"], serde_json::json!(["go", "***"]));
    assert!(!told.contains("canary"), "{told}");
    let stored = std::fs::read_dir(plane.state()).unwrap().map(|file| std::fs::read(file.unwrap().path()).unwrap());
    let holds = |bytes: Vec<u8>| bytes.windows(6).any(|part| part == b"canary");
    assert!(!stored.into_iter().any(holds), "in the clear in the state folder");
    let got = written(&plane, "got.yaml", &typed(&plane, &["get", "-o", "yaml"]).fine());
    assert_eq!(
        typed(&plane, &["apply", "-f", &got, "--no-wait"]).talk,
        "nothing to change: revision 2 says the same\n"
    );
}

#[tokio::test]
async fn whoever_is_cut_off_is_told_how_to_see_what_became_of_it() {
    let plane = ControlPlane::empty().await;
    let file = written(&plane, "mcp.yaml", &weather(30));
    // it takes what is said, and ends the connection, as one does that dies
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            let _ = std::io::Read::read(&mut connection, &mut [0; 1024]);
        }
    });
    let cut = typed(&plane, &["apply", "-f", &file, "--no-wait", "--control-plane", &address]);
    assert_eq!(cut.code, 1);
    for told in ["may have been done, or not", "`sluice history`", "`sluice diff -f FILE`"] {
        assert!(cut.talk.contains(told), "{}", cut.talk);
    }
}

#[tokio::test]
async fn narrow_terminals_are_not_written_beyond() {
    let plane = ControlPlane::empty().await;
    let node = Node::of(&plane, "edge-1", &["region=eu"]).await.start();
    seen(&plane, "edge-1", "there", |seen| seen.connected).await;
    typed(&plane, &["token", "create", "a-rather-long-name-of-somebody", "--role", "viewer"]).fine();
    let file = written(&plane, "mcp.yaml", &weather(30));
    typed(&plane, &["apply", "-f", &file]).fine();
    for args in [&["status"][..], &["token", "list"]] {
        let (code, shown) = on_a_terminal(&plane, 40, "", args);
        assert_eq!(code, 0, "{shown}");
        // the address of the control plane is copied, and stays whole
        let lines = shown.lines().filter(|line| !line.starts_with("control plane")).map(str::trim_end);
        let wide: Vec<_> = lines.filter(|line| line.chars().count() > 40).collect();
        assert!(wide.is_empty(), "{wide:#?}");
        assert!(shown.contains("edge-1") || shown.contains("viewer"), "{shown}");
    }
    drop(node);
}

#[tokio::test]
async fn a_token_that_has_ended_says_so() {
    let plane = ControlPlane::empty().await;
    typed(&plane, &["token", "create", "late", "--role", "viewer", "--expires", "1s"]).fine();
    let list = async || typed(&plane, &["token", "list"]).fine();
    let is_marked = |list: &String| list.lines().any(|line| line.starts_with("late") && line.contains("expired"));
    wait::becomes(Duration::from_secs(10), "the token has expired", list, is_marked).await;
    let list = typed(&plane, &["token", "list", "-o", "json"]).json();
    let ended =
        list.as_array().unwrap().iter().map(|token| (token["name"].as_str().unwrap(), token["expired"] == true));
    assert_eq!(ended.collect::<Vec<_>>(), [("admin", false), ("late", true)]);
}

#[tokio::test]
async fn a_token_that_others_may_read_is_told() {
    use std::os::unix::fs::PermissionsExt;
    let plane = ControlPlane::empty().await;
    let file = plane.state().join("admin.token");
    let file = file.display().to_string();
    let status = &["status", "--token-file", &file];
    assert!(!typed(&plane, status).talk.contains("warning"));
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let told = typed(&plane, status).talk;
    assert!(told.contains("has mode 0644") && told.contains("chmod 600"), "{told}");
}

#[tokio::test]
async fn what_a_server_offers_that_there_is_not_is_no_empty_answer() {
    let plane = ControlPlane::empty().await;
    plane.admin().await.servers(&[("a", r#"{"url":"http://127.0.0.1:1/mcp"}"#)]).await;
    let asked = |server: &str| typed(&plane, &["get", "tools", "--server", server]);
    assert_eq!(asked("a").fine(), "", "nothing was listed yet");
    let Typed { code, talk, .. } = asked("nobody");
    assert!(code == 1 && talk.contains("there is no server `nobody`"), "{talk}");
}
