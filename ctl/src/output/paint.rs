//! Colours: on a terminal, unless `NO_COLOR` asks for none (no-color.org), and never in what programs read.

use std::io::{self, IsTerminal};

use super::visible::visible;

/// Where something is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    /// Whether a person looks at it.
    pub(crate) fn is_terminal(self) -> bool {
        match self {
            Self::Stdout => io::stdout().is_terminal(),
            Self::Stderr => io::stderr().is_terminal(),
        }
    }

    /// Whether colours are welcome.
    pub(crate) fn has_colours(self) -> bool {
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        self.is_terminal() && variable("NO_COLOR").is_none() && variable("TERM").is_none_or(|kind| kind != "dumb")
    }
}

/// How something is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    /// As it should be, or new.
    Good,
    /// Changed, or worth a look.
    Notice,
    /// Wrong, or gone.
    Bad,
    /// Beside the point.
    Quiet,
    /// A title.
    Strong,
}

impl Tone {
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "0",
            Self::Good => "32",
            Self::Notice => "33",
            Self::Bad => "31",
            Self::Quiet => "2",
            Self::Strong => "1",
        }
    }
}

/// Paints texts for a stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paint(bool);

impl Paint {
    pub(crate) fn on(stream: Stream) -> Self {
        Self(stream.has_colours())
    }

    /// The text on one line, with the codes around it that give it its tone.
    pub(crate) fn text(self, tone: Tone, text: &str) -> String {
        let text = visible(text);
        if self.0 && tone != Tone::Plain && !text.is_empty() {
            format!("\x1b[{}m{text}\x1b[0m", tone.code())
        } else {
            text.into_owned()
        }
    }
}
