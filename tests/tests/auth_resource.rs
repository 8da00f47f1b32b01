//! The gateway as a protected resource: its metadata, and what refused clients are told.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use serde_json::{Value, json};
use sluice_tests::gateway::Start;
use sluice_tests::issuer::Issuer;
use sluice_tests::message::{self, LEGACY};
use sluice_tests::upstream::Modern;
use sluice_tests::{Call, Gateway};

const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

async fn gateway(server: &Modern, proxy: Value, more: Value) -> Gateway {
    let issuer = json!({ "issuer": "https://login.example.com/tenant", "required_scopes": ["mcp:use"] });
    let mut issuer = issuer;
    issuer.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
    // never asked: its keys would be fetched from the network
    issuer["jwks_file"] = json!("nowhere.json");
    let config = json!({ "proxy": proxy, "servers": { "one": server.config() }, "issuers": { "corp": issuer } });
    Start::new(config).ready().await
}

fn initialize(path: &str) -> Call {
    Call::post(path, message::initialize(LEGACY, json!({})).to_string())
}

#[tokio::test]
async fn every_door_has_its_metadata_and_they_are_open_to_everybody() {
    let server = Modern::start();
    let more = json!({ "scopes_supported": ["mcp:read"], "authorization_servers": ["https://a.example", "https://b.example"] });
    let gateway = gateway(&server, json!({ "name": "Mine" }), more).await;
    let origin = format!("http://127.0.0.1:{}", gateway.port);
    for (path, resource) in [
        ("", ""),
        ("/", ""),
        ("/mcp", "/mcp"),
        ("/mcp/", "/mcp"),
        ("/sse", "/sse"),
        ("/ws", "/ws"),
        ("/servers/one/mcp", "/servers/one/mcp"),
        ("/servers/one/sse", "/servers/one/sse"),
        ("/servers/unknown/mcp", "/servers/unknown/mcp"),
    ] {
        let reply = Call::get(&format!("{WELL_KNOWN}{path}")).bare().send(gateway.port).await;
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
        assert_eq!(reply.header("content-type"), Some("application/json"));
        assert_eq!(
            serde_json::from_slice::<Value>(&reply.body).unwrap(),
            json!({
                "resource": format!("{origin}{resource}"),
                "resource_name": "Mine",
                "authorization_servers": ["https://a.example", "https://b.example"],
                "scopes_supported": ["mcp:read", "mcp:use"],
                "bearer_methods_supported": ["header"],
            }),
            "{path}"
        );
    }
    for nothing in ["/health", "/servers/one", "/servers//mcp", "/servers/a/b/mcp", "x", "/mcp/more", "/../mcp"] {
        let reply = Call::get(&format!("{WELL_KNOWN}{nothing}")).bare().send(gateway.port).await;
        assert!(matches!(reply.status, 400 | 401 | 404), "{nothing}: {reply:?}");
    }
    assert_eq!(Call::post(&format!("{WELL_KNOWN}/mcp"), "{}").send(gateway.port).await.status, 405);
}

#[tokio::test]
async fn whoever_has_no_token_is_told_where_to_get_one() {
    let server = Modern::start();
    let gateway = gateway(&server, json!({}), json!({})).await;
    let origin = format!("http://127.0.0.1:{}", gateway.port);
    for (path, resource) in [
        ("/mcp", "/mcp"),
        ("/mcp/", "/mcp"),
        ("/servers/one/mcp", "/servers/one/mcp"),
        ("/servers/unknown/mcp", "/servers/unknown/mcp"),
        ("/messages", "/sse"),
    ] {
        let expected = format!("resource_metadata=\"{origin}{WELL_KNOWN}{resource}\", scope=\"mcp:use\"");
        let reply = initialize(path).send(gateway.port).await;
        assert_eq!(
            (reply.status, reply.header("www-authenticate")),
            (401, Some(&*format!("Bearer {expected}"))),
            "{path}"
        );
        let reply = initialize(path).key("eyJ.eyJ.eyJ").send(gateway.port).await;
        let challenge = reply.header("www-authenticate").unwrap();
        assert_eq!(reply.status, 401, "{path}");
        assert!(challenge.starts_with("Bearer error=\"invalid_token\", error_description=\""), "{challenge}");
        assert!(challenge.ends_with(&expected), "{challenge}");
    }
    assert!(server.received().is_empty());
}

#[tokio::test]
async fn behind_a_load_balancer_the_configured_place_is_told() {
    let server = Modern::start();
    let gateway = gateway(&server, json!({ "public_url": "https://mcp.example.com" }), json!({})).await;
    let reply = Call::get(&format!("{WELL_KNOWN}/mcp")).bare().send(gateway.port).await;
    let metadata: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(metadata["resource"], "https://mcp.example.com/mcp");
    assert_eq!(metadata["authorization_servers"], json!(["https://login.example.com/tenant"]));
    let challenge = initialize("/mcp").send(gateway.port).await;
    let challenge = challenge.header("www-authenticate").unwrap();
    assert!(challenge.contains("\"https://mcp.example.com/.well-known/oauth-protected-resource/mcp\""), "{challenge}");
}

#[tokio::test]
async fn web_pages_may_read_what_they_need_to_sign_in() {
    let server = Modern::start();
    let gateway = gateway(&server, json!({ "allowed_origins": ["https://app.example"] }), json!({})).await;
    let page = |call: Call| call.header("origin", "https://app.example");
    let preflight = page(Call::get(&format!("{WELL_KNOWN}/mcp")).method("OPTIONS"));
    let reply = preflight.header("access-control-request-headers", "mcp-protocol-version").send(gateway.port).await;
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (204, Some("https://app.example")));
    let reply = page(Call::get(&format!("{WELL_KNOWN}/mcp"))).send(gateway.port).await;
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (200, Some("https://app.example")));
    let reply = page(initialize("/mcp")).send(gateway.port).await;
    assert_eq!(reply.status, 401);
    assert!(reply.header("access-control-expose-headers").unwrap().contains("WWW-Authenticate"), "{reply:?}");
}

#[tokio::test]
async fn without_an_issuer_nothing_is_said_of_tokens() {
    let server = Modern::start();
    let clients = json!({ "a": { "api_key": "alice-key-0123456789abcdef" } });
    let gateway = Start::new(json!({ "servers": { "one": server.config() }, "clients": clients })).ready().await;
    assert_eq!(Call::get(WELL_KNOWN).bare().key("alice-key-0123456789abcdef").send(gateway.port).await.status, 404);
    let reply = initialize("/mcp").send(gateway.port).await;
    assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
    let issuer = Issuer::start();
    let reply = initialize("/mcp").key(&issuer.token("x", json!({}))).send(gateway.port).await;
    assert!(reply.header("www-authenticate").unwrap().starts_with("Bearer error=\"invalid_token\""), "{reply:?}");
    assert_eq!(issuer.fetches(), 0);
}
