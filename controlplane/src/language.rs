//! The configuration language: what people write, read from YAML or JSON into types, with every mistake found at
//! once and shown where it is.
//!
//! The steps of [`load`] are its modules: `tree` (text to values with places), `foreign` and `shorthand` (other words
//! for the same), `later` (words of later versions), `expand` (variables), `reader` (values to the types of `config` and `server`). What the words
//! *mean* is the business of [`crate::compile`].

mod balance;
mod config;
mod credential;
mod curation;
pub(crate) mod env_file;
mod expand;
mod fault;
mod foreign;
mod issuer;
mod jsonc;
mod later;
pub(crate) mod mask;
mod merge;
mod object;
mod path;
mod policy;
mod reader;
mod schema;
mod sensitive;
mod server;
mod shorthand;
#[cfg(test)]
mod tests;
mod tree;
mod value;
mod variables;

use std::collections::HashSet;

pub use balance::{Balance, Endpoint, HealthCheck, Retries};
pub use config::{
    Authentication, Certificate, Client, Config, Door, Features, Limits, LogLevel, Monitoring, Prefix, Proxy,
    RateLimiting, Scope, Seconds, Secret, SessionStore, Sessions, Tracing,
};
pub use credential::{Auth, AuthKind, ClientAuthentication, Credentials};
pub use curation::{PromptEdit, Prompts, Resources, ToolEdit, Tools};
pub use fault::{Fault, Rejected, Source};
pub use foreign::found::{Found, found};
pub use issuer::{Issuer, TlsClients};
pub use merge::{Addition, merge, servers};
pub use object::{Kind, MASK, Object, Part, Secrets, Spec, Split, join, slug, split, unlike};
pub use path::{Path, Segment};
pub use policy::{Action, Limit, Per, Policy, Rule};
pub(crate) use reader::suggestion;
pub use schema::schema;
pub use sensitive::Sensitive;
pub use server::{Isolation, Protocol, Server, Transport};
pub use tree::Span;
pub use value::Value;
pub use variables::Variables;

use expand::Names;
use fault::Place;
use tree::Content;

/// Largest text read, 8 MiB: far above any configuration, and small enough to hold several times.
const MAX_TEXT: usize = 8 << 20;

/// A configuration that was read.
pub struct Loaded {
    /// What it says.
    pub config: Config,
    /// Its text, to show what is said about it.
    pub source: Source,
    /// Accepted, but perhaps not what was meant.
    pub warnings: Vec<Fault>,
}

/// Reads a configuration. `name` is what messages call it, usually the file's path.
///
/// # Errors
///
/// Every fault found.
pub fn load(name: &str, text: String, variables: &Variables) -> Result<Loaded, Box<Rejected>> {
    let mut source = Source { name: name.to_owned(), text, tree: None, hidden: Vec::new() };
    let mut warnings = Vec::new();
    match read(&mut source, variables, &mut warnings) {
        Ok(config) => Ok(Loaded { config, source, warnings }),
        Err(faults) => Err(Box::new(Rejected { source, faults })),
    }
}

fn read(source: &mut Source, variables: &Variables, warnings: &mut Vec<Fault>) -> Result<Config, Vec<Fault>> {
    if source.text.len() > MAX_TEXT {
        source.text.clear();
        return Err(vec![Fault::value(
            Path::default(),
            format!("the configuration is larger than {} MiB", MAX_TEXT >> 20),
        )]);
    }
    let plain = jsonc::plain(&source.text);
    let is_json = std::path::Path::new(&source.name).extension().is_some_and(|end| end.eq_ignore_ascii_case("json"));
    let parsed = if is_json { tree::json::parse(&plain) } else { tree::parse(&plain) };
    let mut tree = parsed.map_err(|error| {
        let is_yaml = is_json && tree::parse(&plain).is_ok();
        let fault = syntax_fault(error, &source.text);
        vec![if is_yaml {
            fault.advise("a file called `….json` is read as JSON; call it `….yaml` if it is YAML")
        } else {
            fault
        }]
    })?;
    if !matches!(tree.content, Content::Map(_)) {
        let fault = Fault::value(Path::default(), "the configuration is not a map of settings");
        return Err(vec![fault.advise("a configuration begins with `servers:`, or `{\"servers\": …}`")]);
    }
    let hidden = mask::credentials(&tree);
    let of_projects = foreign::of_projects(&tree);
    let inputs = foreign::translate(&mut tree, warnings);
    match (of_projects, &inputs) {
        (Some(fault), None) => return Err(vec![fault]),
        (Some(fault), Some(_)) => warnings.push(fault),
        (None, _) => {}
    }
    if inputs.is_some() {
        source.hidden = hidden;
    }
    shorthand::unfold(&mut tree);
    let mut faults = Vec::new();
    let names = Names { variables, inputs: inputs.as_ref() };
    expand::expand(&mut tree, &Path::default(), &names, &mut faults);
    // A server that is switched off may wait for its variables.
    let off = disabled(&tree);
    faults.retain(|fault: &Fault| !off.iter().any(|server| fault.path.is_within(server)));
    shorthand::rename_transports(&mut tree);
    faults.extend(later::later(&tree));
    let known: HashSet<Path> = faults.iter().map(|fault| fault.path.clone()).collect();
    let (config, found) = reader::read::<Config>(&tree, known);
    let config = Config { foreign: inputs.is_some(), ..config };
    faults.extend(found);
    source.tree = Some(tree);
    faults.sort_by_key(|fault| source.position(fault));
    if faults.is_empty() { Ok(config) } else { Err(faults) }
}

/// The paths of the servers that are switched off.
fn disabled(tree: &tree::Node) -> Vec<Path> {
    let servers = tree.get("servers").map_or(&[][..], tree::Node::entries);
    let says = |server: &tree::Node, key, word| server.get(key).and_then(tree::Node::text) == Some(word);
    let off = servers.iter().filter(|s| says(&s.value, "disabled", "true") || says(&s.value, "enabled", "false"));
    off.map(|server| Path::of(["servers", &server.key])).collect()
}

fn syntax_fault(error: tree::SyntaxError, text: &str) -> Fault {
    let line = text.lines().nth(error.span.line.saturating_sub(1)).unwrap_or_default();
    let unquoted = line.contains("${") && line.contains(['{', '[']) && !line.contains("\"${");
    let fault = Fault { place: Place::Exactly(error.span), ..Fault::value(Path::default(), error.message) };
    if unquoted {
        fault.advise("inside `{…}` and `[…]`, quote variables: `\"${NAME}\"`")
    } else if fault.message.starts_with("tabs") {
        fault.advise("YAML is indented with spaces")
    } else {
        fault
    }
}
