//! The end of a JSON number: its grammar, not its value.

/// One past the number that begins at `at`; the place of the fault if there is none.
#[inline]
pub(super) fn walk(body: &[u8], mut at: usize) -> Result<usize, usize> {
    let byte = |at: usize| body.get(at).copied().unwrap_or(0);
    if byte(at) == b'-' {
        at += 1;
    }
    if byte(at) == b'0' {
        at += 1;
    } else {
        at = digits(body, at)?;
    }
    if !matches!(byte(at), b'.' | b'e' | b'E') {
        return Ok(at);
    }
    if byte(at) == b'.' {
        at = digits(body, at + 1)?;
    }
    if matches!(byte(at), b'e' | b'E') {
        at += 1;
        if matches!(byte(at), b'+' | b'-') {
            at += 1;
        }
        at = digits(body, at)?;
    }
    Ok(at)
}

/// One past at least one digit. Byte by byte: the processor guesses ahead, which beats waiting for a count.
#[inline(always)]
fn digits(body: &[u8], at: usize) -> Result<usize, usize> {
    let mut end = at;
    while body.get(end).is_some_and(u8::is_ascii_digit) {
        end += 1;
    }
    if end > at { Ok(end) } else { Err(at.min(body.len())) }
}
