//! Files of clients, as they are found on people's machines.

use sluice_snapshot::model::{Snapshot, Transport};

use super::*;
use crate::language::Variables;

fn load(text: &str) -> Result<language::Loaded, Box<language::Rejected>> {
    let variables = Variables::of([("TOKEN", "s3cret"), ("API_KEY", "a-key"), ("db", "by-id")]);
    let folder = std::path::Path::new("/home/u/project/.vscode/mcp.json");
    let name = if text.starts_with(['{', '/']) { "mcp.json" } else { "mcp.yaml" };
    language::load(name, text.to_owned(), &variables.beside(folder))
}

/// The snapshot, and the warnings as `line path: message`.
fn accepted(text: &str) -> (Snapshot, Vec<String>) {
    let loaded = load(text).unwrap_or_else(|rejected| panic!("{rejected}"));
    let compiled = compile(&loaded.config, &[], &Secrets::default(), &Node::default(), 1)
        .unwrap_or_else(|faults| panic!("{}", loaded.source.show("error", &faults)));
    let warnings = loaded.warnings.iter().chain(&compiled.warnings);
    let line = |warning: &Fault| {
        let path = loaded.source.as_written(&warning.path);
        format!("{} {path}: {}", loaded.source.position(warning).0, warning.message)
    };
    (sluice_snapshot::parse(&compiled.snapshot).unwrap(), warnings.map(line).collect())
}

fn command(snapshot: &Snapshot, server: &str) -> String {
    match &snapshot.server(server).unwrap_or_else(|| panic!("no {server}")).transport {
        Transport::Stdio(command) => {
            let env = command.env.iter().map(|(name, value)| format!(" {name}={}", value.value().unwrap().expose()));
            format!("{} {}{}", command.program, command.args.join(" "), env.collect::<String>())
        }
        Transport::Http(http) => format!("http {}{} {}", http.authority, http.path, http.maybe_sse),
        Transport::Sse(http) => format!("sse {}{}", http.authority, http.path),
        Transport::WebSocket(http) => format!("websocket {}{}", http.authority, http.path),
    }
}

#[test]
fn the_client_files_of_the_requirements_load_unchanged() {
    for text in [
        include_str!("../../../tests/fixtures/claude-desktop.json"),
        include_str!("../../../tests/fixtures/cursor.json"),
    ] {
        let (snapshot, warnings) = accepted(text);
        assert_eq!(command(&snapshot, "proxy"), "mcp-proxy run --config mcp-config.json");
        assert_eq!(warnings, [""; 0]);
    }
}

#[test]
fn the_file_of_claude_desktop_loads() {
    let (snapshot, warnings) = accepted(
        r#"{
  "globalShortcut": "", "theme": "dark",
  "mcpServers": {
    "filesystem": {"command": "npx", "args": ["-y", "server-filesystem", "/tmp"]},
    "my server": {"command": "uvx", "args": ["x"], "env": {"KEY": "${TOKEN}", "NONE": null}},
    "my_server": {"command": "y", "disabled": true},
    "sluice": {"command": "/usr/local/bin/sluice", "args": ["run", "--config", "x.json", "--stdio"]},
    "bridge": {"command": "npx", "args": ["mcp-remote", "http://localhost:8000/mcp"]}
  }
}"#,
    );
    assert_eq!(command(&snapshot, "filesystem"), "npx -y server-filesystem /tmp");
    assert_eq!(command(&snapshot, "my-server"), "uvx x KEY=s3cret");
    assert_eq!(
        warnings,
        [
            "2 globalShortcut: and 1 more are ignored: this is the file of a client, of which only the servers are read",
            "5 mcpServers.\"my server\": is called `my-server` in paths and tool names",
            "7 mcpServers.sluice: is left out: it is this gateway, which would call itself without end",
            "8 mcpServers.bridge: is left out: it is this gateway, which would call itself without end",
        ]
    );
    assert_eq!(snapshot.servers.len(), 2);
}

