//! The names of objects.

use super::super::fault::Fault;
use super::Kind;

/// Longest name of a server: it is part of the name of each of its tools, and those are bounded.
const MAX_SERVER: usize = 32;
/// Longest name of anything else, in bytes.
const MAX_NAME: usize = 64;

/// Refuses names that could not be typed, shown, or told from other things.
pub(super) fn check(kind: Kind, name: &str) -> Result<(), Fault> {
    let fault = |message: String, advice: &str| Err(Fault::key(kind.path(name), message).advise(advice));
    let shown = name.escape_debug();
    if kind.is_single() {
        return if name == kind.as_str() {
            Ok(())
        } else {
            fault(format!("there is one {kind}, and it has no other name"), &format!("call it `{kind}`"))
        };
    }
    if kind == Kind::Server {
        let usable = !name.is_empty() && slug(name) == name;
        let advice = "names have letters, digits and hyphens, at most 32";
        return if usable { Ok(()) } else { fault(format!("`{shown}` is no name for a server"), advice) };
    }
    let usable = (1..=MAX_NAME).contains(&name.len()) && !name.contains(|c: char| c.is_control() || c == '/');
    let advice = "names have 1 to 64 bytes, without slashes and control characters";
    if usable { Ok(()) } else { fault(format!("`{shown}` is no name for a {kind}"), advice) }
}

/// The name of a server in paths and tool names: whatever else than letters, digits and hyphens becomes a hyphen.
#[must_use]
pub fn slug(key: &str) -> String {
    let mut name = String::new();
    for c in key.chars() {
        match c {
            c if c.is_ascii_alphanumeric() || c == '-' => name.push(c),
            _ if !name.ends_with('-') => name.push('-'),
            _ => {}
        }
    }
    // A key that is in order stays as it is, hyphens at its ends included.
    let name = if name == key { name.as_str() } else { name.trim_matches('-') };
    let cut = &name[..name.len().min(MAX_SERVER)];
    if name.len() > MAX_SERVER { cut.trim_end_matches('-').to_owned() } else { cut.to_owned() }
}

/// The name itself, or with a number where another server has it: nobody who wrote a client's file knew our rules.
#[must_use]
pub fn unlike(name: String, is_taken: impl Fn(&str) -> bool) -> String {
    if !is_taken(&name) {
        return name;
    }
    let numbered = |number: usize| {
        let suffix = format!("-{number}");
        format!("{}{suffix}", &name[..name.len().min(MAX_SERVER - suffix.len())])
    };
    (2..).map(numbered).find(|other| !is_taken(other)).unwrap_or_default()
}
