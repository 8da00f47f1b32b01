//! `sluice discover`: what clients have is found, shown without secrets, and brought into a configuration.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::process::finished;

fn write(home: &Path, file: &str, text: &str) {
    let path = home.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// A home folder with the files of many clients.
fn machine() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    let at = |file: &str, text: &str| write(home.path(), file, text);
    at(
        ".config/Claude/claude_desktop_config.json",
        r#"{"theme": "dark", "mcpServers": {
            "files": {"command": "npx", "args": ["-y", "files"], "env": {"KEY": "s3cret-1"}},
            "my sluice": {"command": "sluice", "args": ["run", "--config", "x"]}}}"#,
    );
    at(
        ".claude.json",
        r#"{"numStartups": 3, "mcpServers": {"one": {"type": "http", "url": "https://h/mcp?key=s3cret-2"}},
            "projects": {"/home/me/x": {"history": ["s3cret-3"], "mcpServers": {"two": {"command": "two"}}}, "/y": {}}}"#,
    );
    at(".cursor/mcp.json", r#"{"mcpServers": {"files": {"command": "other"}, "same": {"command": "two"}}}"#);
    at(
        ".config/Code/User/settings.json",
        "{\n  // mine\n  \"editor.fontSize\": 12,\n  \"mcp\": {\"servers\": {\"old\": {\"type\": \"sse\", \"url\": \"http://h/sse\"}}},\n}",
    );
    at(
        ".config/Code/User/mcp.json",
        r#"{"inputs": [{"id": "the-key", "type": "promptString"}],
            "servers": {"asks": {"command": "x", "env": {"K": "${input:the-key}", "H": "${env:HOME}"}}}}"#,
    );
    at(
        ".codeium/windsurf/mcp_config.json",
        r#"{"mcpServers": {"surf": {"serverUrl": "https://h/sse", "disabled": true}}}"#,
    );
    at(
        ".config/zed/settings.json",
        r#"{"context_servers": {"zed": {"source": "custom", "command": {"path": "z", "args": []}}}}"#,
    );
    at(".continue/config.yaml", "name: x\nmcpServers:\n  - name: cont\n    command: uvx\n    args: [y]\n");
    at(".gemini/settings.json", r#"{"mcpServers": {"gem": {"httpUrl": "https://g/mcp", "timeout": 5000}}}"#);
    at(
        ".codex/config.toml",
        "model = \"x\"\n[mcp_servers.dex]\ncommand = \"dex\"\nargs = [\"a\"]\n[mcp_servers.dex.env]\nK = \"s3cret-4\"\n\
         [mcp_servers.remote]\nurl = \"https://r\"\nbearer_token_env_var = \"R_TOKEN\"\n",
    );
    at(".roo/mcp.json", "{\"mcpServers\": {\"broken\" }");
    home
}

const SERVERS: [(&str, &str, &str); 13] = [
    ("Claude Desktop", "files", "stdio"),
    ("Claude Desktop", "my sluice", "stdio"),
    ("Claude Code", "one", "http"),
    ("Claude Code", "two", "stdio"),
    ("Cursor", "files", "stdio"),
    ("Cursor", "same", "stdio"),
    ("VS Code", "asks", "stdio"),
    ("VS Code", "old", "sse"),
    ("Windsurf", "surf", "http"),
    ("Zed", "zed", "stdio"),
    ("Continue", "cont", "stdio"),
    ("Gemini CLI", "gem", "http"),
    ("Codex", "dex", "stdio"),
];

#[test]
fn the_servers_of_every_client_are_shown_and_their_secrets_are_not() {
    let home = machine();
    let (code, data, talk) = finished(home.path(), &["discover", "-o", "json"]);
    assert_eq!(code, 0, "{talk}");
    let rows: Vec<serde_json::Value> = serde_json::from_str(&data).unwrap();
    let text = |row: &serde_json::Value, key: &str| row[key].as_str().unwrap().to_owned();
    let found: Vec<_> =
        rows.iter().map(|row| (text(row, "client"), text(row, "server"), text(row, "transport"))).collect();
    for (client, server, transport) in SERVERS {
        let row = (client.to_owned(), server.to_owned(), transport.to_owned());
        assert!(found.contains(&row), "{row:?} is not in {found:#?}");
    }
    assert_eq!(rows.len(), SERVERS.len() + 1, "and the second of Codex");
    let surf = rows.iter().find(|row| row["server"] == "surf").unwrap();
    assert_eq!((&surf["enabled"], &surf["project"]), (&false.into(), &serde_json::Value::Null));
    assert_eq!(rows.iter().find(|row| row["server"] == "two").unwrap()["project"], "/home/me/x");
    assert!(talk.contains(".roo/mcp.json:1:26: ") && talk.starts_with("warning: "), "{talk}");
    for format in ["table", "yaml", "json"] {
        let (code, data, talk) = finished(home.path(), &["discover", "-o", format]);
        assert!(code == 0 && data.contains("Windsurf") && data.contains("surf"), "{data}");
        assert!(!data.contains("s3cret") && !talk.contains("s3cret"), "{data}{talk}");
    }
    let (_, table, _) = finished(home.path(), &["discover"]);
    assert!(table.trim_start().starts_with("CLIENT") && table.lines().count() == rows.len() + 1, "{table}");
    assert!(table.contains(".claude.json (/home/me/x)"), "{table}");
}

