//! A value of any type, as JSON: what is written without quotes is a number or a truth value where it looks like one,
//! after its variables are expanded; what is quoted is text.

use std::fmt;

use schemars::JsonSchema;
use serde::de::{Deserialize, Deserializer, Visitor};
use serde_json::Value as Json;

use super::tree::{Content, Node, Scalar};

/// By this name a [`Value`] asks the reader for the JSON text of a whole node.
pub(super) const TOKEN: &str = "sluice::Value";

/// Any value, as compact JSON text. It may be a credential: never in a log, an error or a dump of ours.
#[derive(Clone, PartialEq, Eq, JsonSchema)]
#[schemars(with = "serde_json::Value", inline)]
pub struct Value(String);

impl Value {
    /// The JSON text; call it only where it goes to its destination.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(TOKEN, TextVisitor)
    }
}

struct TextVisitor;

impl Visitor<'_> for TextVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value(text.to_owned()))
    }
}

/// The JSON text of a node.
pub(super) fn json(node: &Node) -> String {
    match &node.content {
        // What is broken was told already, so that nobody gets to see this.
        Content::Null | Content::Broken => "null".to_owned(),
        Content::Scalar(Scalar { text, plain: true, .. }) => typed(text).unwrap_or_else(|| quoted(text)),
        Content::Scalar(scalar) => quoted(&scalar.text),
        Content::List(items) => format!("[{}]", items.iter().map(json).collect::<Vec<_>>().join(",")),
        Content::Map(entries) => {
            let member = |key: &str, value: &Node| format!("{}:{}", quoted(key), json(value));
            let members: Vec<_> = entries.iter().map(|entry| member(&entry.key, &entry.value)).collect();
            format!("{{{}}}", members.join(","))
        }
    }
}

fn quoted(text: &str) -> String {
    Json::from(text).to_string()
}

/// A text that is not one, by YAML's core schema. Numbers that are JSON as they are written stay so, digit for digit.
pub(super) fn typed(text: &str) -> Option<String> {
    match text {
        "true" | "True" | "TRUE" => return Some("true".to_owned()),
        "false" | "False" | "FALSE" => return Some("false".to_owned()),
        "null" | "Null" | "NULL" | "~" => return Some("null".to_owned()),
        _ => {}
    }
    if serde_json::from_str::<serde_json::Number>(text).is_ok() {
        return Some(text.to_owned());
    }
    for (prefix, radix) in [("0x", 16), ("0o", 8)] {
        if let Some(digits) = text.strip_prefix(prefix) {
            return u64::from_str_radix(digits, radix).ok().map(|number| number.to_string());
        }
    }
    if let Ok(number) = text.parse::<i64>() {
        return Some(number.to_string());
    }
    let numeric = text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
    let number = text.parse::<f64>().ok().filter(|_| numeric)?;
    serde_json::Number::from_f64(number).map(|number| number.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_get_the_type_they_look_like() {
        for (text, json) in [
            ("true", Some("true")),
            ("FALSE", Some("false")),
            ("~", Some("null")),
            ("10", Some("10")),
            ("-1.50", Some("-1.50")),
            ("1e3", Some("1e3")),
            ("12345678901234567890123", Some("12345678901234567890123")),
            ("007", Some("7")),
            ("+5", Some("5")),
            ("0x1F", Some("31")),
            ("0o17", Some("15")),
            (".5", Some("0.5")),
            ("", None),
            ("yes", None),
            (".inf", None),
            ("infinity", None),
            ("1_000", None),
            ("10 km", None),
            ("2026-07-28", None),
        ] {
            assert_eq!(typed(text).as_deref(), json, "{text}");
        }
    }
}
