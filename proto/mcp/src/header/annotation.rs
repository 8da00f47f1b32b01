//! `x-mcp-header` annotations of a tool's input schema (streamable HTTP 2026-07-28, *Schema Extension*).

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::{HeaderError, PARAM_PREFIX, ParamHeader, ParamKind};

const ANNOTATION: &str = "x-mcp-header";

/// A schema nested deeper than this is not walked, and its tool invalid; the same bound as for messages.
const DEPTH: usize = 127;

/// The headers a tool asks for, in no particular order.
///
/// # Errors
///
/// [`HeaderError::Annotation`] if any annotation breaks a rule, or the schema is not a JSON object: the tool is invalid
/// and must be left out of lists.
pub fn param_headers(input_schema: &[u8]) -> Result<Vec<ParamHeader>, HeaderError> {
    if memchr::memmem::find(input_schema, b"header").is_none() && memchr::memchr(b'\\', input_schema).is_none() {
        return Ok(Vec::new());
    }
    let schema = serde_json::from_slice(input_schema)
        .map_err(|_| HeaderError::Annotation { at: String::new(), why: "is in a schema that is not JSON" })?;
    let mut walk = Walk { found: Vec::new(), names: HashSet::new(), path: Vec::new(), pointer: Vec::new() };
    walk.schema(&schema, true)?;
    Ok(walk.found)
}

struct Walk {
    found: Vec<ParamHeader>,
    names: HashSet<String>,
    /// Property names from the root; means something only while the place is reachable.
    path: Vec<String>,
    /// Where in the schema, for messages.
    pointer: Vec<String>,
}

impl Walk {
    /// `reachable`: only `properties` lie between here and the root.
    fn schema(&mut self, schema: &Value, reachable: bool) -> Result<(), HeaderError> {
        if self.pointer.len() > DEPTH {
            return self.refuse("lies too deep");
        }
        let map = match schema {
            Value::Object(map) => map,
            Value::Array(schemas) => {
                return schemas
                    .iter()
                    .enumerate()
                    .try_for_each(|(at, schema)| self.inside(at.to_string(), |walk| walk.schema(schema, false)));
            }
            _ => return Ok(()),
        };
        if let Some(name) = map.get(ANNOTATION) {
            self.annotation(name, map, reachable)?;
        }
        for (keyword, value) in map {
            self.inside(keyword.clone(), |walk| walk.keyword(keyword, value, reachable))?;
        }
        Ok(())
    }

    fn keyword(&mut self, keyword: &str, value: &Value, reachable: bool) -> Result<(), HeaderError> {
        match (keyword, value) {
            // Data, not schemas: what looks like an annotation there is somebody's value.
            ("const" | "default" | "enum" | "example" | "examples" | ANNOTATION, _) => Ok(()),
            ("properties", Value::Object(properties)) => properties.iter().try_for_each(|(name, schema)| {
                self.path.push(name.clone());
                let outcome = self.inside(name.clone(), |walk| walk.schema(schema, reachable));
                self.path.pop();
                outcome
            }),
            // Maps from names to schemas: their keys are no keywords.
            ("patternProperties" | "dependentSchemas" | "$defs" | "definitions", Value::Object(schemas)) => schemas
                .iter()
                .try_for_each(|(name, schema)| self.inside(name.clone(), |walk| walk.schema(schema, false))),
            _ => self.schema(value, false),
        }
    }

    fn annotation(&mut self, name: &Value, schema: &Map<String, Value>, reachable: bool) -> Result<(), HeaderError> {
        let Some(name) = name.as_str() else { return self.refuse("is not a string") };
        if name.is_empty() {
            return self.refuse("is empty");
        }
        if !name.bytes().all(is_tchar) {
            return self.refuse("is not a valid part of a header's name");
        }
        if !reachable || self.path.is_empty() {
            return self.refuse("is not on a property reached through properties alone");
        }
        let Some(kind) = primitive(schema.get("type")) else {
            return self.refuse("is not on a string, an integer or a boolean");
        };
        let header = format!("{PARAM_PREFIX}{}", name.to_ascii_lowercase());
        if !self.names.insert(header.clone()) {
            return self.refuse("names a header that another annotation names");
        }
        self.found.push(ParamHeader { header, path: self.path.clone(), kind });
        Ok(())
    }

    fn inside(
        &mut self,
        step: String,
        walk: impl FnOnce(&mut Self) -> Result<(), HeaderError>,
    ) -> Result<(), HeaderError> {
        self.pointer.push(step);
        let outcome = walk(self);
        self.pointer.pop();
        outcome
    }

    fn refuse(&self, why: &'static str) -> Result<(), HeaderError> {
        let at = self.pointer.iter().fold(String::new(), |at, step| at + "/" + step);
        Err(HeaderError::Annotation { at, why })
    }
}

/// The kind a `type` keyword stands for: one primitive, by itself or beside `null`.
fn primitive(kind: Option<&Value>) -> Option<ParamKind> {
    let one = |name: &Value| match name.as_str()? {
        "string" => Some(ParamKind::String),
        "integer" => Some(ParamKind::Integer),
        "boolean" => Some(ParamKind::Boolean),
        _ => None,
    };
    match kind? {
        Value::Array(kinds) => match kinds.as_slice() {
            [only] => one(only),
            [kind, null] | [null, kind] if null == "null" => one(kind),
            _ => None,
        },
        kind => one(kind),
    }
}

/// A character of an HTTP token (RFC 9110, section 5.6.2).
fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
