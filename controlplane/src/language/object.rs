//! Objects: the configuration cut into its named parts, which are changed and kept one by one, and joined again to be read.
//!
//! An object is one entry of a map of the document, in the words of the language, with variables expanded and shorthands
//! unfolded. `proxy` and `features` have one object each, called like its kind.

mod join;
mod json;
mod kind;
mod name;
mod secret;
mod spec;
mod split;
#[cfg(test)]
mod tests;
mod words;

pub use join::join;
pub use kind::Kind;
pub use name::{slug, unlike};
pub use secret::{MASK, Secrets};
pub use spec::Spec;
pub use split::{Part, Split, split};

use super::fault::Fault;
use super::path::Path;

/// A named part of the configuration.
#[derive(Clone)]
pub struct Object {
    /// What it is.
    pub kind: Kind,
    /// Its name, unlike those of others of its kind.
    pub name: String,
    /// What it says.
    pub spec: Spec,
}

impl Object {
    /// Reads an object that did not come from a file.
    ///
    /// # Errors
    ///
    /// The kind is unknown, the name unusable, or the text no JSON object.
    pub fn parse(kind: &str, name: &str, json: &str) -> Result<Self, Fault> {
        let kind = Kind::parse(kind)?;
        name::check(kind, name)?;
        let spec = Spec::parse(kind, name, json)?;
        Ok(Self { kind, name: name.to_owned(), spec })
    }

    /// Where it is in a document.
    #[must_use]
    pub fn path(&self) -> Path {
        self.kind.path(&self.name)
    }
}
