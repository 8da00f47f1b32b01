//! Where a body ends (RFC 9112 section 6).

use http::{Method, StatusCode};

use crate::Fields;

/// How the body of a message is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// So many bytes; 0: there is none.
    Length(u64),
    /// Chunks (section 7.1).
    Chunked,
    /// All that comes until the connection closes: answers only.
    UntilClose,
}

/// What header fields say of the message's framing, gathered in one go.
#[derive(Default)]
pub(crate) struct Said<'f> {
    length: Option<&'f [u8]>,
    /// There are several lengths, which differ or not.
    lengths: bool,
    differ: bool,
    coding: Option<&'f [u8]>,
    codings: bool,
    close: bool,
    keep_alive: bool,
    /// `100-continue`.
    pub(crate) expects_continue: bool,
}

impl<'f> Said<'f> {
    pub(crate) fn by(fields: &'f Fields) -> Self {
        let mut said = Self::default();
        for (name, value) in fields.iter() {
            let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
            // most have another length
            match name.len() {
                6 if is(b"expect") => said.expects_continue |= value.eq_ignore_ascii_case(b"100-continue"),
                10 if is(b"connection") => {
                    for option in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                        said.close |= option.eq_ignore_ascii_case(b"close");
                        said.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                    }
                }
                14 if is(b"content-length") => {
                    said.lengths |= said.length.is_some();
                    said.differ |= said.length.is_some_and(|first| first != value);
                    said.length.get_or_insert(value);
                }
                17 if is(b"transfer-encoding") => {
                    said.codings |= said.coding.is_some();
                    said.coding.get_or_insert(value);
                }
                _ => {}
            }
        }
        said
    }

    /// Whether the connection goes on (RFC 9112 section 9.3).
    pub(crate) fn keeps_alive(&self, http_11: bool) -> bool {
        !self.close && (http_11 || self.keep_alive)
    }

    /// Whether a length stands beside chunks.
    pub(crate) fn is_ambiguous(&self) -> bool {
        self.length.is_some() && self.coding.is_some()
    }

    /// Whether a body is spoken of, be there one or not.
    pub(crate) fn promises_body(&self) -> bool {
        self.coding.is_some() || self.length.is_some_and(|length| number(length) != Some(0))
    }
}

impl Framing {
    /// Of a request. Refuses what RFC 9112 section 6.3 lets a server refuse: two readers could see two requests.
    pub(crate) fn of_request(said: &Said<'_>, http_11: bool) -> Option<Self> {
        match (said.coding, said.length) {
            (None, None) => Some(Self::Length(0)),
            (None, Some(value)) => number(value).filter(|_| !said.lengths).map(Self::Length),
            (Some(coding), None) => {
                let chunked = http_11 && coding.eq_ignore_ascii_case(b"chunked") && !said.codings;
                chunked.then_some(Self::Chunked)
            }
            (Some(_), Some(_)) => None,
        }
    }

    /// Of the answer to a `verb`. `None`: it cannot be told. A length beside chunks is not believed (section 6.3, item 3).
    pub(crate) fn of_response(said: &Said<'_>, verb: &Method, status: StatusCode) -> Option<Self> {
        if verb == Method::HEAD
            || status.is_informational()
            || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
        {
            return Some(Self::Length(0));
        }
        match (said.coding, said.length) {
            (Some(coding), _) => {
                let chunked = coding.eq_ignore_ascii_case(b"chunked") && !said.codings;
                chunked.then_some(Self::Chunked)
            }
            (None, Some(length)) => number(length).filter(|_| !said.differ).map(Self::Length),
            (None, None) => Some(Self::UntilClose),
        }
    }
}

/// A length: digits and nothing else.
fn number(value: &[u8]) -> Option<u64> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    value
        .iter()
        .filter(|_| digits)
        .try_fold(0u64, |sum, digit| sum.checked_mul(10)?.checked_add(u64::from(digit - b'0')))
        .filter(|_| digits)
}
