//! Shorter and other ways to write the same, turned into the one way that the rest reads. Places stay those of the text,
//! and messages say what was written.

use super::path::{Path, Segment};
use super::tree::{Content, Entry, Node, Span};

/// Names of transports that other programs use, and ours.
const TRANSPORTS: [(&str, &str); 9] = [
    ("streamable-http", "http"),
    ("streamable_http", "http"),
    ("streamablehttp", "http"),
    ("http-stream", "http"),
    ("http+sse", "sse"),
    ("ws", "websocket"),
    ("wss", "websocket"),
    ("web-socket", "websocket"),
    ("local", "stdio"),
];

/// The keys of a server whose value may be the list that is their `allow`.
const SELECTIONS: [&str; 3] = ["tools", "prompts", "resources"];

/// What one of several endpoints says of its share.
const SHARES: [&str; 2] = ["labels", "weight"];

/// Unfolds what is written shorter. Before variables are expanded: it is about structure, not about values.
pub(super) fn unfold(root: &mut Node) {
    for server in servers(root) {
        for entry in server.iter_mut().filter(|entry| SELECTIONS.contains(&entry.key.as_str())) {
            if matches!(entry.value.content, Content::List(_)) {
                let list = entry.value.clone();
                let allow = Entry { written: Some(Path::default()), ..Entry::new("allow", entry.key_span, list) };
                entry.value.content = Content::Map(vec![allow]);
            }
        }
        endpoints(server);
    }
}

/// Says transports by the names we have for them. After variables are expanded: these are values.
pub(super) fn rename_transports(root: &mut Node) {
    if let Some(Content::Scalar(scalar)) =
        root.get_mut("proxy").and_then(|proxy| proxy.get_mut("transport")).map(|door| &mut door.content)
    {
        // Clients come in by any of them where there is a port.
        scalar.text = match transport(&scalar.text).as_str() {
            "sse" | "websocket" => "http".to_owned(),
            name => name.to_owned(),
        };
    }
    for server in servers(root) {
        for entry in server.iter_mut().filter(|entry| entry.key == "transport") {
            let Content::Scalar(scalar) = &mut entry.value.content else { continue };
            let name = transport(&scalar.text);
            if name != scalar.text {
                scalar.text = name;
            }
        }
    }
}

/// Our name of a transport, whatever it was called.
pub(super) fn transport(written: &str) -> String {
    let name = written.trim().to_ascii_lowercase();
    TRANSPORTS.iter().find(|(other, _)| *other == name).map_or(name, |(_, ours)| (*ours).to_owned())
}

/// `endpoints` with one entry, a URL or a map, is the address of the server itself. In a longer list, a URL is a map of it.
fn endpoints(server: &mut Vec<Entry>) {
    let Some(at) = server.iter().position(|entry| entry.key == "endpoints") else { return };
    let span = server[at].key_span;
    let Content::List(items) = &mut server[at].value.content else { return };
    let [only] = items.as_slice() else {
        items.iter_mut().for_each(|item| as_map(item, span));
        return;
    };
    let written = Path::of(["endpoints"]).index(0);
    let hoisted: Vec<Entry> = match &only.content {
        // these say something of it beside others
        Content::Map(entries) if entries.iter().any(|entry| SHARES.contains(&entry.key.as_str())) => return,
        Content::Map(entries) => {
            entries.iter().map(|entry| Entry { written: Some(written.key(&entry.key)), ..entry.clone() }).collect()
        }
        _ => vec![Entry { written: Some(written), ..Entry::new("url", span, only.clone()) }],
    };
    // What the server says beside it would be ambiguous; it stays a list, and is told so.
    if hoisted.iter().any(|new| server.iter().any(|old| old.key == new.key)) {
        if let Content::List(items) = &mut server[at].value.content {
            items.iter_mut().for_each(|item| as_map(item, span));
        }
        return;
    }
    server.splice(at..=at, hoisted);
}

/// A URL, as the map of it.
fn as_map(item: &mut Node, span: Span) {
    if matches!(item.content, Content::Scalar(_)) {
        let url = Entry { written: Some(Path::default()), ..Entry::new("url", span, item.clone()) };
        item.content = Content::Map(vec![url]);
    }
}

/// The entries of each server.
fn servers(root: &mut Node) -> impl Iterator<Item = &mut Vec<Entry>> {
    let servers = root.get_mut("servers").and_then(Node::entries_mut);
    servers.into_iter().flatten().filter_map(|server| server.value.entries_mut())
}

/// A path in the words that were written.
pub(super) fn as_written(root: &Node, path: &Path) -> Path {
    let mut shown = Path::default();
    let mut node = Some(root);
    for segment in path.segments() {
        let (written, next) = match (node.map(|node| &node.content), segment) {
            (Some(Content::Map(entries)), Segment::Key(key)) => match entries.iter().find(|entry| entry.key == *key) {
                Some(entry) => (entry.written.clone(), Some(&entry.value)),
                None => (None, None),
            },
            (Some(Content::List(items)), Segment::Index(index)) => (None, items.get(*index)),
            _ => (None, None),
        };
        shown = match written {
            Some(written) => written.segments().iter().cloned().fold(shown, Path::then),
            None => shown.then(segment.clone()),
        };
        node = next;
    }
    shown
}
