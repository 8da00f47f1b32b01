//! What could not be read, in the words of those who wrote it: which field, and what is expected there. Libraries say that in words of
//! the language they are written in; what they quote of a request may be a secret, and is left out.

use std::fmt::Display;

use serde_json::error::Category;
use serde_path_to_error::{Error, Path};

use crate::language::suggestion;

/// What is wrong with a body.
pub(super) fn body(error: &Error<serde_json::Error>) -> String {
    let inner = error.inner();
    let place = format!("line {}, column {}", inner.line(), inner.column());
    let said = inner.to_string();
    let said = said.split(" at line ").next().unwrap_or_default();
    match inner.classify() {
        Category::Data => told("field", error.path(), said),
        Category::Eof => format!("the body is no JSON: it ends too early, at {place}"),
        Category::Syntax | Category::Io => format!("the body is no JSON: {said}, at {place}"),
    }
}

/// What is wrong with the parameters behind the `?`.
pub(super) fn parameter(error: &Error<serde::de::value::Error>) -> String {
    told("parameter", error.path(), &error.inner().to_string())
}

/// What is wrong with a field.
fn told(noun: &str, path: &Path, said: &str) -> String {
    let shown = path.to_string();
    let field = |name: &str| match shown.as_str() {
        "." => name.to_owned(),
        whole if whole == name || whole.ends_with(&format!(".{name}")) => whole.to_owned(),
        above => format!("{above}.{name}"),
    };
    let subject = if shown == "." { "the body".to_owned() } else { format!("`{shown}`") };
    let quoted: Vec<&str> = said.split('`').skip(1).step_by(2).collect();
    match (said, quoted.as_slice()) {
        (said, [name, known @ ..]) if said.starts_with("unknown field") => {
            let advice = if known.is_empty() { "there are none".to_owned() } else { suggestion(name, known, noun) };
            format!("`{}` is no {noun} that is known here; {advice}", field(name).escape_debug())
        }
        (said, [name]) if said.starts_with("missing field") => format!("`{}` is missing", field(name)),
        (said, [name]) if said.starts_with("duplicate field") => format!("`{}` is there twice", field(name)),
        (said, [_, known @ ..]) if said.starts_with("unknown variant") => {
            let known: Vec<String> = known.iter().map(|word| format!("`{word}`")).collect();
            format!("{subject} is to be one of {}", known.join(", "))
        }
        _ => format!("{subject} is to be {}", wanted(said)),
    }
}

/// What is expected, by what a library says of it.
fn wanted(said: &str) -> impl Display {
    // numbers and truth values of parameters are read from text
    if ["invalid digit", "cannot parse integer", "number too"].iter().any(|begin| said.starts_with(begin)) {
        return "a whole number, 0 or above";
    }
    if said.starts_with("provided string was not `true`") {
        return "`true` or `false`";
    }
    match said.rsplit_once("expected ").map(|(_, expected)| expected).unwrap_or_default() {
        "u32" | "u64" | "usize" => "a whole number, 0 or above",
        "a boolean" => "`true` or `false`",
        "a string" | "string" | "variant identifier" => "a text",
        "a sequence" => "a list",
        expected if expected.starts_with("struct") || expected.starts_with("a map") => "an object",
        _ => "something else than it is: the description of the operation says what",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;
    use serde_json::value::RawValue;

    use super::*;

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "it is only read")]
    struct Wanted {
        items: Vec<Item>,
        #[serde(default)]
        limit: u32,
        #[serde(default)]
        dry_run: bool,
        #[serde(default)]
        labels: BTreeMap<String, String>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "it is only read")]
    struct Item {
        kind: Kind,
        name: String,
        spec: Box<RawValue>,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Kind {
        Client,
        Join,
    }

    fn of(text: &str) -> String {
        let mut text = serde_json::Deserializer::from_str(text);
        match serde_path_to_error::deserialize::<_, Wanted>(&mut text) {
            Ok(_) => "fine".to_owned(),
            Err(error) => body(&error),
        }
    }

    #[test]
    fn the_field_is_named_and_what_is_expected_there() {
        let number = "is to be a whole number, 0 or above";
        for (text, said) in [
            (r#"{"items": []}"#, "fine"),
            ("", "the body is no JSON: it ends too early, at line 1, column 0"),
            (r#"{"items": [}"#, "the body is no JSON: expected value, at line 1, column 12"),
            ("[]", "`items` is missing"),
            ("7", "the body is to be an object"),
            ("{}", "`items` is missing"),
            (r#"{"items": 5}"#, "`items` is to be a list"),
            (r#"{"item": 5}"#, "`item` is no field that is known here; did you mean `items`?"),
            (r#"{"items": [], "limit": -1}"#, &format!("`limit` {number}")),
            (r#"{"items": [], "limit": "many"}"#, &format!("`limit` {number}")),
            (r#"{"items": [], "dry_run": "yes"}"#, "`dry_run` is to be `true` or `false`"),
            (r#"{"items": [], "labels": {"a": 1}}"#, "`labels.a` is to be a text"),
            (r#"{"items": [], "items": []}"#, "`items` is there twice"),
            (r#"{"items": [{"kind": "join", "name": "a"}]}"#, "`items[0].spec` is missing"),
            (r#"{"items": [{"kind": "king"}]}"#, "`items[0].kind` is to be one of `client`, `join`"),
            (r#"{"items": [{"spek": 7}]}"#, "`items[0].spek` is no field that is known here; did you mean `spec`?"),
            (r#"{"items": [{"name": 4711}]}"#, "`items[0].name` is to be a text"),
        ] {
            if text == "[]" {
                // a list is read as the fields in their order
                assert!(of(text).contains("is to be"), "{}", of(text));
                continue;
            }
            assert_eq!(of(text), said, "{text}");
        }
    }

    #[test]
    fn parameters_are_told_like_fields() {
        #[derive(Deserialize)]
        #[serde(default, deny_unknown_fields)]
        #[derive(Default)]
        struct Page {
            limit: u32,
            dry_run: bool,
        }
        use axum::extract::Query;
        use std::error::Error as _;
        let of = |text: &str| {
            let refused = Query::<Page>::try_from_uri(&format!("http://a/?{text}").parse().unwrap()).err().unwrap();
            let mut next = refused.source();
            while let Some(error) = next {
                if let Some(found) = error.downcast_ref::<Error<serde::de::value::Error>>() {
                    return parameter(found);
                }
                next = error.source();
            }
            panic!("{refused:?}");
        };
        assert_eq!(of("limit=x"), "`limit` is to be a whole number, 0 or above");
        assert_eq!(of("limit=-1"), "`limit` is to be a whole number, 0 or above");
        assert_eq!(of("limit=99999999999"), "`limit` is to be a whole number, 0 or above");
        assert_eq!(of("dry_run=maybe"), "`dry_run` is to be `true` or `false`");
        assert_eq!(of("limt=1"), "`limt` is no parameter that is known here; did you mean `limit`?");
    }
}
