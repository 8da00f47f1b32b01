//! The words for what of a server's offer clients see, and how.
//!
//! Patterns stand for whole names: `*` for any text, `?` for one character.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;

use super::value::Value;

/// Which tools clients see, and how.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tools {
    /// Patterns of names that are shown. Default: all. A list in place of this map means the same.
    pub allow: Option<Vec<String>>,
    /// Patterns of names that are not shown and cannot be called; they win over `allow`.
    pub deny: Vec<String>,
    /// Tools that are shown or called in another way, by the server's own names.
    pub edit: IndexMap<String, ToolEdit>,
}

/// How a tool is shown and called. What is left out stays as the server says it.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ToolEdit {
    /// Its name where all servers are one (`/mcp`), before the server's prefix: letters, digits, `_`, `-` and `.`.
    pub name: Option<String>,
    /// Its title.
    pub title: Option<String>,
    /// Its description.
    pub description: Option<String>,
    /// Annotations, such as `readOnlyHint: true`; others stay as they are.
    pub annotations: IndexMap<String, Value>,
    /// Arguments that are set where the caller leaves them out: any values. Clients see them in the tool's schema; what must
    /// stay secret belongs in `forced`.
    pub defaults: IndexMap<String, Value>,
    /// Arguments that are always set, and not shown to clients: any values.
    #[schemars(with = "IndexMap<String, super::schema::Hidden>")]
    pub forced: IndexMap<String, Value>,
}

/// Which prompts clients see, and how.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Prompts {
    /// Patterns of names that are shown. Default: all. A list in place of this map means the same.
    pub allow: Option<Vec<String>>,
    /// Patterns of names that are not shown; they win over `allow`.
    pub deny: Vec<String>,
    /// Prompts that are shown in another way, by the server's own names.
    pub edit: IndexMap<String, PromptEdit>,
}

/// How a prompt is shown. What is left out stays as the server says it.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PromptEdit {
    /// Its name where all servers are one (`/mcp`), before the server's prefix: letters, digits, `_`, `-` and `.`.
    pub name: Option<String>,
    /// Its title.
    pub title: Option<String>,
    /// Its description.
    pub description: Option<String>,
}

/// Which resources clients see. Patterns stand for URIs, and for templates as they are written.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Resources {
    /// Patterns of URIs that are shown. Default: all. A list in place of this map means the same.
    pub allow: Option<Vec<String>>,
    /// Patterns of URIs that are not shown and cannot be read; they win over `allow`.
    pub deny: Vec<String>,
}
