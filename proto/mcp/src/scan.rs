//! One pass over a message: strict to the last byte, and a span for every part a gateway acts on. It does not decode,
//! copy or recurse, and refuses whatever two parsers could read differently.

use std::borrow::Cow;

use simdutf8::basic::from_utf8;
use smallvec::SmallVec;

use crate::{Kind, Message, Method, Span, text};

pub(crate) mod cursor;
mod fault;
mod fields;
mod lanes;
mod leap;
mod number;
pub(crate) mod seen;
mod skip;
mod string;
pub(crate) mod window;

use cursor::{Cursor, Fault, Step};
pub use fault::{Reason, ScanError};

/// Bounds of a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScanLimits {
    /// How many arrays and objects may lie within each other, the message's own object included; at most 128.
    pub depth: u16,
}

impl Default for ScanLimits {
    /// 127 levels: what the strictest widespread parser takes.
    fn default() -> Self {
        Self { depth: 127 }
    }
}

/// Reads one message.
///
/// The whole body must be one JSON object by RFC 8259 in UTF-8. On the levels that are read (the message, `params`,
/// `result`, `error`, their `_meta`, its related task, `result.task`) no key may occur twice, compared decoded. Lone
/// surrogates are refused in everything that is read, and anywhere in requests and notifications; elsewhere in
/// responses they pass, because servers cut text in the middle of a character.
///
/// Allocates only for escaped keys and for objects of more than 16 unknown keys on a level that is read.
///
/// # Errors
///
/// [`ScanError`] says why, where, and to which id the answer belongs (specification, *Messages*; JSON-RPC 2.0).
pub fn scan(body: &[u8], limits: ScanLimits) -> Result<Message, ScanError> {
    let mut message = Message::default();
    scan_into(body, limits, &mut message).map(|()| message)
}

/// The same, into a fresh message: it is large, and better not moved about.
///
/// # Errors
///
/// As [`scan`]; what was found so far is in the message.
pub fn scan_into(body: &[u8], limits: ScanLimits, message: &mut Message) -> Result<(), ScanError> {
    scan_with(body, Cursor::new(body, limits.depth), message)
}

/// Reads a message of somebody who is believed: as [`scan`], but of arrays and objects on levels that are not read only the
/// brackets are matched, whatever is between them, and however deep. For large answers on their way through, whose readers
/// will check them themselves.
///
/// # Errors
///
/// As [`scan`], for what it looks at.
pub fn glance(body: &[u8], limits: ScanLimits) -> Result<Message, ScanError> {
    let mut message = Message::default();
    glance_into(body, limits, &mut message).map(|()| message)
}

/// The same, into a fresh message.
///
/// # Errors
///
/// As [`glance`]; what was found so far is in the message.
pub fn glance_into(body: &[u8], limits: ScanLimits, message: &mut Message) -> Result<(), ScanError> {
    scan_with(body, Cursor::hasty(body, limits.depth), message)
}

fn scan_with(body: &[u8], mut cursor: Cursor<'_>, message: &mut Message) -> Result<(), ScanError> {
    let mut found = fields::Found::new(message);
    let outcome = check_text(body)
        .and_then(|()| fields::read(&mut cursor, &mut found))
        .and_then(|()| check_end(&mut cursor))
        .and_then(|()| classify(&cursor, &mut found));
    outcome.map_err(|Fault { reason, at }| ScanError { reason, at: at as usize, id: found.id_for_errors() })
}

/// The messages of a batch (2025-03-26 only), each to be scanned by itself.
///
/// # Errors
///
/// As [`scan`], for what is not a JSON array; [`Reason::Empty`] for an empty one and [`Reason::TooLarge`] for one of
/// more than `most` messages.
pub fn batch(body: &[u8], limits: ScanLimits, most: usize) -> Result<SmallVec<[Span; 4]>, ScanError> {
    let mut spans = SmallVec::new();
    let mut cursor = Cursor::new(body, limits.depth.saturating_add(1));
    let outcome = check_text(body).and_then(|()| {
        cursor.elements(|cursor| {
            if spans.len() == most {
                return cursor.fault(Reason::TooLarge);
            }
            spans.push(cursor.skip()?);
            Ok(())
        })?;
        if spans.is_empty() {
            return cursor.fault(Reason::Empty);
        }
        check_end(&mut cursor)
    });
    match outcome {
        Ok(()) => Ok(spans),
        Err(Fault { reason, at }) => Err(ScanError { reason, at: at as usize, id: None }),
    }
}

/// The whole text is UTF-8 and within what a [`Span`] can hold.
fn check_text(body: &[u8]) -> Step<()> {
    if u32::try_from(body.len()).is_err() {
        return Err(Fault::new(Reason::TooLarge, u32::MAX as usize));
    }
    from_utf8(body).map(drop).map_err(|_| {
        let at = simdutf8::compat::from_utf8(body).map_or_else(|e| e.valid_up_to(), |_| 0);
        Fault::new(Reason::NotUtf8, at)
    })
}

/// Nothing but whitespace follows.
fn check_end(cursor: &mut Cursor<'_>) -> Step<()> {
    match cursor.token() {
        None => Ok(()),
        Some(_) => cursor.fault(Reason::TrailingBytes),
    }
}

/// Decides what kind of message the parts make up.
fn classify(cursor: &Cursor<'_>, found: &mut fields::Found<'_>) -> Step<()> {
    let end = cursor.body.len();
    let fault = |reason, span: Option<Span>| Err(Fault::new(reason, span.map_or(end, |span| span.start as usize)));
    if !found.versioned {
        return fault(Reason::BadVersion, None);
    }
    let message = &mut *found.message;
    let answer = message.result.or(message.error);
    if let Some(method) = message.method_span {
        if let Some(at) = cursor.lone {
            return Err(Fault::new(Reason::LoneSurrogate, at));
        }
        let name = decoded(method.of(cursor.body));
        message.method = Method::from_bytes(&name);
        let notification = name.starts_with(b"notifications/");
        return match (notification, found.id) {
            _ if answer.is_some() => fault(Reason::Ambiguous, answer),
            (true, fields::Id::Token(span)) => fault(Reason::Ambiguous, Some(span)),
            (_, fields::Id::Null(span)) => fault(Reason::BadId, Some(span)),
            (true, fields::Id::Absent) => {
                message.kind = Kind::Notification;
                Ok(())
            }
            (false, fields::Id::Absent) => fault(Reason::RequestWithoutId, message.method_span),
            (false, fields::Id::Token(span)) => {
                message.id = Some(span);
                Ok(())
            }
        };
    }
    message.kind = Kind::Response;
    match (message.result, message.error, found.id) {
        (None, None, _) => fault(Reason::BadMethod, None),
        (Some(_), Some(error), _) => fault(Reason::Ambiguous, Some(error)),
        (_, _, fields::Id::Token(span)) => {
            message.id = Some(span);
            Ok(())
        }
        (None, Some(_), _) => Ok(()),
        (Some(_), None, fields::Id::Null(span)) => fault(Reason::BadId, Some(span)),
        (Some(_), None, fields::Id::Absent) => fault(Reason::BadId, None),
    }
}

/// The bytes of a string token that was walked over before.
fn decoded(raw_token: &[u8]) -> Cow<'_, [u8]> {
    let inner = &raw_token[1..raw_token.len() - 1];
    if !inner.contains(&b'\\') {
        return Cow::Borrowed(inner);
    }
    Cow::Owned(text::decode_string(raw_token).into_owned().into_bytes())
}

#[cfg(test)]
mod tests;
