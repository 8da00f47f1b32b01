//! `sluice validate` and `sluice schema`: what is right passes, what is wrong is told, and stdout is for data.

use std::io::Write;
use std::path::PathBuf;
use std::process::Stdio;

use crate::process::{finished, sluice, told};

#[test]
fn a_good_file_passes() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("mcp.yaml"), "servers: {a_b: {command: x}, c: {url: 'http://c'}}\n").unwrap();
    let (code, data, talk) = finished(home.path(), &["validate", "-f", "mcp.yaml"]);
    assert_eq!((code, data.as_str()), (0, ""));
    assert!(talk.ends_with("ok: 2 servers\n"), "{talk}");
    assert!(
        talk.starts_with("warning: servers.a_b: is called `a-b` in paths and tool names\n --> mcp.yaml:1:11\n"),
        "{talk}"
    );
}

#[test]
fn a_wrong_file_is_refused_with_its_place() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("mcp.json"), "{\"servers\": {\n  \"a\": {\"comand\": \"x\"}}}").unwrap();
    for verb in [&["validate", "-f", "mcp.json"][..], &["run", "--config", "mcp.json"]] {
        let (code, data, talk) = finished(home.path(), verb);
        assert_eq!((code, data.as_str()), (2, ""));
        assert!(talk.starts_with("error: servers.a.comand: unknown key\n --> mcp.json:2:9\n"), "{talk}");
        assert!(talk.contains("did you mean `command`?"), "{talk}");
    }
    let left: Vec<_> = std::fs::read_dir(home.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "nothing was started, and nothing made: {left:?}");
}

#[test]
fn a_file_called_json_is_read_as_json() {
    let home = tempfile::tempdir().unwrap();
    for (text, part) in [
        ("{\"servers\": {\n  \"a\": {\"command\": \"\\x41\"}}}", "error: invalid escape\n --> mcp.json:2:"),
        ("servers:\n  a: {command: x}\n", "is read as JSON; call it `….yaml` if it is YAML"),
        ("{\"servers\": {\"a\": {\"command\": x}}}", "error: expected value\n --> mcp.json:1:"),
    ] {
        std::fs::write(home.path().join("mcp.json"), text).unwrap();
        let (code, _, talk) = finished(home.path(), &["validate", "-f", "mcp.json"]);
        assert!(code == 2 && talk.contains(part), "{text}\n{talk}");
    }
    let text = "{ // comments and commas of editors\n\"servers\": {\"a\": {\"command\": \"x\", \"args\": [\"\\ud83d\\ude00\",]}}}";
    std::fs::write(home.path().join("mcp.json"), text).unwrap();
    let (code, _, talk) = finished(home.path(), &["validate", "-f", "mcp.json"]);
    assert_eq!((code, talk.as_str()), (0, "ok: 1 server\n"));
}

#[test]
fn a_folder_is_no_configuration_of_one_gateway() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join("fleet")).unwrap();
    std::fs::write(home.path().join("fleet/servers.yaml"), "servers: {}\n").unwrap();
    let (code, data, talk) = finished(home.path(), &["run", "-c", "fleet"]);
    assert_eq!((code, data.as_str()), (2, ""));
    assert!(talk.contains("fleet is a folder") && talk.contains("fleet/servers.yaml"), "{talk}");
    assert!(talk.contains("`sluice apply -f fleet`"), "{talk}");
}

#[test]
fn servers_of_projects_are_not_passed_over() {
    let home = tempfile::tempdir().unwrap();
    let projects = "\"projects\": {\"/p\": {\"mcpServers\": {\"a\": {\"command\": \"x\"}}}, \"/q\": {}}";
    std::fs::write(home.path().join("claude.json"), format!("{{\"startups\": 1, {projects}}}")).unwrap();
    let (code, _, talk) = finished(home.path(), &["run", "-c", "claude.json"]);
    assert!(code == 2 && talk.contains("claude.json:1:17") && talk.contains("sluice discover --import"), "{talk}");
    assert!(!talk.contains("unknown key"), "{talk}");
    std::fs::write(home.path().join("claude.json"), format!("{{\"mcpServers\": {{}}, {projects}}}")).unwrap();
    let (code, _, talk) = finished(home.path(), &["validate", "-f", "claude.json"]);
    assert!(code == 0 && talk.contains("warning: projects") && talk.contains("sluice discover --import"), "{talk}");
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("latin.yaml"), b"servers: {}\n# caf\xe9\n").unwrap();
    for (file, part) in
        [("missing.yaml", "missing.yaml cannot be read"), ("latin.yaml", "latin.yaml:2: is not UTF-8 text")]
    {
        let (code, _, talk) = finished(home.path(), &["validate", "-f", file]);
        assert!(code == 2 && talk.contains(part), "{talk}");
    }
}

