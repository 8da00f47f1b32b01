//! What the language says about each value of an object, looked up in its own JSON Schema: where any value will do, and what
//! is secret. So there is one list of secrets, beside the words themselves.

use std::sync::OnceLock;

use serde_json::Value as Json;

use super::super::mask;
use super::super::path::{Path, Segment};
use super::super::tree::{Content, Node};
use super::Kind;

/// What is known of a value.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Meaning {
    /// It is never shown.
    pub(super) secret: bool,
    /// Any value will do, so that its type counts.
    pub(super) any: bool,
}

/// Calls `each` for every value of an object that holds no others, and for empty maps and lists. Paths start at the object.
pub(super) fn visit(kind: Kind, spec: &mut Node, each: &mut impl FnMut(&Path, Meaning, &mut Node)) {
    let root = schema();
    let document = of_key(root, &branches(root, root), kind.map());
    let start = if kind.is_single() { document } else { of_key(root, &document, "") };
    walk(root, &start, spec, &Path::default(), Meaning::default(), each);
}

fn schema() -> &'static Json {
    static SCHEMA: OnceLock<Json> = OnceLock::new();
    SCHEMA.get_or_init(super::super::schema)
}

fn walk(
    root: &Json,
    schemas: &[&Json],
    node: &mut Node,
    path: &Path,
    above: Meaning,
    each: &mut impl FnMut(&Path, Meaning, &mut Node),
) {
    // a text that is secret may have a map beside it that says where the secret is
    let is_of_texts = |schema: &&Json| schema.get("type").and_then(Json::as_str) == Some("string");
    let speaks = |schema: &&Json| node.text().is_some() || !is_of_texts(schema);
    let marked = schemas.iter().copied().filter(speaks).any(|schema| schema.get("x-secret") == Some(&Json::Bool(true)));
    let meaning = Meaning {
        secret: above.secret || marked || node.is_secret() || sounds_secret(path, node),
        any: above.any || schemas.iter().any(|schema| is_any(schema)),
    };
    match &mut node.content {
        Content::Map(entries) if !entries.is_empty() => {
            for entry in entries {
                let below = of_key(root, schemas, &entry.key);
                walk(root, &below, &mut entry.value, &path.key(&entry.key), meaning, each);
            }
        }
        Content::List(items) if !items.is_empty() => {
            let below = of_items(root, schemas);
            let secret = secret_arguments(path, items);
            for (index, item) in items.iter_mut().enumerate() {
                let meaning = Meaning { secret: meaning.secret || secret.contains(&index), ..meaning };
                walk(root, &below, item, &path.index(index), meaning, each);
            }
        }
        _ => each(path, meaning, node),
    }
}

/// A schema and what it refers to or allows instead, without the references themselves.
fn branches<'a>(root: &'a Json, schema: &'a Json) -> Vec<&'a Json> {
    let mut found = vec![schema];
    let referred = schema.get("$ref").and_then(Json::as_str).and_then(|name| root.pointer(name.strip_prefix('#')?));
    found.extend(referred.into_iter().flat_map(|schema| branches(root, schema)));
    let either = ["anyOf", "oneOf", "allOf"].into_iter().filter_map(|word| schema.get(word)?.as_array()).flatten();
    found.extend(either.flat_map(|schema| branches(root, schema)));
    found
}

fn of_key<'a>(root: &'a Json, schemas: &[&'a Json], key: &str) -> Vec<&'a Json> {
    let member = |schema: &&'a Json| {
        let named = schema.get("properties").and_then(|properties| properties.get(key));
        named.or_else(|| schema.get("additionalProperties"))
    };
    schemas.iter().filter_map(member).flat_map(|schema| branches(root, schema)).collect()
}

fn of_items<'a>(root: &'a Json, schemas: &[&'a Json]) -> Vec<&'a Json> {
    schemas.iter().filter_map(|schema| schema.get("items")).flat_map(|schema| branches(root, schema)).collect()
}

/// `true` for the schema of any value, whatever is noted beside it.
fn is_any(schema: &Json) -> bool {
    const RULES: [&str; 8] = ["type", "$ref", "anyOf", "oneOf", "allOf", "enum", "const", "properties"];
    match schema {
        Json::Bool(any) => *any,
        schema => !RULES.iter().any(|rule| schema.get(rule).is_some()),
    }
}

/// What no type tells: addresses may hold a password or a key.
fn sounds_secret(path: &Path, node: &Node) -> bool {
    path.last_key().is_some_and(mask::is_address) && node.text().is_some_and(mask::is_secret_address)
}

/// The positions of arguments that are likely to hold a credential, or an address with one.
fn secret_arguments(path: &Path, items: &[Node]) -> Vec<usize> {
    if !matches!(path.segments(), [Segment::Key(key)] if key == "args") {
        return Vec::new();
    }
    let texts: Vec<&str> = items.iter().map(|item| item.text().unwrap_or_default()).collect();
    let is_secret = |index: usize, text: &str| {
        let named = |name: &str| mask::sounds_secret(name) || name.to_ascii_lowercase().ends_with("key");
        let before = index.checked_sub(1).and_then(|before| texts.get(before)).copied().unwrap_or_default();
        let follows = before.starts_with('-') && !before.contains('=') && named(before) && !text.starts_with('-');
        let is_assigned = |part: &str| {
            part.split_once(['=', ':']).is_some_and(|(name, _)| named(name.rsplit(' ').next().unwrap_or(name)))
        };
        let assigned = text.split([';', '&', ',']).any(is_assigned);
        // `-k`: what many programs call the option for a key
        follows
            || assigned
            || before == "-k"
            || mask::is_token(text)
            || (text.contains("://") && text.contains(['?', '@']))
    };
    texts.iter().enumerate().filter(|(index, text)| is_secret(*index, text)).map(|(index, _)| index).collect()
}
