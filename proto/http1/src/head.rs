//! Heads of requests and answers (RFC 9112 sections 2–5).

use std::mem::MaybeUninit;

use http::uri::{Scheme, Uri};
use http::{Method, StatusCode};

use crate::framing::Said;
use crate::{Fields, Framing, Limits, MOST_FIELDS};

/// The head of a request.
#[derive(Debug)]
pub struct RequestHead {
    /// The method.
    pub verb: Method,
    /// What is asked for.
    pub target: Target,
    /// Its header fields.
    pub fields: Fields,
    /// How its body is framed.
    pub framing: Framing,
    /// HTTP/1.1, which knows chunks; else HTTP/1.0.
    pub http_11: bool,
    /// The client goes on using the connection.
    pub keep_alive: bool,
    /// The client waits for `100 Continue` before it sends the body (RFC 9110 section 10.1.1).
    pub expects_continue: bool,
}

/// The head of an answer.
#[derive(Debug)]
pub struct ResponseHead {
    /// The status.
    pub status: StatusCode,
    /// Its header fields.
    pub fields: Fields,
    /// How its body is framed.
    pub framing: Framing,
    /// The server goes on using the connection.
    pub keep_alive: bool,
}

/// Why a head is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// Not HTTP/1, or not to be framed.
    #[error("malformed")]
    Malformed,
    /// More bytes or fields than the limits allow.
    #[error("too large")]
    TooLarge,
    /// A version of HTTP that cannot be read as HTTP/1.1.
    #[error("another version of HTTP")]
    Version,
    /// The beginning of TLS.
    #[error("TLS")]
    Tls,
}

/// The target of a request: a path with a query, and the authority where it is named there and not in `Host`.
#[derive(Debug, Clone, Default)]
pub struct Target {
    text: String,
    /// Where the query's question mark is.
    query: Option<u32>,
    authority: Option<Box<str>>,
    https: bool,
}

impl Target {
    /// Of its raw form (RFC 9112 section 3.2): a path, an absolute URI, or `*`. `None` where it is none of them.
    #[must_use]
    pub fn parse(raw: &str) -> Option<Self> {
        if raw.starts_with('/') {
            return Some(Self::of_path(raw, None)).filter(|_| !raw.contains('#'));
        }
        let uri: Uri = raw.parse().ok()?;
        let https = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme != Scheme::HTTP => return None,
            _ => false,
        };
        Some(Self { https, ..Self::of_uri(&uri) })
    }

    /// Of a URI: HTTP/2 and absolute forms. Balancers that end TLS say in HTTP/2 what their clients asked for, so its scheme says
    /// nothing of this connection.
    #[must_use]
    pub fn of_uri(uri: &Uri) -> Self {
        let authority = uri.authority().map(|authority| authority.as_str().into());
        match uri.path_and_query().map_or("/", |path| path.as_str()) {
            // an absolute URI may have a query and no path
            query if query.starts_with('?') => Self::of_path(&format!("/{query}"), authority),
            path => Self::of_path(path, authority),
        }
    }

    fn of_path(path: &str, authority: Option<Box<str>>) -> Self {
        let query = memchr::memchr(b'?', path.as_bytes()).and_then(|at| at.try_into().ok());
        Self { text: path.to_owned(), query, authority, https: false }
    }

    /// The path, as it was sent.
    #[must_use]
    pub fn path(&self) -> &str {
        self.query.map_or(&*self.text, |at| &self.text[..at as usize])
    }

    /// What follows the question mark.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.query.map(|at| &self.text[at as usize + 1..])
    }

    /// Whether the target itself asks for `https`: an absolute form of HTTP/1.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.https
    }

    /// Host and port, where the target names them.
    #[must_use]
    pub fn authority(&self) -> Option<&str> {
        self.authority.as_deref()
    }
}

/// The first byte of a TLS connection (RFC 8446 section 5.1).
const TLS_HANDSHAKE: u8 = 0x16;

/// What the parser writes its fields to.
type Room<'b> = [MaybeUninit<httparse::Header<'b>>; MOST_FIELDS];

const ROOM: MaybeUninit<httparse::Header<'_>> = MaybeUninit::uninit();

/// Where a head that may be complete ends: behind an empty line. `from` bytes were looked at before. Much cheaper than to parse
/// again what came drop by drop.
#[must_use]
pub fn find_end(bytes: &[u8], from: usize) -> Option<usize> {
    let from = from.saturating_sub(3);
    memchr::memchr_iter(b'\n', &bytes[from..]).map(|at| from + at).find_map(|at| match &bytes[at + 1..] {
        [b'\n', ..] => Some(at + 2),
        [b'\r', b'\n', ..] => Some(at + 3),
        _ => None,
    })
}

