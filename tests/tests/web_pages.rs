//! Web pages: those that are allowed get what CORS needs, the others nothing.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use serde_json::json;
use sluice_tests::gateway::Start;
use sluice_tests::message::{self, LEGACY};
use sluice_tests::upstream::Legacy;
use sluice_tests::{Call, Gateway};

const PATH: &str = "/servers/one/mcp";

fn initialize() -> Call {
    Call::post(PATH, message::initialize(LEGACY, json!({})).to_string())
}

#[tokio::test]
async fn web_pages_that_are_allowed_get_what_cors_needs() {
    let server = Legacy::start();
    let page = "https://app.example.com";
    let config = json!({ "proxy": { "allowed_origins": [page] }, "servers": { "one": server.config() } });
    let gateway = Start::new(config).ready().await;
    let preflight = Call::get(PATH).method("OPTIONS").bare().header("access-control-request-method", "POST").header(
        "access-control-request-headers",
        "authorization, content-type, mcp-protocol-version, mcp-session-id, mcp-method, mcp-name, mcp-param-region, last-event-id",
    );
    let reply = preflight.clone().header("origin", page).send(gateway.port).await;
    assert!([200, 204].contains(&reply.status), "{reply:?}");
    assert_eq!(reply.header("access-control-allow-origin"), Some(page));
    let methods = reply.header("access-control-allow-methods").unwrap().to_owned();
    assert!(["POST", "GET", "DELETE"].iter().all(|method| methods.contains(method)), "{methods}");
    let headers = reply.header("access-control-allow-headers").unwrap().to_ascii_lowercase();
    for name in [
        "content-type",
        "mcp-session-id",
        "mcp-protocol-version",
        "mcp-method",
        "mcp-name",
        "mcp-param-region",
        "last-event-id",
        "authorization",
    ] {
        // `*` stands for every header but Authorization (Fetch standard).
        let any = headers.split(", ").any(|allowed| allowed == "*") && name != "authorization";
        assert!(any || headers.contains(name), "{name} in {headers}");
    }
    assert!(
        reply.headers.get_all("vary").iter().any(|vary| vary.to_str().unwrap().to_ascii_lowercase().contains("origin"))
    );
    let reply = initialize().header("origin", page).send(gateway.port).await;
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (200, Some(page)));
    let exposed = reply.header("access-control-expose-headers").unwrap().to_ascii_lowercase();
    for name in ["mcp-session-id", "mcp-protocol-version"] {
        assert!(exposed.contains(name), "{name} in {exposed}");
    }
    let broken = Call::post(PATH, "{").header("origin", page).send(gateway.port).await;
    assert_eq!(
        (broken.status, broken.header("access-control-allow-origin")),
        (400, Some(page)),
        "errors can be read, too"
    );
    for origin in ["https://evil.example", "https://app.example.com.evil.example", "http://app.example.com", "null"] {
        for call in [preflight.clone(), initialize()] {
            let reply = call.header("origin", origin).send(gateway.port).await;
            assert_eq!(reply.status, 403, "{origin}");
            assert!(reply.header("access-control-allow-origin").is_none(), "{origin}");
        }
    }
}

#[tokio::test]
async fn the_admin_port_serves_no_web_pages() {
    let server = Legacy::start();
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    for path in ["/metrics", "/config", "/drain"] {
        let method = if path == "/drain" { "POST" } else { "GET" };
        let call = Call::get(path).method(method).bare();
        for call in [call.clone().header("host", "evil.example"), call.header("origin", "https://evil.example")] {
            assert_eq!(call.send(gateway.admin).await.status, 403, "{path}");
        }
    }
    assert_eq!(gateway.admin("/readyz").await.status, 200, "nobody has drained it");
}
