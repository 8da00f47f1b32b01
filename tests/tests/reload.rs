//! A configuration file that changes while clients are there: sessions go on, clients are told, what was removed is gone and
//! ended, and a broken file changes nothing.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use sluice_tests::catalogue::Catalogue;
use sluice_tests::client::{Client, ERAS, Era};
use sluice_tests::events::Events;
use sluice_tests::message;
use sluice_tests::peer::Peer;
use sluice_tests::server::Server;
use sluice_tests::upstream::{Answer, Pipe};
use sluice_tests::{Call, Gateway, Session, until, wait};

/// How long a changed file may take to be seen, applied and told.
const SEEN: Duration = Duration::from_secs(10);
/// By then, what had to be ended with a server that is gone was.
const GONE: Duration = Duration::from_secs(4);

fn write(gateway: &Gateway, servers: &Value) {
    std::fs::write(gateway.file(), json!({ "servers": servers }).to_string()).unwrap();
}

fn serve(era: Era, name: &str) -> Server {
    Server::start(era, &Catalogue::new(name).tools(2).prompts(1).resources(1).ttl(600_000))
}

async fn listen(client: &Client, port: u16) -> Events {
    if let Some(session) = &client.session {
        return session.listen(None).await;
    }
    let filter = json!({ "toolsListChanged": true });
    let mut stream = client.prepare("subscriptions/listen", json!({ "notifications": filter })).open(port).await;
    assert_eq!(stream.message().await["method"], "notifications/subscriptions/acknowledged");
    stream
}

/// Waits until the tools are as they should be.
async fn tools(client: &Client, expected: &[&str]) {
    let list = async || client.names("tools/list").await;
    wait::becomes(SEEN, &format!("the tools are {expected:?}"), list, |names| names == expected).await;
}

async fn told(stream: &mut Events) {
    let told = tokio::time::timeout(SEEN, async {
        loop {
            let event = stream.event().await.expect("the stream goes on");
            if event.message()["method"] == "notifications/tools/list_changed" {
                return;
            }
        }
    });
    told.await.expect("the client is told");
}

#[tokio::test]
async fn an_added_server_is_announced_and_can_be_called_in_the_same_session() {
    for era in ERAS {
        let (one, two) = (serve(era, "one"), serve(era, "two"));
        let gateway = Gateway::with(json!({ "one": one.config() })).await;
        let client = Client::open(era, gateway.port, "/mcp").await;
        tools(&client, &["one_tool-000", "one_tool-001"]).await;
        let mut stream = listen(&client, gateway.port).await;
        write(&gateway, &json!({ "one": one.config(), "two": two.config() }));
        told(&mut stream).await;
        tools(&client, &["one_tool-000", "one_tool-001", "two_tool-000", "two_tool-001"]).await;
        assert_eq!(client.said("two_tool-001", json!({})).await["server"], "two", "{era:?}");
        assert_eq!(client.said("one_tool-001", json!({})).await["server"], "one", "{era:?}");
        let door = Client::open(era, gateway.port, "/servers/two/mcp").await;
        assert_eq!(door.said("tool-000", json!({})).await["server"], "two", "{era:?}");
        if era == Era::Legacy {
            assert_eq!(
                one.got("initialize").len(),
                one.sessions().len(),
                "no session of the other server was given up"
            );
        }
    }
}

#[tokio::test]
async fn a_removed_server_is_gone_and_its_sessions_are_ended() {
    for era in ERAS {
        let (one, two) = (serve(era, "one"), serve(era, "two"));
        let both = json!({ "one": one.config(), "two": two.config() });
        let gateway = Gateway::with(both.clone()).await;
        let client = Client::open(era, gateway.port, "/mcp").await;
        for server in ["one", "two"] {
            assert_eq!(client.said(&format!("{server}_tool-000"), json!({})).await["server"], server);
        }
        let door = Client::open(era, gateway.port, "/servers/two/mcp").await;
        assert_eq!(door.said("tool-000", json!({})).await["server"], "two");
        let mut stream = listen(&client, gateway.port).await;
        write(&gateway, &json!({ "one": one.config() }));
        told(&mut stream).await;
        tools(&client, &["one_tool-000", "one_tool-001"]).await;
        let before = two.calls("tool-000").len();
        let gone = client.call("two_tool-000", json!({})).await;
        assert_eq!(gone.code(), Some(-32602), "{era:?}: {gone:?}");
        assert_eq!(door.call("tool-000", json!({})).await.status, 404, "{era:?}");
        assert_eq!(two.calls("tool-000").len(), before);
        until("its sessions are ended", || two.sessions().is_empty().then_some(())).await;
        until("its streams are closed", || two.listeners().is_empty().then_some(())).await;
        assert_eq!(client.said("one_tool-000", json!({})).await["server"], "one", "{era:?}");
        // And back again.
        write(&gateway, &both);
        told(&mut stream).await;
        assert_eq!(client.said("two_tool-000", json!({})).await["server"], "two", "{era:?}");
    }
}

