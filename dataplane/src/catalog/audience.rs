//! Whom a server shows the same.

use sluice_mcp::Era;

use crate::auth::{Principal, PrincipalId};
use crate::seal;

/// On what a server's lists may depend: two clients of one audience see the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Audience {
    pub era: Era,
    /// A digest of the capabilities the client declared, `None` for none: servers show tools that need a capability only to
    /// clients that have it.
    pub declared: Option<[u8; 16]>,
    /// Where the configuration separates clients further, whom the lists were fetched for.
    pub holder: Holder,
}

/// Whom lists were fetched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Holder {
    Everybody,
    Principal(PrincipalId),
    Session([u8; 16]),
}

impl Holder {
    /// A client without a session: anonymous ones share nothing.
    pub(crate) fn sessionless(principal: &Principal) -> Self {
        match principal.anonymous {
            true => Self::Session(seal::random()),
            false => Self::Principal(principal.id),
        }
    }
}

impl Audience {
    /// Whether nobody asks for this audience again: a modern client nobody knows is another one with each request.
    pub(crate) fn is_for_once(&self) -> bool {
        self.era == Era::Modern && matches!(self.holder, Holder::Session(_))
    }
}
