//! What of a server clients see: what the words become, and what is refused or odd.

use sluice_snapshot::model::{Curation, Prefix};

use super::{Node, compiled, compiled_for, faults};

fn curation(words: &str) -> Curation {
    compiled(&format!("servers:\n  a: {{command: x, {words}}}\n")).servers[0].curation.clone()
}

fn faults_of(words: &str) -> Vec<String> {
    faults(&format!("servers:\n  a: {{command: x, {words}}}\n"))
}

fn warnings_of(words: &str) -> Vec<String> {
    compiled_for(&format!("servers:\n  a: {{command: x, {words}}}\n"), &[], &Node::default()).1
}

#[test]
fn every_word_of_curation_has_its_effect() {
    let text = "
servers:
  a:
    command: x
    tools:
      allow: ['get_*', put]
      deny: ['*_secret']
      edit:
        get_a:
          name: a
          title: A
          description: About a
          annotations: {readOnlyHint: true, title: T}
          defaults: {limit: 10, unit: km, deep: {a: [1, null, 'x', \"${NONE:-5}\"]}, port: 0x1F}
          forced:
            key: '${API_TOKEN}'
            short: ${SHORT}
            plain: ${NONE:-7.50}
            on: ${NONE:-true}
    prompts:
      deny: [internal]
      edit: {hi: {name: hello, title: Hello, description: ''}}
    resources: ['file:///*']
  b: {command: y, tools: [one, 'two*']}
";
    let snapshot = compiled(text);
    let a = &snapshot.servers[0].curation;
    assert!(a.tools.shows("get_a") && a.tools.shows("put") && !a.tools.shows("get_secret") && !a.tools.shows("x"));
    assert!(a.prompts.shows("hi") && !a.prompts.shows("internal"));
    assert!(a.resources.shows("file:///x") && !a.resources.shows("http://x"));
    let edit = &a.tool_edits["get_a"];
    assert_eq!((edit.name.as_deref(), edit.title.as_deref()), (Some("a"), Some("A")));
    assert_eq!(edit.description.as_deref(), Some("About a"));
    assert_eq!(edit.annotations, [("readOnlyHint".into(), "true".into()), ("title".into(), "\"T\"".into())]);
    let shown = |arguments: &[(String, sluice_snapshot::model::Secret)]| {
        arguments.iter().map(|(name, value)| format!("{name}={}", value.expose())).collect::<Vec<_>>()
    };
    assert_eq!(
        shown(&edit.defaults),
        ["limit=10", "unit=\"km\"", "deep={\"a\":[1,null,\"x\",\"5\"]}", "port=31"],
        "what is quoted stays text"
    );
    assert_eq!(
        shown(&edit.forced),
        ["key=\"a-token\"", "short=\"0123\"", "plain=7.50", "on=true"].map(|line| {
            // A digit string without quotes is a number, as anywhere in YAML.
            if line.starts_with("short") { "short=123".to_owned() } else { line.to_owned() }
        })
    );
    let hi = &a.prompt_edits["hi"];
    assert_eq!((hi.name.as_deref(), hi.description.as_deref()), (Some("hello"), Some("")));
    let b = &snapshot.servers[1].curation;
    assert!(b.tools.shows("one") && b.tools.shows("two_x") && !b.tools.shows("three"));
    assert!(curation("tools: {}").is_empty());
}

#[test]
fn json_values_keep_their_types() {
    let text = r#"{"servers": {"a": {"command": "x", "tools": {"edit": {"t": {"defaults":
        {"a": 1.0, "b": "1", "c": [true, null, {"d": "é\n"}], "e": "${SHORT}", "f": 12345678901234567890}}}}}}}"#;
    let snapshot = compiled(text);
    let edit = &snapshot.servers[0].curation.tool_edits["t"];
    let values: Vec<_> = edit.defaults.iter().map(|(_, value)| value.expose()).collect();
    assert_eq!(values, ["1.0", "\"1\"", "[true,null,{\"d\":\"é\\n\"}]", "\"0123\"", "12345678901234567890"]);
}

#[test]
fn mistakes_in_curation_are_told_at_their_place() {
    for (words, expected) in [
        ("tools: ['']", "2:27 servers.a.tools[0]: is empty and matches nothing; `*` matches everything"),
        (
            "resources: {deny: [a, '']}",
            "2:41 servers.a.resources.deny[1]: is empty and matches nothing; `*` matches everything",
        ),
        (
            "tools: {edit: {t: {name: 'a b'}}}",
            "2:44 servers.a.tools.edit.t.name: is not 1 to 64 letters, digits, `_`, `-` and `.`",
        ),
        (
            "tools: {edit: {t: {name: x}, u: {name: x}}}",
            "2:58 servers.a.tools.edit.u.name: `x` is the name of another one of this server already",
        ),
        (
            "prompts: {edit: {t: {name: u}, u: {title: x}}}",
            "2:46 servers.a.prompts.edit.t.name: `u` is the name of another one of this server already",
        ),
        (
            "tools: {edit: {t: {defaults: {k: 1}, forced: {k: 2}}}}",
            "2:49 servers.a.tools.edit.t.defaults.k: `k` is forced already, so that a default has no effect",
        ),
        (
            "tools: {edit: {t: {annotations: {readOnlyHint: 'true'}}}}",
            "2:51 servers.a.tools.edit.t.annotations: `readOnlyHint` must be `true` or `false`",
        ),
        (
            "tools: {edit: {'': {name: x}}}",
            "2:34 servers.a.tools.edit.\"\": is empty; give the server's name of the tool",
        ),
    ] {
        assert_eq!(faults_of(words), [expected], "{words}");
    }
}

#[test]
fn what_is_odd_about_a_curation_is_said() {
    for (words, expected) in [
        ("tools: []", "servers.a.tools.allow: is empty, so that no tools are shown"),
        (
            "tools: {deny: ['get_*'], edit: {get_a: {name: a}}}",
            "servers.a.tools.edit.get_a: has no effect: `allow` and `deny` hide it",
        ),
        (
            "prompts: {allow: [a], edit: {b: {name: a}}}",
            "servers.a.prompts.edit.b: has no effect: `allow` and `deny` hide it",
        ),
        (
            "tools: {edit: {t: {annotations: {readonlyHint: true}}}}",
            "servers.a.tools.edit.t.annotations.readonlyHint: is not an annotation of the specification",
        ),
    ] {
        assert_eq!(warnings_of(words), [expected], "{words}");
    }
    assert!(!curation("tools: []").tools.shows("any"));
}

#[test]
fn the_prefix_is_what_is_said() {
    assert_eq!(compiled("servers: {}\n").prefix, Prefix::Always);
    assert_eq!(compiled("proxy: {prefix: never}\n").prefix, Prefix::Never);
    assert_eq!(compiled("proxy: {prefix: always}\n").prefix, Prefix::Always);
}
