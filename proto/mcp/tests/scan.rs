//! The scan against a full parser: what it accepts, a parser accepts, and both see the same message.
#![allow(clippy::unwrap_used, reason = "tests")]

mod json;

use json::{Node, bodies, message, tree};
use proptest::prelude::*;
use serde::de::IgnoredAny;
use sluice_mcp::{
    Edit, Kind, Message, Method, Reason, ScanLimits, Span, canonical_digest_input, decode_string, encode_string,
    glance, handles, handles_read, join, scan, splice, without_newlines,
};

/// Strict JSON, by a parser that keeps nothing and bounds nothing.
fn is_json(body: &[u8]) -> bool {
    std::str::from_utf8(body).is_ok() && serde_json::from_slice::<IgnoredAny>(body).is_ok()
}

/// What a full parse makes of the message: its kind, or nothing if it must be refused. By the rules, not by the code.
fn judge(node: &Node) -> Option<Kind> {
    let Node::Object(_) = node else { return None };
    let object = |node: Option<&Node>| node.filter(|node| matches!(node, Node::Object(_))).cloned();
    let meta = |node: &Node| object(node.get("_meta"));
    let related = |node: &Node| object(node.get("io.modelcontextprotocol/related-task"));
    let mut levels = vec![node.clone()];
    if let Some(params) = object(node.get("params")) {
        levels.extend(meta(&params));
        levels.extend(meta(&params).and_then(|meta| related(&meta)));
        levels.push(params);
    }
    if let Some(result) = object(node.get("result")) {
        levels.extend(meta(&result));
        levels.extend(meta(&result).and_then(|meta| related(&meta)));
        levels.extend(object(result.get("task")));
        levels.push(result);
    }
    levels.extend(object(node.get("error")));
    if levels.iter().any(Node::has_duplicates) || node.get("jsonrpc") != Some(&Node::Text("2.0".into())) {
        return None;
    }
    if matches!(node.get("params"), Some(params) if !matches!(params, Node::Object(_))) {
        return None;
    }
    // Integers too large for the reader arrive as floats; the generator has one, beyond 2^64.
    let good_id = |id: &Node| match id {
        Node::Text(_) | Node::Int(_) => true,
        Node::Float(big) => *big >= 1e19,
        _ => false,
    };
    let id = node.get("id");
    if id.is_some_and(|id| *id != Node::Null && !good_id(id)) {
        return None;
    }
    let answers = (node.get("result").is_some(), node.get("error").is_some());
    match (node.get("method"), answers) {
        (Some(Node::Text(method)), (false, false)) => match (method.starts_with("notifications/"), id) {
            (true, None) => Some(Kind::Notification),
            (false, Some(id)) if good_id(id) => Some(Kind::Request),
            _ => None,
        },
        (None, (true, false)) => id.filter(|id| good_id(id)).map(|_| Kind::Response),
        (None, (false, true)) => Some(Kind::Response),
        _ => None,
    }
}

/// Every field of the message with the path it should have been found at.
fn fields(message: &Message) -> Vec<(Option<Span>, &'static [&'static str])> {
    const RELATED: &str = "io.modelcontextprotocol/related-task";
    let (p, r) = (message.p, message.r);
    vec![
        (message.method_span, &["method"]),
        (message.params, &["params"]),
        (message.result, &["result"]),
        (message.error, &["error"]),
        (p.name, &["params", "name"]),
        (p.uri, &["params", "uri"]),
        (p.ref_, &["params", "ref"]),
        (p.cursor, &["params", "cursor"]),
        (p.task_id, &["params", "taskId"]),
        (p.request_state, &["params", "requestState"]),
        (p.input_responses, &["params", "inputResponses"]),
        (p.arguments, &["params", "arguments"]),
        (p.progress_token, &["params", "progressToken"]),
        (p.notifications, &["params", "notifications"]),
        (p.meta, &["params", "_meta"]),
        (p.meta_progress_token, &["params", "_meta", "progressToken"]),
        (p.meta_protocol_version, &["params", "_meta", "io.modelcontextprotocol/protocolVersion"]),
        (p.meta_related_task, &["params", "_meta", RELATED, "taskId"]),
        (r.next_cursor, &["result", "nextCursor"]),
        (r.request_state, &["result", "requestState"]),
        (r.result_type, &["result", "resultType"]),
        (r.task_id, &["result", "taskId"]),
        (r.task_task_id, &["result", "task", "taskId"]),
        (r.supported_versions, &["result", "supportedVersions"]),
        (r.meta, &["result", "_meta"]),
        (r.meta_related_task, &["result", "_meta", RELATED, "taskId"]),
    ]
}

