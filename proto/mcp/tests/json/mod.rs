//! JSON for tests: a reader that keeps what a map would lose, and a generator of texts spelled in many ways.
#![allow(dead_code, reason = "each test uses its part")]

use std::fmt::{self, Write};

use proptest::{collection::vec, prelude::*, sample::select};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// A value with its members in order, duplicates included.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    Array(Vec<Node>),
    Object(Vec<(String, Node)>),
}

impl Node {
    pub(crate) fn parse(text: &[u8]) -> Option<Node> {
        serde_json::from_slice(text).ok()
    }

    /// The first member of this name.
    pub(crate) fn get(&self, name: &str) -> Option<&Node> {
        self.members().iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    pub(crate) fn members(&self) -> &[(String, Node)] {
        match self {
            Node::Object(members) => members,
            _ => &[],
        }
    }

    pub(crate) fn has_duplicates(&self) -> bool {
        let mut names: Vec<_> = self.members().iter().map(|(name, _)| name).collect();
        names.sort();
        names.windows(2).any(|pair| pair[0] == pair[1])
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Int(value.into()))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Int(value.into()))
    }
    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Float(value))
    }
    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = seq.next_element()? {
            values.push(value);
        }
        Ok(Node::Array(values))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Node::Object(members))
    }
}

/// Keys that mean something somewhere, and some that do not.
const KEYS: &[&str] = &[
    "jsonrpc",
    "id",
    "method",
    "params",
    "result",
    "error",
    "name",
    "uri",
    "ref",
    "cursor",
    "taskId",
    "task",
    "tasks",
    "requestState",
    "nextCursor",
    "inputResponses",
    "arguments",
    "_meta",
    "progressToken",
    "code",
    "message",
    "io.modelcontextprotocol/related-task",
    "io.modelcontextprotocol/protocolVersion",
    "notifications",
    "taskIds",
    "supportedVersions",
    "resultType",
    "x",
    "",
    "ключ",
    "a\"b\\",
];

const TEXTS: &[&str] = &[
    "2.0",
    "tools/call",
    "notifications/progress",
    "notifications/tasks/status",
    "ping",
    "get",
    "taskId",
    "",
    "é\u{1f600}",
    "a\"\\\n\u{1}",
    "a text that is somewhat longer than sixteen bytes, and plain",
    "notifications/subscriptions/acknowledged",
    "{\"taskId\":\"no\"}",
];

const NUMBERS: &[&str] =
    &["0", "1", "-1", "-0", "1.0", "1e3", "12.50E-2", "18446744073709551617", "9007199254740993", "0.1"];

/// One string token: each character plain or escaped, as `spelling` says.
fn write_text(out: &mut String, text: &str, spelling: &mut impl FnMut() -> u8) {
    out.push('"');
    for c in text.chars() {
        let must = c < ' ' || c == '"' || c == '\\';
        if must || spelling().is_multiple_of(16) {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                write!(out, "\\u{unit:04x}").unwrap();
            }
        } else {
            out.push(c);
        }
    }
    out.push('"');
}

/// A tree of raw pieces, to be written out with some spelling.
#[derive(Debug, Clone)]
pub(crate) enum Tree {
    Raw(&'static str),
    Text(&'static str),
    Array(Vec<Tree>),
    Object(Vec<(&'static str, Tree)>),
}

impl Tree {
    fn write(&self, out: &mut String, spelling: &mut impl FnMut() -> u8) {
        let space = |out: &mut String, n: u8| {
            out.push_str(["", "", "", "", "", " ", "\n\t", "\r\n        "][usize::from(n % 8)])
        };
        space(out, spelling());
        match self {
            Tree::Raw(raw) => out.push_str(raw),
            Tree::Text(text) => write_text(out, text, spelling),
            Tree::Array(values) => {
                out.push('[');
                for (at, value) in values.iter().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    value.write(out, spelling);
                }
                out.push(']');
            }
            Tree::Object(members) => {
                out.push('{');
                for (at, (key, value)) in members.iter().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    space(out, spelling());
                    write_text(out, key, spelling);
                    space(out, spelling());
                    out.push(':');
                    value.write(out, spelling);
                }
                space(out, spelling());
                out.push('}');
            }
        }
        space(out, spelling());
    }

    /// How many arrays and objects lie within each other.
    pub(crate) fn depth(&self) -> usize {
        match self {
            Tree::Array(values) => 1 + values.iter().map(Tree::depth).max().unwrap_or(0),
            Tree::Object(members) => 1 + members.iter().map(|(_, value)| value.depth()).max().unwrap_or(0),
            _ => 0,
        }
    }

    /// The text, spelled as the seed says.
    pub(crate) fn spell(&self, seed: u64) -> String {
        let mut state = seed;
        let mut out = String::new();
        self.write(&mut out, &mut || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 56) as u8
        });
        out
    }
}

