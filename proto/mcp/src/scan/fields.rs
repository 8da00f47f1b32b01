//! The levels of a message that are read, one function each: which key goes to which field.

use super::{
    cursor::{Cursor, Fault, Key, Step},
    fault::Reason,
    seen::Seen,
};
use crate::{Message, Span};

mod params;
mod result;

use params::read_params;
use result::read_result;

/// The keys of `_meta` that the specification defines.
mod meta_key {
    pub(super) const PROTOCOL_VERSION: &[u8] = b"io.modelcontextprotocol/protocolVersion";
    pub(super) const CLIENT_INFO: &[u8] = b"io.modelcontextprotocol/clientInfo";
    pub(super) const CLIENT_CAPABILITIES: &[u8] = b"io.modelcontextprotocol/clientCapabilities";
    pub(super) const LOG_LEVEL: &[u8] = b"io.modelcontextprotocol/logLevel";
    pub(super) const SUBSCRIPTION_ID: &[u8] = b"io.modelcontextprotocol/subscriptionId";
    pub(super) const SERVER_INFO: &[u8] = b"io.modelcontextprotocol/serverInfo";
    pub(super) const RELATED_TASK: &[u8] = b"io.modelcontextprotocol/related-task";
}

/// The id of a message, as far as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Id {
    Absent,
    Null(Span),
    /// A string or an integer.
    Token(Span),
}

/// What was found so far; after a fault, what had been found before it.
pub(super) struct Found<'m> {
    pub(super) message: &'m mut Message,
    pub(super) id: Id,
    /// `jsonrpc` is there and right.
    pub(super) versioned: bool,
    /// The id occurred twice, so it is nobody's.
    id_twice: bool,
}

impl<'m> Found<'m> {
    pub(super) fn new(message: &'m mut Message) -> Self {
        Self { message, id: Id::Absent, versioned: false, id_twice: false }
    }

    /// The id an error response may carry.
    pub(super) fn id_for_errors(&self) -> Option<Span> {
        match self.id {
            Id::Token(span) if !self.id_twice => Some(span),
            _ => None,
        }
    }
}

/// Fills an empty field with the value that follows; a fault if the field was filled before.
#[inline]
fn fill(cursor: &mut Cursor<'_>, at: usize, field: &mut Option<Span>) -> Step<()> {
    vacant(at, field)?;
    *field = Some(cursor.value()?);
    Ok(())
}

#[inline]
fn vacant(at: usize, field: &Option<Span>) -> Step<()> {
    match field {
        None => Ok(()),
        Some(_) => Err(Fault::new(Reason::DuplicateKey, at)),
    }
}

/// Skips the value of a key that has no field.
fn other<'a>(cursor: &mut Cursor<'a>, seen: &mut Seen<'a>, key: Key<'a>) -> Step<()> {
    seen.add(key)?;
    cursor.skip().map(drop)
}

/// The message itself.
pub(super) fn read(cursor: &mut Cursor<'_>, found: &mut Found<'_>) -> Step<()> {
    match cursor.token() {
        None => return cursor.fault(Reason::Empty),
        Some(b'{') => {}
        Some(b'[') => return cursor.fault(Reason::Batch),
        Some(b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => {
            cursor.skip()?;
            return cursor.fault(Reason::NotAnObject);
        }
        Some(_) => return cursor.fault(Reason::Syntax),
    }
    let mut seen = Seen::default();
    cursor.members(|cursor, key| {
        let message = &mut *found.message;
        match &*key.text {
            b"jsonrpc" => {
                if found.versioned {
                    return Err(Fault::new(Reason::DuplicateKey, key.at));
                }
                let span = cursor.value()?;
                let raw = span.of(cursor.body);
                if raw != b"\"2.0\"" && (raw[0] != b'"' || crate::decode_string(raw) != "2.0") {
                    return Err(Fault::new(Reason::BadVersion, span.start as usize));
                }
                found.versioned = true;
                Ok(())
            }
            b"id" => {
                found.id_twice = found.id != Id::Absent;
                if found.id_twice {
                    return Err(Fault::new(Reason::DuplicateKey, key.at));
                }
                found.id = read_id(cursor)?;
                Ok(())
            }
            b"method" => {
                vacant(key.at, &message.method_span)?;
                let text = cursor.token() == Some(b'"');
                let span = cursor.value()?;
                if !text {
                    return Err(Fault::new(Reason::BadMethod, span.start as usize));
                }
                message.method_span = Some(span);
                Ok(())
            }
            b"params" => {
                vacant(key.at, &message.params)?;
                if cursor.token() != Some(b'{') {
                    let span = cursor.value()?;
                    return Err(Fault::new(Reason::BadParams, span.start as usize));
                }
                message.params = Some(read_params(cursor, &mut message.p)?);
                Ok(())
            }
            b"result" => {
                vacant(key.at, &message.result)?;
                message.result = Some(match cursor.token() {
                    Some(b'{') => read_result(cursor, &mut message.r)?,
                    _ => cursor.value()?,
                });
                Ok(())
            }
            b"error" => {
                vacant(key.at, &message.error)?;
                message.error = Some(match cursor.token() {
                    Some(b'{') => read_error(cursor, &mut message.error_code)?,
                    _ => cursor.value()?,
                });
                Ok(())
            }
            _ => other(cursor, &mut seen, key),
        }
    })?;
    Ok(())
}

/// A string or an integer; null is kept apart. `-0` is refused: some parsers turn it into `0`, others into `-0.0`.
fn read_id(cursor: &mut Cursor<'_>) -> Step<Id> {
    let first = cursor.token();
    let span = cursor.value()?;
    let raw = span.of(cursor.body);
    match first {
        Some(b'"') => Ok(Id::Token(span)),
        Some(b'n') => Ok(Id::Null(span)),
        Some(b'-' | b'0'..=b'9') if raw != b"-0" && !raw.iter().any(|b| matches!(b, b'.' | b'e' | b'E')) => {
            Ok(Id::Token(span))
        }
        _ => Err(Fault::new(Reason::BadId, span.start as usize)),
    }
}

/// An object with a `taskId`; `whole` becomes its span.
fn read_task(cursor: &mut Cursor<'_>, at: usize, whole: &mut Option<Span>, task_id: &mut Option<Span>) -> Step<()> {
    vacant(at, whole)?;
    if cursor.token() != Some(b'{') {
        *whole = Some(cursor.value()?);
        return Ok(());
    }
    let mut seen = Seen::default();
    *whole = Some(cursor.members(|cursor, key| match &*key.text {
        b"taskId" => fill(cursor, key.at, task_id),
        _ => other(cursor, &mut seen, key),
    })?);
    Ok(())
}

fn read_error(cursor: &mut Cursor<'_>, code: &mut Option<i64>) -> Step<Span> {
    let mut seen = Seen::default();
    let mut span = None;
    let whole = cursor.members(|cursor, key| match &*key.text {
        b"code" => fill(cursor, key.at, &mut span),
        _ => other(cursor, &mut seen, key),
    })?;
    *code = span.and_then(|span| std::str::from_utf8(span.of(cursor.body)).ok()?.parse().ok());
    Ok(whole)
}