fn compare(body: &[u8]) -> Result<(), TestCaseError> {
    let outcome = scan(body, ScanLimits::default());
    if !is_json(body) {
        prop_assert!(outcome.is_err(), "accepted what is not JSON");
        return Ok(());
    }
    // No lone surrogates, no numbers out of range, not too deep: then a parser keeps it, and both must agree.
    let Some(node) = Node::parse(body) else { return Ok(()) };
    let Ok(message) = outcome else {
        prop_assert_eq!(judge(&node), None, "refused: {:?}", outcome);
        return Ok(());
    };
    prop_assert_eq!(judge(&node), Some(message.kind));
    for (span, path) in fields(&message) {
        let expected = path.iter().try_fold(&node, |node, key| node.get(key));
        let found = span.map(|span| Node::parse(span.of(body)).unwrap());
        prop_assert_eq!(found.as_ref(), expected, "{:?}", path);
    }
    let id = node.get("id").filter(|id| **id != Node::Null);
    let found = message.id.map(|span| Node::parse(span.of(body)).unwrap());
    prop_assert_eq!(found.as_ref(), id);
    if let Some(Node::Text(method)) = node.get("method") {
        prop_assert_eq!(message.method, Method::from_bytes(method.as_bytes()));
    }
    let found = message.error_code.map(|code| Node::Int(code.into()));
    let code = node.get("error").and_then(|error| error.get("code"));
    prop_assert_eq!(found.as_ref(), code.filter(|c| matches!(c, Node::Int(n) if i64::try_from(*n).is_ok())));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn scan_and_parser_see_the_same_message(body in bodies()) {
        compare(&body)?;
    }

    #[test]
    fn any_bytes_are_judged_without_a_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        compare(&body)?;
    }

    #[test]
    fn any_text_in_a_result_is_judged_as_a_parser_does(text in "[\\[\\]{}\",:0-9eE.+\\-a-z\\\\ \n\u{1}é]{0,60}") {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"x":[{text}]}}}}"#);
        compare(body.as_bytes())?;
    }

    #[test]
    fn strings_of_any_length_are_judged_as_a_parser_does(text in "[a-zé\\\\\"\n/ud8]{0,90}", before in 0usize..70) {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"{}":"{text}"}}}}"#, "p".repeat(before));
        compare(body.as_bytes())?;
    }

    #[test]
    fn nesting_is_judged_as_a_parser_does(tree in tree(), depth in 0usize..140, seed: u64) {
        let value = format!("{}{}{}", "[".repeat(depth), tree.spell(seed), "]".repeat(depth));
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"x":{value}}}}}"#);
        let outcome = scan(body.as_bytes(), ScanLimits::default());
        prop_assert_eq!(outcome.is_ok(), 2 + depth + tree.depth() <= 127, "{:?}", outcome);
    }

    #[test]
    fn spelling_does_not_change_what_is_found(tree in message(), one: u64, two: u64) {
        let (a, b) = (tree.spell(one), tree.spell(two));
        let (m, n) = (scan(a.as_bytes(), ScanLimits::default()), scan(b.as_bytes(), ScanLimits::default()));
        prop_assert_eq!(m.map_err(|e| e.reason).map(|m| m.kind), n.map_err(|e| e.reason).map(|m| m.kind));
        prop_assert_eq!(canonical_digest_input(a.as_bytes()), canonical_digest_input(b.as_bytes()));
    }

    #[test]
    fn canonical_text_is_the_same_value_and_its_own_canonical_text(tree in tree(), seed: u64) {
        let text = tree.spell(seed);
        let canonical = canonical_digest_input(text.as_bytes());
        let value = |text: &[u8]| serde_json::from_slice::<serde_json::Value>(text).unwrap();
        prop_assert_eq!(value(text.as_bytes()), value(&canonical));
        prop_assert_eq!(canonical_digest_input(&canonical), canonical);
    }

    #[test]
    fn texts_survive_encoding(text: String) {
        let token = encode_string(&text);
        prop_assert_eq!(&*decode_string(&token), &text);
        prop_assert_eq!(serde_json::from_slice::<String>(&token).unwrap(), text);
    }

    #[test]
    fn a_splice_that_changes_nothing_changes_nothing(tree in message(), seed: u64) {
        let body = bytes::Bytes::from(tree.spell(seed));
        if let Ok(message) = scan(&body, ScanLimits::default()) {
            let inner = [message.p.name, message.p.meta_progress_token, message.r.task_id, message.id];
            let mut edits: Vec<_> =
                inner.into_iter().flatten().map(|span| Edit { span, with: body.slice(span.range()) }).collect();
            prop_assert_eq!(join(&splice(&body, &mut edits)), body.clone());
            let flat = without_newlines(body.clone());
            prop_assert!(!flat.contains(&b'\n') && !flat.contains(&b'\r') && flat.len() == body.len());
            prop_assert_eq!(Node::parse(&flat), Node::parse(&body));
        }
    }

    #[test]
    fn a_spliced_name_is_the_name(tree in message(), seed: u64, name: String) {
        let body = bytes::Bytes::from(tree.spell(seed));
        if let Ok(Message { p, .. }) = scan(&body, ScanLimits::default()) && let Some(span) = p.name {
            let mut edits = [Edit { span, with: encode_string(&name).into() }];
            let edited = join(&splice(&body, &mut edits));
            let message = scan(&edited, ScanLimits::default()).unwrap();
            prop_assert_eq!(decode_string(message.p.name.unwrap().of(&edited)), name);
        }
    }
}

