//! The words for a server that runs in several places.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;

use super::config::Seconds;

/// A place where a server runs. Headers and `auth` are those of the server.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Endpoint {
    /// Where it is: `https://one.example.com/mcp`, or `unix:///run/one.sock`. All have the same scheme.
    pub url: String,
    /// How much of the requests it gets beside the others. Default: 1.
    pub weight: Option<u32>,
    /// Nodes with all of these labels prefer it: they use others while none of those they prefer is in service. Default: all
    /// nodes prefer it.
    pub labels: IndexMap<String, String>,
}

/// How requests are shared among the endpoints of a server.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Balance {
    /// Which requests that failed are sent once more, to another endpoint. Default: `unsent`, which no server can tell from
    /// a request that came once.
    pub retries: Option<Retries>,
    /// Of a hundred requests, so many may be sent once more, and ten a second beside these: endpoints that are all in trouble
    /// are not asked twice as much. Default: 20.
    pub retry_percent: Option<u32>,
    /// After so many failures in a row (no connection, broken off, no answer in time, 502, 503, 504 and other server errors
    /// that are not JSON) an endpoint gets no requests for a while. An error of MCP is none. Default: 5.
    pub eject_failures: Option<u32>,
    /// For so many seconds, then one request tries it; twice as long each time after, up to five minutes. Default: 2.
    pub eject_seconds: Option<Seconds>,
    /// At most so many of a hundred endpoints are out, rounded up, and never all: what is left has to carry the load.
    /// Default: 50.
    pub eject_percent: Option<u32>,
    /// Each node asks each endpoint how it is. Default: endpoints are judged by what becomes of requests alone.
    pub health_check: Option<HealthCheck>,
}

/// Which requests that failed are sent once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Retries {
    /// Those of which nothing was sent.
    #[default]
    Unsent,
    /// Also lists and reads, and calls of tools whose annotations say `readOnlyHint` or `idempotentHint`, where an endpoint
    /// broke off or answered 502, 503 or 504. The annotations are the server's own, or those of `tools.edit`.
    Idempotent,
}

/// How endpoints are asked how they are.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HealthCheck {
    /// GET of this path; well is what answers 200 to 299. Default: a question that every server of MCP answers, `ping` in a
    /// session of its own or `server/discover`.
    pub path: Option<String>,
    /// Seconds from one to the next. Default: 10.
    pub interval_seconds: Option<Seconds>,
    /// Seconds for the answer. Default: 2, or the interval if that is shorter.
    pub timeout_seconds: Option<Seconds>,
    /// Failures in a row after which an endpoint gets no requests. Default: 3, so that one lost packet is none.
    pub unhealthy: Option<u32>,
    /// Successes in a row after which it gets some again. Default: 2.
    pub healthy: Option<u32>,
}
