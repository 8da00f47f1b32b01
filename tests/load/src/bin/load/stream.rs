//! Standalone event streams of sessions: opened, and held.

use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

use crate::ask::single;
use crate::client::Clients;
use crate::lanes::failed;
use crate::socket::Socket;
use crate::wire::Reader;

/// Longest head of an answer.
const HEAD: usize = 4096;

impl Clients<'_> {
    /// Opens a stream for each session, one after the other.
    ///
    /// # Errors
    /// A sentence that says what went wrong.
    pub(crate) fn open_streams(&mut self) -> Result<usize, String> {
        for session in self.turns.sessions() {
            let request = single("GET", &self.asks.paths[session.path], &session.fields, "", self.options);
            let mut socket = self.dial()?;
            open(&mut socket, &request, self.options.patience)?;
            socket.set_nonblocking().map_err(failed)?;
            self.streams.push(socket);
        }
        Ok(self.streams.len())
    }
}

fn open(socket: &mut Socket, request: &[u8], patience: Duration) -> Result<(), String> {
    socket.write_all(request).map_err(failed)?;
    let (mut input, mut end, mut reader) = ([0; HEAD], 0, Reader::default());
    loop {
        match socket.read(&mut input[end..]) {
            Ok(0) => return Err("the connection was closed instead of a stream".to_owned()),
            Ok(count) => end += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                return Err(format!("no stream came within {patience:?}"));
            }
            Err(error) => return Err(failed(error)),
        }
        reader.read(&input[..end])?;
        match reader.stream() {
            Some(head) if head.status == 200 && head.is_events => return Ok(()),
            Some(head) => return Err(format!("a stream is answered {}", head.status)),
            None => {}
        }
    }
}

/// Reads away what came on streams, such as comments.
///
/// # Errors
/// A sentence that says how many are closed.
pub(crate) fn check(streams: &mut [Socket]) -> Result<(), String> {
    let closed = streams.iter_mut().filter_map(|stream| (!is_open(stream)).then_some(())).count();
    if closed == 0 { Ok(()) } else { Err(format!("{closed} of {} streams were closed", streams.len())) }
}

fn is_open(stream: &mut Socket) -> bool {
    let mut input = [0; HEAD];
    loop {
        match stream.read(&mut input) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        }
    }
}
