//! The end of a JSON string: its grammar (control characters, escapes, surrogates), found many bytes at a time.

use super::{
    cursor::{Fault, Step},
    fault::Reason,
    window::Window,
};
use crate::text::hex4;

/// The end of a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Text {
    /// One past the closing quote.
    pub(super) end: usize,
    /// Where the first half of a surrogate pair without its other half stands.
    pub(super) lone: Option<usize>,
}

/// One past the string whose opening quote is at `at`. `lone` becomes the place of its first lone surrogate, if it was
/// `None`.
#[inline(always)]
pub(super) fn end(body: &[u8], at: usize, window: &mut Window, lone: &mut Option<usize>) -> Step<usize> {
    let stop = window.plain(body, at + 1);
    if body.get(stop) == Some(&b'"') { Ok(stop + 1) } else { end_escapes(body, stop, window, lone) }
}

#[inline(never)]
fn end_escapes(body: &[u8], at: usize, window: &mut Window, lone: &mut Option<usize>) -> Step<usize> {
    let text = walk_escapes(body, at, window)?;
    *lone = lone.or(text.lone);
    Ok(text.end)
}

/// Walks on in a string from its first special byte.
pub(super) fn walk_escapes(body: &[u8], mut at: usize, window: &mut Window) -> Step<Text> {
    let mut first_lone = None;
    loop {
        match body.get(at) {
            Some(b'"') => return Ok(Text { end: at + 1, lone: first_lone }),
            Some(b'\\') => {
                let (len, lone) = escape(body, at)?;
                if lone {
                    first_lone = first_lone.or(Some(at));
                }
                at = window.plain(body, at + len);
            }
            _ => return Err(Fault::new(Reason::Syntax, at.min(body.len()))),
        }
    }
}

/// The length of the escape at `at`, and whether it is half of a surrogate pair without the other half.
fn escape(body: &[u8], at: usize) -> Step<(usize, bool)> {
    let fault = Err(Fault::new(Reason::Syntax, at));
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
