//! What the id of a kept event says: where it is kept, how far its client got, and what to tell it where nobody has it any more.

use bytes::Bytes;

use super::position::Positions;
use crate::limit;
use crate::peer::Home;
use crate::seal::{Binding, Kind, Seal};
use crate::session::Session;

/// A place in a stream whose events a node keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// The node.
    pub home: Home,
    pub stream: u64,
    /// The last event that came; 0 for none.
    pub number: u64,
    pub of: Of,
}

/// What a stream is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Of {
    /// The answer to the request with this raw id.
    Request(Bytes),
    /// A session's standing stream, and how far those of its parts got that number their events.
    Session(Positions),
}

const SESSION: u8 = 0;
const REQUEST: u8 = 1;
/// Of a sealed value: its expiry and its tag.
const SEAL_BYTES: usize = 8 + 16;
/// Of a value: home, stream, number and what it is.
const HEAD_BYTES: usize = Home::BYTES + 8 + 8 + 1;
/// What is left for positions, three bytes being four characters.
const POSITIONS_BYTES: usize = limit::EVENT_ID_CHARS / 4 * 3 - SEAL_BYTES - HEAD_BYTES;

impl Place {
    /// As the client gets it: good in its session only.
    pub(crate) fn sealed(&self, seal: &Seal, session: &Session) -> String {
        let mut value = Vec::with_capacity(HEAD_BYTES);
        value.extend_from_slice(&self.home.bytes());
        value.extend_from_slice(&self.stream.to_be_bytes());
        value.extend_from_slice(&self.number.to_be_bytes());
        match &self.of {
            Of::Request(id) => {
                value.push(REQUEST);
                value.extend_from_slice(id);
            }
            Of::Session(positions) => {
                value.push(SESSION);
                positions.write(&mut value, POSITIONS_BYTES);
            }
        }
        seal.seal(&binding(session), 0, &value)
    }

    /// The request whose answer it is a place in.
    pub(crate) fn request(&self) -> Option<&Bytes> {
        match &self.of {
            Of::Request(id) => Some(id),
            Of::Session(_) => None,
        }
    }

    /// Reads what a client brings back; `None` for what is not such an id of this session.
    pub(crate) fn open(seal: &Seal, session: &Session, text: &[u8]) -> Option<Self> {
        let value = seal.open(&binding(session), 0, text)?;
        let (home, rest) = value.split_first_chunk::<{ Home::BYTES }>()?;
        let (stream, rest) = rest.split_first_chunk()?;
        let (number, rest) = rest.split_first_chunk()?;
        let of = match rest.split_first()? {
            (&REQUEST, id) => Of::Request(Bytes::copy_from_slice(id)),
            (&SESSION, positions) => Of::Session(Positions::read(positions)?),
            _ => return None,
        };
        let (stream, number) = (u64::from_be_bytes(*stream), u64::from_be_bytes(*number));
        Some(Self { home: Home::from(*home), stream, number, of })
    }
}

fn binding(session: &Session) -> Binding<'_> {
    Binding { kind: Kind::Kept, principal: session.principal, server: "", context: &session.id.0 }
}
