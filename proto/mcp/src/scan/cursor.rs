//! A strict walk over JSON text (RFC 8259) that is known to be UTF-8: tokens in, spans out; no values, no recursion.

use std::borrow::Cow;

use super::{decoded, fault::Reason, lanes, leap, skip, string, string::Text, window::Window};
use crate::Span;

/// A fault at a byte; the caller adds what else it knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) reason: Reason,
    pub(crate) at: u32,
}

impl Fault {
    /// A fault at a place in a body that is not longer than a [`Span`] can tell.
    #[inline]
    pub(crate) fn new(reason: Reason, at: usize) -> Self {
        Self { reason, at: at as u32 }
    }
}

pub(crate) type Step<T> = Result<T, Fault>;

/// The deepest nesting a cursor can keep track of: one bit for each level.
pub(crate) const DEEPEST: u32 = 128;

/// A place in a text.
pub(crate) struct Cursor<'a> {
    pub(crate) body: &'a [u8],
    pub(crate) at: usize,
    /// Levels that may still be opened.
    room: u32,
    /// The first lone surrogate in a value that was skipped, not read.
    pub(crate) lone: Option<usize>,
    window: Window,
    /// What is skipped is checked as well.
    thorough: bool,
}

/// A key of an object that is being read: decoded, and where it stands.
pub(crate) struct Key<'a> {
    pub(crate) text: Cow<'a, [u8]>,
    pub(crate) at: usize,
}

impl<'a> Cursor<'a> {
    /// A cursor at the start of `body` that opens at most `depth` levels.
    pub(crate) fn new(body: &'a [u8], depth: u16) -> Self {
        Self { body, at: 0, room: u32::from(depth).min(DEEPEST), lone: None, window: Window::new(), thorough: true }
    }

    /// The same, that leaps over arrays and objects nobody reads.
    pub(crate) fn hasty(body: &'a [u8], depth: u16) -> Self {
        Self { thorough: false, ..Self::new(body, depth) }
    }

    #[inline]
    pub(crate) fn peek(&self) -> Option<u8> {
        self.body.get(self.at).copied()
    }

    /// Whitespace, then the byte that follows it.
    #[inline]
    pub(crate) fn token(&mut self) -> Option<u8> {
        match self.peek() {
            Some(byte) if byte > b' ' => Some(byte),
            Some(_) => self.blank(),
            None => None,
        }
    }

    #[inline(never)]
    fn blank(&mut self) -> Option<u8> {
        self.at = lanes::solid(self.body, self.at);
        self.peek()
    }

    #[cold]
    pub(crate) fn fault<T>(&self, reason: Reason) -> Step<T> {
        Err(Fault::new(reason, self.at))
    }

    #[inline]
    fn expect(&mut self, byte: u8) -> Step<()> {
        if self.token() != Some(byte) {
            return self.fault(Reason::Syntax);
        }
        self.at += 1;
        Ok(())
    }

    #[inline]
    fn enter(&mut self) -> Step<()> {
        if self.room == 0 {
            return self.fault(Reason::TooDeep);
        }
        self.room -= 1;
        self.at += 1;
        Ok(())
    }

    #[inline]
    fn leave(&mut self, start: usize) -> Span {
        self.room += 1;
        self.at += 1;
        Span::new(start, self.at)
    }

    /// Reads an object: `member` is called with each key, standing at the key's value, and must consume it.
    pub(crate) fn members(&mut self, mut member: impl FnMut(&mut Self, Key<'a>) -> Step<()>) -> Step<Span> {
        self.token();
        let start = self.at;
        self.expect(b'{')?;
        self.at = start;
        self.enter()?;
        if self.token() == Some(b'}') {
            return Ok(self.leave(start));
        }
        loop {
            let key = self.key()?;
            member(self, key)?;
            match self.token() {
                Some(b',') => self.at += 1,
                Some(b'}') => return Ok(self.leave(start)),
                _ => return self.fault(Reason::Syntax),
            }
        }
    }

    /// Reads an array: `element` is called at each element and must consume it.
    pub(crate) fn elements(&mut self, mut element: impl FnMut(&mut Self) -> Step<()>) -> Step<Span> {
        self.token();
        let start = self.at;
        self.expect(b'[')?;
        self.at = start;
        self.enter()?;
        if self.token() == Some(b']') {
            return Ok(self.leave(start));
        }
        loop {
            element(self)?;
            match self.token() {
                Some(b',') => self.at += 1,
                Some(b']') => return Ok(self.leave(start)),
                _ => return self.fault(Reason::Syntax),
            }
        }
    }

    /// A key and its colon.
    #[inline(always)]
    fn key(&mut self) -> Step<Key<'a>> {
        if self.token() != Some(b'"') {
            return self.fault(Reason::Syntax);
        }
        let at = self.at;
        let body = self.body;
        let end = self.window.plain(body, at + 1);
        let text = if body.get(end) == Some(&b'"') {
            self.at = end + 1;
            Cow::Borrowed(&body[at + 1..end])
        } else {
            self.read_escapes(end)?;
            decoded(&body[at..self.at])
        };
        self.expect(b':')?;
        Ok(Key { text, at })
    }

    /// A value that is read: like [`Self::skip`], but a string must not hold lone surrogates.
    #[inline]
    pub(crate) fn value(&mut self) -> Step<Span> {
        if self.token() != Some(b'"') {
            return self.skip();
        }
        let start = self.at;
        let end = self.window.plain(self.body, start + 1);
        if self.body.get(end) == Some(&b'"') {
            self.at = end + 1;
        } else {
            self.read_escapes(end)?;
        }
        Ok(Span::new(start, self.at))
    }

    /// The rest of a string whose first special byte, at `stop`, is not its end.
    #[inline(never)]
    fn read_escapes(&mut self, stop: usize) -> Step<()> {
        let Text { end, lone } = string::walk_escapes(self.body, stop, &mut self.window)?;
        if let Some(lone) = lone {
            return Err(Fault::new(Reason::LoneSurrogate, lone));
        }
        self.at = end;
        Ok(())
    }

    /// Any value, checked to its last byte (unless the cursor is hasty) and otherwise ignored.
    pub(crate) fn skip(&mut self) -> Step<Span> {
        self.token();
        let start = self.at;
        if !self.thorough && matches!(self.peek(), Some(b'{' | b'[')) {
            self.at = leap::leap(self.body, start)?;
            return Ok(Span::new(start, self.at));
        }
        let mut window = self.window;
        self.at = skip::value(self.body, start, self.room, &mut window, &mut self.lone)?;
        self.window = window;
        Ok(Span::new(start, self.at))
    }
}
