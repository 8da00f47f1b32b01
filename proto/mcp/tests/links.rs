//! Resource URIs in messages, against a full parser: all in complete messages, those at known places in streams.
#![allow(clippy::unwrap_used, reason = "tests")]

mod json;

use bytes::Bytes;
use json::{Node, Tree, cut, tree_of};
use proptest::{collection::vec, prelude::*, sample::Index, sample::select};
use sluice_mcp::{HandleFilter, HandleKind, decode_string, handles, handles_and_links};
use smallvec::SmallVec;

const KEYS: &[&str] = &[
    "type",
    "type",
    "uri",
    "uri",
    "uri",
    "resource",
    "resource",
    "_meta",
    "ui",
    "ui/resourceUri",
    "resourceUri",
    "content",
    "contents",
    "messages",
    "taskId",
    "notifications",
    "resourceSubscriptions",
    "x",
];

const TEXTS: &[&str] = &[
    "resource_link",
    "resource_link",
    "resource",
    "resource",
    "text",
    "file:///a",
    "ui://b",
    "ui://\u{e9}\"",
    "",
    "uri",
    "{\"uri\":\"no\"}",
];

const METHODS: &[&str] =
    &["notifications/resources/updated", "notifications/subscriptions/acknowledged", "sampling/createMessage", "x"];

/// A message whose every part is made of what matters.
fn message() -> impl Strategy<Value = Tree> {
    let tree = || tree_of(KEYS, TEXTS);
    let many = || vec(tree(), 0..3).prop_map(Tree::Array);
    let place = prop_oneof![
        (select(&["content", "contents", "messages"][..]), many()),
        (
            Just("messages"),
            vec(tree().prop_map(|content| Tree::Object(vec![("content", content)])), 0..3).prop_map(Tree::Array)
        ),
        (Just("notifications"), many().prop_map(|uris| Tree::Object(vec![("resourceSubscriptions", uris)]))),
        (Just("_meta"), tree().prop_map(|inner| Tree::Object(vec![("ui", inner)]))),
        (select(KEYS), tree()),
    ];
    let members = prop_oneof![4 => vec(place, 0..5).prop_map(Tree::Object), 1 => tree()];
    (select(&["result", "params", "params", "error"][..]), members, proptest::option::of(select(METHODS))).prop_map(
        |(part, value, method)| {
            let mut message = vec![("uri", Tree::Text("no")), (part, value)];
            message.extend(method.map(|method| ("method", Tree::Text(method))));
            Tree::Object(message)
        },
    )
}

fn text(node: Option<&Node>) -> Option<&str> {
    match node {
        Some(Node::Text(text)) => Some(text),
        _ => None,
    }
}

fn elements(node: Option<&Node>) -> &[Node] {
    match node {
        Some(Node::Array(elements)) => elements,
        _ => &[],
    }
}

/// The URIs at any depth, by the rules, not by the code.
fn deep(node: &Node, out: &mut Vec<String>) {
    let ui = |node: Option<&Node>, out: &mut Vec<String>| {
        out.extend(text(node).filter(|uri| uri.starts_with("ui://")).map(str::to_owned));
    };
    match text(node.get("type")) {
        Some("resource_link") => out.extend(text(node.get("uri")).map(str::to_owned)),
        Some("resource") => {
            let resource = node.get("resource");
            // one that is a link itself is found as such
            if resource.and_then(|inner| text(inner.get("type"))) != Some("resource_link") {
                out.extend(resource.and_then(|inner| text(inner.get("uri"))).map(str::to_owned));
            }
        }
        _ => {}
    }
    if let Some(meta) = node.get("_meta") {
        ui(meta.get("ui/resourceUri"), out);
        ui(meta.get("ui").and_then(|ui| ui.get("resourceUri")), out);
    }
    match node {
        Node::Object(members) => members.iter().for_each(|(_, value)| deep(value, out)),
        Node::Array(values) => values.iter().for_each(|value| deep(value, out)),
        _ => {}
    }
}

fn expected(message: &Node) -> Vec<String> {
    let mut out = Vec::new();
    let is_link = |node: &&Node| text(node.get("type")) == Some("resource_link");
    if let Some(result) = message.get("result") {
        deep(result, &mut out);
        let contents = elements(result.get("contents")).iter().filter(|item| !is_link(item));
        out.extend(contents.filter_map(|item| text(item.get("uri"))).map(str::to_owned));
    }
    if let Some(params) = message.get("params") {
        deep(params, &mut out);
        match text(message.get("method")) {
            Some("notifications/resources/updated") if !is_link(&params) => {
                out.extend(text(params.get("uri")).map(str::to_owned));
            }
            Some("notifications/subscriptions/acknowledged") => {
                let list = params.get("notifications").and_then(|filter| filter.get("resourceSubscriptions"));
                out.extend(elements(list).iter().filter_map(|uri| text(Some(uri))).map(str::to_owned));
            }
            _ => {}
        }
    }
    out.sort();
    out
}

