//! `sluice run`: what it starts, what it refuses, and what it says.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use crate::process::{Gateway, finished, sluice};

fn write(home: &Path, text: &str) {
    std::fs::write(home.join("mcp.yaml"), text).unwrap();
}

#[test]
fn authentication_without_a_client_makes_one_key() {
    let home = tempfile::tempdir().unwrap();
    write(home.path(), "features: {authentication: true}\nservers: {}\n");
    let gateway = Gateway::start(home.path(), &["--config", "mcp.yaml", "--state-dir", "state"]);
    let state = home.path().join("state");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&state), mode(&state.join("api-key"))), (0o700, 0o600));
    let key = std::fs::read_to_string(state.join("api-key")).unwrap();
    let said = gateway.said.join("\n");
    assert!(said.contains(state.join("api-key").to_str().unwrap()), "{said}");
    assert!(!said.contains(key.trim()), "only a person at a terminal is told the key");
    assert_ne!(gateway.status(Some(key.trim())), 401);
    assert_eq!(gateway.status(Some("sluice_wrong")), 401);
}

#[test]
fn a_refused_configuration_makes_no_key() {
    let home = tempfile::tempdir().unwrap();
    write(home.path(), "features: {authentication: true}\nservers: {a: {}}\n");
    assert_eq!(finished(home.path(), &["run", "--config", "mcp.yaml", "--state-dir", "state"]).0, 2);
    assert!(!home.path().join("state").exists());
}

#[test]
fn what_cannot_be_done_is_refused_before_anything_starts() {
    let home = tempfile::tempdir().unwrap();
    write(home.path(), "servers: {}\n");
    for (args, part) in [
        (&["--redis", "redis://localhost"][..], "SLUICE_SESSION_KEYS"),
        (&["--listen", "0.0.0.0:0"], "no authentication is configured"),
        (&["--listen", "localhost"], "invalid value"),
        (&["--workers", "0"], "invalid value"),
    ] {
        let (code, data, talk) = finished(home.path(), &[&["run", "--config", "mcp.yaml"], args].concat());
        assert_eq!((code, data.as_str()), (2, ""), "{talk}");
        assert!(talk.contains(part), "{talk}");
    }
}

#[test]
fn a_port_in_use_is_named_with_its_flag() {
    let home = tempfile::tempdir().unwrap();
    write(home.path(), "servers: {}\n");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (flag, other) in [("--listen", "--admin"), ("--admin", "--listen")] {
        let args = ["run", "--config", "mcp.yaml", flag, &address, other, "127.0.0.1:0"];
        let (code, _, talk) = finished(home.path(), &args);
        let error = talk.lines().last().unwrap_or_default();
        assert_eq!(code, 1, "{talk}");
        assert!(error.contains(&address) && error.contains(flag), "{talk}");
    }
}

#[test]
fn stdio_serves_a_client_that_started_it_and_opens_no_port() {
    let home = tempfile::tempdir().unwrap();
    // `sluice` is not in PATH here, so that it is the program under test.
    write(home.path(), "servers: {demo: {command: sluice, args: [demo-server, --stdio]}}\n");
    let mut command = sluice(home.path(), &["run", "--config", "mcp.yaml", "--stdio"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let request = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"test","version":"1"}}}"#;
    writeln!(stdin, "{request}").unwrap();
    let mut answer = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut answer).unwrap();
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{answer:?}"));
    assert!(answer["result"]["serverInfo"]["name"].is_string(), "{answer}");
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "the end of input is the end: {log}");
    assert!(!log.contains("\"listening\""), "{log}");
}

#[test]
fn the_log_level_of_the_file_counts_and_warnings_are_logged() {
    let home = tempfile::tempdir().unwrap();
    write(home.path(), "proxy: {log_level: WARNING}\nservers: {a_b: {command: x}}\n");
    let mut command = sluice(home.path(), &["run", "--config", "mcp.yaml", "--stdio"]);
    let output = command.output().unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().all(|line| line["level"] != "INFO"), "{log}");
    let warning = lines.iter().find(|line| line["path"] == "servers.a_b").unwrap_or_else(|| panic!("{log}"));
    assert_eq!((&warning["file"], &warning["line"]), (&"mcp.yaml".into(), &2.into()));
}
