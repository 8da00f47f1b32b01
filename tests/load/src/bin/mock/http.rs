//! A request on the wire: its head as far as the mock looks at it, and where its body is.

use std::ops::Range;

use httparse::Status;
use sluice_load::chunked::{Chunked, Malformed};

/// Fields in a head: more than clients and proxies send.
const FIELDS: usize = 48;

/// A method the servers know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Post,
    Get,
    Delete,
    Other,
}

/// How long a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Length {
    Known(usize),
    Chunked,
}

/// What a head says.
#[derive(Debug)]
pub(crate) struct Head<'w> {
    pub method: Method,
    pub path: &'w str,
    pub session: Option<&'w [u8]>,
    pub version: Option<&'w [u8]>,
    pub mcp_method: Option<&'w [u8]>,
    pub mcp_name: Option<&'w [u8]>,
    pub is_json: bool,
    pub accepts_both: bool,
    pub accepts_events: bool,
    length: Length,
    bytes: usize,
}

impl<'w> Head<'w> {
    /// Reads a head; `None` while it is not whole.
    ///
    /// # Errors
    /// [`Malformed`]
    pub(crate) fn read(wire: &'w [u8]) -> Result<Option<Self>, Malformed> {
        let mut fields = [httparse::EMPTY_HEADER; FIELDS];
        let mut request = httparse::Request::new(&mut fields);
        let Status::Complete(bytes) = request.parse(wire).map_err(|_| Malformed)? else { return Ok(None) };
        let method = match request.method {
            Some("POST") => Method::Post,
            Some("GET") => Method::Get,
            Some("DELETE") => Method::Delete,
            _ => Method::Other,
        };
        let mut head = Self {
            method,
            path: request.path.unwrap_or_default(),
            session: None,
            version: None,
            mcp_method: None,
            mcp_name: None,
            is_json: false,
            accepts_both: false,
            accepts_events: false,
            length: Length::Known(0),
            bytes,
        };
        for field in request.headers.iter() {
            head.take(field)?;
        }
        Ok(Some(head))
    }

    fn take(&mut self, field: &httparse::Header<'w>) -> Result<(), Malformed> {
        let is = |name: &str| field.name.eq_ignore_ascii_case(name);
        match field.name.len() {
            6 if is("accept") => {
                self.accepts_events = memchr::memmem::find(field.value, b"text/event-stream").is_some();
                self.accepts_both =
                    self.accepts_events && memchr::memmem::find(field.value, b"application/json").is_some();
            }
            8 if is("mcp-name") => self.mcp_name = Some(field.value),
            10 if is("mcp-method") => self.mcp_method = Some(field.value),
            12 if is("content-type") => self.is_json = field.value.starts_with(b"application/json"),
            14 if is("mcp-session-id") => self.session = Some(field.value),
            14 if is("content-length") => self.length = Length::Known(number(field.value).ok_or(Malformed)?),
            17 if is("transfer-encoding") => self.length = Length::Chunked,
            20 if is("mcp-protocol-version") => self.version = Some(field.value),
            _ => {}
        }
        Ok(())
    }

    /// Where the body is; `None` while it is not whole. `chunks` holds a body that comes in chunks, which is what is
    /// returned as [`Body::Chunks`].
    ///
    /// # Errors
    /// [`Malformed`]
    pub(crate) fn body(&self, wire: &[u8], chunks: &mut Chunked) -> Result<Option<Body>, Malformed> {
        match self.length {
            Length::Known(length) => {
                let end = self.bytes + length;
                Ok((wire.len() >= end).then_some(Body::Plain(self.bytes..end)))
            }
            Length::Chunked => {
                chunks.clear();
                let (used, whole) = chunks.take(&wire[self.bytes..])?;
                Ok(whole.then_some(Body::Chunks { end: self.bytes + used }))
            }
        }
    }
}

/// A whole body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// As it stands on the wire.
    Plain(Range<usize>),
    /// Decoded elsewhere; the request ends there.
    Chunks { end: usize },
}

fn number(digits: &[u8]) -> Option<usize> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}
