//! What a rule is about: servers, and what of them.

use sluice_mcp::{readings, template_matches};

use crate::model::Pattern;

/// What a rule is about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Coverage {
    /// By the servers' names.
    pub servers: Vec<Pattern>,
    /// All of them, also what is neither tool nor prompt nor resource. The lists below are empty then.
    pub everything: bool,
    /// By the servers' own names.
    pub tools: Vec<Pattern>,
    /// By the servers' own names.
    pub prompts: Vec<Pattern>,
    /// By URI, or by template as it is written.
    pub resources: Vec<Pattern>,
}

/// What a message is about, by the server's own name of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Object<'a> {
    /// None of the others: the server as such.
    Server,
    /// A tool.
    Tool(&'a str),
    /// A prompt.
    Prompt(&'a str),
    /// A resource, by its URI.
    Resource(&'a str),
    /// A template of resources, as it is written.
    Template(&'a str),
}

impl<'a> Object<'a> {
    /// Its name; empty for the server as such.
    #[must_use]
    pub fn name(&self) -> &'a str {
        match self {
            Self::Server => "",
            Self::Tool(name) | Self::Prompt(name) | Self::Resource(name) | Self::Template(name) => name,
        }
    }
}

impl Coverage {
    /// Whether it is about a server, or something of it.
    #[must_use]
    pub fn has_server(&self, server: &str) -> bool {
        self.servers.iter().any(|pattern| pattern.matches(server))
    }

    /// Whether it is surely about an object of one of its servers: however the server may read a URI.
    #[must_use]
    pub fn has(&self, object: Object<'_>) -> bool {
        self.everything
            || match object {
                Object::Server => false,
                Object::Tool(name) => any(&self.tools, name),
                Object::Prompt(name) => any(&self.prompts, name),
                Object::Template(template) => self.resources.iter().any(|pattern| pattern.matches_uri(template)),
                Object::Resource(uri) => {
                    !self.resources.is_empty() && readings(uri).iter().all(|uri| self.has_reading(uri))
                }
            }
    }

    /// Whether it may be about an object of one of its servers: in one of the ways the server may read a URI. Denials go by
    /// this, so that no spelling gets around them.
    #[must_use]
    pub fn may_have(&self, object: Object<'_>) -> bool {
        match object {
            Object::Resource(uri) => self.everything || readings(uri).iter().any(|uri| self.has_reading(uri)),
            other => self.has(other),
        }
    }

    fn has_reading(&self, uri: &str) -> bool {
        self.resources.iter().any(|pattern| {
            // `db://table/{id}` stands for what is made from it
            pattern.matches_uri(uri) || (pattern.as_str().contains('{') && template_matches(pattern.as_str(), uri))
        })
    }
}

fn any(patterns: &[Pattern], name: &str) -> bool {
    patterns.iter().any(|pattern| pattern.matches(name))
}
