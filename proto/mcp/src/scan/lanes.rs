//! Sixteen bytes at a time: which of them are of a class, as a bit for each. The one module that knows about SIMD.

use wide::u8x16;

pub(super) const WIDTH: usize = 16;

/// What a string cannot hold as it is: quotes, backslashes, control characters.
#[inline]
fn special(bytes: &[u8; WIDTH]) -> u32 {
    let bytes = u8x16::new(*bytes);
    let control = bytes.max(u8x16::splat(0x1f)).simd_eq(u8x16::splat(0x1f));
    (control | bytes.simd_eq(u8x16::splat(b'"')) | bytes.simd_eq(u8x16::splat(b'\\'))).to_bitmask()
}

/// The same for four times as many.
#[inline(always)]
pub(super) fn special64(bytes: &[u8; 64]) -> u64 {
    let (lanes, _) = bytes.as_chunks::<WIDTH>();
    let [a, b, c, d] = [0, 1, 2, 3].map(|n| u64::from(special(&lanes[n])));
    a | b << 16 | c << 32 | d << 48
}

/// What sixty-four bytes show of a value's structure, wherever it stands, in strings or not.
pub(super) struct Structure {
    pub quotes: u64,
    pub backslashes: u64,
    /// Opening brackets of both kinds.
    pub opens: u64,
    /// Closing ones.
    pub closes: u64,
}

#[inline(always)]
pub(super) fn structure(bytes: &[u8; 64]) -> Structure {
    let (lanes, _) = bytes.as_chunks::<WIDTH>();
    let mut all = Structure { quotes: 0, backslashes: 0, opens: 0, closes: 0 };
    for (n, lane) in lanes.iter().enumerate() {
        let bytes = u8x16::new(*lane);
        // the brackets of both kinds differ in one bit
        let folded = bytes | u8x16::splat(0x20);
        let mask = |lane: u8x16| u64::from(lane.to_bitmask()) << (n * WIDTH);
        all.quotes |= mask(bytes.simd_eq(u8x16::splat(b'"')));
        all.backslashes |= mask(bytes.simd_eq(u8x16::splat(b'\\')));
        all.opens |= mask(folded.simd_eq(u8x16::splat(b'{')));
        all.closes |= mask(folded.simd_eq(u8x16::splat(b'}')));
    }
    all
}

/// The four kinds of whitespace.
#[inline]
fn space(bytes: &[u8; WIDTH]) -> u32 {
    let bytes = u8x16::new(*bytes);
    let is = |byte| bytes.simd_eq(u8x16::splat(byte));
    (is(b' ') | is(b'\n') | is(b'\r') | is(b'\t')).to_bitmask()
}

/// The first byte from `at` on that a string cannot hold as it is: a quote, a backslash, a control character; the end of
/// `body` if there is none.
#[inline(always)]
pub(super) fn plain(body: &[u8], at: usize) -> usize {
    match first(body, at) {
        Some(lanes) => match special(lanes) {
            0 => plain_long(body, at + WIDTH),
            found => at + found.trailing_zeros() as usize,
        },
        None => plain_tail(body, at),
    }
}

#[inline(never)]
fn plain_long(body: &[u8], mut at: usize) -> usize {
    const BLOCK: usize = 64;
    while let Some(block) = body.get(at..).and_then(|rest| rest.first_chunk::<BLOCK>()) {
        let special = |byte: u8| u8::from(byte < 0x20) | u8::from(byte == b'"') | u8::from(byte == b'\\');
        if block.iter().fold(0, |any, &byte| any | special(byte)) != 0 {
            break;
        }
        at += BLOCK;
    }
    while let Some(lanes) = first(body, at) {
        match special(lanes) {
            0 => at += WIDTH,
            found => return at + found.trailing_zeros() as usize,
        }
    }
    plain_tail(body, at)
}

fn plain_tail(body: &[u8], at: usize) -> usize {
    let Some(lanes) = body.last_chunk::<WIDTH>() else {
        let rest = body.get(at..).unwrap_or_default();
        return at + rest.iter().position(|&b| b < 0x20 || b == b'"' || b == b'\\').unwrap_or(rest.len());
    };
    // The last lanes of the body, without those before `at`.
    let before = (at + WIDTH - body.len()).min(WIDTH);
    let found = special(lanes) >> before << before | 1 << WIDTH;
    (body.len() - WIDTH + found.trailing_zeros() as usize).max(at)
}

/// The first byte from `at` on that is no whitespace.
#[inline]
pub(super) fn solid(body: &[u8], mut at: usize) -> usize {
    while let Some(lanes) = first(body, at) {
        match !space(lanes) & 0xffff {
            0 => at += WIDTH,
            found => return at + found.trailing_zeros() as usize,
        }
    }
    while let Some(b' ' | b'\t' | b'\n' | b'\r') = body.get(at) {
        at += 1;
    }
    at
}

#[inline]
fn first(body: &[u8], at: usize) -> Option<&[u8; WIDTH]> {
    body.get(at..)?.first_chunk()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_what_they_say() {
        for byte in 0..=255u8 {
            for place in 0..16 {
                for filler in [b'a', b' ', 0xc3, byte] {
                    let mut bytes = [filler; 16];
                    bytes[place] = byte;
                    let set = |class: fn(u8) -> bool| (0..16).fold(0, |m, n| m | u32::from(class(bytes[n])) << n);
                    assert_eq!(special(&bytes), set(|b| b < 0x20 || b == b'"' || b == b'\\'), "{bytes:?}");
                    assert_eq!(space(&bytes), set(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r')), "{bytes:?}");
                }
            }
        }
    }

    #[test]
    fn the_first_special_byte_is_found_at_any_distance_from_the_end() {
        for len in 0..90 {
            for special in 0..=len {
                let mut text = vec![b'x'; len];
                let mut blank = vec![b' '; len];
                if special < len {
                    text[special] = b'"';
                    blank[special] = b'x';
                }
                for at in 0..=len {
                    let expected = if at <= special { special } else { len };
                    assert_eq!((plain(&text, at), solid(&blank, at)), (expected, expected), "{len} {special} {at}");
                }
            }
        }
    }
}