/// The tree with the first of each object's members of one name.
fn without_duplicates(tree: Tree) -> Tree {
    match tree {
        Tree::Array(values) => Tree::Array(values.into_iter().map(without_duplicates).collect()),
        Tree::Object(mut members) => {
            let mut names = Vec::new();
            members.retain(|(name, _)| {
                !names.contains(name) && {
                    names.push(*name);
                    true
                }
            });
            Tree::Object(members.into_iter().map(|(name, value)| (name, without_duplicates(value))).collect())
        }
        leaf => leaf,
    }
}

fn mark(kind: HandleKind, value: &str) -> String {
    format!("{kind:?} {value}")
}

fn filter(chunks: &[Bytes]) -> Vec<u8> {
    let mut filter = HandleFilter::with_links(1 << 20);
    let mut out = Vec::new();
    for chunk in chunks {
        filter.feed(chunk, &mut out, &mut mark).unwrap();
    }
    filter.finish(&mut out).unwrap();
    out.concat()
}

/// The reply after a stream has passed, by the list of places.
fn replaced(node: Node, at: &[&str]) -> Node {
    let at_uri = match at {
        ["result", "contents", "[]", "uri"] => true,
        ["result", "content", rest @ ..] | ["result", "messages", "[]", "content", rest @ ..] => {
            let item = if let ["[]", inner @ ..] = rest { inner } else { rest };
            matches!(item, ["uri"] | ["resource", "uri"])
        }
        ["result", "_meta", "ui/resourceUri"] | ["result", "_meta", "ui", "resourceUri"] => {
            text(Some(&node)).is_some_and(|uri| uri.starts_with("ui://"))
        }
        _ => false,
    };
    let inside = |step: &str, value| replaced(value, &[at, &[step]].concat());
    match node {
        Node::Text(uri) if at_uri => Node::Text(mark(HandleKind::Uri, &uri)),
        Node::Text(id) if at == ["result", "taskId"] => Node::Text(mark(HandleKind::Task, &id)),
        Node::Object(members) => {
            Node::Object(members.into_iter().map(|(key, value)| (key.clone(), inside(&key, value))).collect())
        }
        Node::Array(values) => Node::Array(values.into_iter().map(|value| inside("[]", value)).collect()),
        other => other,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_link_of_a_message_is_found_as_a_parser_finds_it(tree in message(), seed: u64) {
        let body = without_duplicates(tree).spell(seed);
        let body = body.as_bytes();
        let node = Node::parse(body).unwrap();
        let mut spans = SmallVec::new();
        handles_and_links(body, &mut spans);
        let mut found: Vec<_> = spans.iter().filter(|(kind, _)| *kind == HandleKind::Uri).collect();
        prop_assert!(found.is_sorted_by(|(_, a), (_, b)| a.end <= b.start));
        found.sort_by_key(|(_, span)| decode_string(span.of(body)).into_owned());
        let found: Vec<_> = found.iter().map(|(_, span)| decode_string(span.of(body)).into_owned()).collect();
        prop_assert_eq!(found, expected(&node));
        let mut plain = SmallVec::new();
        handles(body, &mut plain);
        spans.retain(|(kind, _)| *kind != HandleKind::Uri);
        prop_assert_eq!(spans, plain);
    }

    #[test]
    fn messages_with_keys_twice_are_read_without_a_panic(tree in message(), seed: u64, change: Index, byte: u8) {
        let mut body = tree.spell(seed).into_bytes();
        let at = change.index(body.len());
        body[at] = byte;
        let mut spans = SmallVec::new();
        handles_and_links(&body, &mut spans);
        for (_, span) in spans {
            prop_assert_eq!(body[span.start as usize], b'"');
        }
    }

    #[test]
    fn any_chunking_of_a_reply_replaces_the_same_links(tree in message(), seed: u64, places in vec(any::<Index>(), 0..8)) {
        let body = tree.spell(seed).into_bytes();
        let whole = filter(&[Bytes::copy_from_slice(&body)]);
        prop_assert_eq!(&filter(&cut(&body, &places)), &whole);
        let node = Node::parse(&body).unwrap();
        prop_assert_eq!(Node::parse(&whole), Some(replaced(node, &[])));
    }
}
