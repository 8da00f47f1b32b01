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

/// The keys that say where a value is.
const PLACES: [&str; 3] = ["secret", "env", "file"];

/// What is an address may hold a password or a key.
pub(super) fn is_address(key: &str) -> bool {
    matches!(key, "url" | "endpoints" | "token_url" | "issuer")
}

/// Whether an address holds one: in its query, before its host, or as a part of its path.
pub(super) fn is_secret_address(text: &str) -> bool {
    text.contains(['?', '@']) || text.split('/').any(is_token)
}

/// Beginnings by which services let their tokens be recognised.
const TOKENS: [&str; 21] = [
    "sk-",
    "sk_",
    "rk_",
    "pk_",
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "xoxb-",
    "xoxp-",
    "xapp-",
    "AKIA",
    "ASIA",
    "AIza",
    "hf_",
    "npm_",
    "eyJ",
    "sluice_",
];
/// Characters that such a token has at least.
const SHORTEST_TOKEN: usize = 12;
/// Letters and digits in a row, both of them, that nobody gives a name: 100 random bits in base 36.
const RANDOM: usize = 20;

/// `true` for a word that looks like a token.
pub(super) fn is_token(word: &str) -> bool {
    let is_known = word.len() >= SHORTEST_TOKEN && TOKENS.iter().any(|beginning| word.starts_with(beginning));
    let is_random = |run: &str| {
        run.len() >= RANDOM
            && run.bytes().any(|byte| byte.is_ascii_digit())
            && run.bytes().any(|byte| byte.is_ascii_alphabetic())
    };
    is_known || word.split(|c: char| !c.is_ascii_alphanumeric()).any(is_random)
}

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
        [.., key] if is_address(key) => is_secret_address(text),
        // where a value is may be seen
        ["servers", _, "env" | "headers" | "auth", _, place] | ["credentials" | "clients", _, _, place] => {
            !PLACES.contains(place)
        }
        // of any other shape than theirs as well: it is shown to say what is wrong with it
        [.., "env" | "headers" | "auth" | "args"] | [.., "env" | "headers", _] | ["credentials" | "clients", _] => true,
        [.., "auth", key] | ["credentials", _, key] => !PUBLIC.contains(key),
        [_, _, .., key, _] if sounds_secret(key) => true,
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
    let from = |at: usize| Some((start + at, start + line.len()));
    let mut below = ancestors(text, start, line).fold(Below::Nothing, |below, above| below.max(Below::line(above)));
    let mut has_key = false;
    for (at, _) in line.match_indices(':').filter(|(at, _)| !line[*at..].starts_with("://")) {
        has_key = true;
        let (key, value) = (key_before(line, at), &line[at + 1..]);
        let is_hidden = match below {
            Below::Secrets => true,
            _ if is_address(key) => true,
            Below::Auth => !PUBLIC.contains(&key),
            // what stands in its braces is judged by its own keys
            Below::Nothing => hides(key) && !(key == "auth" && value.trim_start().starts_with('{')),
        };
        if is_hidden && holds_something(key, value) {
            return from(at + 1);
        }
        below = below.max(Below::key(key));
    }
    let text = line.trim_start();
    let text = text.strip_prefix("- ").unwrap_or(text);
    if below == Below::Secrets && !has_key && holds_something("", text) { from(line.len() - text.len()) } else { None }
}

/// What a line stands below.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Below {
    Nothing,
    /// Some keys are public.
    Auth,
    /// Whatever it is, it may be secret.
    Secrets,
}

impl Below {
    fn line(line: &str) -> Self {
        let keys = line.match_indices(':').map(|(at, _)| key_before(line, at));
        keys.map(Self::key).max().unwrap_or(Self::Nothing)
    }

    fn key(key: &str) -> Self {
        match key {
            "auth" | "credentials" => Self::Auth,
            // a text with nothing below it
            "url" => Self::Nothing,
            key if hides(key) => Self::Secrets,
            _ => Self::Nothing,
        }
    }
}