#[test]
fn every_prefix_of_a_message_is_refused() {
    let body = br#"{"jsonrpc":"2.0","id":"a\u00e9","method":"tools/call","params":{"name":"x","arguments":{"a":[1.5e+3,true,null,"\ud83d\ude00"]},"_meta":{}}}"#;
    assert!(scan(body, ScanLimits::default()).is_ok());
    for end in 0..body.len() {
        let error = scan(&body[..end], ScanLimits::default()).unwrap_err();
        assert!(matches!(error.reason, Reason::Syntax | Reason::Empty), "{end}: {error}");
        assert!(error.at <= end);
    }
}

#[test]
fn any_byte_at_any_place_is_judged_as_a_parser_does() {
    let body =
        br#"{"jsonrpc":"2.0","id":12,"result":{"a":[-1.5e+3, true,null,{}],"b":"\u00e9\n\ud83d\ude00","taskId":"t"}}"#;
    assert!(scan(body, ScanLimits::default()).is_ok());
    for at in 0..body.len() {
        for byte in 0..=255 {
            let mut replaced = body.to_vec();
            replaced[at] = byte;
            compare(&replaced).unwrap();
            let mut inserted = body.to_vec();
            inserted.insert(at, byte);
            compare(&inserted).unwrap();
        }
    }
}

proptest! {
    /// What a scan accepts, a glance reads the same; and what a glance refuses, a scan does.
    #[test]
    fn a_glance_sees_what_a_scan_sees(body in bodies()) {
        let (scanned, glanced) = (scan(&body, ScanLimits::default()), glance(&body, ScanLimits::default()));
        if let Ok(message) = scanned {
            prop_assert_eq!(glanced.ok(), Some(message));
        }
    }

    /// What was read of a response is what a search finds.
    #[test]
    fn handles_that_were_read_are_those_that_are_found(body in bodies()) {
        if let Ok(message) = scan(&body, ScanLimits::default())
            && let Some(read) = handles_read(&body, &message)
        {
            let mut found = Default::default();
            handles(&body, &mut found);
            prop_assert_eq!(read.to_vec(), found.to_vec());
        }
    }
}