#[tokio::test]
async fn a_changed_server_is_the_new_one_for_the_same_session() {
    for era in ERAS {
        let (old, new, other) = (serve(era, "old"), serve(era, "new"), serve(era, "other"));
        let gateway = Gateway::with(json!({ "a": old.config(), "b": other.config() })).await;
        let client = Client::open(era, gateway.port, "/mcp").await;
        assert_eq!(client.said("a_tool-000", json!({})).await["server"], "old");
        assert_eq!(client.said("b_tool-000", json!({})).await["server"], "other");
        let mut stream = listen(&client, gateway.port).await;
        write(&gateway, &json!({ "a": new.config(), "b": other.config() }));
        told(&mut stream).await;
        assert_eq!(client.said("a_tool-000", json!({})).await["server"], "new", "{era:?}");
        until("the old sessions are ended", || old.sessions().is_empty().then_some(())).await;
        let sessions = other.sessions();
        assert_eq!(client.said("b_tool-000", json!({})).await["server"], "other", "{era:?}");
        assert_eq!(other.sessions(), sessions, "{era:?}: what did not change was not opened again");
    }
}

#[tokio::test]
async fn the_children_of_a_removed_server_are_ended_and_the_others_live() {
    let (one, two, three) = (Peer::new("legacy"), Peer::new("legacy"), Peer::new("legacy"));
    let all = json!({ "one": one.config(), "two": two.config(), "three": three.config() });
    let gateway = Gateway::with(all).await;
    let session = Session::open(gateway.port, "/mcp").await;
    for server in ["one", "two"] {
        assert_eq!(session.call(&format!("{server}_pid"), json!({})).await.status, 200);
    }
    let before = one.processes();
    write(&gateway, &json!({ "one": one.config(), "three": three.config() }));
    two.gone().await;
    assert_eq!(one.processes(), before);
    assert_eq!(session.call("one_pid", json!({})).await.result()["content"][0]["text"], before[0].to_string());
    let gone = session.call("two_pid", json!({})).await;
    assert_eq!(gone.code(), Some(-32602), "{gone:?}");
    // The same server with other arguments is another process.
    let changed = one.config_with(json!({ "env": { "NEW": "1" } }));
    write(&gateway, &json!({ "one": changed, "three": three.config() }));
    let call = async || {
        let _ = session.call("one_pid", json!({})).await;
        one.processes()
    };
    wait::becomes(SEEN, "another process", call, |now| *now != before && !now.is_empty()).await;
    until("the old process is ended", || (!one.processes().contains(&before[0])).then_some(())).await;
}

#[tokio::test]
async fn a_call_in_flight_is_answered_although_its_server_is_removed() {
    for era in ERAS {
        let waiting: Arc<Mutex<Option<(Value, Pipe)>>> = Arc::default();
        let kept = Arc::clone(&waiting);
        let slow = Server::scripted(era, &Catalogue::new("slow").tool("wait"), move |received| {
            (received.tool() == "wait").then(|| {
                let (pipe, answer) = Answer::stream("text/event-stream");
                *kept.lock().unwrap() = Some((received.message()["id"].clone(), pipe));
                answer
            })
        });
        let one = serve(era, "one");
        let gateway = Gateway::with(json!({ "one": one.config(), "slow": slow.config() })).await;
        let client = Client::open(era, gateway.port, "/mcp").await;
        tools(&client, &["one_tool-000", "one_tool-001", "slow_wait"]).await;
        let call = client.prepare("tools/call", json!({ "name": "slow_wait", "arguments": {} }));
        let opening = call.open(gateway.port);
        let asked = async {
            let (id, pipe) = until("the call at the server", || waiting.lock().unwrap().take()).await;
            let note = json!({ "level": "info", "data": 1 });
            assert!(pipe.event(&message::notification("notifications/message", note)).await);
            (id, pipe)
        };
        let (mut stream, (id, pipe)) = tokio::join!(opening, asked);
        assert_eq!(stream.message().await["method"], "notifications/message");
        write(&gateway, &json!({ "one": one.config() }));
        tools(&client, &["one_tool-000", "one_tool-001"]).await;
        assert!(stream.quiet(GONE).await, "{era:?}: it goes on although its server is gone");
        assert!(pipe.event(&message::response(&id, message::text("waited"))).await);
        drop(pipe);
        let last = stream.rest().await.pop().unwrap();
        assert_eq!(last["result"]["content"][0]["text"], "waited", "{era:?}: one version per request: {last}");
    }
}

