//! An answer on its way out: its head, and its body as it comes, in as few writes as can be.

use std::io::{Result, Write as _};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::Asked;
use crate::limit;
use crate::listen::response::Headers;
use crate::wire::{MemoryFile, Room, Socket, Unwritten, poll_send};
use bytes::Bytes;
use http::StatusCode;
use sluice_http1::Framing;
use sluice_mcp::Chunks;

const LINE_END: Bytes = Bytes::from_static(b"\r\n");

/// What is to be written.
pub(super) struct Outflow {
    framing: Framing,
    room: Option<Room>,
    /// Pieces behind the room's that are not copied.
    large: Chunks,
    /// Of which some may lie in this file.
    file: Option<Arc<MemoryFile>>,
    /// Bytes of both that are gone.
    written: usize,
    ended: bool,
    /// The last flush had all that fits; there may be more.
    was_full: bool,
}

impl Outflow {
    pub(super) fn new(framing: Framing) -> Self {
        Self { framing, room: None, large: Chunks::new(), file: None, written: 0, ended: false, was_full: false }
    }

    fn room(&mut self) -> &mut Room {
        self.room.get_or_insert_with(Room::take)
    }

    pub(super) fn write_head(&mut self, status: StatusCode, headers: &Headers, asked: Asked, date: &[u8]) {
        let framing = self.framing;
        let out = self.room();
        match status {
            StatusCode::OK => out.extend_from_slice(b"HTTP/1.1 200 OK\r\n"),
            status => {
                out.extend_from_slice(b"HTTP/1.1 ");
                out.extend_from_slice(status.as_str().as_bytes());
                out.push(b' ');
                out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
                out.extend_from_slice(b"\r\n");
            }
        }
        for (name, value) in headers {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        match framing {
            // RFC 9110 section 8.6
            _ if status.is_informational() || status == StatusCode::NO_CONTENT => {}
            Framing::Length(length) => {
                out.extend_from_slice(b"content-length: ");
                out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
                out.extend_from_slice(b"\r\n");
            }
            Framing::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
            Framing::UntilClose => {}
        }
        if !status.is_informational() {
            let persists = asked.persists && framing != Framing::UntilClose;
            match (persists, asked.http_11) {
                (false, _) => out.extend_from_slice(b"connection: close\r\n"),
                (true, false) => out.extend_from_slice(b"connection: keep-alive\r\n"),
                (true, true) => {}
            }
            out.extend_from_slice(b"date: ");
            out.extend_from_slice(date);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n");
    }

    /// A whole body of so many bytes, after which nothing comes. Some of them may lie in a file.
    pub(super) fn add_whole(
        &mut self,
        length: u64,
        pieces: impl Iterator<Item = Bytes>,
        file: Option<Arc<MemoryFile>>,
    ) {
        self.ended = true;
        self.file = file;
        if length <= limit::COPIED_BYTES as u64 {
            let out = self.room();
            pieces.for_each(|piece| out.extend_from_slice(&piece));
        } else {
            self.large.extend(pieces);
        }
    }

    /// The next piece of the body.
    pub(super) fn add(&mut self, data: Bytes) {
        if data.is_empty() {
            // it would end a chunked body
            return;
        }
        let chunked = self.framing == Framing::Chunked;
        let copied = data.len() <= limit::COPIED_BYTES;
        let out = self.room();
        if chunked {
            // writing into a vector cannot fail
            let _ = write!(**out, "{:x}\r\n", data.len());
        }
        if copied {
            out.extend_from_slice(&data);
            if chunked {
                out.extend_from_slice(&LINE_END);
            }
        } else {
            self.large.push(data);
            if chunked {
                self.large.push(LINE_END);
            }
        }
    }

    /// The body ends.
    pub(super) fn end(&mut self) {
        if self.framing == Framing::Chunked {
            self.room().extend_from_slice(b"0\r\n\r\n");
        }
        self.ended = true;
    }

    pub(super) fn is_ended(&self) -> bool {
        self.ended
    }

    /// Whether it must be flushed before more is added.
    pub(super) fn is_full(&self) -> bool {
        let copied = self.room.as_ref().map_or(0, |room| room.len());
        self.ended || !self.large.is_empty() || copied >= limit::ROOM_KEPT_BYTES / 2
    }

    /// Whether the last flush left what was to be written unasked.
    pub(super) fn was_full(&self) -> bool {
        self.was_full
    }

    /// Bytes that are gone of what is being flushed.
    pub(super) fn written(&self) -> usize {
        self.written
    }

    /// Writes all of it.
    pub(super) fn poll_flush(&mut self, io: &mut impl Socket, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.was_full = self.is_full();
        let head = self.room.as_ref().map_or(&[][..], |room| &room[..]);
        if head.is_empty() && self.large.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let file = self.file.as_deref().and_then(|file| Some((file, file.descriptor()?)));
        if let (Some(file), Some(socket)) = (file, io.plain()) {
            ready!(poll_send(socket, cx, (head, &self.large), file, &mut self.written))?;
        } else {
            let mut unwritten = Unwritten::resume(head, &self.large, self.written);
            let polled = unwritten.poll_write(io, cx);
            self.written = unwritten.written;
            ready!(polled)?;
        }
        self.written = 0;
        self.room = None;
        self.large.clear();
        Poll::Ready(Ok(()))
    }
}
