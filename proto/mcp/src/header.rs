//! The headers that mirror a message (streamable HTTP 2026-07-28, *Request Metadata*): their names, their encoding, and
//! whether they agree with the body. Nothing here knows an HTTP library.

use std::{borrow::Cow, fmt};

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::{Kind, Message, Mirrored, Span, text};

mod annotation;
mod param;

pub use annotation::param_headers;
pub use param::{ParamHeader, ParamKind, check_params, param_value};

/// The protocol version, since 2025-06-18.
pub const PROTOCOL_VERSION: &str = "mcp-protocol-version";
/// The session of a legacy conversation.
pub const SESSION_ID: &str = "mcp-session-id";
/// Mirrors `method`.
pub const METHOD: &str = "mcp-method";
/// Mirrors what [`crate::Method::mirrored`] says.
pub const NAME: &str = "mcp-name";
/// Begins the names of headers that mirror a tool's parameters.
pub const PARAM_PREFIX: &str = "mcp-param-";
/// Where to resume a legacy stream.
pub const LAST_EVENT_ID: &str = "last-event-id";

const SENTINEL_START: &str = "=?base64?";
const SENTINEL_END: &str = "?=";

/// A header that is missing, malformed or wrong, or a tool whose annotations are. `Display` gives one sentence, fit for
/// the message of a `-32020` error: values are cut short and escaped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The specification requires the header here.
    #[error("Header mismatch: the {} header is missing", Wire(header))]
    Missing {
        /// Lower-case name.
        header: Cow<'static, str>,
    },
    /// The value is not what a header of this kind can hold.
    #[error("Header mismatch: the {} header {why}", Wire(header))]
    Malformed {
        /// Lower-case name.
        header: Cow<'static, str>,
        /// What is wrong, to follow the header's name in a sentence.
        why: &'static str,
    },
    /// Header and body disagree.
    #[error(
        "Header mismatch: {} header value '{}' does not match body value {}",
        Wire(header), Short(sent), Quoted(body.as_deref())
    )]
    Mismatch {
        /// Lower-case name.
        header: Cow<'static, str>,
        /// The header's value, decoded.
        sent: String,
        /// The body's value, decoded; `None` when it has none.
        body: Option<String>,
    },
    /// An `x-mcp-header` annotation makes its tool invalid (*Schema Extension*).
    #[error("the x-mcp-header annotation at '{}' {why}", Short(at))]
    Annotation {
        /// Where in the schema, as a JSON pointer.
        at: String,
        /// What is wrong, to follow "the annotation" in a sentence.
        why: &'static str,
    },
}

/// A header's name as people write it: `mcp-name` becomes `Mcp-Name`.
struct Wire<'a>(&'a str);

impl fmt::Display for Wire<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == PROTOCOL_VERSION {
            return f.write_str("MCP-Protocol-Version");
        }
        let mut upper = true;
        for c in self.0.chars() {
            write!(f, "{}", if upper { c.to_ascii_uppercase() } else { c })?;
            upper = c == '-';
        }
        Ok(())
    }
}

/// At most so many characters of a foreign value are told.
const TOLD: usize = 64;

struct Short<'a>(&'a str);

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars().take(TOLD) {
            match c {
                ' '..='~' if c != '\'' && c != '\\' => write!(f, "{c}")?,
                c if c.is_alphanumeric() => write!(f, "{c}")?,
                c => write!(f, "{}", c.escape_default())?,
            }
        }
        if self.0.chars().nth(TOLD).is_some() { f.write_str("…") } else { Ok(()) }
    }
}

struct Quoted<'a>(Option<&'a str>);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(value) => write!(f, "'{}'", Short(value)),
            None => f.write_str("(none)"),
        }
    }
}

/// The text of an `Mcp-Name` or `Mcp-Param-*` value: what the Base64 sentinel wraps, or the value itself (*Value
/// Encoding*).
///
/// # Errors
///
/// [`HeaderError::Malformed`], without the header's name, for bytes a header must not hold, broken Base64, or Base64 of
/// something that is not UTF-8.
pub fn decode_value(v: &[u8]) -> Result<Cow<'_, str>, HeaderError> {
    let malformed = |why| HeaderError::Malformed { header: Cow::Borrowed("mirrored"), why };
    let plain = std::str::from_utf8(v)
        .ok()
        .filter(|v| v.bytes().all(|b| matches!(b, b'\t' | b' '..=b'~')))
        .ok_or_else(|| malformed("holds characters that must be Base64-encoded"))?;
    let Some(wrapped) = unwrap_sentinel(plain) else { return Ok(Cow::Borrowed(plain)) };
    let bytes = STANDARD.decode(wrapped).map_err(|_| malformed("is not valid Base64"))?;
    let decoded = String::from_utf8(bytes).map_err(|_| malformed("is Base64 of something that is not UTF-8"))?;
    Ok(Cow::Owned(decoded))
}

