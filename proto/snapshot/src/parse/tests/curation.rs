//! What of a server is shown, and under which names.

use sluice_contract::v1;

use super::{faults, good};
use crate::model::{Curation, Pattern, PromptEdit, ToolEdit};
use crate::parse::parse;

fn argument(name: &str, json: &str) -> v1::Argument {
    v1::Argument { name: name.into(), value_json: json.into() }
}

fn edit(tool: &str, name: Option<&str>) -> v1::ToolEdit {
    v1::ToolEdit { tool: tool.into(), name: name.map(Into::into), ..v1::ToolEdit::default() }
}

fn selection(allow: &[&str], deny: &[&str]) -> Option<v1::Selection> {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    Some(v1::Selection { allow: owned(allow), deny: owned(deny) })
}

/// The faults of a curation, below its path.
fn faults_of(curation: v1::Curation) -> Vec<String> {
    let found = faults(|wire| wire.servers[1].curation = Some(curation));
    found.iter().map(|fault| fault.strip_prefix("servers[1].curation.").unwrap_or(fault).to_owned()).collect()
}

fn faults_of_edits(tool_edits: Vec<v1::ToolEdit>) -> Vec<String> {
    faults_of(v1::Curation { tool_edits, ..v1::Curation::default() })
}

#[test]
fn a_curation_is_parsed_whole() {
    let mut wire = good();
    wire.servers[0].curation = Some(v1::Curation {
        tools: selection(&["get_*"], &["*_secret"]),
        prompts: selection(&[], &["x"]),
        resources: selection(&["file:///{path}"], &[]),
        tool_edits: vec![v1::ToolEdit {
            title: Some("Title".into()),
            description: Some(String::new()),
            annotations_json: Some("{ \"readOnlyHint\" : true, \"x\": {} }".into()),
            defaults: vec![argument("limit", " 10\n")],
            forced: vec![argument("key", "\"s3cret\"")],
            ..edit("get_a", Some("a.b-c_D9"))
        }],
        prompt_edits: vec![v1::PromptEdit {
            prompt: "hello there".into(),
            name: Some("hello".into()),
            ..v1::PromptEdit::default()
        }],
    });
    let snapshot = parse(&wire).unwrap();
    let curation = &snapshot.servers[0].curation;
    assert!(curation.tools.shows("get_a") && !curation.tools.shows("get_a_secret") && !curation.tools.shows("put_a"));
    assert!(curation.prompts.shows("y") && !curation.prompts.shows("x"));
    assert!(curation.resources.shows("file:///{path}") && !curation.resources.shows("file:///a"));
    let ToolEdit { name, title, description, annotations, defaults, forced } = &curation.tool_edits["get_a"];
    assert_eq!(
        (name.as_deref(), title.as_deref(), description.as_deref()),
        (Some("a.b-c_D9"), Some("Title"), Some(""))
    );
    assert_eq!(annotations, &[("readOnlyHint".into(), "true".into()), ("x".into(), "{}".into())]);
    assert_eq!((defaults[0].0.as_str(), defaults[0].1.expose()), ("limit", "10"));
    assert_eq!((forced[0].0.as_str(), forced[0].1.expose()), ("key", "\"s3cret\""));
    let hello = PromptEdit { name: Some("hello".into()), ..PromptEdit::default() };
    assert_eq!(curation.prompt_edits["hello there"], hello);
    assert!(!format!("{curation:?}").contains("s3cret"));
    assert!(snapshot.servers[1].curation.is_empty());
}

