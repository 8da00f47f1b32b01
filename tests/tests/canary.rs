//! Nothing secret is told: a value in every place a secret can be, traffic and failures of every kind at the most talkative level,
//! and then a look through everything the gateway says and keeps.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use base64::Engine;
use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};
use serde_json::json;
use sluice_tests::canary::{Canaries, careless, forms};
use sluice_tests::gateway::Start;
use sluice_tests::peer::Peer;
use sluice_tests::upstream::{Answer, Received, Upstream};
use sluice_tests::{Call, Gateway, Session};

const API_KEY: &str = "c4nary+api/key-0123456789-abcdefghij";
const BEARER: &str = "c4nary+bearer/of-a-server";
const PAIR: &str = "gateway:c4nary+basic/password";
const HEADER: &str = "c4nary+header/of-a-server";
const FIXED: &str = "c4nary+fixed/header-value";
const FROM_FILE: &str = "c4nary+file/mounted-token";
const VARIABLE: &str = "c4nary+variable/of-a-process";
const FORCED: &str = "c4nary+forced/argument";
const CLIENT_SECRET: &str = "c4nary+client/secret-of-oauth";
const TOKEN: &str = "c4nary+issued/access-token";
const JWT: &str = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJjNG5hcnkifQ.c4nary-signature-of-a-client";
const ARGUMENT: &str = "c4nary+argument/of-a-client";
const ALL: Canaries<'_> =
    Canaries(&[API_KEY, BEARER, PAIR, HEADER, FIXED, FROM_FILE, VARIABLE, FORCED, CLIENT_SECRET, TOKEN, JWT, ARGUMENT]);

async fn traffic(gateway: &Gateway, servers: &[&str]) {
    for server in servers {
        let path = format!("/servers/{server}/mcp");
        for how in ["", "401", "500", "garbage", "broken"] {
            let arguments = json!({ "how": how, "text": ARGUMENT });
            let call = Call::modern(&path, "tools/call", 1, json!({ "name": "echo", "arguments": arguments }));
            let _ = call.key(API_KEY).send(gateway.port).await;
        }
        for broken in ["{\"jsonrpc\": \"2.0\", \"id\": 1", "[]", "\u{1}"] {
            let body = format!("{broken} {ARGUMENT}");
            let _ = Call::post(&path, body).key(API_KEY).send(gateway.port).await;
        }
        for refused in [Call::get(&path).key(JWT), Call::get(&path).key(&format!("{API_KEY}x")), Call::get(&path)] {
            assert_eq!(refused.send(gateway.port).await.status, 401);
        }
    }
    let list = Call::modern("/mcp", "tools/list", 1, json!({})).key(API_KEY).send(gateway.port).await;
    assert!(list.header("content-type").is_some(), "{list:?}");
}

