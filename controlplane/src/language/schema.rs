//! The JSON Schema of the language, for editors: `sluice schema`.

use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use schemars::{JsonSchema, Schema};
use serde_json::{Value, json};

use super::config::{Config, Secret};
use super::credential::ClientAuthentication;

/// The schema, draft 2020-12.
#[must_use]
pub fn schema() -> Value {
    let mut schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Config>();
    OrVariable.transform(&mut schema);
    schema.to_value()
}

/// `auth`, as a schema says it best: a reference, or one shape per kind.
#[derive(JsonSchema)]
#[schemars(untagged, deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used; values are read as `credential::Auth`")]
pub(super) enum Auth {
    /// One of `credentials`.
    Named {
        /// Its name.
        credential: String,
    },
    /// A credential of this server alone.
    Own(Credential),
}

/// A credential, as a schema says it best: one shape per kind.
#[derive(JsonSchema)]
#[schemars(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used; values are read as `credential::Auth`")]
pub(super) enum Credential {
    /// `Authorization: Bearer TOKEN`.
    Bearer {
        /// The token; better as `${VARIABLE}` or where it is than in the file.
        token: Sensitive,
    },
    /// `Authorization: Basic …`.
    Basic {
        /// `user:password`; better as `${VARIABLE}` or where it is than in the file.
        credentials: Sensitive,
    },
    /// A header of its own.
    Header {
        /// The name of the header.
        name: String,
        /// Its value; better as `${VARIABLE}` or where it is than in the file.
        value: Sensitive,
    },
    /// `Authorization: Bearer TOKEN`, with a token that the gateway obtains by the client credentials grant of OAuth 2, and
    /// again before it expires.
    OauthClientCredentials {
        /// Where tokens are obtained; or else `issuer`.
        token_url: Option<String>,
        /// The authorization server, whose metadata (RFC 8414) says where tokens are obtained; or else `token_url`.
        issuer: Option<String>,
        /// Whose tokens.
        client_id: String,
        /// Proves that to the authorization server; or else `private_key`.
        client_secret: Option<Sensitive>,
        /// How. Default: `private_key_jwt` with a `private_key`, else `basic`.
        client_authentication: Option<ClientAuthentication>,
        /// A private key that signs assertions, PEM.
        private_key: Option<Sensitive>,
        /// What the authorization server calls that key.
        key_id: Option<String>,
        /// What the tokens are to allow. Default: what the authorization server thinks right.
        scopes: Option<Vec<String>>,
        /// Whom the tokens are for (RFC 8707), or `none`. Default: the server's `url`.
        resource: Option<String>,
    },
}

/// A value that may be a credential, or where it is.
#[derive(JsonSchema)]
#[schemars(untagged, inline, deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used; values are read as `sensitive::Sensitive`")]
pub(super) enum Sensitive {
    /// The value itself.
    Value(Secret),
    /// What `sluice secret set NAME` was given.
    Secret {
        /// The name of the secret.
        secret: String,
    },
    /// A variable of the environment of the node that needs it.
    Environment {
        /// The name of the variable.
        env: String,
    },
    /// A file of the node that needs it; a line break at its end is left out. It counts anew when it changes.
    File {
        /// Its path, relative to the file that names it.
        file: String,
    },
}

/// A place where a server runs.
#[derive(JsonSchema)]
#[schemars(untagged, inline)]
#[expect(dead_code, reason = "only its schema is used; URLs are unfolded before values are read")]
pub(super) enum Place {
    /// Its URL.
    Url(String),
    /// Its URL, and its share.
    Endpoint(super::balance::Endpoint),
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
        let auth = schema["$defs"]["Credential"]["oneOf"].as_array().unwrap();
        let of_auth = |field: &str| auth.iter().find_map(|kind| kind["properties"].get(field)).unwrap();
        for (place, marked) in [
            (&server["headers"]["additionalProperties"], true),
            (&server["env"]["additionalProperties"], true),
            (&schema["$defs"]["Client"]["properties"]["api_key"], true),
            (&schema["$defs"]["ToolEdit"]["properties"]["forced"]["additionalProperties"], true),
            (of_auth("token"), true),
            (of_auth("credentials"), true),
            (of_auth("value"), true),
            (of_auth("client_secret"), true),
            (of_auth("private_key"), true),
            (of_auth("name"), false),
            (of_auth("client_id"), false),
            (&server["url"], false),
        ] {
            assert_eq!(place.to_string().contains(r#""x-secret":true"#), marked, "{place}");
        }
    }
}