#[tokio::test]
async fn a_broken_file_changes_nothing_and_says_what_is_wrong() {
    let (one, two) = (serve(Era::Legacy, "one"), serve(Era::Legacy, "two"));
    let gateway = Gateway::with(json!({ "one": one.config() })).await;
    let client = Client::open(Era::Legacy, gateway.port, "/mcp").await;
    tools(&client, &["one_tool-000", "one_tool-001"]).await;
    let broken = [
        (r#"{ "servers": { "one": "#.to_owned(), "mcp.json"),
        (r#"{ "serverz": {} }"#.to_owned(), "serverz"),
        (json!({ "servers": { "two": two.config(), "bad": { "url": "not a url" } } }).to_string(), "bad"),
        (json!({ "servers": { "two": { "urll": "http://127.0.0.1:1/mcp" } } }).to_string(), "urll"),
    ];
    for (text, named) in &broken {
        let before = gateway.log().len();
        std::fs::write(gateway.file(), text).unwrap();
        until(&format!("{named} is complained about"), || gateway.log()[before..].contains(named).then_some(())).await;
        assert_eq!(client.names("tools/list").await.len(), 2, "{text}");
        assert_eq!(client.said("one_tool-000", json!({})).await["server"], "one", "{text}");
    }
    assert_eq!(gateway.admin("/readyz").await.status, 200);
    std::fs::remove_file(gateway.file()).unwrap();
    assert_eq!(client.said("one_tool-000", json!({})).await["server"], "one", "without a file, too");
    write(&gateway, &json!({ "one": one.config(), "two": two.config() }));
    tools(&client, &["one_tool-000", "one_tool-001", "two_tool-000", "two_tool-001"]).await;
    assert_eq!(one.sessions().len(), one.got("initialize").len(), "nothing was closed meanwhile");
}

#[tokio::test]
async fn however_a_file_is_written_its_last_state_is_applied() {
    let servers = ["one", "two", "three"].map(|name| serve(Era::Legacy, name));
    let config = |count: usize| {
        let entries = ["one", "two", "three"].iter().zip(&servers).take(count);
        Value::Object(entries.map(|(name, server)| ((*name).to_owned(), server.config())).collect())
    };
    let gateway = Gateway::with(config(1)).await;
    let client = Client::open(Era::Legacy, gateway.port, "/mcp").await;
    tools(&client, &["one_tool-000", "one_tool-001"]).await;
    let file = gateway.file();
    // As editors do: a new file in its place.
    let beside = file.with_extension("new");
    std::fs::write(&beside, json!({ "servers": config(2) }).to_string()).unwrap();
    std::fs::rename(&beside, &file).unwrap();
    tools(&client, &["one_tool-000", "one_tool-001", "two_tool-000", "two_tool-001"]).await;
    // Many times in a row, and in two halves.
    for n in 0..30 {
        write(&gateway, &config(1 + n % 2));
    }
    let text = json!({ "servers": config(3) }).to_string();
    std::fs::write(&file, &text[..text.len() / 2]).unwrap();
    wait::pass(Duration::from_millis(30)).await;
    std::fs::write(&file, &text).unwrap();
    let all = ["one_tool-000", "one_tool-001", "three_tool-000", "three_tool-001", "two_tool-000", "two_tool-001"];
    tools(&client, &all).await;
    // A link to a file elsewhere, as Kubernetes mounts them.
    let elsewhere = gateway.folder().join("elsewhere.json");
    std::fs::write(&elsewhere, json!({ "servers": config(1) }).to_string()).unwrap();
    std::fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &file).unwrap();
    tools(&client, &["one_tool-000", "one_tool-001"]).await;
    std::fs::write(&elsewhere, json!({ "servers": config(2) }).to_string()).unwrap();
    tools(&client, &["one_tool-000", "one_tool-001", "two_tool-000", "two_tool-001"]).await;
}

#[tokio::test]
async fn what_a_changed_file_hides_is_hidden_from_who_is_there() {
    for era in ERAS {
        let one = serve(era, "one");
        let gateway = Gateway::with(json!({ "one": one.config() })).await;
        let client = Client::open(era, gateway.port, "/mcp").await;
        assert_eq!(client.said("one_tool-001", json!({})).await["server"], "one");
        let mut stream = listen(&client, gateway.port).await;
        write(&gateway, &json!({ "one": { "url": one.url(), "tools": { "deny": ["*-001"] } } }));
        told(&mut stream).await;
        tools(&client, &["one_tool-000"]).await;
        let before = one.calls("tool-001").len();
        assert_eq!(client.call("one_tool-001", json!({})).await.code(), Some(-32602), "{era:?}");
        let door = Client::open(era, gateway.port, "/servers/one/mcp").await;
        assert_eq!(door.call("tool-001", json!({})).await.code(), Some(-32602), "{era:?}");
        assert_eq!(one.calls("tool-001").len(), before);
    }
}

#[tokio::test]
async fn sessions_and_processes_go_on_when_another_part_of_the_offer_is_shown() {
    let (http, stdio) = (serve(Era::Legacy, "http"), Peer::new("legacy"));
    let gateway = Gateway::with(json!({ "http": http.config(), "stdio": stdio.config() })).await;
    let merged = Session::open(gateway.port, "/mcp").await;
    let own = Session::open(gateway.port, "/servers/http/mcp").await;
    let mut stream = own.listen(None).await;
    assert_eq!(merged.call("stdio_pid", json!({})).await.status, 200);
    assert_eq!(merged.call("http_tool-001", json!({})).await.status, 200);
    let (sessions, processes) = (http.sessions(), stdio.processes());
    let hidden = json!({ "tools": { "deny": ["*-001"] } });
    let curated = json!({ "url": http.url(), "tools": hidden["tools"] });
    write(&gateway, &json!({ "http": curated, "stdio": stdio.config_with(hidden) }));
    let call = async || merged.call("http_tool-001", json!({})).await.code();
    wait::becomes(SEEN, "the tool is hidden", call, |code| *code == Some(-32602)).await;
    // a stream says what was shown as it began: it ends, and the next one begins with what there is to tell
    while stream.event().await.is_some() {}
    assert_eq!(own.listen(None).await.message().await["method"], "notifications/tools/list_changed");
    assert_eq!(own.call("tool-000", json!({})).await.status, 200);
    assert_eq!(own.call("tool-001", json!({})).await.code(), Some(-32602));
    assert_eq!(merged.call("http_tool-000", json!({})).await.status, 200);
    assert_eq!(merged.call("stdio_pid", json!({})).await.result()["content"][0]["text"], processes[0].to_string());
    assert_eq!((http.sessions(), stdio.processes()), (sessions, processes));
}

#[tokio::test]
async fn sessions_of_the_door_of_one_server_go_on_while_others_change() {
    let (one, two) = (serve(Era::Legacy, "one"), serve(Era::Legacy, "two"));
    let gateway = Gateway::with(json!({ "one": one.config(), "two": two.config() })).await;
    let session = Session::open(gateway.port, "/servers/one/mcp").await;
    let _stream = session.listen(None).await;
    write(&gateway, &json!({ "one": one.config() }));
    let gone = async || {
        Call::post("/servers/two/mcp", message::initialize("2025-11-25", json!({})).to_string())
            .send(gateway.port)
            .await
            .status
    };
    wait::becomes(SEEN, "its door is gone", gone, |status| *status == 404).await;
    assert_eq!(session.call("tool-000", json!({})).await.status, 200);
    assert_eq!(one.sessions(), ["one-session-0"]);
}

#[tokio::test]
async fn a_call_for_a_removed_server_never_reaches_another() {
    let (one, two) = (Peer::new("legacy"), Peer::new("legacy"));
    let gateway = Gateway::with(json!({ "one": one.config(), "two": two.config() })).await;
    let session = Session::open(gateway.port, "/mcp").await;
    assert_eq!(session.call("two_pid", json!({})).await.status, 200);
    write(&gateway, &json!({ "one": one.config() }));
    two.gone().await;
    let gone = session.call("two_pid", json!({ "secret": "of two" })).await;
    let told = one.lines().into_iter().filter(|line| line.contains("of two")).collect::<Vec<_>>();
    assert!(told.is_empty(), "{told:?}");
    assert_eq!(gone.code(), Some(-32602), "{gone:?}");
}

#[tokio::test]
async fn calls_go_on_without_a_failure_while_the_file_changes_again_and_again() {
    for era in ERAS {
        let (one, two) = (serve(era, "one"), serve(era, "two"));
        let gateway = Gateway::with(json!({ "one": one.config(), "two": two.config() })).await;
        let (port, done) = (gateway.port, std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false)));
        let callers: Vec<_> = (0..4)
            .map(|_| {
                let done = std::sync::Arc::clone(&done);
                tokio::spawn(async move {
                    let client = Client::open(era, port, "/mcp").await;
                    let mut count = 0;
                    while !done.load(std::sync::atomic::Ordering::SeqCst) {
                        assert_eq!(client.said("one_tool-000", json!({})).await["server"], "one");
                        let names = client.names("tools/list").await;
                        assert!(names.contains(&"one_tool-001".to_owned()), "{names:?}");
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        for n in 0..12 {
            let log = gateway.log().matches("configuration adopted").count();
            let deny = json!({ "url": two.url(), "tools": { "deny": [format!("none-{n}")] } });
            write(
                &gateway,
                &if n % 2 == 0 { json!({ "one": one.config() }) } else { json!({ "one": one.config(), "two": deny }) },
            );
            until("the change is adopted", || {
                (gateway.log().matches("configuration adopted").count() > log).then_some(())
            })
            .await;
        }
        done.store(true, std::sync::atomic::Ordering::SeqCst);
        for caller in callers {
            assert!(caller.await.unwrap() > 3, "{era:?}");
        }
    }
}

#[tokio::test]
async fn a_changed_way_of_naming_is_told_and_used_at_once() {
    for era in ERAS {
        let (one, two) = (serve(era, "one"), serve(era, "two"));
        let servers = json!({ "one": one.config(), "two": two.config() });
        let gateway = Gateway::with(servers.clone()).await;
        let client = Client::open(era, gateway.port, "/mcp").await;
        assert_eq!(client.said("two_tool-000", json!({})).await["server"], "two");
        let mut stream = listen(&client, gateway.port).await;
        let config = json!({ "servers": servers, "proxy": { "prefix": "never" } });
        std::fs::write(gateway.file(), config.to_string()).unwrap();
        told(&mut stream).await;
        tools(&client, &["tool-000", "tool-001"]).await;
        assert_eq!(client.said("tool-000", json!({})).await["server"], "one", "{era:?}");
        assert_eq!(client.call("two_tool-000", json!({})).await.code(), Some(-32602), "{era:?}");
        assert_eq!(client.read("file:///r000").await.1["server"], "one", "{era:?}");
    }
}

#[tokio::test]
async fn a_removed_client_is_out_and_the_others_stay() {
    const ALICE: &str = "alice-key-0123456789abcdef";
    const BOB: &str = "bob-key-0123456789abcdef0";
    let one = serve(Era::Legacy, "one");
    let config = |clients: Value| json!({ "servers": { "one": one.config() }, "clients": clients });
    let both = config(json!({ "alice": { "api_key": ALICE }, "bob": { "api_key": BOB } }));
    let gateway = sluice_tests::gateway::Start::new(both.clone()).ready().await;
    let alice = Session::with(gateway.port, "/mcp", json!({}), Some(ALICE)).await;
    let bob = Session::with(gateway.port, "/mcp", json!({}), Some(BOB)).await;
    let mut stream = bob.listen(None).await;
    std::fs::write(gateway.file(), config(json!({ "alice": { "api_key": ALICE } })).to_string()).unwrap();
    let ping = async || bob.request("ping", json!({})).await.status;
    wait::becomes(SEEN, "bob is out", ping, |status| *status == 401).await;
    let _ = stream.rest().await;
    assert_eq!(alice.call("one_tool-000", json!({})).await.status, 200);
    std::fs::write(gateway.file(), both.to_string()).unwrap();
    wait::becomes(SEEN, "bob is in again", ping, |status| *status != 401).await;
    assert_eq!(alice.call("one_tool-000", json!({})).await.status, 200);
}