#[tokio::test]
async fn no_secret_is_in_what_the_gateway_says_or_keeps() {
    let issuer = Upstream::start(|received: Received| {
        let refused = format!("{:?} {}", received.headers, String::from_utf8_lossy(&received.body));
        let token = json!({ "access_token": TOKEN, "token_type": "Bearer", "expires_in": 3600 });
        let answer = match received.path.as_str() {
            "/token" => Answer::json(token.to_string()),
            "/garbage" => Answer::json(format!("{refused} {TOKEN}")),
            _ => {
                let error = json!({ "error": refused, "error_description": refused });
                Answer::new(400, "application/json", error.to_string())
            }
        };
        async move { answer }
    });
    let (server, peer) = (careless(), Peer::new("legacy"));
    let http = |auth: serde_json::Value| {
        let forced = json!({ "echo": { "forced": { "key": FORCED } } });
        json!({ "url": server.url(), "headers": { "X-Fixed": FIXED }, "auth": auth, "tools": { "edit": forced } })
    };
    let grant = |path: &str| {
        http(json!({
            "type": "oauth_client_credentials", "token_url": format!("http://127.0.0.1:{}{path}", issuer.port),
            "client_id": "gateway", "client_secret": CLIENT_SECRET,
        }))
    };
    let servers = json!({
        "bearer": http(json!({ "type": "bearer", "token": BEARER })),
        "basic": http(json!({ "type": "basic", "credentials": PAIR })),
        "header": http(json!({ "type": "header", "name": "X-Own", "value": { "env": "OWN_HEADER" } })),
        "file": http(json!({ "type": "bearer", "token": { "file": "mounted" } })),
        "oauth": grant("/token"),
        "refused": grant("/refused"),
        "garbage": grant("/garbage"),
        "away": { "url": "http://127.0.0.1:9/mcp", "auth": { "type": "bearer", "token": BEARER } },
        "process": peer.config_with(json!({ "env": { "KEY": VARIABLE } })),
    });
    let config = json!({
        "proxy": { "log_level": "trace" }, "servers": servers, "clients": { "alice": { "api_key": API_KEY } },
    });
    let start = Start::new(config).env("OWN_HEADER", HEADER).env("RUST_LOG", "trace");
    std::fs::write(start.folder().join("mounted"), format!("{FROM_FILE}\n")).unwrap();
    let gateway = start.ready().await;

    traffic(&gateway, &["bearer", "basic", "header", "file", "oauth", "refused", "garbage", "away"]).await;
    let session = Session::with(gateway.port, "/servers/process/mcp", json!({}), Some(API_KEY)).await;
    assert_eq!(session.call("pid", json!({ "text": ARGUMENT })).await.status, 200);
    let _ = session.call("crash", json!({})).await;
    let shown: Vec<String> =
        server.received().iter().filter_map(|r| r.header("authorization").map(str::to_owned)).collect();
    for token in [BEARER, FROM_FILE, TOKEN] {
        assert!(shown.iter().any(|shown| shown.ends_with(token)), "the server saw {token}");
    }
    // a file that changes, a configuration that is broken, and one that is applied
    std::fs::write(gateway.folder().join("mounted"), format!("{FROM_FILE}\nx")).unwrap();
    gateway.logged("a credential cannot be read").await;
    let written = std::fs::read_to_string(gateway.file()).unwrap();
    std::fs::write(gateway.file(), written.replace("\"trace\"", "\"loud\"")).unwrap();
    gateway.logged("proxy.log_level").await;

    let mut seen = ALL.sightings("the log", gateway.log().as_bytes());
    for path in ["/config", "/metrics", "/servers", "/healthz", "/readyz"] {
        seen.extend(ALL.sightings(path, &gateway.admin(path).await.body));
    }
    let health = Call::get("/health").bare().send(gateway.port).await;
    seen.extend(ALL.sightings("/health", &health.body));
    for pid in peer.processes().into_iter().chain([gateway.pid()]) {
        seen.extend(
            ALL.sightings("a command line", &std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default()),
        );
    }
    seen.extend(ALL.sightings_in_files(gateway.folder(), &[gateway.file(), gateway.folder().join("mounted")]));
    assert!(seen.is_empty(), "{seen:#?}");
    assert!(gateway.log().lines().count() > 50, "it was talkative");
}

#[test]
fn a_canary_is_seen_in_every_form() {
    for text in [
        BEARER.to_owned(),
        forms(BEARER)[1].clone(),
        "Bearer c4nary%2Bbearer%2Fof-a-server".to_owned(),
        BASE64_STANDARD_NO_PAD.encode(format!("Bearer {BEARER}!")),
        BASE64_URL_SAFE_NO_PAD.encode(format!("x{BEARER}")),
        BASE64_STANDARD_NO_PAD.encode(format!("xy{BEARER}")),
    ] {
        assert_eq!(ALL.sightings("here", text.as_bytes()).len(), 1, "{text}");
    }
    assert!(ALL.sightings("here", b"c4nary").is_empty());
}
