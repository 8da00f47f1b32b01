//! The configuration language: what people write, read from YAML or JSON into types, with every mistake found at
//! once and shown where it is.
//!
//! The steps of [`load`] are its modules: `tree` (text to values with places), `later` (words of other languages and
//! later versions), `expand` (variables), `reader` (values to the types of `config` and `server`). What the words
//! *mean* is the business of [`crate::compile`].

mod config;
mod expand;
mod fault;
mod later;
mod mask;
mod path;
mod reader;
mod schema;
mod server;
#[cfg(test)]
mod tests;
mod tree;
mod variables;

use std::collections::HashSet;

pub use config::{
    Authentication, Certificate, Client, Config, Door, Features, Limits, LogLevel, Monitoring, Proxy, RateLimiting,
    Seconds, Secret,
};
pub use fault::{Fault, Rejected, Source};
pub use path::{Path, Segment};
pub use schema::schema;
pub use server::{Auth, AuthKind, Isolation, Protocol, Server, Transport};
pub use tree::Span;
pub use variables::Variables;

use fault::Place;
use tree::Content;

/// Largest text read, 8 MiB: far above any configuration, and small enough to hold several times.
const MAX_TEXT: usize = 8 << 20;

/// Reads a configuration. `name` is what messages call it, usually the file's path.
///
/// # Errors
///
/// Every fault found.
pub fn load(name: &str, text: String, variables: &Variables) -> Result<(Config, Source), Box<Rejected>> {
    let mut source = Source { name: name.to_owned(), text, tree: None };
    match read(&mut source, variables) {
        Ok(config) => Ok((config, source)),
        Err(faults) => Err(Box::new(Rejected { source, faults })),
    }
}

fn read(source: &mut Source, variables: &Variables) -> Result<Config, Vec<Fault>> {
    if source.text.len() > MAX_TEXT {
        source.text.clear();
        return Err(vec![Fault::value(Path::default(), format!("is larger than {MAX_TEXT} bytes"))]);
    }
    let mut tree = tree::parse(&source.text).map_err(|error| vec![syntax_fault(error, &source.text)])?;
    if !matches!(tree.content, Content::Map(_)) {
        let fault = Fault::value(Path::default(), "is not a map of settings");
        return Err(vec![fault.advise("a configuration begins with `servers:`, or `{\"servers\": …}`")]);
    }
    if let Some(fault) = later::foreign(&tree) {
        source.tree = Some(tree);
        return Err(vec![fault]);
    }
    let mut faults = Vec::new();
    expand::expand(&mut tree, &Path::default(), variables, &mut faults);
    faults.extend(later::later(&tree));
    let known: HashSet<Path> = faults.iter().map(|fault| fault.path.clone()).collect();
    let (config, found) = reader::read(&tree, known);
    faults.extend(found);
    source.tree = Some(tree);
    faults.sort_by_key(|fault| source.position(fault));
    if faults.is_empty() { Ok(config) } else { Err(faults) }
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