#[test]
fn every_fault_of_a_curation_is_found_with_its_path() {
    let found = faults_of(v1::Curation {
        tools: selection(&["a", ""], &["\t"]),
        prompts: selection(&[&"x".repeat(2049)], &[]),
        resources: selection(&[], &[""]),
        tool_edits: vec![
            v1::ToolEdit {
                annotations_json: Some("[]".into()),
                defaults: vec![argument("a", "1"), argument("a", "s3cret"), argument("", "1")],
                forced: vec![argument("b", "{\"x\":1,\"x\":2}"), argument("b", "")],
                ..edit("t", Some("with space"))
            },
            edit("t", None),
            edit("", Some("")),
            v1::ToolEdit {
                annotations_json: Some("{\"title\":1,\"openWorldHint\":\"yes\"}".into()),
                defaults: vec![argument("c", "1")],
                forced: vec![argument("c", "2")],
                ..edit("u", Some(&"x".repeat(65)))
            },
        ],
        prompt_edits: vec![
            v1::PromptEdit { prompt: "p".into(), ..v1::PromptEdit::default() },
            v1::PromptEdit { prompt: "p".into(), name: Some("ö".into()), ..v1::PromptEdit::default() },
        ],
    });
    let paths: Vec<_> = found.iter().map(|fault| fault.split(": ").next().unwrap()).collect();
    assert_eq!(
        paths,
        [
            "tools.allow[1]",
            "tools.deny[0]",
            "prompts.allow[0]",
            "resources.deny[0]",
            "tool_edits[0].name",
            "tool_edits[0].forced[0].value_json",
            "tool_edits[0].forced[1].name",
            "tool_edits[0].forced[1].value_json",
            "tool_edits[0].annotations_json",
            "tool_edits[0].defaults[1].name",
            "tool_edits[0].defaults[1].value_json",
            "tool_edits[0].defaults[2].name",
            "tool_edits[1].tool",
            "tool_edits[2].tool",
            "tool_edits[2].name",
            "tool_edits[3].name",
            "tool_edits[3].defaults[0].name",
            "tool_edits[3].annotations_json",
            "tool_edits[3].annotations_json",
            "prompt_edits[1].prompt",
        ]
    );
    assert!(!found.concat().contains("s3cret"), "{found:?}");
}

#[test]
fn no_two_edits_show_one_name() {
    let taken =
        |index: usize| vec![format!("tool_edits[{index}].name: `x` is the name of another one of this server already")];
    assert_eq!(faults_of_edits(vec![edit("a", Some("x")), edit("b", Some("x"))]), taken(1));
    assert_eq!(faults_of_edits(vec![edit("a", Some("x")), edit("x", None)]), taken(0));
    assert_eq!(faults_of_edits(vec![edit("a", Some("x")), edit("x", Some("a"))]), [""; 0], "two may change places");
    assert_eq!(faults_of_edits(vec![edit("a", Some("a"))]), [""; 0]);
}

#[test]
fn patterns_stand_for_whole_names() {
    for (pattern, matching, others) in [
        ("get_forecast", &["get_forecast"][..], &["get_forecasts", "forget_forecast", "", "Get_forecast"][..]),
        ("get_*", &["get_", "get_a", "get_*"], &["xget_a", "get"]),
        ("*_get", &["_get", "get_get", "a_get_get"], &["get", "a_get_b"]),
        ("*", &["", "a", "äöü"], &[]),
        ("a*b*c", &["abc", "axbybc", "abcbc"], &["ab", "acb", "abcd"]),
        ("?", &["a", "ä", "*"], &["", "ab"]),
        ("a?c*", &["abc", "a?cde"], &["ac", "abd"]),
        ("**", &["", "x"], &[]),
        ("file:///{path}", &["file:///{path}"], &["file:///x"]),
        ("", &[""], &["a"]),
    ] {
        let pattern_of = Pattern::new(pattern);
        assert!(matching.iter().all(|name| pattern_of.matches(name)), "{pattern}");
        assert!(!others.iter().any(|name| pattern_of.matches(name)), "{pattern}");
    }
    // The worst of patterns for backtracking takes no time either.
    assert!(!Pattern::new("a*".repeat(500) + "b").matches(&"a".repeat(5000)));
}

#[test]
fn deny_wins_over_allow() {
    let curation = Curation::default();
    assert!(curation.tools.shows("anything"));
    let selection = crate::model::Selection { allow: vec![Pattern::new("a*")], deny: vec![Pattern::new("*b")] };
    assert_eq!(["a", "ab", "b", "c"].map(|name| selection.shows(name)), [true, false, false, false]);
}
