//! Where the next byte is that a string cannot hold as it is, for sixty-four bytes at once. Strings are short: looking up
//! the end of the next one in a register costs less than looking at its bytes again.

use super::lanes;

const WIDTH: usize = 64;

/// The special bytes (see [`lanes::special`]) of a stretch of the body.
#[derive(Clone, Copy)]
pub(crate) struct Window {
    /// Where the stretch begins.
    base: usize,
    /// One bit for each special byte; the end of the body counts as one.
    special: u64,
}

impl Window {
    /// A window that has not looked anywhere.
    pub(crate) fn new() -> Self {
        Self { base: usize::MAX - WIDTH, special: 0 }
    }

    /// The first special byte from `at` on; the end of `body` if there is none. A window belongs to one body.
    #[inline(always)]
    pub(crate) fn plain(&mut self, body: &[u8], at: usize) -> usize {
        let offset = at.wrapping_sub(self.base);
        if offset < WIDTH {
            let ahead = self.special >> offset;
            if ahead != 0 {
                return at + ahead.trailing_zeros() as usize;
            }
            return self.look(body, self.base + WIDTH);
        }
        self.look(body, at)
    }

    #[inline(never)]
    fn look(&mut self, body: &[u8], at: usize) -> usize {
        let rest = body.get(at..).unwrap_or_default();
        let special = match rest.first_chunk::<WIDTH>() {
            Some(stretch) => lanes::special64(stretch),
            None => {
                let end = 1 << rest.len();
                match body.last_chunk::<WIDTH>() {
                    Some(last) => lanes::special64(last) >> (WIDTH - 1 - rest.len()) >> 1 | end,
                    None => {
                        let mut last = [b' '; WIDTH];
                        last[..rest.len()].copy_from_slice(rest);
                        lanes::special64(&last) | end
                    }
                }
            }
        };
        if special == 0 {
            // A long string: no use for a window in the middle of it.
            let end = lanes::plain(body, at + WIDTH);
            *self = Self::new();
            return end;
        }
        *self = Self { base: at, special };
        at + special.trailing_zeros() as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_sees_what_a_walk_sees() {
        for len in 0..200 {
            for step in [1, 5, 63, 64, 65] {
                let body: Vec<u8> = (1..=len).map(|n| if n % step == 0 { b'"' } else { b'x' }).collect();
                for stride in [1, 3, 17] {
                    let mut window = Window::new();
                    for at in (0..=len).step_by(stride) {
                        assert_eq!(window.plain(&body, at), lanes::plain(&body, at), "{len} {step} {stride} {at}");
                    }
                }
            }
        }
    }
}
