//! The words for what clients may do.
//!
//! Patterns stand for whole names: `*` for any text, `?` for one character.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;

/// What some clients may do. What any policy allows and none denies is allowed; the order of things means nothing.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// Whom it is for: `role:NAME`, `client:NAME`, `jwt:ISSUER:SUBJECT`, `certificate:NAME`, `local` (stdio, and loopback
    /// without a key), `anonymous`, or `everybody`. Names may be patterns.
    pub who: Vec<String>,
    /// What they may do.
    pub allow: Vec<Rule>,
    /// What they must not do, whatever else allows it.
    pub deny: Vec<Rule>,
    /// How often, and how many at a time, each of them; all limits that cover a call hold.
    pub limit: Vec<Limit>,
    /// Only nodes with all of these labels get it. Default: all nodes. Policies that a node does not get still make what
    /// nothing allows there denied.
    pub nodes: IndexMap<String, String>,
}

/// What may, or must not, be done. Without `tools`, `prompts` and `resources` it is about everything of the servers; with any
/// of them, about nothing else.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Rule {
    /// Patterns of server names. Default: all.
    pub servers: Option<Vec<String>>,
    /// Patterns of the servers' own names of tools.
    pub tools: Option<Vec<String>>,
    /// Patterns of the servers' own names of prompts.
    pub prompts: Option<Vec<String>>,
    /// Patterns of URIs, or templates.
    pub resources: Option<Vec<String>>,
    /// Default: both.
    pub actions: Option<Vec<Action>>,
    /// With `allow`: scopes the client's token must have for calls. Without them a call is answered with what is missing.
    pub scopes: Vec<String>,
}

/// What is done with a tool, prompt or resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Seen in lists.
    List,
    /// Called, got, read, subscribed to, completed.
    Call,
}

/// How often, and how many at a time; one of the two, or both. What it covers is said as in a rule. It holds for all nodes together,
/// each of which has its share, unless `proxy.limits.scope` says otherwise.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limit {
    /// Patterns of server names. Default: all.
    pub servers: Option<Vec<String>>,
    /// Patterns of the servers' own names of tools.
    pub tools: Option<Vec<String>>,
    /// Patterns of the servers' own names of prompts.
    pub prompts: Option<Vec<String>>,
    /// Patterns of URIs, or templates.
    pub resources: Option<Vec<String>>,
    /// What of a client is counted together. Default: `principal`.
    pub per: Option<Per>,
    /// Calls in a minute.
    pub requests_per_minute: Option<u32>,
    /// Calls at a time.
    pub concurrent_requests: Option<u32>,
}

/// What of a client is counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Per {
    /// All its calls that are covered.
    #[default]
    Principal,
    /// Its calls of each tool, prompt or resource.
    Tool,
}
