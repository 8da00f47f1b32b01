//! Nothing secret is told in a fleet: what people give a control plane, and what a node of it uses, with traffic and failures at
//! the most talkative level, and then a look through all that either says and keeps.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::path::Path;
use std::sync::Arc;

use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use sluice_contract::v1;
use sluice_tests::canary::{Canaries, careless};
use sluice_tests::control::{Admin, Start};
use sluice_tests::issuer::Issuer;
use sluice_tests::node::join_token;
use sluice_tests::{Call, ControlPlane, Node, Reply};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const FIRST: &str = "c4nary+named/secret-first";
const SECOND: &str = "c4nary+named/secret-second";
const BEARER: &str = "c4nary+bearer/in-the-configuration";
const REFUSED: &str = "c4nary+bearer/in-what-is-refused";
const HEADER: &str = "c4nary+header/in-the-configuration";
const FORCED: &str = "c4nary+forced/argument";
const API_KEY: &str = "c4nary+api/key-0123456789-abcdefghij";
const PASSWORD: &str = "c4nary+password/nobody-has";

fn object(kind: &str, name: &str, spec: Value) -> v1::Object {
    v1::Object { kind: kind.into(), name: name.into(), spec_json: spec.to_string(), revision: 0 }
}

async fn apply(control: &ControlPlane, objects: Vec<v1::Object>) -> v1::ApplyResponse {
    let request = v1::ApplyRequest { objects, ..v1::ApplyRequest::default() };
    control.admin().await.apply(request).await.unwrap()
}

fn typed(control: &ControlPlane, input: &str, args: &[&str]) -> String {
    let output = control.sluice_fed(input, args);
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}

/// A call over TLS.
async fn call(node: &Node, certificate: &CertificateDer<'static>, call: Call) -> Option<Reply> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let stream = TcpStream::connect(("127.0.0.1", node.port)).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    Reply::read(sender.send_request(call.request(&format!("127.0.0.1:{}", node.port))).await.ok()?).await.ok()
}

/// A certificate and its key, beside each other: their paths, the certificate, and the lines of the key that tell it.
fn certify(folder: &Path) -> (Value, CertificateDer<'static>, Vec<String>) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (certificate, key) = (folder.join("tls.pem"), folder.join("tls.key"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let pem = made.signing_key.serialize_pem();
    let lines = pem.lines().filter(|line| line.len() == 64 && !line.starts_with('-')).map(str::to_owned).collect();
    (json!([{ "certificate": certificate, "key": key }]), made.cert.der().clone(), lines)
}

