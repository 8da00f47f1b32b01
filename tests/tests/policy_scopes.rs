//! Scopes that policies ask for: what they miss is listed, and a call is told all it needs.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use serde_json::json;
use sluice_tests::catalogue::Catalogue;
use sluice_tests::client::{Client, ERAS};
use sluice_tests::gateway::Start;
use sluice_tests::issuer::Issuer;
use sluice_tests::server::Server;

const KEY: &str = "machine-key-0123456789abcdef";

#[tokio::test]
async fn a_call_without_a_scope_is_told_all_it_needs() {
    for era in ERAS {
        let (server, issuer) = (Server::start(era, &Catalogue::new("one").tools(3)), Issuer::start());
        let config = json!({
            "servers": { "one": server.config() },
            "clients": { "machine": { "api_key": KEY } },
            "issuers": { "corp": issuer.config(json!({ "roles_claim": "roles", "required_scopes": ["mcp:read"] })) },
            "policies": {
                "all": {
                    "who": ["jwt:corp:ali*", "client:machine"],
                    "allow": [{ "tools": ["tool-000"] }, { "tools": ["tool-001"], "scopes": ["tools:write", "tools:call"] }],
                },
                "operators": { "who": ["role:operator"], "allow": [{ "tools": ["tool-002"] }] },
            },
        });
        let gateway = Start::new(config).ready().await;
        let origin = format!("http://127.0.0.1:{}", gateway.port);
        for (door, prefix) in [("/mcp", "one_"), ("/servers/one/mcp", "")] {
            let tool = |number: usize| format!("{prefix}tool-00{number}");
            let token = |scope: &str| issuer.token(&origin, json!({ "scope": format!("mcp:read {scope}") }));
            let client = Client::with(era, gateway.port, door, Some(&token("tools:call"))).await;
            assert_eq!(client.names("tools/list").await, [tool(0), tool(1)], "{era:?} {door}: listed all the same");
            client.said(&tool(0), json!({})).await;
            let refused = client.call(&tool(1), json!({})).await;
            assert_eq!(refused.status, 403, "{era:?} {door}: {refused:?}");
            let challenge = refused.header("www-authenticate").unwrap().to_owned();
            for part in [
                "error=\"insufficient_scope\"",
                "scope=\"mcp:read tools:call tools:write\"",
                "resource_metadata=\"http",
            ] {
                assert!(challenge.starts_with("Bearer ") && challenge.contains(part), "{era:?} {door}: {challenge}");
            }
            assert_eq!(server.calls("tool-001").len(), if door == "/mcp" { 0 } else { 2 });
            assert_eq!(client.call(&tool(2), json!({})).await.code(), Some(-32602), "{era:?} {door}: not her role");

            let client = Client::with(era, gateway.port, door, Some(&token("tools:call tools:write"))).await;
            client.said(&tool(1), json!({})).await;
            let machine = Client::with(era, gateway.port, door, Some(KEY)).await;
            machine.said(&tool(1), json!({})).await;
            let operator = issuer.token(&origin, json!({ "sub": "bob", "roles": ["operator"] }));
            let operator = Client::with(era, gateway.port, door, Some(&operator)).await;
            assert_eq!(operator.names("tools/list").await, [tool(2)], "{era:?} {door}: a role of the token");
            server.received().iter().for_each(|received| assert!(received.header("authorization").is_none()));
        }
        assert_eq!(gateway.metric("sluice_policy_denials_total", &["reason=\"insufficient_scope\""]).await, 2.0);
    }
}
