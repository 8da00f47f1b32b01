//! How far the stream of one server got, of several that a client's stream gathers: with it, the server can be asked for the rest.

use std::sync::Arc;

use bytes::Bytes;

/// A place in the stream of one part of a merged session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Position {
    pub server: Arc<str>,
    /// That of the part's session: with another one the server knows nothing of the stream.
    pub epoch: u64,
    /// The server's own id of the last event.
    pub id: Bytes,
}

/// Those of several parts, the newest first; one of each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Positions(Vec<Position>);

impl Positions {
    /// A part has got further.
    pub(crate) fn advance(&mut self, position: Position) {
        self.0.retain(|before| before.server != position.server);
        self.0.insert(0, position);
    }

    /// That of one part.
    pub(crate) fn of(&self, server: &str) -> Option<&Position> {
        self.0.iter().find(|at| *at.server == *server)
    }

    /// Takes out that of one part.
    pub(crate) fn take(&mut self, server: &str) -> Option<Position> {
        let at = self.0.iter().position(|at| *at.server == *server)?;
        Some(self.0.remove(at))
    }

    /// Keeps those for which this is so.
    pub(crate) fn retain(&mut self, are: impl FnMut(&Position) -> bool) {
        self.0.retain(are);
    }

    /// Writes as many as fit into so many bytes. Whoever resumes the stream is told what it may have missed of the others.
    pub(super) fn write(&self, out: &mut Vec<u8>, room: usize) {
        let end = out.len() + room;
        for Position { server, epoch, id } in &self.0 {
            let lengths = (u8::try_from(server.len()), u8::try_from(id.len()));
            let (Ok(server_length), Ok(id_length)) = lengths else { continue };
            if out.len() + 2 + 8 + server.len() + id.len() > end {
                continue;
            }
            out.push(server_length);
            out.extend_from_slice(server.as_bytes());
            out.extend_from_slice(&epoch.to_be_bytes());
            out.push(id_length);
            out.extend_from_slice(id);
        }
    }

    /// Reads them; `None` for what was not so written.
    pub(super) fn read(mut text: &[u8]) -> Option<Self> {
        let mut positions = Vec::new();
        while let Some((length, rest)) = text.split_first() {
            let (server, rest) = rest.split_at_checked(usize::from(*length))?;
            let (epoch, rest) = rest.split_first_chunk()?;
            let (length, rest) = rest.split_first()?;
            let (id, rest) = rest.split_at_checked(usize::from(*length))?;
            positions.push(Position {
                server: std::str::from_utf8(server).ok()?.into(),
                epoch: u64::from_be_bytes(*epoch),
                id: Bytes::copy_from_slice(id),
            });
            text = rest;
        }
        Some(Self(positions))
    }
}