/// The lines that a line stands below, by their indentation; the nearest first.
fn ancestors<'t>(text: &'t str, start: usize, line: &'t str) -> impl Iterator<Item = &'t str> {
    let indentation = |line: &str| line.len() - line.trim_start().len();
    let mut least = indentation(line);
    text[..start].lines().rev().filter(move |above| {
        let is_above = !above.trim().is_empty() && indentation(above) < least && !above.trim_start().starts_with('#');
        if is_above {
            least = indentation(above);
        }
        is_above
    })
}

/// Whether a value can be a secret: brackets and references to variables are none, and an address is where it carries one.
fn holds_something(key: &str, value: &str) -> bool {
    let bare = value.trim_matches(|c: char| c.is_whitespace() || "{}[],|>\"'-".contains(c));
    let is_reference = bare.starts_with("${") && !bare[1..].contains('$') && !bare.contains(' ');
    match key {
        key if is_address(key) => bare.contains(['?', '@']),
        _ => !bare.is_empty() && !is_reference,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_recognised_and_names_are_not() {
        for token in [
            "sk-proj-4711abc",
            "ghp_aaaaaaaaaaaaaaaaaaaaaaaa",
            "eyJhbGciOi.x.y",
            "a1b2c3d4e5f6a7b8c9d0",
            "x=a1b2c3d4e5f6a7b8c9d0",
        ] {
            assert!(is_token(token), "{token}");
        }
        for name in [
            "server-filesystem",
            "@modelcontextprotocol/server-everything@2025.11.25",
            "5f0c2a9b-e47d-1122-0000-a1b2c3d4e5f6",
            "--allow-everything-that-can-be-read",
            "8080",
            "sk-1",
        ] {
            assert!(!is_token(name), "{name}");
        }
    }

    /// The last line of a text, as it is shown.
    fn shown(text: &str) -> String {
        let start = text.rfind('\n').map_or(0, |newline| newline + 1);
        let line = &text[start..];
        match guess(text, start, line) {
            Some((from, _)) => format!("{}***", &text[start..from]),
            None => line.to_owned(),
        }
    }

    #[test]
    fn what_holds_no_secret_is_shown() {
        for text in [
            r#"{"servers": {"a": {"url": "http://a/mcp" "timeout": 3}}}"#,
            "a: {url: http://a/mcp, auth: {type: bearer",
            "env:\n  A: [",
            "a:\n  auth:\n    type: bearer",
            "a:\n  auth:\n    token_url: https://a/token",
            "a:\n  auth:\n    token: \"${TOKEN}",
            "a:\n  args: [",
            "a:\n  timeout: 3",
            "features: {authentication: true",
        ] {
            assert_eq!(shown(text), text.lines().last().unwrap());
        }
    }

    #[test]
    fn what_may_be_a_secret_is_not() {
        for (text, told) in [
            ("a: {url: \"http://a/mcp?key=4711\"", "a: {url:***"),
            ("a: {url: http://bob:4711@a", "a: {url:***"),
            ("a: {auth: {type: bearer, token: 4711", "a: {auth: {type: bearer, token:***"),
            ("a: {auth: {tokn: 4711", "a: {auth: {tokn:***"),
            ("a: {auth: 4711", "a: {auth:***"),
            ("a:\n  auth: \"4711", "  auth:***"),
            ("credentials:\n  c:\n    token_url: https://a/token?k=4711", "    token_url:***"),
            ("a:\n  auth:\n    tokn: 4711", "    tokn:***"),
            ("env:\n  A: 4711", "  A:***"),
            ("env:\n  A: |\n    47:11", "    47:***"),
            ("a:\n  token: |\n    4711", "    ***"),
            ("a:\n  args:\n    - --token=4711", "    - ***"),
            ("a: {headers: {X: 4711", "a: {headers:***"),
            ("credentials:\n  c:\n    passphrase: 4711", "    passphrase:***"),
            ("a: {api_key: 4711", "a: {api_key:***"),
            ("a: {token: \"${TOKEN}4711 ${B}\"", "a: {token:***"),
        ] {
            assert_eq!(shown(text), told, "{text}");
        }
    }
}
