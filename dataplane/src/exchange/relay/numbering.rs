//! Event ids: those of a server, sealed for the session whose stream they are of.

use smallvec::SmallVec;

use crate::exchange::handles::Handles;
use crate::seal::{Binding, Kind as Handle};
use crate::session::SessionId;

/// What a stream is bound to, for its event ids.
#[derive(Clone, Copy)]
pub(crate) struct Numbering {
    pub session: SessionId,
    pub epoch: u64,
    /// It is the standing stream, of which a session has one; else that of a call.
    pub stands: bool,
}

/// What is beside session and epoch in ids of the standing stream.
const STANDING: u8 = 1;

impl Numbering {
    fn context(&self) -> SmallVec<[u8; 25]> {
        let mut context = SmallVec::from_slice(&self.session.0);
        context.extend_from_slice(&self.epoch.to_be_bytes());
        context.extend(self.stands.then_some(STANDING));
        context
    }
}

/// Seals an event id of a server.
pub(crate) fn seal_event(handles: &Handles, numbering: Numbering, value: &[u8]) -> String {
    let context = numbering.context();
    let binding =
        Binding { kind: Handle::Event, principal: handles.principal, server: handles.server(), context: &context };
    handles.of_server(handles.node.seal.seal(&binding, 0, value))
}

/// Opens an event id a client brings back; `None` when it is not of this session (or of its server session).
pub(crate) fn open_event(handles: &Handles, numbering: Numbering, handle: &[u8]) -> Option<Vec<u8>> {
    let context = numbering.context();
    let binding =
        Binding { kind: Handle::Event, principal: handles.principal, server: handles.server(), context: &context };
    let handle = std::str::from_utf8(handle).ok()?;
    handles.node.seal.open(&binding, 0, handles.sealed(handle).as_bytes())
}
