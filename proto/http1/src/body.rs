//! A body on its way in: bytes of the connection in, the body's own bytes out, and what follows it.

use bytes::{Buf as _, Bytes};

use crate::{Chunked, Framing};

/// A body that is being read.
#[derive(Debug)]
pub struct Body {
    left: Left,
    /// Bytes of the connection that were not looked at yet; the first `run` are data.
    input: Bytes,
    run: usize,
}

#[derive(Debug)]
enum Left {
    Length(u64),
    Chunks(Chunked),
    UntilClose,
    Nothing,
    /// Its chunks were none, or it ended too early: what follows cannot be told apart any more.
    Broken,
}

/// Why a body cannot be read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadBody {
    /// Its chunks are none.
    #[error("a malformed chunk")]
    Malformed,
    /// The connection closed first.
    #[error("closed before the end of the body")]
    Truncated,
}

impl Body {
    /// A body of which `input` came along with its head.
    ///
    /// # Errors
    /// [`BadBody::Malformed`].
    pub fn new(framing: Framing, input: Bytes) -> Result<Self, BadBody> {
        Self::begin(framing, input, Chunked::default())
    }

    /// The same, of a request.
    ///
    /// # Errors
    /// [`BadBody::Malformed`].
    pub fn of_request(framing: Framing, input: Bytes) -> Result<Self, BadBody> {
        Self::begin(framing, input, Chunked::strict())
    }

    fn begin(framing: Framing, input: Bytes, chunked: Chunked) -> Result<Self, BadBody> {
        let left = match framing {
            Framing::Length(0) => Left::Nothing,
            Framing::Length(length) => Left::Length(length),
            Framing::Chunked => Left::Chunks(chunked),
            Framing::UntilClose => Left::UntilClose,
        };
        let mut body = Self { left, input, run: 0 };
        body.settle()?;
        Ok(body)
    }

    /// The next bytes of the body, as far as they are there; `None`: [`Body::feed`] it, unless [`Body::is_end`].
    ///
    /// # Errors
    /// [`BadBody::Malformed`], behind these bytes, now and ever after.
    pub fn data(&mut self) -> Result<Option<Bytes>, BadBody> {
        if self.run == 0 {
            return if self.is_broken() { Err(BadBody::Malformed) } else { Ok(None) };
        }
        // taken whole where it is all there is: to share it would cost more
        let all = self.run == self.input.len();
        let data = if all { std::mem::take(&mut self.input) } else { self.input.split_to(self.run) };
        self.run = 0;
        self.settle()?;
        Ok(Some(data))
    }

    /// Takes the next bytes of the connection, once [`Body::data`] had no more.
    ///
    /// # Errors
    /// [`BadBody::Malformed`].
    pub fn feed(&mut self, input: Bytes) -> Result<(), BadBody> {
        if self.is_broken() {
            return Err(BadBody::Malformed);
        }
        debug_assert!(self.input.is_empty(), "fed before it was emptied");
        self.input = input;
        self.settle()
    }

    /// The connection closed.
    ///
    /// # Errors
    /// [`BadBody::Truncated`], but for a body that ends so.
    pub fn close(&mut self) -> Result<(), BadBody> {
        match self.left {
            Left::UntilClose | Left::Nothing => {
                self.left = Left::Nothing;
                Ok(())
            }
            _ => {
                self.left = Left::Broken;
                Err(BadBody::Truncated)
            }
        }
    }

    /// Whether all of it was given out.
    #[must_use]
    pub fn is_end(&self) -> bool {
        self.run == 0 && matches!(self.left, Left::Nothing)
    }

    /// Whether it was found to be malformed, or cut off: nothing behind it is another message.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        matches!(self.left, Left::Broken)
    }

    /// How many bytes of the body are certainly still to come, beyond those that are there.
    #[must_use]
    pub fn ahead(&self) -> u64 {
        match self.left {
            Left::Length(left) => left,
            _ => 0,
        }
    }

    /// What came behind the end.
    #[must_use]
    pub fn rest(self) -> Bytes {
        self.input
    }

    /// Whether nothing came behind the end.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.is_end() && self.input.is_empty()
    }

    /// Whether all that is left of it is there, and nothing came behind it.
    #[must_use]
    pub fn is_here(&self) -> bool {
        matches!(self.left, Left::Nothing) && self.run == self.input.len()
    }

    /// The next bytes, as [`Body::data`] gives them out.
    #[must_use]
    pub fn peek(&self) -> &[u8] {
        &self.input[..self.run]
    }

    /// Finds the next run of data.
    fn settle(&mut self) -> Result<(), BadBody> {
        let there = self.input.len();
        match &mut self.left {
            Left::Length(left) => {
                self.run = usize::try_from(*left).unwrap_or(usize::MAX).min(there);
                *left -= self.run as u64;
                if *left == 0 {
                    self.left = Left::Nothing;
                }
            }
            Left::Chunks(chunked) => {
                let Ok(step) = chunked.step(&self.input) else {
                    self.left = Left::Broken;
                    return Err(BadBody::Malformed);
                };
                self.input.advance(step.skip);
                self.run = step.data;
                if step.done {
                    self.left = Left::Nothing;
                }
            }
            Left::UntilClose => self.run = there,
            Left::Nothing | Left::Broken => {}
        }
        Ok(())
    }
}