pub(crate) fn tree() -> impl Strategy<Value = Tree> {
    tree_of(KEYS, TEXTS)
}

/// A tree of these keys and texts.
pub(crate) fn tree_of(keys: &'static [&'static str], texts: &'static [&'static str]) -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        select(&["null", "true", "false"][..]).prop_map(Tree::Raw),
        select(NUMBERS).prop_map(Tree::Raw),
        select(texts).prop_map(Tree::Text),
        select(texts).prop_map(Tree::Text),
    ];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Tree::Array),
            vec((select(keys), inner), 0..6).prop_map(Tree::Object),
        ]
    })
}

/// An object that looks like a message, more or less.
pub(crate) fn message() -> impl Strategy<Value = Tree> {
    let object = || vec((select(KEYS), tree()), 0..7).prop_map(Tree::Object);
    let id = prop_oneof![
        4 => Just(Some(Tree::Raw("7"))),
        2 => Just(Some(Tree::Text("é"))),
        2 => Just(None),
        2 => select(NUMBERS).prop_map(|n| Some(Tree::Raw(n))),
        1 => tree().prop_map(Some),
    ];
    let method = prop_oneof![4 => select(TEXTS).prop_map(Tree::Text), 1 => tree()];
    let part = prop_oneof![
        3 => (method, proptest::option::of(object())).prop_map(|(method, params)| {
            let mut members = vec![("method", method)];
            members.extend(params.map(|params| ("params", params)));
            members
        }),
        2 => object().prop_map(|result| vec![("result", result)]),
        1 => object().prop_map(|error| vec![("error", error)]),
        1 => vec((select(KEYS), tree()), 0..4),
    ];
    (id, part, any::<u8>()).prop_map(|(id, part, odd)| {
        let mut members = part;
        members.extend(id.map(|id| ("id", id)));
        if odd > 10 {
            members.push(("jsonrpc", Tree::Text("2.0")));
        }
        let turn = usize::from(odd) % members.len().max(1);
        members.rotate_left(turn);
        Tree::Object(members)
    })
}

/// Texts of messages, most of them intact, some with a few bytes changed.
pub(crate) fn bodies() -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<prop::sample::Index>(), any::<u8>(), select(&b"\"\\{}[],:0-.eu \n\x00\xff"[..]));
    (message(), any::<u64>(), prop_oneof![2 => vec(change.clone(), 0..1), 1 => vec(change, 1..4)]).prop_map(
        |(tree, seed, changes)| {
            let mut body = tree.spell(seed).into_bytes();
            for (place, what, byte) in changes {
                let at = place.index(body.len().max(1)).min(body.len());
                match what % 4 {
                    0 if at < body.len() => body[at] = byte,
                    1 if at < body.len() => drop(body.remove(at)),
                    2 => body.insert(at, byte),
                    _ => body.truncate(at),
                }
            }
            body
        },
    )
}

/// Cuts a text at the given places.
pub(crate) fn cut(text: &[u8], places: &[prop::sample::Index]) -> Vec<bytes::Bytes> {
    let mut ends: Vec<usize> = places.iter().map(|place| place.index(text.len() + 1)).collect();
    ends.push(text.len());
    ends.sort_unstable();
    let mut start = 0;
    ends.into_iter()
        .map(|end| {
            let chunk = bytes::Bytes::copy_from_slice(&text[start..end]);
            start = end;
            chunk
        })
        .collect()
}
