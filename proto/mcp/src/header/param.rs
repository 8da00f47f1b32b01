//! `Mcp-Param-*`: headers that mirror the arguments of a tool call (*Custom Headers from Tool Parameters*).

use std::borrow::Cow;

use super::{HeaderError, decode_value, named};
use crate::{Span, path, text};

/// A header that a tool asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamHeader {
    /// The whole name, in lower case: `mcp-param-…`.
    pub header: String,
    /// The names of properties that lead from the arguments to the value.
    pub path: Vec<String>,
    /// What the schema says the value is.
    pub kind: ParamKind,
}

/// Types a mirrored parameter may have; `number` is not among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParamKind {
    /// Mirrored as it is.
    String,
    /// Mirrored in decimal, compared by value.
    Integer,
    /// Mirrored as `true` or `false`.
    Boolean,
}

/// The largest magnitude of an integer every peer keeps exact.
const SAFE: i64 = (1 << 53) - 1;

/// What a header is to say for a raw `arguments` object, before [`super::encode_value`]. `None` when the value is
/// absent, null, not primitive, or ambiguous because a key on the way to it occurs twice.
#[must_use]
pub fn param_value(arguments: &[u8], header: &ParamHeader) -> Option<String> {
    let span = find(arguments, header).ok()??;
    mirrored(span.of(arguments)).map(Cow::into_owned)
}

/// Compares the headers a tool asks for with the arguments of a call (*Server Behavior for Custom Headers*). `get` gives
/// the raw value of a header by its lower-case name.
///
/// # Errors
///
/// [`HeaderError`] if one is missing, malformed, different, or there without a value in the body.
pub fn check_params<'a>(
    headers: &[ParamHeader],
    get: impl Fn(&str) -> Option<&'a [u8]>,
    arguments: Option<&[u8]>,
) -> Result<(), HeaderError> {
    for header in headers {
        let arguments = arguments.unwrap_or(b"{}");
        let sent = match get(&header.header) {
            Some(sent) => Some(decode_value(sent).map_err(|error| named(error, &header.header))?),
            None => None,
        };
        let value = match find(arguments, header) {
            Ok(Some(span)) => mirrored(span.of(arguments)),
            Ok(None) => None,
            Err(_) => return Err(malformed(header, "mirrors an argument that occurs twice")),
        };
        compare(header, sent, value)?;
    }
    Ok(())
}

fn compare(header: &ParamHeader, sent: Option<Cow<'_, str>>, value: Option<Cow<'_, str>>) -> Result<(), HeaderError> {
    let name = || Cow::Owned(header.header.clone());
    match (sent, value) {
        (None, None) => Ok(()),
        (None, Some(_)) => Err(HeaderError::Missing { header: name() }),
        (Some(sent), None) => Err(HeaderError::Mismatch { header: name(), sent: sent.into_owned(), body: None }),
        (Some(sent), Some(value)) => {
            if header.kind == ParamKind::Integer
                && let Some(number) = integer(&value)
            {
                if number.unsigned_abs() > SAFE.unsigned_abs() {
                    return Err(malformed(header, "mirrors an integer outside the safe range"));
                }
                if integer(&sent) == Some(number) {
                    return Ok(());
                }
            } else if sent == value {
                return Ok(());
            }
            let (sent, body) = (sent.into_owned(), Some(value.into_owned()));
            Err(HeaderError::Mismatch { header: name(), sent, body })
        }
    }
}

fn malformed(header: &ParamHeader, why: &'static str) -> HeaderError {
    HeaderError::Malformed { header: Cow::Owned(header.header.clone()), why }
}

fn find(arguments: &[u8], header: &ParamHeader) -> Result<Option<Span>, path::Duplicate> {
    let mut span = Span::new(0, arguments.len());
    for name in &header.path {
        match path::member(span.of(arguments), name)? {
            Some(inner) => span = Span { start: span.start + inner.start, end: span.start + inner.end },
            None => return Ok(None),
        }
    }
    Ok(Some(span))
}

/// The text that mirrors a raw value. Integers spelled with a fraction or an exponent become plain decimals.
fn mirrored(raw: &[u8]) -> Option<Cow<'_, str>> {
    match raw.first()? {
        b'"' => Some(text::decode_string(raw)),
        b't' | b'f' => std::str::from_utf8(raw).ok().map(Cow::Borrowed),
        b'-' | b'0'..=b'9' => {
            let spelled = std::str::from_utf8(raw).ok()?;
            Some(match integer(spelled) {
                Some(number) => Cow::Owned(number.to_string()),
                None => Cow::Borrowed(spelled),
            })
        }
        _ => None,
    }
}

/// The integer a JSON number stands for, exactly: `42`, `42.0`, `4.2e1`; `None` for fractions and for what exceeds an
/// `i64`.
fn integer(number: &str) -> Option<i64> {
    let (negative, digits) = match number.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, number),
    };
    let (mantissa, exponent) = match digits.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (digits, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let fraction = fraction.trim_end_matches('0');
    let mut value = 0i64;
    for digit in whole.bytes().chain(fraction.bytes()) {
        value = value.checked_mul(10)?.checked_add(i64::from(digit - b'0'))?;
    }
    let shift = exponent.checked_sub(i32::try_from(fraction.len()).ok()?)?;
    if value == 0 {
        return Some(0);
    }
    for _ in 0..shift.unsigned_abs() {
        value = if shift > 0 {
            value.checked_mul(10)?
        } else if value % 10 == 0 {
            value / 10
        } else {
            return None;
        };
    }
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_read_by_value() {
        for (spelled, value) in [
            ("42", Some(42)),
            ("42.0", Some(42)),
            ("4.2e1", Some(42)),
            ("420e-1", Some(42)),
            ("-7", Some(-7)),
            ("-0.0", Some(0)),
            ("0e999999999", Some(0)),
            ("1e999999999", None),
            ("1.5", None),
            ("9223372036854775808", None),
            ("", None),
            ("+1", None),
            ("0x1", None),
            ("1.", Some(1)),
        ] {
            assert_eq!(integer(spelled), value, "{spelled}");
        }
    }

    #[test]
    fn values_of_every_kind_are_mirrored() {
        let arguments = br#"{"a":{"b":"h\u00e9"},"n":7.0,"t":true,"z":null,"o":[1],"d":1,"d":2}"#;
        let value = |path: &[&str]| {
            let path = path.iter().map(|s| (*s).to_owned()).collect();
            param_value(arguments, &ParamHeader { header: String::new(), path, kind: ParamKind::String })
        };
        assert_eq!(value(&["a", "b"]).as_deref(), Some("hé"));
        assert_eq!(value(&["n"]).as_deref(), Some("7"));
        assert_eq!(value(&["t"]).as_deref(), Some("true"));
        for absent in [&["z"][..], &["o"], &["d"], &["x"], &["a", "b", "c"], &["n", "a"]] {
            assert_eq!(value(absent), None, "{absent:?}");
        }
    }
}
