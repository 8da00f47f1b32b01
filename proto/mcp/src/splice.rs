//! Edits of a message that leave everything between them as it was: slices of the original, never a new serialisation.

use bytes::{Bytes, BytesMut};
use smallvec::SmallVec;

use crate::Span;

/// One replacement. A span with `start == end` inserts before that byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// What is replaced.
    pub span: Span,
    /// What stands there afterwards; empty to delete.
    pub with: Bytes,
}

/// A message in pieces, in order; two edits need no heap.
pub type Chunks = SmallVec<[Bytes; 5]>;

/// Applies `edits` to `body`, sorted by where they start (insertions at one place keep their order). What lies between
/// is shared with `body`, not copied. Empty pieces are left out.
///
/// Edits must not overlap and must lie within the body.
pub fn splice(body: &Bytes, edits: &mut [Edit]) -> Chunks {
    edits.sort_by_key(|edit| (edit.span.start, edit.span.end));
    let mut chunks = Chunks::new();
    let mut add = |piece: Bytes| {
        if !piece.is_empty() {
            chunks.push(piece);
        }
    };
    let mut done = 0;
    for edit in edits {
        let span = edit.span.range();
        debug_assert!(done <= span.start, "edits overlap at byte {}", span.start);
        add(body.slice(done..span.start.max(done)));
        add(edit.with.clone());
        done = span.end;
    }
    add(body.slice(done..));
    chunks
}

/// The pieces as one contiguous body; not a copy when there is only one.
#[must_use]
pub fn join(chunks: &Chunks) -> Bytes {
    if let [only] = chunks.as_slice() {
        return only.clone();
    }
    let mut whole = BytesMut::with_capacity(chunks.iter().map(Bytes::len).sum());
    for chunk in chunks {
        whole.extend_from_slice(chunk);
    }
    whole.freeze()
}

/// A message for a transport that ends messages with a newline (specification, *stdio*): line breaks of pretty-printed
/// JSON become spaces. In a scanned message they only stand between tokens, where both mean nothing. The body itself
/// comes back when it has none.
#[must_use]
pub fn without_newlines(body: Bytes) -> Bytes {
    let Some(first) = memchr::memchr2(b'\n', b'\r', &body) else { return body };
    let mut line = BytesMut::from(body);
    for byte in &mut line[first..] {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    line.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(start: u32, end: u32, with: &'static str) -> Edit {
        Edit { span: Span { start, end }, with: Bytes::from_static(with.as_bytes()) }
    }

    #[test]
    fn edits_in_any_order_give_the_same_message() {
        let body = Bytes::from_static(b"0123456789");
        let mut edits = [edit(8, 10, "Z"), edit(3, 3, "i"), edit(1, 2, "AB"), edit(3, 4, "")];
        let chunks = splice(&body, &mut edits);
        assert_eq!(join(&chunks), "0AB2i4567Z");
    }

    #[test]
    fn nothing_between_edits_is_copied() {
        let body = Bytes::from_static(b"0123456789");
        assert_eq!(splice(&body, &mut [])[0].as_ptr(), body.as_ptr());
        let chunks = splice(&body, &mut [edit(4, 5, "x")]);
        assert_eq!(chunks[0].as_ptr(), body.as_ptr());
        assert_eq!(chunks[2].as_ptr(), body[5..].as_ptr());
    }

    #[test]
    fn line_breaks_become_spaces() {
        let flat = Bytes::from_static(b"{\"a\":1}");
        assert_eq!(without_newlines(flat.clone()).as_ptr(), flat.as_ptr());
        assert_eq!(without_newlines(Bytes::from_static(b"{\r\n \"a\":\n1}")), "{   \"a\": 1}");
    }
}
