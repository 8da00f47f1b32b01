//! A strict walk over JSON text (RFC 8259) that is known to be UTF-8: tokens in, spans out; no values, no recursion.

use std::borrow::Cow;

use super::{fault::Reason, string, string::Text};
use crate::{Span, text};

/// A fault at a byte; the caller adds what else it knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) reason: Reason,
    pub(crate) at: usize,
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
}

/// A key of an object that is being read: decoded, and where it stands.
pub(crate) struct Key<'a> {
    pub(crate) text: Cow<'a, [u8]>,
    pub(crate) at: usize,
}

impl<'a> Cursor<'a> {
    /// A cursor at the start of `body` that opens at most `depth` levels.
    pub(crate) fn new(body: &'a [u8], depth: u16) -> Self {
        Self { body, at: 0, room: u32::from(depth).min(DEEPEST), lone: None }
    }

    #[inline]
    pub(crate) fn peek(&self) -> Option<u8> {
        self.body.get(self.at).copied()
    }

    /// Whitespace, then the byte that follows it.
    #[inline]
    pub(crate) fn token(&mut self) -> Option<u8> {
        loop {
            match self.peek() {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                other => return other,
            }
        }
    }

    #[inline]
    pub(crate) fn fault<T>(&self, reason: Reason) -> Step<T> {
        Err(Fault { reason, at: self.at })
    }

    #[inline]
    fn expect(&mut self, byte: u8) -> Step<()> {
        if self.token() != Some(byte) {
            return self.fault(Reason::Syntax);
        }
        self.at += 1;
        Ok(())
    }

    fn enter(&mut self) -> Step<()> {
        if self.room == 0 {
            return self.fault(Reason::TooDeep);
        }
        self.room -= 1;
        self.at += 1;
        Ok(())
    }

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
    fn key(&mut self) -> Step<Key<'a>> {
        if self.token() != Some(b'"') {
            return self.fault(Reason::Syntax);
        }
        let at = self.at;
        let text = string::walk(self.body, at)?;
        if let Some(lone) = text.lone {
            return Err(Fault { reason: Reason::LoneSurrogate, at: lone });
        }
        self.at = text.end;
        self.expect(b':')?;
        let body = self.body;
        let text = if text.escaped {
            match text::decode_string(&body[at..text.end]) {
                Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
                Cow::Owned(text) => Cow::Owned(text.into_bytes()),
            }
        } else {
            Cow::Borrowed(&body[at + 1..text.end - 1])
        };
        Ok(Key { text, at })
    }

    /// A value that is read: like [`Self::skip`], but a string must not hold lone surrogates.
    pub(crate) fn value(&mut self) -> Step<Span> {
        if self.token() != Some(b'"') {
            return self.skip();
        }
        let start = self.at;
        let Text { end, lone, .. } = string::walk(self.body, start)?;
        if let Some(at) = lone {
            return Err(Fault { reason: Reason::LoneSurrogate, at });
        }
        self.at = end;
        Ok(Span::new(start, end))
    }

    /// Any value, checked to its last byte and otherwise ignored.
    pub(crate) fn skip(&mut self) -> Step<Span> {
        self.token();
        let start = self.at;
        let outer = self.room;
        // Bit `n` is set while the level with `n` levels of room left is an object.
        let mut objects = 0u128;
        loop {
            // A value begins here.
            match self.token() {
                Some(b'"') => self.string()?,
                Some(b'{') => {
                    self.enter()?;
                    objects |= 1 << self.room;
                    if self.token() != Some(b'}') {
                        self.member_name()?;
                        continue;
                    }
                    self.room += 1;
                    self.at += 1;
                }
                Some(b'[') => {
                    self.enter()?;
                    objects &= !(1 << self.room);
                    if self.token() != Some(b']') {
                        continue;
                    }
                    self.room += 1;
                    self.at += 1;
                }
                Some(b'-' | b'0'..=b'9') => self.number()?,
                Some(b't') => self.literal(b"true")?,
                Some(b'f') => self.literal(b"false")?,
                Some(b'n') => self.literal(b"null")?,
                _ => return self.fault(Reason::Syntax),
            }
            // It has ended; so may the levels around it.
            loop {
                if self.room == outer {
                    return Ok(Span::new(start, self.at));
                }
                let object = objects >> self.room & 1 == 1;
                match self.token() {
                    Some(b',') => {
                        self.at += 1;
                        if object {
                            self.member_name()?;
                        }
                        break;
                    }
                    Some(b'}') if object => {}
                    Some(b']') if !object => {}
                    _ => return self.fault(Reason::Syntax),
                }
                self.room += 1;
                self.at += 1;
            }
        }
    }

    /// A key that nobody reads, and its colon.
    #[inline]
    fn member_name(&mut self) -> Step<()> {
        if self.token() != Some(b'"') {
            return self.fault(Reason::Syntax);
        }
        self.string()?;
        self.expect(b':')
    }

    /// A string that nobody reads.
    #[inline]
    fn string(&mut self) -> Step<()> {
        let text = string::walk(self.body, self.at)?;
        self.lone = self.lone.or(text.lone);
        self.at = text.end;
        Ok(())
    }

    #[inline]
    fn literal(&mut self, word: &'static [u8]) -> Step<()> {
        if !self.body[self.at..].starts_with(word) {
            return self.fault(Reason::Syntax);
        }
        self.at += word.len();
        Ok(())
    }

    #[inline]
    fn digits(&mut self) -> Step<()> {
        if !self.peek().is_some_and(|b| b.is_ascii_digit()) {
            return self.fault(Reason::Syntax);
        }
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        Ok(())
    }

    #[inline]
    fn number(&mut self) -> Step<()> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }
}
