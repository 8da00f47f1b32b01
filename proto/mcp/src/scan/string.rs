//! The end of a JSON string: its grammar (control characters, escapes, surrogates), found many bytes at a time.

use super::{
    cursor::{Fault, Step},
    fault::Reason,
};
use crate::text::hex4;

/// Facts about a string token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Text {
    /// One past the closing quote.
    pub(crate) end: usize,
    /// Whether there is any escape.
    pub(crate) escaped: bool,
    /// Where the first half of a surrogate pair without its other half stands.
    pub(crate) lone: Option<usize>,
}

/// Walks over the string whose opening quote is at `at`.
#[inline]
pub(crate) fn walk(body: &[u8], at: usize) -> Step<Text> {
    let stop = plain(body, at + 1);
    if body.get(stop) == Some(&b'"') {
        return Ok(Text { end: stop + 1, escaped: false, lone: None });
    }
    walk_escapes(body, stop)
}

#[cold]
#[inline(never)]
fn walk_escapes(body: &[u8], mut at: usize) -> Step<Text> {
    let mut text = Text { end: 0, escaped: false, lone: None };
    loop {
        match body.get(at) {
            Some(b'"') => return Ok(Text { end: at + 1, ..text }),
            Some(b'\\') => {
                text.escaped = true;
                let (len, lone) = escape(body, at)?;
                if lone {
                    text.lone = text.lone.or(Some(at));
                }
                at = plain(body, at + len);
            }
            _ => return Err(Fault { reason: Reason::Syntax, at: at.min(body.len()) }),
        }
    }
}

/// The length of the escape at `at`, and whether it is half of a surrogate pair without the other half.
fn escape(body: &[u8], at: usize) -> Step<(usize, bool)> {
    let fault = Err(Fault { reason: Reason::Syntax, at });
    match body.get(at + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok((2, false)),
        Some(b'u') => match hex4(body.get(at + 2..at + 6)) {
            None => fault,
            Some(0xd800..=0xdbff) => {
                let low = (body.get(at + 6..at + 8) == Some(b"\\u")).then(|| hex4(body.get(at + 8..at + 12))).flatten();
                Ok(if matches!(low, Some(0xdc00..=0xdfff)) { (12, false) } else { (6, true) })
            }
            Some(0xdc00..=0xdfff) => Ok((6, true)),
            Some(_) => Ok((6, false)),
        },
        _ => fault,
    }
}

const LOW: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// The first byte from `at` on that a string cannot hold as it is: a quote, a backslash, a control character, the end.
#[inline]
pub(crate) fn plain(body: &[u8], mut at: usize) -> usize {
    while let Some(&word) = body.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let found = special(u64::from_le_bytes(word));
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while body.get(at).is_some_and(|&b| b >= 0x20 && b != b'"' && b != b'\\') {
        at += 1;
    }
    at
}

/// The high bit of each special byte; bits above the lowest one set may be wrong.
#[inline]
fn special(word: u64) -> u64 {
    let quote = word ^ (LOW * u64::from(b'"'));
    let slash = word ^ (LOW * u64::from(b'\\'));
    let zero = |x: u64| x.wrapping_sub(LOW) & !x;
    let control = word.wrapping_sub(LOW * 0x20) & !word;
    (zero(quote) | zero(slash) | control) & HIGH
}
