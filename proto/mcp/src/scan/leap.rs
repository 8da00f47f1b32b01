//! Over one array or object without looking at what is in it: only its brackets are matched, by count, and strings are known
//! for what they are. Sixty-four bytes at a time, several times as fast as a walk.

use super::{
    cursor::{Fault, Step},
    fault::Reason,
    lanes,
};

const WIDTH: usize = 64;
const EVEN: u64 = 0x5555_5555_5555_5555;

/// What is carried from one stretch to the next.
struct Carry {
    /// Levels that are open.
    depth: u32,
    /// All ones inside a string.
    inside: u64,
    /// One if the first byte of the next stretch is escaped.
    escaped: u64,
}

/// One past the array or object that begins at `start`.
pub(super) fn leap(body: &[u8], start: usize) -> Step<usize> {
    let mut carry = Carry { depth: 0, inside: 0, escaped: 0 };
    let (stretches, tail) = body[start..].as_chunks::<WIDTH>();
    let mut at = start;
    for stretch in stretches {
        if let Some(end) = carry.over(stretch) {
            return Ok(at + end);
        }
        at += WIDTH;
    }
    let mut last = [b' '; WIDTH];
    last[..tail.len()].copy_from_slice(tail);
    carry.over(&last).map(|end| at + end).ok_or_else(|| Fault::new(Reason::Syntax, body.len()))
}

impl Carry {
    /// Where in a stretch the outermost level closes: one past it.
    #[inline(always)]
    fn over(&mut self, stretch: &[u8; WIDTH]) -> Option<usize> {
        let lanes::Structure { quotes, backslashes, opens, closes } = lanes::structure(stretch);
        let quotes = quotes & !self.escaped_by(backslashes);
        let inside = prefix_xor(quotes) ^ self.inside;
        // spread the last bit: does the next stretch begin inside a string?
        self.inside = 0u64.wrapping_sub(inside >> 63);
        let (opens, closes) = (opens & !inside, closes & !inside);
        if self.depth > closes.count_ones() {
            self.depth = self.depth + opens.count_ones() - closes.count_ones();
            return None;
        }
        let mut brackets = opens | closes;
        while brackets != 0 {
            let at = brackets.trailing_zeros();
            if opens >> at & 1 == 1 {
                self.depth += 1;
            } else {
                self.depth -= 1;
                if self.depth == 0 {
                    return Some(at as usize + 1);
                }
            }
            brackets &= brackets - 1;
        }
        None
    }

    /// The bytes that a backslash stands before which is not escaped itself: those behind an odd number of them. A run that begins at an
    /// odd place and one that begins at an even one end, by addition, where the next byte tells them apart.
    #[inline(always)]
    fn escaped_by(&mut self, backslashes: u64) -> u64 {
        if backslashes == 0 {
            return std::mem::take(&mut self.escaped);
        }
        let backslashes = backslashes & !self.escaped;
        let behind = backslashes << 1 | self.escaped;
        let odd_starts = backslashes & !EVEN & !behind;
        let (even_runs, over) = odd_starts.overflowing_add(backslashes);
        self.escaped = u64::from(over);
        (EVEN ^ (even_runs << 1)) & behind
    }
}

/// Each bit: whether the number of ones up to and with it is odd.
#[inline(always)]
fn prefix_xor(mut bits: u64) -> u64 {
    for shift in [1, 2, 4, 8, 16, 32] {
        bits ^= bits << shift;
    }
    bits
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The same, byte by byte.
    fn walk(body: &[u8], start: usize) -> Option<usize> {
        let (mut depth, mut inside, mut escaped) = (0u32, false, false);
        for (at, byte) in body.iter().enumerate().skip(start) {
            let was_escaped = std::mem::take(&mut escaped);
            match byte {
                b'\\' => escaped = !was_escaped,
                b'"' => inside ^= !was_escaped,
                b'[' | b'{' if !inside => depth += 1,
                b']' | b'}' if !inside => {
                    depth -= 1;
                    if depth == 0 {
                        return Some(at + 1);
                    }
                }
                _ => {}
            }
        }
        None
    }

    proptest! {
        #[test]
        fn a_leap_lands_where_a_walk_does(
            pieces in proptest::collection::vec(prop_oneof![
                Just("\""), Just("\\"), Just("["), Just("]"), Just("{"), Just("}"), Just("\\\\"), Just("\\\""), Just("xxxxxxxx"), Just("\"a\"")
            ], 0..400),
            before in 0usize..70,
        ) {
            let body = [" ".repeat(before).as_str(), "[", &pieces.concat()].concat();
            prop_assert_eq!(leap(body.as_bytes(), before).ok(), walk(body.as_bytes(), before));
        }
    }
}
