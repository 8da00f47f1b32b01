//! The benchmark can fail: whatever is wrong with an answer, the load generator sees it; whatever a gateway leaves out, the
//! mock server refuses.

#![allow(clippy::unwrap_used, reason = "a test that cannot run its programs has failed")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Output, Stdio};

/// A mock server; ended with the test.
struct Mock {
    child: Child,
    address: String,
}

impl Mock {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mock"));
        let mut child = command.args(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut address = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut address).unwrap();
        Self { child, address: address.trim().to_owned() }
    }

    /// A load generator that does what `commands` say.
    fn load(&self, arguments: &[&str], commands: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_load"));
        command.args(["--connect", &self.address, "--patience", "1"]).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(commands.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    /// The status of the answer to a POST of this body with these header lines.
    fn status(&self, fields: &str, body: &str) -> String {
        self.answer(fields, body).split(' ').nth(1).unwrap().to_owned()
    }

    fn answer(&self, fields: &str, body: &str) -> String {
        let mut socket = TcpStream::connect(&self.address).unwrap();
        let length = body.len();
        let head = format!("POST /servers/s0/mcp HTTP/1.1\r\nHost: x\r\n{fields}Content-Length: {length}\r\n\r\n");
        socket.write_all((head + body).as_bytes()).unwrap();
        let mut answer = vec![0; 4096];
        let count = socket.read(&mut answer).unwrap();
        String::from_utf8_lossy(&answer[..count]).into_owned()
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn every_kind_of_request_is_answered_rightly() {
    let mock = Mock::start(&["--servers", "3", "--tools", "700", "--page", "700"]);
    let many = ["--path", "/servers/s{s}/mcp", "--tool", "tool_{t}", "--servers", "3", "--tools", "700"];
    for arguments in [
        &["--sessions", "100"][..],
        &["--modern", "--receive", "5000"],
        &["--send", "300000", "--receive", "10"],
        &["--list", "700"],
        &["--modern", "--list", "700"],
        &many,
    ] {
        let seen = mock.load(arguments, "requests 3000\nrate 20000 0.1\n");
        let text = String::from_utf8(seen.stdout).unwrap();
        assert!(seen.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&seen.stderr));
        let reports: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((&reports[1]["requests"], &reports[2]["requests"]), (&3000.into(), &2000.into()), "{arguments:?}");
    }
}

#[test]
fn events_and_late_answers_are_answers() {
    for arguments in [&["--sse"][..], &["--sse", "--delay-us", "3000"], &["--delay-us", "3000"]] {
        let seen = Mock::start(arguments).load(&[], "requests 1000\n");
        assert!(seen.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&seen.stderr));
    }
}

#[test]
fn a_wrong_answer_fails_the_run() {
    for (fault, said) in [
        ("wrong-id", "not the answer to 100000"),
        ("wrong-text", "not the text of 100000"),
        ("error", "no result: "),
        ("bad-gateway", " is answered 502"),
        ("cut", "closed instead of an answer"),
        ("silence", "requests were not answered within 1s"),
    ] {
        for form in [&["--fault", fault][..], &["--fault", fault, "--sse"]] {
            let seen = Mock::start(form).load(&[], "requests 900\nrequests 20000\n");
            let error = String::from_utf8(seen.stderr).unwrap();
            assert_eq!(seen.status.code(), Some(1), "{fault}");
            assert!(error.contains(said), "{fault}: {error}");
            // what came before was right
            assert_eq!(seen.stdout.iter().filter(|byte| **byte == b'\n').count(), 2, "{fault}");
        }
    }
}

#[test]
fn lists_that_lack_a_tool_fail_the_run() {
    let seen = Mock::start(&["--tools", "9"]).load(&["--list", "10"], "run 0.1\n");
    let error = String::from_utf8(seen.stderr).unwrap();
    assert!(!seen.status.success() && error.contains("9 tools on the first page instead of 10 in all"), "{error}");
}

#[test]
fn streams_that_end_fail_the_run() {
    let mut mock = Mock::start(&[]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_load"));
    command.args(["--connect", &mock.address, "--sessions", "20", "--streams"]);
    let mut load = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let (mut stdin, mut stdout) = (load.stdin.take().unwrap(), BufReader::new(load.stdout.take().unwrap()));
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert!(line.contains(r#""streams":20"#), "{line}");
    stdin.write_all(b"streams\n").unwrap();
    stdout.read_line(&mut line).unwrap();
    mock.child.kill().unwrap();
    mock.child.wait().unwrap();
    stdin.write_all(b"streams\n").unwrap();
    assert!(!load.wait().unwrap().success());
}

const JSON: &str = "Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n";
const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"text":"hi"},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}"#;
const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25"}}"#;

#[test]
fn a_session_and_its_version_are_needed() {
    let mock = Mock::start(&[]);
    let opened = mock.answer(JSON, INITIALIZE);
    let session = opened.split("Mcp-Session-Id: ").nth(1).unwrap().split('\r').next().unwrap();
    let status = |fields: &str| mock.status(&format!("{JSON}{fields}"), CALL);
    let version = "MCP-Protocol-Version: 2025-11-25\r\n";
    assert_eq!(status(&format!("Mcp-Session-Id: {session}\r\n{version}")), "200");
    assert_eq!(status(&format!("Mcp-Session-Id: {session}\r\n")), "400");
    assert_eq!(status(version), "400");
    assert_eq!(status(&format!("Mcp-Session-Id: {}\r\n{version}", "0".repeat(32))), "404");
    assert_eq!(mock.status("Content-Type: application/json\r\n", INITIALIZE), "406");
    assert_eq!(mock.status("Accept: application/json, text/event-stream\r\n", INITIALIZE), "415");
}

#[test]
fn modern_headers_say_what_the_body_says() {
    let mock = Mock::start(&[]);
    let answer =
        |fields: &str, body: &str| mock.answer(&format!("{JSON}MCP-Protocol-Version: 2026-07-28\r\n{fields}"), body);
    let right = "Mcp-Method: tools/call\r\nMcp-Name: echo\r\n";
    assert!(answer(right, CALL).starts_with("HTTP/1.1 200 "));
    let other_version = CALL.replace("2026-07-28", "2025-11-25");
    for (fields, body) in [
        ("", CALL),
        ("Mcp-Method: tools/call\r\n", CALL),
        ("Mcp-Method: tools/list\r\nMcp-Name: echo\r\n", CALL),
        ("Mcp-Method: tools/call\r\nMcp-Name: other\r\n", CALL),
        (right, &other_version),
    ] {
        let said = answer(fields, body);
        assert!(said.starts_with("HTTP/1.1 400 ") && said.contains("-32020"), "{fields}{said}");
    }
    let said = answer(right, &CALL.replace("clientCapabilities", "other"));
    assert!(said.starts_with("HTTP/1.1 400 ") && said.contains("-32602"), "{said}");
}

#[test]
fn the_same_server_speaks_on_stdio() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mock"));
    let mut child = command.arg("--stdio").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let notification = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    let lines = format!("{INITIALIZE}\n{notification}\n{}\n", CALL.replace("\"id\":1", "\"id\":\"a\""));
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let seen = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    let answers: Vec<serde_json::Value> = seen.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), 2);
    assert_eq!(answers[0]["result"]["protocolVersion"], "2025-11-25");
    assert_eq!(answers[1]["id"], "a");
    assert_eq!(answers[1]["result"]["content"][0]["text"], "hi");
}
