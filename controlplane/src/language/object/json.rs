//! Trees from strict JSON and back. Numbers keep their digits, and the same value always makes the same text.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::super::tree::{Content, Entry, Node, Scalar, Span};

/// Deepest nesting: far above what the language has words for.
const MAX_DEPTH: usize = 64;

/// Parses JSON; the message says what is wrong, without quoting anything.
pub(super) fn parse(text: &str) -> Result<Node, String> {
    let raw: &RawValue = serde_json::from_str(text).map_err(|error| in_words(&error))?;
    build(raw, 0)
}

fn build(raw: &RawValue, depth: usize) -> Result<Node, String> {
    let text = raw.get();
    if depth > MAX_DEPTH {
        return Err(format!("is nested deeper than {MAX_DEPTH} levels"));
    }
    let content = match text.as_bytes().first() {
        Some(b'{') => {
            let Members(members) = serde_json::from_str(text).map_err(|error| in_words(&error))?;
            let mut entries: Vec<Entry> = Vec::with_capacity(members.len());
            for (key, value) in members {
                entries.push(Entry::new(key, Span::default(), build(value, depth + 1)?));
            }
            if let Some(twice) = twice(&entries) {
                return Err(format!("has the key `{}` twice", twice.escape_debug()));
            }
            Content::Map(entries)
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(text).map_err(|error| in_words(&error))?;
            Content::List(items.into_iter().map(|item| build(item, depth + 1)).collect::<Result<_, _>>()?)
        }
        Some(b'"') => scalar(serde_json::from_str(text).map_err(|error| in_words(&error))?, false),
        Some(b'n') => Content::Null,
        _ => scalar(text.to_owned(), true),
    };
    Ok(Node { span: Span::default(), content })
}

fn scalar(text: String, plain: bool) -> Content {
    Content::Scalar(Scalar { text, expanded: false, secret: false, plain })
}

fn twice(entries: &[Entry]) -> Option<&str> {
    let mut seen = std::collections::HashSet::with_capacity(entries.len());
    entries.iter().map(|entry| entry.key.as_str()).find(|key| !seen.insert(*key))
}

fn in_words(error: &serde_json::Error) -> String {
    format!("is not JSON: {error}")
}

/// The members of an object in their order, those of the same name included.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Members(members))
    }
}

/// Canonical JSON: members by name, no spaces, numbers as they were written. The tree is settled (see `words`): plain scalars
/// are JSON.
pub(super) fn canonical(node: &Node) -> String {
    let mut text = String::new();
    write(node, &mut text);
    text
}

fn write(node: &Node, out: &mut String) {
    match &node.content {
        Content::Null | Content::Broken => out.push_str("null"),
        Content::Scalar(Scalar { text, plain: true, .. }) => out.push_str(text),
        Content::Scalar(Scalar { text, .. }) => out.push_str(&quoted(text)),
        Content::List(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { "," });
                write(item, out);
            }
            out.push(']');
        }
        Content::Map(entries) => {
            let mut sorted: Vec<&Entry> = entries.iter().collect();
            sorted.sort_by(|a, b| a.key.cmp(&b.key));
            out.push('{');
            for (index, entry) in sorted.into_iter().enumerate() {
                out.push_str(if index == 0 { "" } else { "," });
                out.push_str(&quoted(&entry.key));
                out.push(':');
                write(&entry.value, out);
            }
            out.push('}');
        }
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