impl RequestHead {
    /// Takes a head apart; with it, how many bytes it has. `None`: more bytes are needed.
    ///
    /// # Errors
    /// [`HeadError`].
    pub fn parse(bytes: &[u8], limits: Limits) -> Result<Option<(Self, usize)>, HeadError> {
        let mut room: Room<'_> = [ROOM; MOST_FIELDS];
        let mut parsed = httparse::Request::new(&mut []);
        let most = limits.fields.min(MOST_FIELDS);
        let length = match parsed.parse_with_uninit_headers(bytes, &mut room[..most]) {
            Ok(httparse::Status::Complete(length)) if length <= limits.bytes => length,
            Ok(httparse::Status::Partial) if bytes.len() < limits.bytes => return Ok(None),
            Ok(_) | Err(httparse::Error::TooManyHeaders) => return Err(HeadError::TooLarge),
            Err(httparse::Error::Version) => return Self::parse_later(bytes, limits),
            Err(_) if bytes.first() == Some(&TLS_HANDSHAKE) => return Err(HeadError::Tls),
            Err(_) => return Err(HeadError::Malformed),
        };
        let fields = Fields::parsed(&bytes[..length], parsed.headers).ok_or(HeadError::TooLarge)?;
        if !fields.end_in_crlf() {
            return Err(HeadError::Malformed);
        }
        let http_11 = parsed.version == Some(1);
        let verb = Method::from_bytes(parsed.method.unwrap_or_default().as_bytes());
        let target = Target::parse(parsed.path.unwrap_or_default());
        let said = Said::by(&fields);
        let framing = Framing::of_request(&said, http_11);
        let ((Ok(verb), Some(target)), Some(framing)) = ((verb, target), framing) else {
            return Err(HeadError::Malformed);
        };
        let head = Self {
            verb,
            target,
            framing,
            http_11,
            keep_alive: said.keeps_alive(http_11),
            expects_continue: http_11 && said.expects_continue,
            fields,
        };
        Ok(Some((head, length)))
    }
}

impl RequestHead {
    /// As [`RequestHead::parse`], of a head in another version: a later one of HTTP/1 is read as HTTP/1.1 (RFC 9110 section 2.5).
    fn parse_later(bytes: &[u8], limits: Limits) -> Result<Option<(Self, usize)>, HeadError> {
        let start = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or_default();
        let end = memchr::memchr(b'\n', &bytes[start..]).map_or(bytes.len(), |at| start + at);
        let line = bytes[start..end].trim_ascii_end();
        let version = line.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
        match version {
            [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'2'..=b'9'] => {
                let mut read = bytes.to_vec();
                read[start + line.len() - 1] = b'1';
                Self::parse(&read, limits)
            }
            [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit() => {
                Err(HeadError::Version)
            }
            _ => Err(HeadError::Malformed),
        }
    }
}

impl ResponseHead {
    /// Takes the head of the answer to a `verb` apart; with it, how many bytes it has. `None`: more bytes are needed.
    ///
    /// # Errors
    /// [`HeadError`].
    pub fn parse(bytes: &[u8], verb: &Method, limits: Limits) -> Result<Option<(Self, usize)>, HeadError> {
        let mut room: Room<'_> = [ROOM; MOST_FIELDS];
        let mut parsed = httparse::Response::new(&mut []);
        let most = limits.fields.min(MOST_FIELDS);
        let config = httparse::ParserConfig::default();
        let length = match config.parse_response_with_uninit_headers(&mut parsed, bytes, &mut room[..most]) {
            Ok(httparse::Status::Complete(length)) if length <= limits.bytes => length,
            Ok(httparse::Status::Partial) if bytes.len() < limits.bytes => return Ok(None),
            Ok(_) | Err(httparse::Error::TooManyHeaders) => return Err(HeadError::TooLarge),
            Err(_) => return Err(HeadError::Malformed),
        };
        let fields = Fields::parsed(&bytes[..length], parsed.headers).ok_or(HeadError::TooLarge)?;
        let status = StatusCode::from_u16(parsed.code.unwrap_or_default()).map_err(|_| HeadError::Malformed)?;
        let said = Said::by(&fields);
        let framing = Framing::of_response(&said, verb, status).ok_or(HeadError::Malformed)?;
        // what follows may be a body that cannot be there, or no HTTP
        let unclear = match status {
            StatusCode::NO_CONTENT => said.promises_body(),
            status => status == StatusCode::SWITCHING_PROTOCOLS || said.is_ambiguous(),
        };
        let keep_alive = said.keeps_alive(parsed.version == Some(1)) && framing != Framing::UntilClose && !unclear;
        Ok(Some((Self { status, fields, framing, keep_alive }, length)))
    }
}
