//! Finds where events end, whatever the chunks.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::{Event, SseError, block};

const BOM: &[u8] = b"\xef\xbb\xbf";

/// Bytes in, events out. Holds at most one unfinished event, up to the limit, and the chunks pushed since the last
/// [`next`](SseDecoder::next) that returned `None`. An event that lies in one chunk is a slice of it.
///
/// An event that is unfinished at the end of the stream is discarded by the standard: just drop the decoder.
#[derive(Debug)]
pub struct SseDecoder {
    limit: usize,
    /// The beginning of the event that is being read, from chunks that are used up.
    partial: BytesMut,
    /// Not looked at yet.
    chunks: VecDeque<Bytes>,
    place: Place,
    /// How much of a byte order mark the stream has begun with; `None` once that is decided.
    bom: Option<usize>,
    broken: bool,
}

/// Where the last byte looked at leaves us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In a line that has begun.
    Within,
    /// At the start of a line.
    LineStart,
    /// After a CR that ended a line; an LF still belongs to it.
    LineCr,
    /// After a CR that ended an event; an LF still belongs to it.
    EventCr,
}

impl SseDecoder {
    /// A decoder at the start of a stream. No event may be larger than `max_event_bytes`, its field names, comments and
    /// blank line included.
    #[must_use]
    pub fn new(max_event_bytes: usize) -> Self {
        Self {
            limit: max_event_bytes,
            partial: BytesMut::new(),
            chunks: VecDeque::new(),
            place: Place::LineStart,
            bom: Some(0),
            broken: false,
        }
    }

    /// Adds the next bytes of the stream.
    pub fn push(&mut self, chunk: Bytes) {
        if !chunk.is_empty() && !self.broken {
            self.chunks.push_back(chunk);
        }
    }

    /// The next complete event, or `None` until more bytes are pushed.
    ///
    /// # Errors
    ///
    /// [`SseError::TooLarge`], now and ever after.
    #[allow(clippy::should_implement_trait, reason = "None means: not yet")]
    pub fn next(&mut self) -> Result<Option<Event>, SseError> {
        if self.broken {
            return Err(SseError::TooLarge { limit: self.limit });
        }
        while let Some(mut chunk) = self.chunks.pop_front() {
            self.strip_bom(&mut chunk);
            if chunk.is_empty() {
                continue;
            }
            if self.place == Place::EventCr {
                self.place = Place::LineStart;
                if chunk[0] == b'\n' {
                    // The event is long gone, ended by its CR, and by an LF of our own.
                    let _ = chunk.split_to(1);
                }
            }
            let end = self.find_end(&chunk);
            if self.partial.len() + end.unwrap_or(chunk.len()) > self.limit {
                return self.give_up();
            }
            let Some(end) = end else {
                self.partial.extend_from_slice(&chunk);
                continue;
            };
            let head = chunk.split_to(end);
            if !chunk.is_empty() {
                self.chunks.push_front(chunk);
            }
            return Ok(Some(block::parse(self.whole(head))));
        }
        Ok(None)
    }

    /// Bytes held: the unfinished event, and what was pushed and not looked at yet.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.partial.len() + self.chunks.iter().map(Bytes::len).sum::<usize>()
    }

    /// Whether an event has begun and not ended.
    #[must_use]
    pub fn has_partial(&self) -> bool {
        self.buffered() > 0
    }

    fn give_up(&mut self) -> Result<Option<Event>, SseError> {
        self.broken = true;
        self.partial = BytesMut::new();
        self.chunks.clear();
        Err(SseError::TooLarge { limit: self.limit })
    }

    /// The event whose last bytes are `head`. One that ends with the CR of a chunk's end gets the LF that may belong to it: readers
    /// commonly wait for the byte after a CR, and the next one may be long in coming. CR LF ends a line as CR does.
    fn whole(&mut self, head: Bytes) -> Bytes {
        let is_cut = self.place == Place::EventCr;
        if self.partial.is_empty() && !is_cut {
            return head;
        }
        self.partial.extend_from_slice(&head);
        if is_cut {
            self.partial.extend_from_slice(b"\n");
        }
        std::mem::take(&mut self.partial).freeze()
    }

    /// Takes a byte order mark off the start of the stream, however it was cut.
    fn strip_bom(&mut self, chunk: &mut Bytes) {
        while let Some(seen) = self.bom {
            match chunk.first() {
                None => return,
                Some(byte) if BOM.get(seen) == Some(byte) => {
                    let _ = chunk.split_to(1);
                    self.bom = Some(seen + 1);
                }
                Some(_) => {
                    self.bom = None;
                    if 0 < seen && seen < BOM.len() {
                        // It was something else that begins alike.
                        self.partial.extend_from_slice(&BOM[..seen]);
                        self.place = Place::Within;
                    }
                }
            }
        }
    }

    /// Where the event that is being read ends in `chunk`; leaves `place` there.
    fn find_end(&mut self, chunk: &[u8]) -> Option<usize> {
        let mut at = 0;
        while at < chunk.len() {
            match (self.place, chunk[at]) {
                (Place::LineCr, b'\n') => {
                    self.place = Place::LineStart;
                    at += 1;
                }
                (Place::LineStart | Place::EventCr, b'\n') => {
                    self.place = Place::LineStart;
                    return Some(at + 1);
                }
                (Place::LineStart | Place::LineCr | Place::EventCr, b'\r') => {
                    if chunk.get(at + 1) == Some(&b'\n') {
                        self.place = Place::LineStart;
                        return Some(at + 2);
                    }
                    let last = at + 1 == chunk.len();
                    self.place = if last { Place::EventCr } else { Place::LineStart };
                    return Some(at + 1);
                }
                _ => {
                    let Some(end) = memchr::memchr2(b'\n', b'\r', &chunk[at..]) else {
                        self.place = Place::Within;
                        return None;
                    };
                    at += end;
                    self.place = if chunk[at] == b'\r' { Place::LineCr } else { Place::LineStart };
                    at += 1;
                }
            }
        }
        None
    }
}
