//! What the mock does wrong when asked to, so that it can be shown that the load generator sees it.

use std::str::FromStr;

/// One in so many calls is answered wrongly.
const EVERY: u64 = 1000;

/// A kind of wrong answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The id of another request.
    WrongId,
    /// One letter of the text is another.
    WrongText,
    /// An error instead of a result.
    Error,
    /// 502, without a body.
    BadGateway,
    /// The connection ends within the body.
    Cut,
    /// No answer at all.
    Silence,
}

impl FromStr for Fault {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        Ok(match name {
            "wrong-id" => Self::WrongId,
            "wrong-text" => Self::WrongText,
            "error" => Self::Error,
            "bad-gateway" => Self::BadGateway,
            "cut" => Self::Cut,
            "silence" => Self::Silence,
            _ => return Err(()),
        })
    }
}

/// Whose turn it is to be wrong.
#[derive(Debug)]
pub(crate) struct Faults {
    kind: Option<Fault>,
    calls: u64,
}

impl Faults {
    pub(crate) fn new(kind: Option<Fault>) -> Self {
        Self { kind, calls: 0 }
    }

    /// What to do wrong with this call.
    pub(crate) fn next(&mut self) -> Option<Fault> {
        let kind = self.kind?;
        self.calls += 1;
        (self.calls.is_multiple_of(EVERY)).then_some(kind)
    }
}
