//! Whom a child serves.

use aws_lc_rs::digest;
use sluice_mcp::path::member;
use sluice_mcp::{Message, Version, canonical_digest_input, decode_string};

use crate::auth::PrincipalId;

/// Whom a child serves.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    /// Every modern client.
    Modern,
    /// Every legacy client, because the configuration says so.
    Everybody,
    /// Legacy clients of the same kind.
    Shared(Kind),
    /// The same, of one principal.
    Principal(PrincipalId, Kind),
    /// One session.
    Session([u8; 16]),
}

/// What decides which legacy clients may share a child: the revision and the extensions they name, for both decide what a
/// server shows. What else a client says of itself does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Kind {
    version: Option<Version>,
    extensions: Option<[u8; 16]>,
}

impl Key {
    /// Whom a place counts for. Places that a client can multiply by what it says count for that client.
    pub(super) fn owner(&self, opener: PrincipalId) -> Option<PrincipalId> {
        match self {
            Self::Modern | Self::Everybody | Self::Shared(Kind { extensions: None, .. }) => None,
            Self::Shared(_) | Self::Principal(..) | Self::Session(_) => Some(opener),
        }
    }
}

impl Kind {
    /// The kind of the client that sent this `initialize`.
    pub(super) fn of(initialize: &[u8], message: &Message) -> Self {
        let version = message.p.protocol_version.map(|s| decode_string(s.of(initialize)));
        let version = version.and_then(|v| Version::parse(v.as_bytes()));
        let capabilities = message.p.capabilities.map_or(&b"{}"[..], |s| s.of(initialize));
        let extensions = member(capabilities, "extensions").ok().flatten().map(|s| s.of(capabilities));
        let extensions = extensions.filter(|e| *e != b"{}" && *e != b"null").map(|extensions| {
            let hash = digest::digest(&digest::SHA256, &canonical_digest_input(extensions));
            let mut short = [0; 16];
            short.copy_from_slice(&hash.as_ref()[..16]);
            short
        });
        Self { version, extensions }
    }
}
