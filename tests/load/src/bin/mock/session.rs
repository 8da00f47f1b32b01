//! Sessions of the legacy era: whose each is, and the version it was opened with.

use std::collections::HashMap;

use sluice_load::protocol::LEGACY;

/// Digits of a session id: as long as those of real servers.
const DIGITS: usize = 32;

/// An id as the header carries it.
pub(crate) type Id = [u8; DIGITS];

struct Session {
    server: usize,
    version: &'static str,
}

/// Why a request belongs to no session (2025-11-25 *Session Management*).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoSession {
    Missing,
    Unknown,
    /// `MCP-Protocol-Version` is not what was agreed.
    Version,
}

/// All open sessions of the process.
#[derive(Default)]
pub(crate) struct Sessions {
    open: HashMap<Id, Session>,
    opened: u64,
}

impl Sessions {
    /// Opens one. The id cannot be told from the one before.
    pub(crate) fn open(&mut self, server: usize, version: &'static str) -> Id {
        self.opened += 1;
        let scattered = u128::from(self.opened).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        let mut id = [0; DIGITS];
        for (at, digit) in id.iter_mut().enumerate() {
            *digit = b"0123456789abcdef"[(scattered >> (4 * at)) as usize & 0xf];
        }
        self.open.insert(id, Session { server, version });
        id
    }

    /// The session a request names, if it is this server's.
    pub(crate) fn find(&self, server: usize, id: Option<&[u8]>, version: Option<&[u8]>) -> Result<Id, NoSession> {
        let id: Id = id.ok_or(NoSession::Missing)?.try_into().map_err(|_| NoSession::Unknown)?;
        let session = self.open.get(&id).filter(|session| session.server == server).ok_or(NoSession::Unknown)?;
        if version != Some(session.version.as_bytes()) {
            return Err(NoSession::Version);
        }
        Ok(id)
    }

    /// Ends one.
    pub(crate) fn end(&mut self, id: &Id) {
        self.open.remove(id);
    }
}

/// The revision to speak with a client that asked for one: its own if it is legacy, else the newest.
pub(crate) fn agreed(asked: Option<&str>) -> &'static str {
    ["2024-11-05", "2025-03-26", "2025-06-18"].into_iter().find(|known| asked == Some(known)).unwrap_or(LEGACY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_one_servers_and_speaks_one_version() {
        let mut sessions = Sessions::default();
        let id = sessions.open(3, LEGACY);
        assert_ne!(id, sessions.open(3, LEGACY));
        let version = Some(LEGACY.as_bytes());
        assert_eq!(sessions.find(3, Some(&id), version), Ok(id));
        assert_eq!(sessions.find(3, None, version), Err(NoSession::Missing));
        assert_eq!(sessions.find(4, Some(&id), version), Err(NoSession::Unknown));
        assert_eq!(sessions.find(3, Some(&id), None), Err(NoSession::Version));
        sessions.end(&id);
        assert_eq!(sessions.find(3, Some(&id), version), Err(NoSession::Unknown));
    }
}
