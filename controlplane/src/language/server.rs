//! The words for one MCP server.

use std::path::PathBuf;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;

use super::balance::{Balance, Endpoint};
use super::config::Seconds;
use super::credential::Auth;
use super::curation::{Prompts, Resources, Tools};
use super::sensitive::Sensitive;

/// An MCP server: `url` for one that is reached over the network, `command` for one that is started here.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// How it is reached. Default: `stdio` where there is a `command`; `websocket` where the `url` says so; else HTTP,
    /// and which of the two HTTP transports it is, is found out.
    pub transport: Option<Transport>,
    /// Where it is: `https://example.com/mcp`, `wss://example.com/ws`, or `unix:///run/server.sock`.
    pub url: Option<String>,
    /// Unix socket to connect to instead of the host in `url`, relative to the file that names it. Default `url` with
    /// it: `http://localhost/mcp`.
    pub socket: Option<PathBuf>,
    /// Where it is, if it runs in several places: URLs, or maps with a `url`. In place of `url`; streamable HTTP only.
    #[schemars(with = "Vec<super::schema::Place>")]
    pub endpoints: Vec<Endpoint>,
    /// How requests are shared among `endpoints`, and how these are looked after. A request goes to the less busy of two; a
    /// session stays where it was opened.
    pub balance: Option<Balance>,
    /// Headers sent with every request.
    pub headers: IndexMap<String, Sensitive>,
    /// What the gateway shows to be let in.
    #[schemars(with = "Option<super::schema::Auth>")]
    pub auth: Option<Auth>,
    /// The program to start; looked up in `PATH` when it has no slash.
    pub command: Option<String>,
    /// Its arguments, each as it is: no shell reads them.
    pub args: Vec<String>,
    /// Its environment, beyond `PATH`, `HOME` and the few others every program needs.
    pub env: IndexMap<String, Sensitive>,
    /// A file of more variables, `NAME=value` a line, relative to the file that names it; `env` wins.
    pub env_file: Option<PathBuf>,
    /// Its working directory, relative to the file that names it. Default: the gateway's own.
    pub cwd: Option<PathBuf>,
    /// Seconds without a byte or progress before a request is given up. Default: 60.
    pub timeout: Option<Seconds>,
    /// The era of MCP it speaks. Default: `auto`.
    pub protocol: Option<Protocol>,
    /// Which clients share a connection or process. Default: `auto`.
    pub isolation: Option<Isolation>,
    /// Only nodes with all of these labels get it. Default: all nodes. `sluice run` is a node without labels.
    pub nodes: IndexMap<String, String>,
    /// `false` leaves the server out. Default: true.
    pub enabled: Option<bool>,
    /// `true` leaves the server out. Default: false.
    pub disabled: Option<bool>,
    /// Which of its tools clients see, and how. Default: all, as they are.
    #[schemars(with = "super::schema::Shown<Tools>")]
    pub tools: Tools,
    /// Which of its prompts clients see, and how. Default: all, as they are.
    #[schemars(with = "super::schema::Shown<Prompts>")]
    pub prompts: Prompts,
    /// Which of its resources clients see. Default: all.
    #[schemars(with = "super::schema::Shown<Resources>")]
    pub resources: Resources,
}

impl Server {
    /// `false` when it is switched off.
    #[must_use]
    pub fn takes_part(&self) -> bool {
        self.enabled != Some(false) && self.disabled != Some(true)
    }
}

/// How a server is reached. Other names for the same are understood, such as `streamable-http` and `ws`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(with = "super::schema::Transport")]
pub enum Transport {
    /// Started here, spoken to over standard input and output.
    Stdio,
    /// Streamable HTTP.
    Http,
    /// HTTP+SSE of 2024-11-05; `url` is that of the event stream.
    Sse,
    /// WebSocket, one message per text frame.
    WebSocket,
}

impl Transport {
    /// What it is called in configurations.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stdio => "stdio",
            Self::Http => "http",
            Self::Sse => "sse",
            Self::WebSocket => "websocket",
        }
    }
}

/// The era of MCP a server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Found out and remembered.
    #[default]
    Auto,
    /// Sessions: 2024-11-05 to 2025-11-25.
    Legacy,
    /// Stateless: 2026-07-28 and later.
    Modern,
}

/// Which clients share a connection or process of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// Shared among clients that declare no sampling, elicitation or roots; the others get their own.
    #[default]
    Auto,
    /// One for everybody.
    Shared,
    /// One per client.
    PerPrincipal,
    /// One per client session.
    PerSession,
}
