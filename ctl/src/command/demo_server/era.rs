//! The two generations of the protocol: *legacy* opens with `initialize`, *modern* sends everything in each request.

use rmcp::{RoleServer, model::ProtocolVersion, service::RequestContext};

/// The generations a demo server agrees to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Era {
    /// Every version, 2024-11-05 to 2026-07-28
    Both,
    /// Only versions that open with `initialize`, up to 2025-11-25
    Legacy,
    /// Only 2026-07-28, without sessions
    Modern,
}

impl Era {
    /// The protocol versions to offer and accept, oldest first.
    ///
    /// A request in any other version is answered by the SDK with −32022 and this list. A server that was really
    /// written before 2026-07-28 says −32601 to `server/discover` instead; the SDK has no setting for that.
    pub(super) fn versions(self) -> &'static [ProtocolVersion] {
        let all = ProtocolVersion::KNOWN_VERSIONS;
        let legacy = ProtocolVersion::known_up_to(&ProtocolVersion::LATEST_WITH_INITIALIZE).len();
        match self {
            Self::Both => all,
            Self::Legacy => &all[..legacy],
            Self::Modern => &all[legacy..],
        }
    }
}

/// Whether this request came in the modern form, where the server may not send requests of its own.
pub(super) fn is_modern(context: &RequestContext<RoleServer>) -> bool {
    context.protocol_version().is_some_and(|version| !version.has_initialize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_eras_share_no_version_and_leave_none_out() {
        let both: Vec<_> = [Era::Legacy.versions(), Era::Modern.versions()].concat();
        assert_eq!(both, Era::Both.versions());
        assert_eq!(Era::Modern.versions(), [ProtocolVersion::V_2026_07_28]);
    }
}