#[test]
fn a_configuration_may_come_from_stdin_and_variables_from_the_environment() {
    let home = tempfile::tempdir().unwrap();
    let mut command = sluice(home.path(), &["validate", "-f", "-"]);
    command.env("TOKEN", "x").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let text = "servers: {a: {url: 'http://a', auth: {type: bearer, token: '${TOKEN}'}}, b: {url: '${NONE}'}}\n";
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let (code, _, talk) = told(child.wait_with_output().unwrap());
    assert_eq!(code, 2);
    assert!(
        talk.contains("servers.b.url: variable `NONE` is not set") && !talk.contains("TOKEN` is not set"),
        "{talk}"
    );
    assert!(talk.contains("stdin:1:") && talk.contains(".config/sluice/credentials.json"), "{talk}");
}

#[test]
fn the_schema_is_json_on_stdout() {
    let home = tempfile::tempdir().unwrap();
    let (code, data, talk) = finished(home.path(), &["schema"]);
    let schema: serde_json::Value = serde_json::from_str(&data).unwrap();
    assert_eq!((code, talk.as_str()), (0, ""));
    assert_eq!(schema["title"], "Sluice configuration");
}

/// The files of `deploy/examples` that are configurations.
fn examples() -> Vec<PathBuf> {
    let deploy = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy");
    let folders = ["examples", "examples/fleet"].map(|folder| std::path::Path::new(deploy).join(folder));
    let files = folders.into_iter().flat_map(|folder| std::fs::read_dir(folder).unwrap());
    let is_one = |file: &PathBuf| file.extension().is_some_and(|end| end == "yaml" || end == "json");
    let fleet = PathBuf::from(deploy).join("compose/fleet.yaml");
    files.map(|entry| entry.unwrap().path()).filter(is_one).chain([fleet]).collect()
}

#[test]
fn the_examples_are_right() {
    let home = tempfile::tempdir().unwrap();
    let examples = examples();
    assert!(examples.len() >= 11, "{examples:?}");
    for file in examples {
        let mut command = sluice(home.path(), &["validate", "-f", file.to_str().unwrap()]);
        let keys = ["ALICE_KEY", "SUPPORT_KEY"].map(|name| (name, "a-key-that-is-long-enough"));
        let (code, _, talk) = told(command.envs(keys).output().unwrap());
        assert!(
            code == 0 && talk.lines().last().is_some_and(|line| line.starts_with("ok: ")),
            "{}: {talk}",
            file.display()
        );
    }
}

#[test]
fn the_examples_of_a_fleet_are_right_together() {
    let home = tempfile::tempdir().unwrap();
    let fleet = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/examples/fleet");
    let (code, _, talk) = finished(home.path(), &["validate", "-f", fleet]);
    assert!(code == 2 && talk.contains("variable `SUPPORT_KEY` is not set"), "no key is for everybody: {talk}");
    let mut command = sluice(home.path(), &["validate", "-f", fleet]);
    let (code, _, talk) = told(command.env("SUPPORT_KEY", "a-key-that-is-long-enough").output().unwrap());
    assert!(code == 0 && talk.ends_with(" in 3 files\n"), "{talk}");
}

#[test]
fn the_examples_show_every_key_of_the_language() {
    let home = tempfile::tempdir().unwrap();
    let schema: serde_json::Value = serde_json::from_str(&finished(home.path(), &["schema"]).1).unwrap();
    let text: String = examples().iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
    let types = schema["$defs"].as_object().unwrap().values().chain([&schema]);
    let keys = types.flat_map(|kind| kind["properties"].as_object().into_iter().flat_map(|keys| keys.keys()));
    let missing: Vec<_> =
        keys.filter(|key| !text.contains(&format!("{key}:")) && !text.contains(&format!("\"{key}\":"))).collect();
    assert!(missing.is_empty(), "no example has {missing:?}");
}

