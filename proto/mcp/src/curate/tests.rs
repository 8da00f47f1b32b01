use smallvec::SmallVec;

use super::*;
use crate::{ScanLimits, scan};

const TOOL: &str = r#"{ "name" : "read", "description":"Reads.","inputSchema":{"type":"object","properties":{"path":{"type":"string"}, "limit" : {"type":"integer","default":7},
  "deep":true,"token":{} , "never":false},"required":["path","token" , "limit"], "additionalProperties":false},"x-n":1.50,"_meta":{"ui":{"resourceUri":"ui://app\/a"},"ui/resourceUri":"ui://old","k":[]}}"#;

fn edited(item: &'static str, method: Method, edit: &ItemEdit<'_>) -> String {
    String::from_utf8(edit_item(&Bytes::from_static(item.as_bytes()), method, edit).to_vec()).unwrap()
}

/// What `from` becomes when each pair's first, which occurs once, gives way to its second.
fn changed(from: &str, pairs: &[(&str, &str)]) -> String {
    pairs.iter().fold(from.to_owned(), |text, (old, new)| {
        assert_eq!(text.matches(old).count(), 1, "{old}");
        text.replace(old, new)
    })
}

#[test]
fn an_edit_that_says_nothing_copies_nothing() {
    let item = Bytes::from_static(TOOL.as_bytes());
    assert_eq!(edit_item(&item, Method::ToolsList, &ItemEdit::default()).as_ptr(), item.as_ptr());
    let other = ItemEdit { uri_token: Some("fs"), defaults: &[("zzz", "1")], ..ItemEdit::default() };
    let plain = Bytes::from_static(br#"{"name":"a"}"#);
    assert_eq!(edit_item(&plain, Method::ToolsList, &other).as_ptr(), plain.as_ptr());
}

#[test]
fn texts_are_replaced_where_they_stand_or_put_at_the_end() {
    let edit = ItemEdit {
        name: Some("fs_read"),
        title: Some("Read \"it\""),
        description: Some("New."),
        ..ItemEdit::default()
    };
    let expected = changed(
        TOOL,
        &[
            (r#""read""#, r#""fs_read""#),
            (r#""Reads.""#, r#""New.""#),
            (r#""k":[]}}"#, r#""k":[]},"title":"Read \"it\""}"#),
        ],
    );
    assert_eq!(edited(TOOL, Method::ToolsList, &edit), expected);
}

#[test]
fn an_item_is_called_by_what_its_list_says() {
    let edit = ItemEdit { name: Some("fs+file:///a"), ..ItemEdit::default() };
    let item = r#"{"uri":"file:///a","name":"a"}"#;
    assert_eq!(edited(item, Method::ResourcesList, &edit), r#"{"uri":"fs+file:///a","name":"a"}"#);
    let item = r#"{"name":"a","uriTemplate":"file:///{a}"}"#;
    assert_eq!(edited(item, Method::ResourcesTemplatesList, &edit), r#"{"name":"a","uriTemplate":"fs+file:///a"}"#);
}

#[test]
fn a_key_that_occurs_twice_is_replaced_twice() {
    let edit = ItemEdit { name: Some("b"), ..ItemEdit::default() };
    assert_eq!(edited(r#"{"name":"a","n\u0061me":7}"#, Method::PromptsList, &edit), r#"{"name":"b","n\u0061me":"b"}"#);
}

#[test]
fn annotations_are_set_one_by_one() {
    let annotations = [("readOnlyHint".to_owned(), "true".to_owned()), ("priority".to_owned(), "0.50".to_owned())];
    let edit = ItemEdit { annotations: &annotations, ..ItemEdit::default() };
    for (item, expected) in [
        (r#"{"a":1}"#, r#"{"a":1,"annotations":{"readOnlyHint":true,"priority":0.50}}"#),
        ("{ }", r#"{"annotations":{"readOnlyHint":true,"priority":0.50} }"#),
        (r#"{"annotations":null}"#, r#"{"annotations":{"readOnlyHint":true,"priority":0.50}}"#),
        (r#"{"annotations":{}}"#, r#"{"annotations":{"readOnlyHint":true,"priority":0.50}}"#),
        (
            r#"{"annotations":{ "readOnlyHint" : false , "x":[1] }}"#,
            r#"{"annotations":{ "readOnlyHint" : true , "x":[1],"priority":0.50 }}"#,
        ),
    ] {
        assert_eq!(edited(item, Method::ToolsList, &edit), expected);
    }
}

#[test]
fn forced_arguments_vanish_and_defaults_are_shown() {
    let edit = ItemEdit {
        defaults: &[
            ("path", r#""/a""#),
            ("limit", "100"),
            ("deep", "[1.0]"),
            ("never", "1"),
            ("token", "2"),
            ("no", "3"),
        ],
        forced: &[("token", r#""secret""#)],
        ..ItemEdit::default()
    };
    let expected = changed(
        TOOL,
        &[
            (r#"{"type":"string"}"#, r#"{"type":"string","default":"/a"}"#),
            (r#""default":7"#, r#""default":100"#),
            (r#""deep":true,"token":{}"#, r#""deep":{"default":[1.0]}"#),
            (r#"["path","token" , "limit"]"#, "[]"),
        ],
    );
    assert_eq!(edited(TOOL, Method::ToolsList, &edit), expected);
    assert_eq!(edited(TOOL, Method::PromptsList, &edit), TOOL);
}

#[test]
fn removal_leaves_commas_where_they_belong() {
    let remaining = |forced: &[(&str, &str)]| {
        let item =
            r#"{"inputSchema":{"properties":{ "a":1 , "b":2 ,"c":3 , "d":4 },"required":[ "a" , "b" ,"c" , "d" ]}}"#;
        let properties = edited(item, Method::ToolsList, &ItemEdit { forced, ..ItemEdit::default() });
        properties.replace(r#"{"inputSchema":{"properties":"#, "").replace(r#","required":"#, "|").replace("}}", "")
    };
    assert_eq!(remaining(&[("a", "0")]), r#"{ "b":2 ,"c":3 , "d":4 }|[ "b" ,"c" , "d" ]"#);
    assert_eq!(remaining(&[("b", "0"), ("c", "0")]), r#"{ "a":1 , "d":4 }|[ "a" , "d" ]"#);
    assert_eq!(remaining(&[("a", "0"), ("c", "0")]), r#"{ "b":2 , "d":4 }|[ "b" , "d" ]"#);
    assert_eq!(remaining(&[("b", "0"), ("d", "0")]), r#"{ "a":1 ,"c":3 }|[ "a" ,"c" ]"#);
    assert_eq!(remaining(&[("d", "0"), ("c", "0"), ("b", "0"), ("a", "0")]), "{  }|[  ]");
}

#[test]
fn ui_resources_are_those_of_the_merged_door() {
    let edit = ItemEdit { uri_token: Some("fs"), ..ItemEdit::default() };
    let expected = changed(TOOL, &[(r#""ui://app\/a""#, r#""ui://fs/app/a""#), (r#""ui://old""#, r#""ui://fs/old""#)]);
    assert_eq!(edited(TOOL, Method::ToolsList, &edit), expected);
    let other =
        r#"{"_meta":{"ui":{"resourceUri":"https://a"},"ui/resourceUri":["ui://a"]},"ui":{"resourceUri":"ui://a"}}"#;
    assert_eq!(edited(other, Method::ToolsList, &edit), other);
}

#[test]
fn odd_items_come_back() {
    let edit = ItemEdit {
        name: None,
        defaults: &[("a", "1")],
        forced: &[("b", "2")],
        uri_token: Some("fs"),
        ..ItemEdit::default()
    };
    for item in [
        "[]",
        "7",
        r#"{"inputSchema":7,"_meta":[]}"#,
        r#"{"inputSchema":{"properties":[],"required":{}}}"#,
        r#"{"inputSchema":{"properties":{"a":"x"},"required":[["a"],7]},"_meta":{"ui":7}}"#,
    ] {
        assert_eq!(edited(item, Method::ToolsList, &edit), item);
    }
}

fn completed(params: &str, defaults: &[(&str, &str)], forced: &[(&str, &str)]) -> Result<String, ArgumentError> {
    let body = Bytes::from(format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call"{params}}}"#));
    let message = scan(&body, ScanLimits::default()).unwrap();
    let mut edits = SmallVec::new();
    let outcome = edit_arguments(&body, &message, defaults, forced, &mut edits);
    assert!(outcome.is_ok() || edits.is_empty());
    outcome?;
    let edited = join(&splice(&body, &mut edits));
    assert!(scan(&edited, ScanLimits::default()).is_ok());
    let params = edited.strip_prefix(br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":"#).unwrap();
    Ok(String::from_utf8(params[..params.len() - 1].to_vec()).unwrap())
}

#[test]
fn arguments_are_completed() {
    let complete =
        |params: &str| completed(&format!(r#","params":{params}"#), &[("d", "1.0"), ("f", "9")], &[("f", "true")]);
    for (params, expected) in [
        (r#"{"name":"x"}"#, r#"{"arguments":{"f":true,"d":1.0},"name":"x"}"#),
        ("{ }", r#"{"arguments":{"f":true,"d":1.0} }"#),
        (r#"{"arguments":{ },"name":"x"}"#, r#"{"arguments":{"f":true,"d":1.0 },"name":"x"}"#),
        (r#"{"arguments":{"a":[ 1 ] }}"#, r#"{"arguments":{"a":[ 1 ],"f":true,"d":1.0 }}"#),
        (r#"{"arguments":{"\u0066":"mine","d":null}}"#, r#"{"arguments":{"\u0066":true,"d":null}}"#),
        (r#"{"arguments":{"d":2,"x":{"d":3,"d":4}}}"#, r#"{"arguments":{"d":2,"x":{"d":3,"d":4},"f":true}}"#),
    ] {
        assert_eq!(complete(params).unwrap(), expected);
    }
}

#[test]
fn arguments_that_are_unclear_are_refused() {
    let complete = |params: &str| completed(params, &[], &[("f", "true")]);
    for arguments in ["null", "[]", "\"{}\""] {
        assert_eq!(complete(&format!(r#","params":{{"arguments":{arguments}}}"#)), Err(ArgumentError::NotAnObject));
    }
    let twice = r#","params":{"arguments":{"a":1,"\u0061":2}}"#;
    assert_eq!(complete(twice), Err(ArgumentError::Duplicate { at: 75 }));
    assert_eq!(complete(""), Err(ArgumentError::NoParams));
    // nothing to complete: nothing is looked at
    assert_eq!(completed(twice, &[], &[]).unwrap(), r#"{"arguments":{"a":1,"\u0061":2}}"#);
}
