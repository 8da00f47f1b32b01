//! Values that may be credentials, or where the node finds them. No value is ever quoted in a fault.

use http::HeaderValue;
use sluice_contract::v1;

use super::{Faults, text};
use crate::model::{Secret, Sensitive};

/// Longest value, wherever it comes from: keys and certificates are far below, and it has to fit into the head of a request.
pub const MAX_SENSITIVE: usize = 64 << 10;
/// Longest name of a secret or variable.
const MAX_NAME: usize = 64;
/// Longest path of a file.
const MAX_PATH: usize = 4096;

/// What a value is taken for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// For a header, perhaps after a word such as `Bearer`.
    InHeader,
    /// For what the system takes: it may be empty.
    AsText,
    /// For something that is derived from it: `user:password`, a key.
    Apart,
}

pub(super) fn parse(
    wire: Option<&v1::Sensitive>,
    taken: Taken,
    path: String,
    faults: &mut Faults,
) -> Option<Sensitive> {
    use v1::sensitive::Source;
    match wire.and_then(|wire| wire.source.as_ref()) {
        Some(Source::Value(value)) => match objection(value, taken) {
            Some(reason) => faults.note(path, reason),
            None => Some(Sensitive::Value(Secret::new(value.as_str()))),
        },
        Some(Source::Secret(name)) if is_secret_name(name) => Some(Sensitive::Secret(name.as_str().into())),
        Some(Source::Secret(_)) => faults.note(path, "is not the name of a secret: 1 to 64 letters, digits and `.-_`"),
        Some(Source::Environment(name)) if is_variable(name) => Some(Sensitive::Environment(name.as_str().into())),
        Some(Source::Environment(_)) => faults.note(path, "is not the name of an environment variable"),
        Some(Source::File(file)) if !file.starts_with('/') => {
            faults.note(path, "is not an absolute path such as `/run/secrets/token`")
        }
        Some(Source::File(file)) if file.len() > MAX_PATH => {
            faults.note(path, format!("is longer than {MAX_PATH} bytes"))
        }
        Some(Source::File(file)) => text::file(file, path, faults).map(Sensitive::File),
        None => faults.note(path, "is missing, or from a source this version does not know"),
    }
}

/// What keeps a value from being a header, or part of one.
#[must_use]
pub fn in_header(value: &str) -> Option<&'static str> {
    objection(value, Taken::InHeader)
}

/// What keeps a value from being handed to the system.
#[must_use]
pub fn as_text(value: &str) -> Option<&'static str> {
    objection(value, Taken::AsText)
}

fn objection(value: &str, taken: Taken) -> Option<&'static str> {
    if value.len() > MAX_SENSITIVE {
        return Some("is longer than 64 KiB");
    }
    match taken {
        Taken::AsText if value.contains('\0') => Some("contains a NUL character"),
        Taken::InHeader | Taken::Apart if value.is_empty() => Some("is empty"),
        Taken::InHeader if HeaderValue::from_str(value).is_err() => {
            Some("has a character that no header may have, such as a line break")
        }
        Taken::InHeader | Taken::AsText | Taken::Apart => None,
    }
}

/// `true` for the name of a secret.
#[must_use]
pub fn is_secret_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

fn is_variable(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len()) && !name.contains(['=', '\0'])
}
