//! Claims and what they say.

use std::time::SystemTime;

use serde_json::{Map, Value};

/// A claim by its name, or by the path to it with dots: some issuers nest what is theirs (`realm_access.roles`), and others
/// have dots in names (`https://example.com/roles`).
fn find<'c>(claims: &'c Map<String, Value>, name: &str) -> Option<&'c Value> {
    if let Some(value) = claims.get(name) {
        return Some(value);
    }
    let (first, rest) = name.split_once('.')?;
    rest.split('.').try_fold(claims.get(first)?, |value, step| value.get(step))
}

/// A text or a list of texts; `None` for anything else.
pub(super) fn texts(value: Option<&Value>) -> Option<Vec<&str>> {
    match value? {
        Value::String(text) => Some(vec![text]),
        Value::Array(list) => list.iter().map(Value::as_str).collect(),
        _ => None,
    }
}

/// The names a claim has: a list of them, or a text that has them between spaces (RFC 8693 section 4.2). What is no name is
/// none.
pub(super) fn names<'c>(claims: &'c Map<String, Value>, claim: &str) -> Vec<&'c str> {
    let texts = match find(claims, claim) {
        Some(Value::Array(list)) => return list.iter().filter_map(Value::as_str).collect(),
        found => texts(found).unwrap_or_default(),
    };
    texts.into_iter().flat_map(|text| text.split(' ')).filter(|name| !name.is_empty()).collect()
}

/// Whether a claim has this value, as JSON text, or is a list that has it.
pub(super) fn says(claims: &Map<String, Value>, claim: &str, wanted: &str) -> bool {
    let Ok(wanted) = serde_json::from_str::<Value>(wanted) else { return false };
    match find(claims, claim) {
        Some(Value::Array(list)) if !wanted.is_array() => list.contains(&wanted),
        found => found == Some(&wanted),
    }
}

/// A time (RFC 7519 section 2, *NumericDate*), where the claim is there.
///
/// # Errors
/// It is no time.
pub(super) fn time(value: Option<&Value>) -> Result<Option<SystemTime>, ()> {
    let Some(value) = value else { return Ok(None) };
    value.as_f64().and_then(super::instant).ok_or(()).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims() -> Map<String, Value> {
        let claims = serde_json::json!({
            "scope": "a b  c", "roles": ["x y", 1, "z"], "realm": {"roles": ["r"]}, "a.b": "dot", "ok": true, "n": 5,
        });
        claims.as_object().cloned().unwrap()
    }

    #[test]
    fn names_come_in_lists_and_texts_at_any_place() {
        let claims = claims();
        assert_eq!(names(&claims, "scope"), ["a", "b", "c"]);
        assert_eq!(names(&claims, "roles"), ["x y", "z"]);
        assert_eq!(names(&claims, "realm.roles"), ["r"]);
        assert_eq!(names(&claims, "a.b"), ["dot"]);
        for nothing in ["realm", "ok", "n", "realm.roles.r", "other", "other.more"] {
            assert!(names(&claims, nothing).is_empty(), "{nothing}");
        }
    }

    #[test]
    fn a_required_claim_is_the_value_or_has_it() {
        let claims = claims();
        for (claim, value) in [("ok", "true"), ("n", "5"), ("roles", "\"z\""), ("realm.roles", "[\"r\"]")] {
            assert!(says(&claims, claim, value), "{claim}");
        }
        for (claim, value) in [("ok", "\"true\""), ("n", "6"), ("roles", "\"x\""), ("none", "null")] {
            assert!(!says(&claims, claim, value), "{claim}");
        }
    }
}
