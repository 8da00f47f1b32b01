//! Why a message is refused, and what that means to its sender.

use crate::{Span, error::code};

/// A message that was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScanError {
    /// Why.
    pub reason: Reason,
    /// Where, in bytes from the start.
    pub at: usize,
    /// The raw id, where one could be read before the fault, so that the answer can carry it.
    pub id: Option<Span>,
}

/// Why a message is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// No bytes, or only whitespace.
    Empty,
    /// Not UTF-8.
    NotUtf8,
    /// Not JSON as RFC 8259 has it, a byte order mark included.
    Syntax,
    /// Something follows the message.
    TrailingBytes,
    /// Nested deeper than the limit.
    TooDeep,
    /// A key occurs twice on a level that is read.
    DuplicateKey,
    /// Half of a surrogate pair.
    LoneSurrogate,
    /// JSON, but no object.
    NotAnObject,
    /// An array of messages.
    Batch,
    /// `jsonrpc` is missing or not `"2.0"`.
    BadVersion,
    /// The id is neither a string nor an integer, or a result has none.
    BadId,
    /// The method is not a string, or there is no method, result or error at all.
    BadMethod,
    /// `params` is not an object.
    BadParams,
    /// A method that is no notification, but no id.
    RequestWithoutId,
    /// Two kinds of message at once: a method with a result, a result with an error, a notification with an id.
    Ambiguous,
    /// Longer than 4 GiB, or a batch of too many.
    TooLarge,
}

impl ScanError {
    /// The JSON-RPC code: `-32700` for what is not JSON, `-32602` for params that are no object, `-32600` otherwise.
    #[must_use]
    pub fn code(&self) -> i64 {
        use Reason::{Empty, LoneSurrogate, NotUtf8, Syntax, TooDeep, TrailingBytes};
        match self.reason {
            Empty | NotUtf8 | Syntax | TrailingBytes | TooDeep | LoneSurrogate => code::PARSE,
            Reason::BadParams => code::INVALID_PARAMS,
            _ => code::INVALID_REQUEST,
        }
    }
}

impl Reason {
    /// The public text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Empty => "the message is empty",
            Reason::NotUtf8 => "the message is not UTF-8",
            Reason::Syntax => "the message is not valid JSON",
            Reason::TrailingBytes => "something follows the end of the message",
            Reason::TooDeep => "the message is nested too deeply",
            Reason::DuplicateKey => "a key occurs twice in one object",
            Reason::LoneSurrogate => "a string holds half of a surrogate pair",
            Reason::NotAnObject => "the message is not a JSON object",
            Reason::Batch => "batches are not accepted",
            Reason::BadVersion => "\"jsonrpc\" must be \"2.0\"",
            Reason::BadId => "\"id\" must be a string or an integer",
            Reason::BadMethod => "\"method\" must be a string",
            Reason::BadParams => "\"params\" must be an object",
            Reason::RequestWithoutId => "a request must have an \"id\"",
            Reason::Ambiguous => "the message is not clearly one request, notification or response",
            Reason::TooLarge => "the message is too large",
        }
    }
}

impl std::fmt::Display for ScanError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (at byte {})", self.reason.as_str(), self.at)
    }
}

impl std::error::Error for ScanError {}
