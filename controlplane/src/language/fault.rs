//! What is wrong with a configuration, and how it is shown: file, line, column, the text in question, and advice.
//!
//! What may be a credential is masked in the text that is shown; expanded variables are never shown at all.

use std::fmt;

use super::mask;
use super::path::Path;
use super::shorthand;
use super::tree::{Node, Span};

/// One thing wrong (or, as a warning, odd) in a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where in the document.
    pub path: Path,
    /// What is wrong, as a sentence without a full stop.
    pub message: String,
    /// What would be right.
    pub advice: Option<String>,
    pub(super) place: Place,
}

/// Which part of the text at a path is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Key,
    Value,
    Exactly(Span),
}

impl Fault {
    /// Something about the value at a path.
    pub fn value(path: Path, message: impl Into<String>) -> Self {
        Self { path, message: message.into(), advice: None, place: Place::Value }
    }

    /// Something about the key at the end of a path, or about what is missing below it.
    pub fn key(path: Path, message: impl Into<String>) -> Self {
        Self { place: Place::Key, ..Self::value(path, message) }
    }

    /// `true` when the key is meant rather than what it holds.
    #[must_use]
    pub fn is_key(&self) -> bool {
        self.place == Place::Key
    }

    /// Adds what would be right.
    #[must_use]
    pub fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }
}

/// The text of a configuration and what is known about its places; made by [`super::load`].
#[derive(Clone)]
pub struct Source {
    /// What it is called in messages: a file name.
    pub(super) name: String,
    pub(super) text: String,
    pub(super) tree: Option<Node>,
    /// Ranges of bytes that are not shown, beside those the tree tells: credentials in what the tree has no more.
    pub(super) hidden: Vec<(usize, usize)>,
}

impl Source {
    /// What it is called in messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where a fault is, as line and column from 1.
    #[must_use]
    pub fn position(&self, fault: &Fault) -> (usize, usize) {
        let span = self.span(fault);
        (span.line, span.column)
    }

    /// A path in the words that were written, where the language has others for the same.
    #[must_use]
    pub fn as_written(&self, path: &Path) -> Path {
        self.tree.as_ref().map_or_else(|| path.clone(), |tree| shorthand::as_written(tree, path))
    }

    /// Shows faults the way compilers do, worst word first: `error` or `warning`.
    #[must_use]
    pub fn show<'a>(&'a self, word: &'a str, faults: &'a [Fault]) -> impl fmt::Display + 'a {
        Shown { source: self, word, faults }
    }

    fn span(&self, fault: &Fault) -> Span {
        let located = |choose: fn((Span, Span)) -> Span| {
            self.tree.as_ref().map_or_else(Span::default, |tree| choose(tree.locate(&fault.path)))
        };
        let span = match fault.place {
            Place::Exactly(span) => span,
            Place::Key => located(|(key, _)| key),
            Place::Value => located(|(_, value)| value),
        };
        if span.line == 0 { Span { line: 1, column: 1, ..span } } else { span }
    }

    /// The line of a span with credentials masked, the column at which the span is shown, and its width there.
    fn excerpt(&self, span: Span) -> (String, usize, usize) {
        let start = self.text[..span.start].rfind('\n').map_or(0, |newline| newline + 1);
        let line = self.text[start..].lines().next().unwrap_or_default();
        let masked = match &self.tree {
            Some(tree) => [mask::credentials(tree), self.hidden.clone()].concat(),
            None => mask::guess(&self.text, start, line).into_iter().collect(),
        };
        let (mut shown, mut caret, mut width) = (String::new(), None, 0);
        let mut at = start;
        while at < start + line.len() {
            let inside = at >= span.start && at < span.end.max(span.start + 1);
            if inside {
                caret.get_or_insert(shown.chars().count());
            }
            let next = match masked.iter().find(|(from, to)| (*from..*to).contains(&at)) {
                Some((_, to)) => {
                    shown.push_str("***");
                    width += if inside { 3 } else { 0 };
                    *to
                }
                None => {
                    let c = self.text[at..].chars().next().unwrap_or(' ');
                    shown.push(if c.is_control() { ' ' } else { c });
                    width += usize::from(inside);
                    at + c.len_utf8()
                }
            };
            at = next;
        }
        let caret = caret.unwrap_or_else(|| shown.chars().count());
        window(shown, caret, width.max(1))
    }
}

/// Characters of a line that are shown: what is written on one line may be a whole configuration.
const WIDEST: usize = 160;

/// The part of a line around what is meant.
fn window(line: String, caret: usize, width: usize) -> (String, usize, usize) {
    let length = line.chars().count();
    if length <= WIDEST {
        return (line, caret, width);
    }
    let from = caret.saturating_sub(WIDEST / 2).min(length - WIDEST);
    let (before, after) = (if from > 0 { "…" } else { "" }, if from + WIDEST < length { "…" } else { "" });
    let part: String = line.chars().skip(from).take(WIDEST).collect();
    let place = caret - from;
    (format!("{before}{part}{after}"), place + before.chars().count(), width.min(WIDEST.saturating_sub(place)).max(1))
}

struct Shown<'a> {
    source: &'a Source,
    word: &'a str,
    faults: &'a [Fault],
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in self.faults {
            let span = self.source.span(fault);
            let (line, caret, width) = self.source.excerpt(span);
            let number = span.line.to_string();
            let margin = " ".repeat(number.len());
            let path = self.source.as_written(&fault.path);
            let context = if path.segments().is_empty() { String::new() } else { format!("{path}: ") };
            writeln!(f, "{}: {context}{}", self.word, fault.message)?;
            writeln!(f, "{margin}--> {}:{}:{}", self.source.name, span.line, span.column)?;
            writeln!(f, "{margin} |")?;
            writeln!(f, "{number} | {line}")?;
            writeln!(f, "{margin} | {}{}", " ".repeat(caret), "^".repeat(width))?;
            if let Some(advice) = &fault.advice {
                writeln!(f, "{margin} = {advice}")?;
            }
        }
        Ok(())
    }
}

/// A configuration that was refused, with every reason.
pub struct Rejected {
    /// The text it was read from.
    pub source: Source,
    /// What is wrong; never empty.
    pub faults: Vec<Fault>,
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.show("error", &self.faults).fmt(f)
    }
}

impl fmt::Debug for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Rejected {}