fn unwrap_sentinel(value: &str) -> Option<&str> {
    value.strip_prefix(SENTINEL_START)?.strip_suffix(SENTINEL_END)
}

/// The header value for a text: the text itself where a header can carry it unchanged, the Base64 sentinel otherwise
/// (*Value Encoding*). An empty text is wrapped, too: empty values get lost on the way.
#[must_use]
pub fn encode_value(s: &str) -> Cow<'_, str> {
    let bytes = s.as_bytes();
    let blank = |b: Option<&u8>| matches!(b, None | Some(b' ' | b'\t'));
    let plain = bytes.iter().all(|b| matches!(b, b'\t' | b' '..=b'~'))
        && !blank(bytes.first())
        && !blank(bytes.last())
        && unwrap_sentinel(s).is_none();
    if plain {
        return Cow::Borrowed(s);
    }
    Cow::Owned(format!("{SENTINEL_START}{}{SENTINEL_END}", STANDARD.encode(bytes)))
}

/// The values of the standard headers of a request, as they arrived; `None` where the header is absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mirror<'a> {
    /// `MCP-Protocol-Version`.
    pub version: Option<&'a [u8]>,
    /// `Mcp-Method`.
    pub method: Option<&'a [u8]>,
    /// `Mcp-Name`.
    pub name: Option<&'a [u8]>,
}

/// Compares the standard headers of a modern POST with its scanned body (*Server Validation*).
///
/// Requests must carry the version and the method, and the name where the core specification mirrors one; the tasks
/// extension asks only clients, so there a missing name passes. Of notifications nothing is required. A body that lacks
/// the value itself is not judged here but by whoever reads that value: a missing `_meta` version is `-32602`.
///
/// # Errors
///
/// [`HeaderError`], to be told as `-32020` with HTTP status 400.
pub fn check(mirror: &Mirror<'_>, body: &[u8], message: &Message) -> Result<(), HeaderError> {
    let required = message.kind == Kind::Request;
    let plain = |v| Ok(text::text_of(v));
    let p = &message.p;
    compare(PROTOCOL_VERSION, mirror.version, required, p.meta_protocol_version, body, plain)?;
    if message.method_span.is_some() {
        compare(METHOD, mirror.method, required, message.method_span, body, plain)?;
    }
    let (source, required) = match message.method.mirrored() {
        Some(Mirrored::Name) => (p.name, required),
        Some(Mirrored::Uri) => (p.uri, required),
        Some(Mirrored::TaskId) => (p.task_id, false),
        None => return Ok(()),
    };
    if source.is_none()
        && let Some(sent) = mirror.name
    {
        let sent = decode_value(sent).map_err(|error| named(error, NAME))?.into_owned();
        return Err(HeaderError::Mismatch { header: NAME.into(), sent, body: None });
    }
    compare(NAME, mirror.name, required && source.is_some(), source, body, decode_value)
}

/// Whether a header's value is letter by letter what stands between the quotes of a JSON string, and means there what it means
/// in JSON: nothing in it is an escape, a sentinel, or what a header must not hold.
fn is_verbatim(sent: &[u8], raw: &[u8]) -> bool {
    let [b'"', inner @ .., b'"'] = raw else { return false };
    inner == sent
        && sent.iter().fold(true, |all, b| all & matches!(b, b' '..=b'~') & (*b != b'\\'))
        && !sent.starts_with(b"=?")
}

fn compare<'v>(
    header: &'static str,
    sent: Option<&'v [u8]>,
    required: bool,
    source: Option<Span>,
    body: &[u8],
    decode: impl Fn(&'v [u8]) -> Result<Cow<'v, str>, HeaderError>,
) -> Result<(), HeaderError> {
    let Some(sent) = sent else {
        return if required { Err(HeaderError::Missing { header: header.into() }) } else { Ok(()) };
    };
    if source.is_some_and(|source| is_verbatim(sent, source.of(body))) {
        return Ok(());
    }
    let sent = decode(sent).map_err(|error| named(error, header))?;
    let Some(source) = source else { return Ok(()) };
    let raw = source.of(body);
    let value = text::decode_string(raw);
    if raw.first() == Some(&b'"') && sent == value {
        return Ok(());
    }
    let (sent, body) = (sent.into_owned(), Some(value.into_owned()));
    Err(HeaderError::Mismatch { header: header.into(), sent, body })
}

/// Puts the header's name into what [`decode_value`] said without knowing it.
fn named(error: HeaderError, name: &str) -> HeaderError {
    match error {
        HeaderError::Malformed { why, .. } => HeaderError::Malformed { header: Cow::Owned(name.to_owned()), why },
        other => other,
    }
}

#[cfg(test)]
mod tests;