#[test]
fn what_is_imported_runs() {
    let home = machine();
    let import = ["discover", "--import", "mcp.yaml"];
    let (code, data, talk) = finished(home.path(), &[&import[..], &["--dry-run"]].concat());
    assert_eq!((code, data.as_str()), (0, ""), "{talk}");
    assert!(talk.contains("12 servers would be added") && !home.path().join("mcp.yaml").exists(), "{talk}");

    let (code, data, talk) = finished(home.path(), &import);
    assert_eq!((code, data.as_str()), (0, ""), "{talk}");
    for part in [
        "my sluice: left out, it is this gateway itself",
        "files: added as `files-cursor` (from Cursor, ",
        "same: left out, `two` is the same",
        "added 12 servers to mcp.yaml",
    ] {
        assert!(talk.contains(part), "{part} is not in {talk}");
    }
    assert!(!talk.contains("s3cret"), "{talk}");
    let file = home.path().join("mcp.yaml");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&file).unwrap();
    for part in ["s3cret-1", "s3cret-4", "${THE_KEY}", "${HOME}", "${R_TOKEN}", "# from Zed, "] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    let mut command = crate::process::sluice(home.path(), &["validate", "-f", "mcp.yaml"]);
    let (code, _, talk) = crate::process::told(command.env("THE_KEY", "x").env("R_TOKEN", "x").output().unwrap());
    assert!(code == 0 && talk.ends_with("ok: 11 servers\n"), "one is off: {talk}\n{text}");

    let (code, _, talk) = finished(home.path(), &import);
    assert!(code == 0 && talk.ends_with("nothing to add to mcp.yaml\n"), "{talk}");
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
}

#[test]
fn a_configuration_keeps_what_people_wrote_in_it() {
    let home = tempfile::tempdir().unwrap();
    write(home.path(), ".cursor/mcp.json", r#"{"mcpServers": {"new": {"command": "x", "env": {"K": "s3cret"}}}}"#);
    let mine = "# mine\nproxy: {port: 9000} # why\nservers:\n  # the first\n  old: {command: y}\n";
    write(home.path(), "mcp.yaml", mine);
    fs::set_permissions(home.path().join("mcp.yaml"), fs::Permissions::from_mode(0o644)).unwrap();
    let (code, _, talk) = finished(home.path(), &["discover", "--import", "mcp.yaml"]);
    assert!(code == 2 && talk.contains("has mode 0644") && talk.contains("chmod 600"), "{talk}");
    assert_eq!(fs::read_to_string(home.path().join("mcp.yaml")).unwrap(), mine);
    fs::set_permissions(home.path().join("mcp.yaml"), fs::Permissions::from_mode(0o600)).unwrap();
    let (code, _, talk) = finished(home.path(), &["discover", "--import", "mcp.yaml"]);
    assert_eq!(code, 0, "{talk}");
    let text = fs::read_to_string(home.path().join("mcp.yaml")).unwrap();
    assert!(text.starts_with(mine) && text.contains("  new:\n"), "{text}");
    write(home.path(), "client.json", r#"{"mcpServers": {}}"#);
    let (code, _, talk) = finished(home.path(), &["discover", "--import", "client.json"]);
    assert!(code == 2 && talk.contains("is the file of a client"), "{talk}");
}

#[test]
fn a_machine_without_clients_is_no_error() {
    let home = tempfile::tempdir().unwrap();
    let (code, data, talk) = finished(home.path(), &["discover"]);
    assert_eq!((code, data.as_str()), (0, ""));
    assert!(talk.contains("no client on this machine"), "{talk}");
    assert_eq!(finished(home.path(), &["discover", "-o", "json"]).1, "[]\n");
    assert_eq!(finished(home.path(), &["discover", "--dry-run"]).0, 2);
}
