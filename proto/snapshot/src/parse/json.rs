//! JSON inside a snapshot, strictly: what is spliced into messages later must be one value, the same to every parser.

use std::collections::HashSet;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A value as compact JSON, without a line break: messages to stdio servers are lines. The text may be a credential, so
/// it is never quoted.
pub(super) fn value(text: &str) -> Result<String, String> {
    let Strict = serde_json::from_str(text).map_err(plain)?;
    Ok(compact(text))
}

/// The members of an object, in order, each as its name and compact JSON.
pub(super) fn object(text: &str) -> Result<Vec<(String, String)>, String> {
    value(text)?;
    if !text.trim_start().starts_with('{') {
        return Err("is not a JSON object".to_owned());
    }
    let Members(members) = serde_json::from_str(text).map_err(plain)?;
    Ok(members)
}

/// What the parser says, without the text it found.
fn plain(error: serde_json::Error) -> String {
    let (line, column) = (error.line(), error.column());
    match error.classify() {
        serde_json::error::Category::Data => format!("has a member twice (line {line}, column {column})"),
        _ => format!("is not JSON (line {line}, column {column})"),
    }
}

/// Leaves out the white space between tokens of valid JSON.
fn compact(text: &str) -> String {
    let (mut quoted, mut escaped) = (false, false);
    let keep = |c: &char| {
        if quoted {
            quoted = escaped || *c != '"';
            escaped = !escaped && *c == '\\';
            return true;
        }
        quoted = *c == '"';
        !c.is_ascii_whitespace()
    };
    text.chars().filter(keep).collect()
}

/// Any value in which no object has a member twice and every text is Unicode.
struct Strict;

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        while items.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self, A::Error> {
        let mut seen = HashSet::new();
        while let Some((name, Self)) = members.next_entry::<String, Self>()? {
            if !seen.insert(name) {
                return Err(de::Error::custom("twice"));
            }
        }
        Ok(self)
    }
}

/// The members of an object that was found to be strict.
struct Members(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let mut members = Vec::new();
        while let Some((name, value)) = map.next_entry::<String, Box<RawValue>>()? {
            members.push((name, compact(value.get())));
        }
        Ok(Members(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_become_one_line_and_keep_what_they_say() {
        for (text, kept) in [
            (" { \"a b\" : [ 1 , \"x \\\" y\\\\\" , null ] }\n", r#"{"a b":[1,"x \" y\\",null]}"#),
            ("12345678901234567890.50", "12345678901234567890.50"),
            ("\"\\u00e9 \\ud83d\\ude00\"", "\"\\u00e9 \\ud83d\\ude00\""),
            ("\ttrue\r\n", "true"),
        ] {
            assert_eq!(value(text).as_deref(), Ok(kept));
        }
        let members = object("{ \"readOnlyHint\": true,\n \"title\": \"a b\" }").unwrap();
        assert_eq!(members, [("readOnlyHint".into(), "true".into()), ("title".into(), "\"a b\"".into())]);
        assert_eq!(object("{}"), Ok(vec![]));
    }

    #[test]
    fn what_parsers_would_read_differently_is_refused_without_being_quoted() {
        for (text, reason) in [
            ("", "is not JSON (line 1, column 0)"),
            ("s3cret", "is not JSON"),
            ("{\"a\":1,\n\"a\":\"s3cret\"}", "has a member twice (line 2"),
            ("{\"b\":{\"a\":1,\"\\u0061\":2}}", "has a member twice"),
            ("\"\\ud800\"", "is not JSON"),
            ("NaN", "is not JSON"),
            ("1e999", "is not JSON"),
            ("01", "is not JSON"),
            ("1 2", "is not JSON"),
            ("[1,]", "is not JSON"),
        ] {
            let refused = value(text).unwrap_err();
            assert!(refused.contains(reason) && !refused.contains("s3cret"), "{text}: {refused}");
        }
        assert_eq!(object("[]"), Err("is not a JSON object".to_owned()));
        assert!(value(&"[".repeat(200)).is_err(), "deeper than any message may be");
    }
}
