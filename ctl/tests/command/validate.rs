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
        let (code, _, talk) = told(command.env("ALICE_KEY", "a-key-that-is-long-enough").output().unwrap());
        assert!(
            code == 0 && talk.lines().last().is_some_and(|line| line.starts_with("ok: ")),
            "{}: {talk}",
            file.display()
        );
    }
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
