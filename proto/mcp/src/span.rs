//! A byte range in a message; not a copy of what lies there.

use std::ops::Range;

/// A half-open byte range, in bytes from the start of the message it was found in. A message is at most 4 GiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// A span between two offsets that are known to fit: a scanned body is never longer than `u32::MAX`.
    #[inline]
    pub(crate) fn new(start: usize, end: usize) -> Self {
        debug_assert!(start <= end && end <= u32::MAX as usize);
        Self { start: start as u32, end: end as u32 }
    }

    /// An empty span: the place before byte `at`, for insertions.
    #[must_use]
    pub fn at(at: u32) -> Self {
        Self { start: at, end: at }
    }

    /// The span as a range of indexes.
    #[inline]
    #[must_use]
    pub fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// The bytes of the span in the message it belongs to.
    ///
    /// # Panics
    ///
    /// If `body` is shorter than the span's end, that is: another message.
    #[inline]
    #[must_use]
    pub fn of(self, body: &[u8]) -> &[u8] {
        &body[self.range()]
    }

    /// Length in bytes.
    #[inline]
    #[must_use]
    pub fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether the span holds no byte; such a span is an insertion point.
    #[inline]
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }
}
