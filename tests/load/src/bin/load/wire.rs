//! What an answer is on the wire: status, the fields that matter, and a body that comes whole.

use std::ops::Range;

use httparse::Status;
use sluice_load::chunked::Chunked;

/// Fields in a head: more than servers and proxies send.
const FIELDS: usize = 48;

/// The head of an answer.
#[derive(Debug)]
pub(crate) struct Head {
    pub status: u16,
    pub session: Option<String>,
    pub is_events: bool,
    length: Length,
    bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Length {
    Known(usize),
    Chunked,
}

/// Reads answers of one connection, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    head: Option<Head>,
    chunks: Chunked,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Whole {
    pub head: Head,
    /// The body's place in the input; `None`: it came in chunks, see [`Reader::chunks`].
    plain: Option<Range<usize>>,
    /// Bytes of input that are used with it.
    pub used: usize,
}

impl Reader {
    /// Reads what came; `None` while there is no whole answer. The number is of bytes used up, for good.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub(crate) fn read(&mut self, input: &[u8]) -> Result<(usize, Option<Whole>), String> {
        let mut at = 0;
        if self.head.is_none() {
            let Some(head) = Head::read(input)? else { return Ok((0, None)) };
            at = head.bytes;
            self.chunks.clear();
            self.head = Some(head);
        }
        let Some(head) = &self.head else { return Ok((at, None)) };
        let (plain, used) = match head.length {
            Length::Known(length) if input.len() - at < length => return Ok((at, None)),
            Length::Known(length) => (Some(at..at + length), at + length),
            Length::Chunked => {
                let (taken, whole) = self.chunks.take(&input[at..]).map_err(|_| "malformed chunks".to_owned())?;
                if !whole {
                    return Ok((at + taken, None));
                }
                (None, at + taken)
            }
        };
        Ok((0, self.head.take().map(|head| Whole { head, plain, used })))
    }

    /// The body of what was read last.
    pub(crate) fn body<'i>(&'i self, input: &'i [u8], whole: &Whole) -> &'i [u8] {
        match &whole.plain {
            Some(range) => &input[range.clone()],
            None => self.chunks.body(),
        }
    }

    /// The head of an answer whose body does not end.
    pub(crate) fn stream(&self) -> Option<&Head> {
        self.head.as_ref()
    }
}

impl Head {
    /// One that did not come as bytes.
    pub(crate) fn new(status: u16, session: Option<String>, is_events: bool) -> Self {
        Self { status, session, is_events, length: Length::Known(0), bytes: 0 }
    }

    fn read(input: &[u8]) -> Result<Option<Self>, String> {
        let mut fields = [httparse::EMPTY_HEADER; FIELDS];
        let mut response = httparse::Response::new(&mut fields);
        let parsed = response.parse(input).map_err(|error| format!("malformed head: {error}"))?;
        let Status::Complete(bytes) = parsed else { return Ok(None) };
        let status = response.code.unwrap_or_default();
        let mut head = Self { status, session: None, is_events: false, length: Length::Known(0), bytes };
        for field in response.headers.iter() {
            let is = |name: &str| field.name.eq_ignore_ascii_case(name);
            let text = || String::from_utf8_lossy(field.value).into_owned();
            match field.name.len() {
                10 if is("connection") && field.value.eq_ignore_ascii_case(b"close") => {
                    return Err("the connection is closed behind an answer".to_owned());
                }
                12 if is("content-type") => head.is_events = field.value.starts_with(b"text/event-stream"),
                14 if is("content-length") => {
                    let length = text().parse().map_err(|_| format!("Content-Length: {}", text()))?;
                    head.length = Length::Known(length);
                }
                14 if is("mcp-session-id") => head.session = Some(text()),
                17 if is("transfer-encoding") => head.length = Length::Chunked,
                _ => {}
            }
        }
        Ok(Some(head))
    }
}
