//! The JSON Schema of the language, for editors: `sluice schema`.

use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use schemars::{JsonSchema, Schema};
use serde_json::{Value, json};

use super::config::{Config, Secret};

/// The schema, draft 2020-12.
#[must_use]
pub fn schema() -> Value {
    let mut schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Config>();
    OrVariable.transform(&mut schema);
    schema.to_value()
}

/// `auth`, as a schema says it best: one shape per kind.
#[derive(JsonSchema)]
#[schemars(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used; values are read as `server::Auth`")]
pub(super) enum Auth {
    /// `Authorization: Bearer TOKEN`.
    Bearer {
        /// The token; better as `${VARIABLE}` than in the file.
        token: Secret,
    },
    /// `Authorization: Basic …`.
    Basic {
        /// `user:password`; better as `${VARIABLE}` than in the file.
        credentials: Secret,
    },
    /// A header of its own.
    Header {
        /// The name of the header.
        name: String,
        /// Its value; better as `${VARIABLE}` than in the file.
        value: Secret,
    },
}

/// Any value, that is never shown.
#[derive(JsonSchema)]
#[schemars(transparent, inline, extend("x-secret" = true))]
#[expect(dead_code, reason = "only its schema is used; values are read as `value::Value`")]
pub(super) struct Hidden(Value);

/// `transport`, with the names other programs use.
#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
#[expect(dead_code, reason = "only its schema is used; values are read as `server::Transport`")]
pub(super) enum Transport {
    /// Started here, spoken to over standard input and output.
    Stdio,
    /// Streamable HTTP.
    Http,
    /// Streamable HTTP.
    StreamableHttp,
    /// HTTP+SSE of 2024-11-05.
    Sse,
    /// WebSocket, one message per text frame.
    Websocket,
    /// WebSocket, one message per text frame.
    Ws,
}

/// What is shown: a map, or the list of patterns that is its `allow`.
#[derive(JsonSchema)]
#[schemars(untagged, inline)]
#[expect(dead_code, reason = "only its schema is used; lists are unfolded before values are read")]
pub(super) enum Shown<T> {
    /// Patterns of what is shown.
    Allow(Vec<String>),
    /// What is shown, and how.
    Map(T),
}

/// Where something else than a text is expected, a text with a variable will do.
struct OrVariable;

impl Transform for OrVariable {
    fn transform(&mut self, schema: &mut Schema) {
        transform_subschemas(self, schema);
        if schema.get("default").is_some_and(Value::is_null) {
            schema.remove("default");
        }
        let types = match schema.get("type") {
            Some(Value::String(name)) => vec![name.as_str()],
            Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let scalar = types.iter().any(|name| matches!(*name, "integer" | "number" | "boolean"));
        let closed = schema.get("enum").is_some();
        if !(scalar || closed) {
            return;
        }
        let variable = json!({"type": "string", "pattern": "\\$\\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\\}"});
        let mut outer = json!({});
        for note in ["description", "title"] {
            if let Some(text) = schema.remove(note) {
                outer[note] = text;
            }
        }
        outer["anyOf"] = json!([schema.clone().to_value(), variable]);
        if let Ok(outer) = Schema::try_from(outer) {
            *schema = outer;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_secret_is_marked() {
        let schema = schema();
        let server = &schema["$defs"]["Server"]["properties"];
        let auth = schema["$defs"]["Auth"]["oneOf"].as_array().unwrap();
        let of_auth = |field: &str| auth.iter().find_map(|kind| kind["properties"].get(field)).unwrap();
        for (place, marked) in [
            (&server["headers"]["additionalProperties"], true),
            (&server["env"]["additionalProperties"], true),
            (&schema["$defs"]["Client"]["properties"]["api_key"], true),
            (&schema["$defs"]["ToolEdit"]["properties"]["forced"]["additionalProperties"], true),
            (of_auth("token"), true),
            (of_auth("credentials"), true),
            (of_auth("value"), true),
            (of_auth("name"), false),
            (&server["url"], false),
        ] {
            assert_eq!(place.to_string().contains(r#""x-secret":true"#), marked, "{place}");
        }
    }
}
