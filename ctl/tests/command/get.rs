//! `sluice get`: what a running gateway knows.

use std::net::TcpListener;

use crate::process::{Gateway, finished};

/// A port that is free now.
fn free() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[test]
fn servers_are_shown_as_they_are() {
    let home = tempfile::tempdir().unwrap();
    let text = format!(
        "servers: {{demo: {{command: sluice, args: [demo-server]}}, away: {{url: 'http://{}/mcp', headers: {{x-key: s3cret}}}}}}\n",
        free()
    );
    std::fs::write(home.path().join("mcp.yaml"), text).unwrap();
    let admin = free();
    let _gateway = Gateway::start_at(home.path(), &admin, &["--config", "mcp.yaml"]);
    let (code, table, talk) = finished(home.path(), &["get", "servers", "--admin", &admin]);
    assert_eq!(code, 0, "{talk}");
    let lines: Vec<_> = table.lines().map(str::trim_start).collect();
    assert!(lines[0].starts_with("SERVER") && lines[1].starts_with("demo") && lines[1].contains("stdio"), "{table}");
    assert!(lines[2].starts_with("away") && lines[2].contains("http"), "{table}");
    let (code, json, _) = finished(home.path(), &["get", "servers", "away", "--admin", &admin, "-o", "json"]);
    let servers: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((code, servers[0]["name"].as_str(), servers.as_array().unwrap().len()), (0, Some("away"), 1));
    assert!(!format!("{table}{json}").contains("s3cret"));
    let (code, data, talk) = finished(home.path(), &["get", "servers", "nobody", "--admin", &admin]);
    assert_eq!((code, data.as_str()), (1, ""));
    assert!(talk.contains("no server is called `nobody`"), "{talk}");
}

#[test]
fn a_gateway_that_does_not_run_is_told() {
    let home = tempfile::tempdir().unwrap();
    let (code, data, talk) = finished(home.path(), &["get", "servers", "--admin", &free()]);
    assert_eq!((code, data.as_str()), (1, ""));
    assert!(talk.contains("no gateway answers") && talk.contains("--admin"), "{talk}");
}
