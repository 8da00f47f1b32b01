//! One whole value that nobody reads, checked to its last byte (RFC 8259). The hot loop of a scan: no recursion, and its
//! state in a few local variables.

use super::{
    cursor::{DEEPEST, Fault, Step},
    fault::Reason,
    lanes, number, string,
    window::Window,
};

/// The first byte from `at` on that is no whitespace, and its place; 0 at the end of the body.
#[inline(always)]
fn token(body: &[u8], at: usize) -> (u8, usize) {
    match body.get(at) {
        Some(&byte) if byte > b' ' => (byte, at),
        Some(_) => blank(body, at),
        None => (0, at),
    }
}

#[inline(never)]
fn blank(body: &[u8], at: usize) -> (u8, usize) {
    // Often it is one space.
    if let Some(&byte) = body.get(at + 1)
        && byte > b' '
        && body[at] == b' '
    {
        return (byte, at + 1);
    }
    let at = lanes::solid(body, at);
    (body.get(at).copied().unwrap_or(0), at)
}

#[cold]
fn syntax<T>(at: usize) -> Step<T> {
    Err(Fault::new(Reason::Syntax, at))
}

/// One past the value that begins at `at` or after whitespace there. It may open `room` levels. `lone` becomes the place
/// of the first lone surrogate, if it was `None`.
pub(super) fn value(
    body: &[u8],
    mut at: usize,
    room: u32,
    window: &mut Window,
    lone: &mut Option<usize>,
) -> Step<usize> {
    let room = room.min(DEEPEST);
    let mut depth = 0;
    // The lowest bit tells whether the innermost open level is an object, the next one the level around it, and so on.
    let mut objects = 0u128;
    loop {
        let (byte, start) = token(body, at);
        match byte {
            b'"' => at = string::end(body, start, window, lone)?,
            b'{' | b'[' => {
                if depth == room {
                    return Err(Fault::new(Reason::TooDeep, start));
                }
                let (first, inside) = token(body, start + 1);
                // The closing brackets follow the opening ones at a distance of two.
                if first == byte + 2 {
                    at = inside + 1;
                } else {
                    depth += 1;
                    objects = objects << 1 | u128::from(byte == b'{');
                    at = if byte == b'{' { name(body, inside, window, lone)? } else { inside };
                    continue;
                }
            }
            b'-' | b'0'..=b'9' => {
                at = match number::walk(body, start) {
                    Ok(end) => end,
                    Err(at) => return syntax(at),
                }
            }
            b't' => at = literal(body, start, b"true")?,
            b'f' => at = literal(body, start, b"false")?,
            b'n' => at = literal(body, start, b"null")?,
            _ => return syntax(start),
        }
        // A value has ended; so may the levels around it.
        loop {
            if depth == 0 {
                return Ok(at);
            }
            let object = objects & 1 == 1;
            let (byte, place) = token(body, at);
            at = place + 1;
            if byte == b',' {
                if object {
                    at = name(body, at, window, lone)?;
                }
                break;
            }
            if byte != if object { b'}' } else { b']' } {
                return syntax(place);
            }
            depth -= 1;
            objects >>= 1;
        }
    }
}

/// One past a key and its colon.
#[inline(always)]
fn name(body: &[u8], at: usize, window: &mut Window, lone: &mut Option<usize>) -> Step<usize> {
    let (byte, at) = token(body, at);
    if byte != b'"' {
        return syntax(at);
    }
    let at = string::end(body, at, window, lone)?;
    match token(body, at) {
        (b':', at) => Ok(at + 1),
        (_, at) => syntax(at),
    }
}

#[inline(always)]
fn literal(body: &[u8], at: usize, word: &'static [u8]) -> Step<usize> {
    if body[at..].starts_with(word) { Ok(at + word.len()) } else { syntax(at) }
}