#[test]
fn the_file_of_vs_code_loads_with_comments_and_inputs() {
    let (snapshot, warnings) = accepted(
        r#"// what VS Code writes
{
  "inputs": [
    {"type": "promptString", "id": "api-key", "description": "Key", "password": true},
    {"type": "pickString", "id": "zone", "options": ["a", "b"], "default": "b"}, /* more */
  ],
  "servers": {
    "weather": {
      "type": "stdio", "command": "node", "args": ["${workspaceFolder}/x.js", "${input:zone}", "${input:db}"],
      "env": {"KEY": "${input:api-key}", "T": "${env:TOKEN}", "N": "${workspaceFolderBasename}"},
    },
    "remote": {"type": "http", "url": "https://h/mcp", "headers": {"X": "${input:api-key}"}},
    "events": {"type": "sse", "url": "https://h/sse"},
    "stream": {"type": "streamable-http", "url": "https://h/mcp", "gallery": true},
    "socket": {"type": "ws", "url": "wss://h/ws"},
  },
}"#,
    );
    assert_eq!(command(&snapshot, "weather"), "node /home/u/project/x.js b by-id KEY=a-key T=s3cret N=project");
    assert_eq!(command(&snapshot, "remote"), "http h/mcp true", "VS Code tries SSE as well");
    assert_eq!(command(&snapshot, "events"), "sse h/sse");
    assert_eq!(command(&snapshot, "stream"), "http h/mcp false");
    assert_eq!(command(&snapshot, "socket"), "websocket h/ws");
    assert_eq!(warnings, ["14 servers.stream: `gallery` is ignored: only clients act on it"]);
}

#[test]
fn words_of_many_clients_are_understood() {
    let (snapshot, warnings) = accepted(
        r#"{"mcpServers": {
"windsurf": {"serverUrl": "https://h/sse", "disabledTools": ["a"]},
"gemini": {"httpUrl": "https://h/mcp", "timeout": 30000, "includeTools": ["x", "y"], "trust": true},
"cline": {"command": "c", "timeout": 60, "autoApprove": ["a"], "alwaysAllow": []},
"roo": {"type": "streamable-http", "url": "https://h/mcp", "timeout": 999999999},
"list": {"type": "local", "command": ["bun", "x", "y"], "environment": {"A": "b"}, "enabled": true},
"zed": {"source": "custom", "command": {"path": "z", "args": ["1"], "env": {"A": "b"}}},
"options": {"url": "https://h", "requestOptions": {"headers": {"X-A": "b"}}},
"codex": {"url": "https://h", "bearer_token_env_var": "TOKEN", "enabled": true, "disabled": false},
"off": {"url": "${env:NOT_SET}", "enabled": true, "disabled": true},
"copilot": {"command": "g", "tools": ["*"]}
}}"#,
    );
    assert_eq!(command(&snapshot, "windsurf"), "http h/sse true");
    let tools = |name: &str| snapshot.server(name).unwrap().curation.tools.clone();
    assert!(!tools("windsurf").shows("a") && tools("windsurf").shows("b"));
    assert!(tools("gemini").shows("x") && !tools("gemini").shows("z") && tools("copilot").shows("z"));
    let seconds = |name: &str| snapshot.server(name).unwrap().timeout.as_secs();
    assert_eq!((seconds("gemini"), seconds("cline"), seconds("roo")), (30, 60, 3600));
    assert_eq!(command(&snapshot, "list"), "bun x y A=b");
    assert_eq!(command(&snapshot, "zed"), "z 1 A=b");
    assert_eq!(headers(&snapshot, "options"), [("x-a".into(), "b".into())]);
    assert_eq!(headers(&snapshot, "codex"), [("authorization".into(), "Bearer s3cret".into())]);
    assert!(snapshot.server("off").is_none());
    assert_eq!(
        warnings,
        [
            "3 mcpServers.gemini.timeout: is taken as 30 seconds",
            "3 mcpServers.gemini: `trust` is ignored: only clients act on it",
            "4 mcpServers.cline: `autoApprove`, `alwaysAllow` are ignored: only clients act on it",
            "5 mcpServers.roo.timeout: is taken as 3600 seconds",
            "7 mcpServers.zed: `source` is ignored: only clients act on it",
        ]
    );
}

#[test]
fn credentials_in_what_is_ignored_are_not_shown_either() {
    let text = r#"{"apiKey": "s3cret", "x": {"clientSecret": "s3cret"}, "inputs": [{"id": "a", "token": "s3cret"}], "mcpServers":
        {"a": {"oauth": {"secret": "s3cret"}, "env": {"A": "s3cret", "B": "${env:NONE}"}, "url": []}}}"#.replace('\n', "");
    let shown = load(&text).err().unwrap().to_string();
    assert!(shown.contains("${env:NONE}") && shown.contains("***") && !shown.contains("s3cret"), "{shown}");
    let fine = load(&text.replace("${env:NONE}", "x").replace("[]}}", "\"http://h\"}}")).unwrap();
    let warnings = fine.source.show("warning", &fine.warnings).to_string();
    assert!(warnings.contains("ignored") && !warnings.contains("s3cret"), "{warnings}");
}

