//! JSON as a tree. What a text says as JSON (RFC 8259) is what it says here: YAML, of which it is nearly a part, knows other
//! escapes, other scalars and other white space.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{Content, Entry, Node, Scalar, Span, SyntaxError, TOO_DEEP, boundary, point};

/// Maps and lists inside each other, as many as JSON parsers usually take.
const DEEPEST: usize = 128;
/// Values of a text, as many as the YAML parser takes.
const MOST_VALUES: usize = 250_000;

/// Parses JSON.
pub(in crate::language) fn parse(text: &str) -> Result<Node, SyntaxError> {
    let checked = serde_json::from_str::<IgnoredAny>(text).map(drop);
    match checked.and_then(|()| serde_json::from_str::<&RawValue>(text)) {
        Ok(root) => Reader { text, place: Place::default(), values: 0 }.node(root, 0),
        Err(error) => Err(fault(&error, text)),
    }
}

/// What the parser says, and where.
pub(super) fn fault(error: &serde_json::Error, text: &str) -> SyntaxError {
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or(&message).to_owned();
    // that parser counts bytes
    let line = text.split('\n').nth(error.line().saturating_sub(1)).unwrap_or_default();
    let column = line[..boundary(line, error.column().saturating_sub(1))].chars().count() + 1;
    SyntaxError { message, span: point(text, error.line(), column) }
}

struct Reader<'a> {
    text: &'a str,
    /// Values are met in the order of the text.
    place: Place,
    values: usize,
}

/// A byte of the text, and its line and column.
struct Place {
    at: usize,
    line: usize,
    column: usize,
}

impl Default for Place {
    fn default() -> Self {
        Self { at: 0, line: 1, column: 1 }
    }
}

impl<'a> Reader<'a> {
    fn node(&mut self, raw: &'a RawValue, depth: usize) -> Result<Node, SyntaxError> {
        let written = raw.get();
        let span = self.span(written);
        let wrong = |message: String| SyntaxError { message, span };
        self.values += 1;
        if self.values > MOST_VALUES {
            return Err(wrong(format!("the configuration has more than {MOST_VALUES} values")));
        }
        if depth > DEEPEST {
            return Err(wrong(TOO_DEEP.to_owned()));
        }
        let content = match written.as_bytes()[0] {
            b'{' => Content::Map(self.entries(written, depth)?),
            b'[' => {
                let items: Vec<&RawValue> = again(written).map_err(wrong)?;
                let items = items.into_iter().map(|item| self.node(item, depth + 1));
                Content::List(items.collect::<Result<_, _>>()?)
            }
            b'"' => scalar(again(written).map_err(wrong)?, false),
            b'n' => Content::Null,
            _ => scalar(written.to_owned(), true),
        };
        Ok(Node { span, content })
    }

    fn entries(&mut self, written: &'a str, depth: usize) -> Result<Vec<Entry>, SyntaxError> {
        let span = self.span(written);
        let Members(members) = again(written).map_err(|message| SyntaxError { message, span })?;
        let mut entries = Vec::with_capacity(members.len());
        let mut keys = HashSet::with_capacity(members.len());
        for (key, value) in members {
            let span = self.span(key.get());
            let wrong = |message: String| SyntaxError { message, span };
            let key: String = again(key.get()).map_err(wrong)?;
            if !keys.insert(key.clone()) {
                return Err(wrong(format!("duplicate mapping key: {key}")));
            }
            entries.push(Entry::new(key, span, self.node(value, depth + 1)?));
        }
        Ok(entries)
    }

    /// Where a part of the text is.
    fn span(&mut self, part: &str) -> Span {
        // a slice of the text
        let start = part.as_ptr().addr() - self.text.as_ptr().addr();
        let place = &mut self.place;
        for c in self.text[place.at..start].chars() {
            (place.line, place.column) = if c == '\n' { (place.line + 1, 1) } else { (place.line, place.column + 1) };
        }
        place.at = start;
        Span { line: place.line, column: place.column, start, end: start + part.len() }
    }
}

fn scalar(text: String, plain: bool) -> Content {
    Content::Scalar(Scalar { text, expanded: false, secret: false, plain })
}

/// Reads a part that was found to be JSON. What may still be wrong: an escape that stands for no character.
fn again<'a, T: Deserialize<'a>>(part: &'a str) -> Result<T, String> {
    serde_json::from_str(part).map_err(|error| {
        let message = error.to_string();
        message.split(" at line ").next().unwrap_or(&message).to_owned()
    })
}

/// A map, as it is written.
struct Members<'a>(Vec<(&'a RawValue, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor).map(Self)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Vec<(&'de RawValue, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(members)
    }
}