#[tokio::test]
async fn no_secret_is_in_what_a_fleet_says_or_keeps() {
    let (issuer, server, folder) = (Issuer::start(), careless(), tempfile::tempdir().unwrap());
    let control = Start::default().env("RUST_LOG", "trace").ready().await;
    let (tls, certificate, key) = certify(folder.path());
    let good = issuer.token("mcp", json!({}));
    let forged = format!("{}c4nary", good);
    let signature = good.rsplit('.').next().unwrap().to_owned();

    typed(&control, FIRST, &["secret", "set", "named"]);
    let http = |auth: Value| {
        let forced = json!({ "echo": { "forced": { "key": FORCED } } });
        json!({ "url": server.url(), "headers": { "X-Fixed": HEADER }, "auth": auth, "tools": { "edit": forced } })
    };
    let objects = vec![
        object("server", "named", http(json!({ "type": "bearer", "token": { "secret": "named" } }))),
        object("server", "written", http(json!({ "type": "bearer", "token": BEARER }))),
        object("client", "alice", json!({ "api_key": API_KEY })),
        object("issuer", "corp", issuer.config(json!({ "audiences": ["mcp"] }))),
        object("proxy", "proxy", json!({ "tls": tls })),
    ];
    let applied = apply(&control, objects).await;
    assert!(applied.faults.is_empty(), "{:?}", sluice_tests::control::messages(&applied.faults));
    let ticket = join_token(&control, "edge").await;
    let node = sluice_tests::node::Start::new("edge", control.grpc, &ticket).env("RUST_LOG", "trace").ready().await;
    node.runs(applied.revision).await;
    typed(&control, SECOND, &["secret", "set", "named"]);
    let person = control.admin().await.person("bob", "viewer").await;
    let wrong = apply(
        &control,
        vec![object("server", "wrong", json!({ "url": "ftp://x", "auth": { "type": "bearer", "token": REFUSED } }))],
    )
    .await;
    assert!(!wrong.faults.is_empty());
    node.runs(applied.revision + 1).await;

    for server in ["named", "written"] {
        let path = format!("/servers/{server}/mcp");
        for how in ["", "401", "500", "garbage", "broken"] {
            for key in [API_KEY, &good] {
                let params = json!({ "name": "echo", "arguments": { "how": how } });
                call(&node, &certificate, Call::modern(&path, "tools/call", 1, params).key(key)).await;
            }
        }
        for key in [&forged, PASSWORD] {
            assert_eq!(call(&node, &certificate, Call::get(&path).key(key)).await.unwrap().status, 401);
        }
    }
    let shown: Vec<_> = server.received().iter().filter_map(|r| r.header("authorization").map(str::to_owned)).collect();
    for token in [SECOND, BEARER] {
        assert!(shown.iter().any(|shown| shown.ends_with(token)), "the server saw {token}");
    }
    assert!(Admin::at(control.grpc, PASSWORD).await.get("", "", 0).await.is_err());
    assert_eq!(Call::get("/api/v1/objects").key(PASSWORD).send(control.http).await.status, 401);

    let (admin, ring) = (control.token(), std::fs::read_to_string(control.state().join("secret.keys")).unwrap());
    let ring = ring.trim().rsplit(':').next().unwrap();
    // what a token is known by is before the fingerprint, which everybody may know
    let bare = |token: &str| token.split('.').next().unwrap().to_owned();
    let (admin, ticket, person) = (bare(&admin), bare(&ticket), bare(&person));
    let mut all = vec![FIRST, SECOND, BEARER, REFUSED, HEADER, FORCED, API_KEY, PASSWORD, &good, &forged, &signature];
    all.extend([&*admin, &*ticket, &*person, ring]);
    all.extend(key.iter().map(String::as_str));
    let canaries = Canaries(&all);

    let mut seen = canaries.sightings("the control plane's log", control.log().as_bytes());
    seen.extend(canaries.sightings("the node's log", node.log().as_bytes()));
    for path in ["/config", "/metrics", "/servers", "/readyz", "/healthz"] {
        seen.extend(canaries.sightings(path, &node.admin(path).await.body));
    }
    for path in ["/health", "/metrics"] {
        seen.extend(canaries.sightings(path, &control.get(path).await.body));
    }
    for path in ["objects", "objects/server/written?revision=2", "revisions", "secrets", "tokens", "nodes", "audit"] {
        let reply = Call::get(&format!("/api/v1/{path}")).key(&control.token()).send(control.http).await;
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
        seen.extend(canaries.sightings(path, &reply.body));
    }
    for args in [
        &["get", "-o", "yaml"][..],
        &["get", "-o", "json", "--revision", "2"],
        &["history", "2"],
        &["status", "-o", "json"],
        &["audit", "-o", "json"],
        &["secret", "list"],
        &["token", "list"],
        &["explain", "call", "written/echo", "--as", "client:alice"],
    ] {
        let told = typed(&control, "", args);
        assert!(told.lines().count() > 1, "{args:?}: {told}");
        seen.extend(canaries.sightings(&args.join(" "), told.as_bytes()));
    }
    for pid in [control.pid(), node.pid()] {
        seen.extend(canaries.sightings("a command line", &std::fs::read(format!("/proc/{pid}/cmdline")).unwrap()));
    }
    let ours = ["admin.token", "secret.keys"].map(|file| control.state().join(file));
    seen.extend(canaries.sightings_in_files(&control.state(), &ours));
    seen.extend(canaries.sightings_in_files(&node.state(), &[]));
    assert_eq!(seen, Vec::<String>::new());
    assert!(control.log().lines().count() > 50 && node.log().lines().count() > 50, "they were talkative");
}
