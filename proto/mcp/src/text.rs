//! JSON strings to text and back; no other values.

use std::borrow::Cow;

/// The text of a raw JSON string token, quotes included, that a scan has already accepted. Borrowed when it holds no
/// escape. What no scan would accept (a lone surrogate, broken UTF-8) becomes U+FFFD, or is kept as it is.
#[must_use]
pub fn decode_string(raw_token: &[u8]) -> Cow<'_, str> {
    let inner = raw_token.strip_prefix(b"\"").unwrap_or(raw_token);
    let inner = inner.strip_suffix(b"\"").unwrap_or(inner);
    match memchr::memchr(b'\\', inner) {
        None => text_of(inner),
        Some(first) => Cow::Owned(unescape(inner, first)),
    }
}

/// A text. Asking first whether it is one is three times as fast as looking for what is not.
pub(crate) fn text_of(bytes: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

/// Replaces every escape of `inner`, the first of which is at `next`.
fn unescape(inner: &[u8], mut next: usize) -> String {
    let mut out = String::with_capacity(inner.len());
    let mut plain = 0;
    loop {
        out.push_str(&String::from_utf8_lossy(&inner[plain..next]));
        let (text, len) = escape_at(&inner[next..]);
        out.push(text);
        plain = (next + len).min(inner.len());
        match memchr::memchr(b'\\', &inner[plain..]) {
            Some(more) => next = plain + more,
            None => break,
        }
    }
    out.push_str(&String::from_utf8_lossy(&inner[plain..]));
    out
}

/// The character of the escape that `rest` begins with, and the escape's length in bytes.
fn escape_at(rest: &[u8]) -> (char, usize) {
    let plain = match rest.get(1) {
        Some(b'n') => '\n',
        Some(b't') => '\t',
        Some(b'r') => '\r',
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'u') => return unicode_escape_at(rest),
        Some(&other) if other.is_ascii() => char::from(other),
        _ => return (char::REPLACEMENT_CHARACTER, 1),
    };
    (plain, 2)
}

fn unicode_escape_at(rest: &[u8]) -> (char, usize) {
    match hex4(rest.get(2..6)) {
        Some(high @ 0xd800..=0xdbff) if rest.get(6..8) == Some(b"\\u") => match hex4(rest.get(8..12)) {
            Some(low @ 0xdc00..=0xdfff) => {
                let both = 0x10000 + (u32::from(high - 0xd800) << 10) + u32::from(low - 0xdc00);
                (char::from_u32(both).unwrap_or(char::REPLACEMENT_CHARACTER), 12)
            }
            _ => (char::REPLACEMENT_CHARACTER, 6),
        },
        Some(unit) => (char::from_u32(unit.into()).unwrap_or(char::REPLACEMENT_CHARACTER), 6),
        None => (char::REPLACEMENT_CHARACTER, 2),
    }
}

/// The value of four hexadecimal digits.
pub(crate) fn hex4(digits: Option<&[u8]>) -> Option<u16> {
    let digits = digits?;
    if digits.len() != 4 {
        return None;
    }
    digits.iter().try_fold(0u16, |value, &digit| {
        let digit = char::from(digit).to_digit(16)?;
        Some(value << 4 | digit as u16)
    })
}

/// The JSON string token of a text, quotes included.
#[must_use]
pub fn encode_string(s: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(s.len() + 2);
    encode_into(&mut out, s);
    out
}

/// Appends the JSON string token of a text, quotes included.
pub fn encode_into(out: &mut Vec<u8>, s: &str) {
    out.push(b'"');
    let bytes = s.as_bytes();
    let mut plain = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&bytes[plain..at]);
        plain = at + 1;
        let short = match byte {
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x08 => b'b',
            0x0c => b'f',
            b'"' | b'\\' => byte,
            _ => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', short]);
    }
    out.extend_from_slice(&bytes[plain..]);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_without_escapes_are_borrowed() {
        assert!(matches!(decode_string("\"grüße\"".as_bytes()), Cow::Borrowed("grüße")));
    }

    #[test]
    fn every_escape_is_decoded() {
        let token = br#""\"\\\/\b\f\n\r\t\u0041\ud83d\ude00z""#;
        assert_eq!(decode_string(token), "\"\\/\u{8}\u{c}\n\r\tA\u{1f600}z");
    }

    #[test]
    fn broken_tokens_do_not_panic() {
        for token in [&b"\"\\"[..], b"\"\\u12", b"\"\\ud800\"", b"\"\\ud800\\u0041\"", b"\"\\\xc3\"", b"", b"\""] {
            let _ = decode_string(token);
        }
    }

    #[test]
    fn encoding_escapes_what_json_requires() {
        assert_eq!(encode_string("a\"\\\n\u{1}ü"), "\"a\\\"\\\\\\n\\u0001ü\"".as_bytes());
    }
}
