//! What an object says: a tree without places, settled so that the same meaning is the same text.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::fault::Fault;
use super::super::path::{Path, Segment};
use super::super::tree::{Content, Entry, Node, Scalar, Span};
use super::super::{shorthand, value};
use super::{Kind, json, words};

/// What an object says. It may hold credentials, so it has no `Debug`. Clones share what they say until one is changed.
#[derive(Clone)]
pub struct Spec(pub(super) Arc<Node>);

impl Spec {
    /// Reads JSON.
    pub(super) fn parse(kind: Kind, name: &str, text: &str) -> Result<Self, Fault> {
        let fault = |message: String| Fault::value(kind.path(name), message);
        let node = json::parse(text).map_err(fault)?;
        if !matches!(node.content, Content::Map(_)) {
            return Err(fault("is not a JSON object".to_owned()).advise("write `{\"url\": …}`, as in a configuration"));
        }
        Ok(Self::settled(kind, name, node))
    }

    /// What is stored. It was settled before.
    ///
    /// # Errors
    ///
    /// It is not what was written.
    pub fn stored(text: &str) -> Result<Self, String> {
        json::parse(text).map(|node| Self(Arc::new(node)))
    }

    /// An object as it is cut from a document.
    pub(super) fn settled(kind: Kind, name: &str, node: Node) -> Self {
        let mut node = unfolded(kind, name, node);
        words::visit(kind, &mut node, &mut |_, meaning, leaf| settle(leaf, meaning.any));
        words::visit(kind, &mut node, &mut |path, meaning, leaf| {
            // A key with nothing after it says nothing.
            let is_member = matches!(path.segments().last(), Some(Segment::Key(_)));
            if matches!(leaf.content, Content::Null) && !meaning.any && is_member {
                leaf.content = Content::Broken;
            }
        });
        prune(&mut node);
        if kind == Kind::Server {
            hide_expanded(&mut node);
        }
        Self(Arc::new(node))
    }

    /// Canonical JSON, secrets included.
    #[must_use]
    pub fn canonical(&self) -> String {
        json::canonical(&self.0)
    }

    /// Says the same.
    #[must_use]
    pub fn equals(&self, other: &Self) -> bool {
        self.is_shared_by(other) || self.canonical() == other.canonical()
    }

    /// Is a clone of it, or it of this one, and nothing was changed since.
    #[must_use]
    pub fn is_shared_by(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Every value that holds no others, and empty maps and lists, as JSON by their paths.
    #[must_use]
    pub fn leaves(&self) -> BTreeMap<String, String> {
        let mut leaves = BTreeMap::new();
        each_leaf(&self.0, &Path::default(), &mut |path, leaf| {
            leaves.insert(path.to_string(), json::canonical(leaf));
        });
        leaves
    }

    /// The text at a key of the object.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(Node::text)
    }

    /// The value at some keys, one inside the other, as canonical JSON.
    #[must_use]
    pub fn member(&self, keys: &[&str]) -> Option<String> {
        keys.iter().try_fold(&*self.0, |node, key| node.get(key)).map(json::canonical)
    }

    /// The places of texts that look as if a variable was to be expanded in them: here none is.
    #[must_use]
    pub fn variables(&self) -> Vec<Path> {
        let mut found = Vec::new();
        each_leaf(&self.0, &Path::default(), &mut |path, leaf| {
            if leaf.text().is_some_and(|text| text.contains("${")) {
                found.push(path.clone());
            }
        });
        found
    }
}

/// Says in one way what can be written in several. That is done to documents, so one is made around the object.
fn unfolded(kind: Kind, name: &str, node: Node) -> Node {
    let around = |key: &str, value| Node {
        span: Span::default(),
        content: Content::Map(vec![Entry::new(key, Span::default(), value)]),
    };
    let inside = |node: Node| match node.content {
        Content::Map(entries) => entries.into_iter().next().map(|entry| entry.value),
        _ => None,
    };
    let named = if kind.is_single() { node } else { around(name, node) };
    let mut root = around(kind.map(), named);
    shorthand::unfold(&mut root);
    shorthand::rename_transports(&mut root);
    let named = inside(root);
    let node = if kind.is_single() { named } else { named.and_then(inside) };
    node.expect("unfolding leaves the maps around an object as they are")
}

/// Variables in arguments, and in the arguments of calls, are there because they are nobody's business.
fn hide_expanded(server: &mut Node) {
    fn hide(node: &mut Node) {
        match &mut node.content {
            Content::Scalar(scalar) => scalar.secret |= scalar.expanded,
            Content::List(items) => items.iter_mut().for_each(hide),
            Content::Map(entries) => entries.iter_mut().for_each(|entry| hide(&mut entry.value)),
            Content::Null | Content::Broken => {}
        }
    }
    if let Some(args) = server.get_mut("args") {
        hide(args);
    }
    let edits = server.get_mut("tools").and_then(|tools| tools.get_mut("edit")).and_then(Node::entries_mut);
    edits.into_iter().flatten().filter_map(|edit| edit.value.get_mut("defaults")).for_each(hide);
}

/// Gives a plain scalar the type it has: where any value will do, the one it looks like; elsewhere what is not JSON as it was
/// written stays text, to be read as the type the language wants.
fn settle(leaf: &mut Node, any: bool) {
    let Content::Scalar(Scalar { text, plain, .. }) = &mut leaf.content else { return };
    if !*plain {
        return;
    }
    match value::typed(text) {
        Some(typed) if any && typed == "null" => leaf.content = Content::Null,
        Some(typed) if any => *text = typed,
        typed => *plain = typed.is_some_and(|typed| typed == *text),
    }
}

/// Removes what is broken: variables that are not set, of servers that are switched off.
fn prune(node: &mut Node) {
    let is_whole = |node: &Node| !matches!(node.content, Content::Broken);
    match &mut node.content {
        Content::Map(entries) => {
            entries.retain(|entry| is_whole(&entry.value));
            entries.iter_mut().for_each(|entry| prune(&mut entry.value));
        }
        Content::List(items) => {
            items.retain(is_whole);
            items.iter_mut().for_each(prune);
        }
        _ => {}
    }
}

/// Calls `each` for every value that holds no others, and for empty maps and lists.
pub(super) fn each_leaf(node: &Node, path: &Path, each: &mut impl FnMut(&Path, &Node)) {
    match &node.content {
        Content::Map(entries) if !entries.is_empty() => {
            entries.iter().for_each(|entry| each_leaf(&entry.value, &path.key(&entry.key), each));
        }
        Content::List(items) if !items.is_empty() => {
            items.iter().enumerate().for_each(|(index, item)| each_leaf(item, &path.index(index), each));
        }
        _ => each(path, node),
    }
}
