//! The kinds of objects: one per map of the document.

use std::fmt;

use super::super::fault::Fault;
use super::super::path::Path;
use super::super::suggestion;

/// A kind of objects, in the order in which they are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The gateway itself; there is one.
    Proxy,
    /// What is switched on; there is one.
    Features,
    /// An MCP server.
    Server,
    /// A client known by API key.
    Client,
    /// Who may do what.
    Policy,
    /// What is shown to servers.
    Credential,
    /// Whose tokens count.
    Issuer,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 7] =
        [Self::Proxy, Self::Features, Self::Server, Self::Client, Self::Policy, Self::Credential, Self::Issuer];

    /// What one object of the kind is called.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Proxy => "proxy",
            Self::Features => "features",
            Self::Server => "server",
            Self::Client => "client",
            Self::Policy => "policy",
            Self::Credential => "credential",
            Self::Issuer => "issuer",
        }
    }

    /// The map of the document they are in.
    #[must_use]
    pub fn map(self) -> &'static str {
        match self {
            Self::Proxy => "proxy",
            Self::Features => "features",
            Self::Server => "servers",
            Self::Client => "clients",
            Self::Policy => "policies",
            Self::Credential => "credentials",
            Self::Issuer => "issuers",
        }
    }

    /// There is one object of the kind, called like it.
    #[must_use]
    pub fn is_single(self) -> bool {
        matches!(self, Self::Proxy | Self::Features)
    }

    /// The kind of that name, in the singular or as its map is called.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name || kind.map() == name)
    }

    /// As [`named`](Self::named), with what to do about a name that is none.
    ///
    /// # Errors
    ///
    /// There is no such kind.
    pub fn parse(name: &str) -> Result<Self, Fault> {
        Self::named(name).ok_or_else(|| {
            let fault = Fault::key(Path::of([name]), format!("`{}` is no kind of object", name.escape_debug()));
            fault.advise(suggestion(name, &Self::ALL.map(Self::as_str), "kind"))
        })
    }

    /// Where an object of the kind is in a document.
    #[must_use]
    pub fn path(self, name: &str) -> Path {
        if self.is_single() { Path::of([self.map()]) } else { Path::of([self.map(), name]) }
    }

    /// The kind and name of the object that a path of a document leads to or through.
    #[must_use]
    pub fn of_path(path: &Path) -> Option<(Self, &str)> {
        use super::super::path::Segment;
        let mut segments = path.segments().iter();
        let Some(Segment::Key(map)) = segments.next() else { return None };
        let kind = Self::ALL.into_iter().find(|kind| kind.map() == map)?;
        match segments.next() {
            _ if kind.is_single() => Some((kind, kind.as_str())),
            Some(Segment::Key(name)) => Some((kind, name)),
            _ => None,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
