//! `Transfer-Encoding: chunked`, decoded as it comes.

/// What is wrong with a chunk: nothing that comes behind it can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// A body in chunks, so far.
#[derive(Debug, Default)]
pub struct Chunked {
    body: Vec<u8>,
    /// Bytes of the current chunk that are still to come, the line end behind it included.
    left: usize,
    is_last: bool,
}

impl Chunked {
    /// Takes what can be taken of `bytes`: how many those were, and whether the body is whole.
    ///
    /// # Errors
    /// [`Malformed`]
    pub fn take(&mut self, bytes: &[u8]) -> Result<(usize, bool), Malformed> {
        let mut at = 0;
        loop {
            if self.left > 2 {
                let count = (self.left - 2).min(bytes.len() - at);
                self.body.extend_from_slice(&bytes[at..at + count]);
                (at, self.left) = (at + count, self.left - count);
            }
            if self.left > 2 || bytes.len() - at < self.left {
                return Ok((at, false));
            }
            at += self.left;
            self.left = 0;
            if self.is_last {
                return Ok((at, true));
            }
            let Some(line) = self.begin(&bytes[at..])? else { return Ok((at, false)) };
            at += line;
        }
    }

    /// Reads a chunk's size: how long that line is.
    fn begin(&mut self, bytes: &[u8]) -> Result<Option<usize>, Malformed> {
        let (end, size) = match httparse::parse_chunk_size(bytes) {
            Ok(httparse::Status::Complete(found)) => found,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => return Err(Malformed),
        };
        self.is_last = size == 0;
        // no trailers: one line end behind the last chunk, as behind each
        self.left = usize::try_from(size).map_err(|_| Malformed)? + 2;
        Ok(Some(end))
    }

    /// What came of the body.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Ready for another body; the memory is kept.
    pub fn clear(&mut self) {
        self.body.clear();
        (self.left, self.is_last) = (0, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIRE: &[u8] = b"5\r\nhello\r\n1\r\n \r\n6;ext=1\r\nworld!\r\n0\r\n\r\nnext";

    #[test]
    fn a_body_may_be_cut_anywhere() {
        for cut in 0..WIRE.len() - 4 {
            let mut chunked = Chunked::default();
            let (used, whole) = chunked.take(&WIRE[..cut]).unwrap();
            assert!(!whole && used <= cut, "{cut}");
            let (more, whole) = chunked.take(&WIRE[used..]).unwrap();
            assert!(whole, "{cut}");
            assert_eq!(&WIRE[used + more..], b"next");
            assert_eq!(chunked.body(), b"hello world!");
        }
    }

    #[test]
    fn what_is_no_size_is_refused() {
        assert_eq!(Chunked::default().take(b"x\r\n"), Err(Malformed));
    }
}
