//! What of a configuration must not be shown when a line of it is.

use super::path::Segment;
use super::tree::{Content, Node};

/// Where credentials are written, as ranges of bytes. References to variables are none and stay readable.
pub(super) fn credentials(root: &Node) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    collect(root, &mut Vec::new(), &mut found);
    found
}

fn collect(node: &Node, above: &mut Vec<Segment>, found: &mut Vec<(usize, usize)>) {
    match &node.content {
        Content::Scalar(scalar) if !scalar.expanded && !refers(&scalar.text) && is_credential(above, &scalar.text) => {
            found.push((node.span.start, node.span.end));
        }
        Content::List(items) => {
            for (index, item) in items.iter().enumerate() {
                above.push(Segment::Index(index));
                collect(item, above, found);
                above.pop();
            }
        }
        Content::Map(entries) => {
            for entry in entries {
                above.push(Segment::Key(entry.key.clone()));
                collect(&entry.value, above, found);
                above.pop();
            }
        }
        _ => {}
    }
}

/// Before variables are expanded.
fn refers(text: &str) -> bool {
    text.contains("${") && !text.contains("$${")
}

/// The keys of `auth` and of `credentials` whose values are not secret. What is misspelt may be.
const PUBLIC: [&str; 10] = [
    "type",
    "name",
    "credential",
    "token_url",
    "issuer",
    "client_id",
    "client_authentication",
    "key_id",
    "scopes",
    "resource",
];

fn is_credential(path: &[Segment], text: &str) -> bool {
    let keys: Vec<&str> = path
        .iter()
        .filter_map(|segment| match segment {
            Segment::Key(key) => Some(key.as_str()),
            Segment::Index(_) => None,
        })
        .collect();
    if keys.iter().any(|key| matches!(*key, "defaults" | "forced")) {
        return true;
    }
    match keys.as_slice() {
        // where a value is may be seen
        ["servers", _, "env" | "headers" | "auth", _, "secret" | "env" | "file"]
        | ["credentials", _, _, "secret" | "env" | "file"] => false,
        [.., "env" | "headers", _] | [.., "args"] => true,
        [.., "auth", key] | ["credentials", _, key] => !PUBLIC.contains(key),
        [.., "url"] => text.contains(['?', '@']),
        [.., key] => sounds_secret(key),
        [] => false,
    }
}

/// `true` for a name that what is called so should stay secret.
pub(crate) fn sounds_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    ["token", "secret", "password", "credential", "api_key", "apikey", "auth"].iter().any(|word| key.contains(word))
        && !matches!(key.as_str(), "auth" | "authentication" | "authorities" | "authorization_servers")
}

/// What in a line of text that could not be parsed may hold credentials, judged by the keys in it and above it.
pub(super) fn guess(text: &str, start: usize, line: &str) -> Option<(usize, usize)> {
    let indentation = |line: &str| line.len() - line.trim_start().len();
    let parent = text[..start].lines().rev().find(|above| {
        !above.trim().is_empty() && indentation(above) < indentation(line) && !above.trim_start().starts_with('#')
    });
    let below_secrets =
        parent.is_some_and(|parent| parent.match_indices(':').any(|(at, _)| hides(key_before(parent, at))));
    let mut colons = line.match_indices(':').map(|(at, _)| at);
    colons.find(|at| below_secrets || hides(key_before(line, *at))).map(|at| (start + at + 1, start + line.len()))
}

/// The word that ends where a colon is.
fn key_before(line: &str, colon: usize) -> &str {
    let before = line[..colon].trim_end_matches(['"', '\'', ' ']);
    before.rsplit(|c: char| !c.is_alphanumeric() && c != '_' && c != '-').next().unwrap_or(before)
}

/// What stands after such a key, or below it, may be a credential.
fn hides(key: &str) -> bool {
    matches!(key, "env" | "headers" | "auth" | "args" | "url" | "value" | "defaults" | "forced")
        || key.to_ascii_lowercase().contains("key")
        || sounds_secret(key)
}