#[test]
fn a_folder_is_one_configuration_and_servers_of_some_nodes_count() {
    let home = tempfile::tempdir().unwrap();
    let fleet = home.path().join("fleet");
    std::fs::create_dir(&fleet).unwrap();
    let write = |name: &str, text: &str| std::fs::write(fleet.join(name), text).unwrap();
    write("a.yaml", "servers: {a: {url: 'http://a/mcp', nodes: {region: eu}}}\n");
    write("b.yaml", "servers: {b: {url: 'http://b/mcp'}}\npolicies: {p: {who: [local], allow: [{servers: [a, c]}]}}\n");
    let (code, data, talk) = finished(home.path(), &["validate", "-f", "fleet"]);
    assert_eq!((code, data.as_str()), (0, ""), "{talk}");
    assert!(talk.contains("warning: policies.p.allow[0].servers[1]: stands for no server"), "{talk}");
    assert!(talk.contains(" --> fleet/b.yaml:2:") && talk.ends_with("ok: 2 servers in 2 files\n"), "{talk}");
    let (_, _, talk) = finished(home.path(), &["validate", "-f", "fleet/a.yaml"]);
    assert_eq!(talk, "ok: 1 server\n");
    // wrong, and only on nodes that the one without labels is none of
    write("a.yaml", "servers: {a: {url: 'ftp://a/mcp', nodes: {region: eu}}}\n");
    for file in ["fleet", "fleet/a.yaml"] {
        let (code, _, talk) = finished(home.path(), &["validate", "-f", file]);
        assert!(
            code == 2 && talk.contains("error: servers.a.url: ") && talk.contains(" --> fleet/a.yaml:1:"),
            "{talk}"
        );
    }
    write("c.yaml", "servers: {b: {url: 'http://b/mcp'}}\n");
    let (code, _, talk) = finished(home.path(), &["validate", "-f", "fleet"]);
    assert!(code == 2 && talk.contains("server/b is in fleet/b.yaml and in fleet/c.yaml"), "{talk}");
}

#[test]
fn what_is_over_and_who_is_nobody_is_warned_about() {
    let home = tempfile::tempdir().unwrap();
    let text = "clients: {old: {api_key: 0123456789abcdef0123456789abcdef, expires: '2020-01-01T00:00:00Z'}}\n\
        policies: {p: {who: ['jwt:corp:ann'], allow: [{}]}}\n";
    std::fs::write(home.path().join("mcp.yaml"), text).unwrap();
    let (code, _, talk) = finished(home.path(), &["validate", "-f", "mcp.yaml"]);
    assert_eq!(code, 0, "{talk}");
    assert!(talk.contains("warning: clients.old.expires: is over") && talk.contains("is of no issuer"), "{talk}");
}

#[test]
fn what_is_too_much_is_said_in_words_and_in_one_line() {
    let home = tempfile::tempdir().unwrap();
    let many: String = (0..60_000).map(|n| format!("  s{n}: {{url: 'http://a/mcp', timeout: 3}}\n")).collect();
    for (text, told) in [
        (format!("servers:\n{many}"), "the configuration has more than 250000 values"),
        (format!("a: {}\n", "[".repeat(5_000)), "lists and maps are nested too deeply here"),
        (format!("a: &x [1]\nb: [{}]\n", "*x,".repeat(60_000)), "uses more than 50000 aliases"),
        ("x".repeat(9 << 20), "the configuration is larger than 8 MiB"),
        (String::new(), "the configuration is not a map of settings"),
    ] {
        std::fs::write(home.path().join("mcp.yaml"), text).unwrap();
        let (code, _, talk) = finished(home.path(), &["validate", "-f", "mcp.yaml"]);
        assert!(code == 2 && talk.contains(told), "{told}: {}", &talk[..talk.len().min(400)]);
        assert!(talk.lines().all(|line| line.chars().count() < 200), "{told}");
    }
}
