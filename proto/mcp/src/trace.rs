//! Trace context (W3C Trace Context, level 1): read from `traceparent`, in a header or in `_meta` (2026-07-28 *Trace
//! context in `_meta`*), and written for whoever is asked next. No clock, no randomness: span ids are given.

use std::collections::HashMap;

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::{Edit, Message, Span};

/// The key in `_meta` and the name of the header.
pub const PARENT: &str = "traceparent";
/// Length of `00-`, 32 digits, `-`, 16 digits, `-`, two digits.
const LENGTH: usize = 55;

/// Where a request belongs: a trace, and the span that caused it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    /// Never all zeros.
    pub trace: [u8; 16],
    /// Never all zeros.
    pub span: [u8; 8],
    /// Whether the caller records it.
    pub sampled: bool,
}

impl TraceContext {
    /// Reads a value of `traceparent`. Later versions are read as far as they agree with version 00 (section 3.2.4);
    /// anything else is as good as absent.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (head, rest) = value.split_at_checked(LENGTH)?;
        let version: [u8; 1] = hex(&head[..2])?;
        if version == [0xff] || (version == [0] && !rest.is_empty()) || rest.first().is_some_and(|b| *b != b'-') {
            return None;
        }
        if [2, 35, 52].into_iter().any(|dash| head[dash] != b'-') {
            return None;
        }
        let (trace, span) = (hex(&head[3..35])?, hex(&head[36..52])?);
        let [flags]: [u8; 1] = hex(&head[53..])?;
        (trace != [0; 16] && span != [0; 8]).then_some(Self { trace, span, sampled: flags & 1 == 1 })
    }
}

impl std::fmt::Display for TraceContext {
    /// The value of `traceparent`, version 00.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("00-")?;
        self.trace.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("-")?;
        self.span.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        write!(f, "-{:02x}", u8::from(self.sampled))
    }
}

/// Lower-case digits only, as the recommendation asks.
fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let digit = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    if digits.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

/// The trace context of a message, and where in its `_meta` the next one goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetaContext {
    /// What `_meta` says, if it says something right.
    pub context: Option<TraceContext>,
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In place of the value.
    Instead(Span),
    /// Before the first member; whether there is one.
    First(u32, bool),
}

impl MetaContext {
    /// Looks into the `_meta` of a scanned message; `None` where there is none to look into.
    #[must_use]
    pub fn of(body: &Bytes, message: &Message) -> Option<Self> {
        let meta = message.p.meta?;
        let text = std::str::from_utf8(meta.of(body)).ok()?;
        let members: HashMap<String, &RawValue> = serde_json::from_str(text).ok()?;
        let Some(value) = members.get(PARENT) else {
            return Some(Self { context: None, place: Place::First(meta.start + 1, !members.is_empty()) });
        };
        // borrowed from the same text: its place is the distance between the two
        let at = value.get().as_ptr() as usize - text.as_ptr() as usize;
        let start = meta.start + u32::try_from(at).ok()?;
        let span = Span { start, end: start + u32::try_from(value.get().len()).ok()? };
        let said = serde_json::from_str::<String>(value.get()).ok();
        let context = said.and_then(|said| TraceContext::parse(said.as_bytes()));
        Some(Self { context, place: Place::Instead(span) })
    }

    /// The edit by which a message says `next`.
    #[must_use]
    pub fn replace(&self, next: &TraceContext) -> Edit {
        match self.place {
            Place::Instead(span) => Edit { span, with: format!("\"{next}\"").into() },
            Place::First(at, others) => {
                let comma = if others { "," } else { "" };
                Edit { span: Span { start: at, end: at }, with: format!("\"{PARENT}\":\"{next}\"{comma}").into() }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ScanLimits, join, scan, splice};

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_good_value_reads_and_writes_as_itself() {
        let context = TraceContext::parse(GOOD.as_bytes()).unwrap();
        assert!(context.sampled);
        assert_eq!(context.to_string(), GOOD);
        let later = format!("cc{}-more", &GOOD[2..]);
        assert_eq!(TraceContext::parse(later.as_bytes()), Some(context));
    }

    #[test]
    fn what_is_wrong_is_absent() {
        let bad = [
            String::new(),
            GOOD[..54].to_owned(),
            format!("{GOOD}-x"),
            format!("ff{}", &GOOD[2..]),
            GOOD.to_uppercase(),
            GOOD.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            GOOD.replace("b7ad6b7169203331", &"0".repeat(16)),
            GOOD.replace('-', "_"),
        ];
        for value in bad {
            assert_eq!(TraceContext::parse(value.as_bytes()), None, "{value}");
        }
    }

    #[test]
    fn meta_says_the_next_context_and_nothing_else_changes() {
        let next = TraceContext { trace: [1; 16], span: [2; 8], sampled: true };
        let message = |meta: &str| {
            Bytes::from(format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{"_meta":{meta},"x":1}}}}"#))
        };
        let cases = [
            ("{}", format!("{{\"traceparent\":\"{next}\"}}"), None),
            (r#"{ "a": 1 }"#, format!("{{\"traceparent\":\"{next}\", \"a\": 1 }}"), None),
            (r#"{"a":1,"traceparent":7}"#, format!("{{\"a\":1,\"traceparent\":\"{next}\"}}"), None),
            (
                &format!(r#"{{"trac\u0065parent" : "{GOOD}" }}"#),
                format!("{{\"trac\\u0065parent\" : \"{next}\" }}"),
                TraceContext::parse(GOOD.as_bytes()),
            ),
        ];
        for (meta, after, context) in cases {
            let body = message(meta);
            let found = MetaContext::of(&body, &scan(&body, ScanLimits::default()).unwrap()).unwrap();
            assert_eq!(found.context, context, "{meta}");
            let edited = join(&splice(&body, &mut [found.replace(&next)]));
            assert_eq!(edited, message(&after), "{meta}");
        }
    }

    #[test]
    fn without_meta_there_is_nowhere_to_say_it() {
        for params in ["", r#","params":{"_meta":7}"#] {
            let body = Bytes::from(format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping"{params}}}"#));
            if let Ok(message) = scan(&body, ScanLimits::default()) {
                assert_eq!(MetaContext::of(&body, &message), None);
            }
        }
    }
}