#[test]
fn every_place_where_clients_keep_servers_is_known() {
    let server = r#"{"a": {"command": "x"}}"#;
    for text in [
        format!(r#"{{"mcpServers": {server}}}"#),
        format!(r#"{{"mcp": {{"servers": {server}}}}}"#),
        format!(r#"{{"mcp.servers": {server}}}"#),
        format!(r#"{{"context_servers": {server}}}"#),
        format!(r#"{{"servers": {server}, "inputs": []}}"#),
        r#"{"servers": {"a": {"type": "stdio", "command": "x"}}}"#.to_owned(),
        r#"{"mcpServers": [{"name": "a", "command": "x"}]}"#.to_owned(),
        format!("mcpServers: {server}\n"),
    ] {
        let (snapshot, warnings) = accepted(&text);
        assert_eq!((command(&snapshot, "a").as_str(), warnings.len()), ("x ", 0), "{text}");
        assert!(load(&text).unwrap_or_else(|_| panic!("{text}")).config.foreign);
    }
    let ours = load(r#"{"servers": {"a": {"command": "x"}}}"#).unwrap().config;
    assert!(!ours.foreign, "what says the same in our language is in our language");
    let (_, warnings) = accepted(r#"{"theme": 1, "proxy": {"port": 1}, "mcpServers": {}}"#);
    assert!(warnings[0].starts_with("1 proxy: and 1 more are ignored"), "{warnings:?}");
    assert_eq!(warnings[1], "1 mcpServers: has no server for this gateway, so that clients find nothing");
}

#[test]
fn names_that_become_the_same_are_numbered() {
    let (snapshot, warnings) =
        accepted(r#"{"mcpServers": {"a b": {"command": "1"}, "a_b": {"command": "2"}, "a.b": {"command": "3"}}}"#);
    assert_eq!(snapshot.servers.iter().map(|server| &*server.name).collect::<Vec<_>>(), ["a-b", "a-b-2", "a-b-3"]);
    assert_eq!(warnings.len(), 3);
}

#[test]
fn mistakes_are_told_in_the_words_of_the_client() {
    for (text, expected) in [
        (
            "{\"inputs\": [{\"id\": \"my-key\", \"description\": \"Your key\"}],\n\"servers\": {\"a\": {\"url\": \"${input:my-key}\"}}}",
            "error: servers.a.url: input `my-key` (Your key) has no value\n --> mcp.json:2:26",
        ),
        (
            "{\"mcpServers\": {\"a\": {\"serverUrl\": \"${env:NO}\"}}}",
            "error: mcpServers.a.serverUrl: variable `NO` is not set",
        ),
        (
            "{\"mcpServers\": {\"a\": {\"url\": 1, \"args\": {}}}}",
            "error: mcpServers.a.args: must be a list, but is a map",
        ),
        (
            "{\"mcpServers\": {\"a\": {\"command\": \"${command:x.y}\"}}}",
            "error: mcpServers.a.command: `${command:x.y}` stands for",
        ),
        (
            "{\"mcpServers\": {\"a\": {\"type\": \"carrier-pigeon\", \"url\": \"http://h\"}}}",
            "error: mcpServers.a.type: must be one of `stdio`",
        ),
        ("{\"mcpServers\": {\"a\": []}}", "error: mcpServers.a: must be a map, but is a list"),
        ("{\n  // comment\n  \"mcpServers\": {\"a\" {}}\n}", "error: expected `:`\n --> mcp.json:3:22"),
    ] {
        let rejected = load(text).err().unwrap_or_else(|| panic!("accepted: {text}"));
        let shown = rejected.to_string();
        assert!(shown.starts_with(expected), "{shown}");
        assert!(!shown.contains("s3cret"));
    }
    let Err(rejected) = load("{\"servers\": {\"a\": {\"type\": \"http\", \"url\": \"${input:a-b}\"}}}") else {
        panic!()
    };
    assert!(rejected.to_string().contains("set `A_B`, or add `a-b` to"), "{rejected}");
}
