//! The text as a tree of maps, lists and scalars, each with its place in the file. Scalars stay text: their type is
//! decided by whoever reads them, after variables are expanded.

pub(super) mod json;
mod raw;
#[cfg(test)]
mod tests;

use serde_saphyr::options::NonFiniteFloatPolicy;
use serde_saphyr::{Location, Spanned};

use super::path::{Path, Segment};
use raw::Raw;

/// A place in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// First byte.
    pub start: usize,
    /// Byte after the last one.
    pub end: usize,
}

/// A value and where it is.
#[derive(Clone)]
pub(super) struct Node {
    pub(super) span: Span,
    pub(super) content: Content,
}

/// What a value is.
#[derive(Clone)]
pub(super) enum Content {
    Null,
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Entry>),
    /// Something is wrong with it that was reported already.
    Broken,
}

/// Text of a scalar. It may be a credential, so it has no `Debug`.
#[derive(Clone)]
pub(super) struct Scalar {
    /// The text, without quotes, with variables expanded.
    pub(super) text: String,
    /// A variable was expanded in it.
    pub(super) expanded: bool,
    /// It came from where only credentials are, and is one wherever it stands.
    pub(super) secret: bool,
    /// Written without quotes, so that it is a number or a truth value where any type will do and it looks like one.
    pub(super) plain: bool,
}

/// A key of a map, and its value.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_span: Span,
    pub(super) value: Node,
    /// What messages call it, where that is not the key: the way from the map it was found in.
    pub(super) written: Option<Path>,
}

impl Entry {
    /// An entry that is called what it is.
    pub(super) fn new(key: impl Into<String>, key_span: Span, value: Node) -> Self {
        Self { key: key.into(), key_span, value, written: None }
    }
}

impl Node {
    /// The value under a key, if this is a map that has it.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    /// The value under a key, to be changed.
    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        self.entries_mut()?.iter_mut().find(|entry| entry.key == key).map(|entry| &mut entry.value)
    }

    /// The entries, to be changed, if this is a map.
    pub(super) fn entries_mut(&mut self) -> Option<&mut Vec<Entry>> {
        match &mut self.content {
            Content::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// The entries, if this is a map.
    pub(super) fn entries(&self) -> &[Entry] {
        match &self.content {
            Content::Map(entries) => entries,
            _ => &[],
        }
    }

    /// Whether it is a text that is secret because of where it came from.
    pub(super) fn is_secret(&self) -> bool {
        matches!(&self.content, Content::Scalar(scalar) if scalar.secret)
    }

    /// Makes it one, if it is a text.
    pub(super) fn make_secret(&mut self) {
        if let Content::Scalar(scalar) = &mut self.content {
            scalar.secret = true;
        }
    }

    /// The text, if this is a scalar.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Scalar(scalar) => Some(&scalar.text),
            _ => None,
        }
    }

    /// Where the key at the end of a path is, and its value; the nearest part above it where the path leads nowhere.
    pub(super) fn locate(&self, path: &Path) -> (Span, Span) {
        let mut found = (self.span, self.span);
        let mut node = self;
        for segment in path.segments() {
            let next = match (&node.content, segment) {
                (Content::Map(entries), Segment::Key(key)) => {
                    entries.iter().find(|entry| entry.key == *key).map(|entry| (entry.key_span, &entry.value))
                }
                (Content::List(items), Segment::Index(index)) => items.get(*index).map(|item| (item.span, item)),
                _ => None,
            };
            let Some((key_span, value)) = next else { break };
            found = (key_span, value.span);
            node = value;
        }
        found
    }
}

/// What the parser says about text that is not YAML or JSON, and where.
pub(super) struct SyntaxError {
    pub(super) message: String,
    pub(super) span: Span,
}

/// Parses JSON, or else YAML.
pub(super) fn parse(text: &str) -> Result<Node, SyntaxError> {
    if text.trim_start().starts_with('{')
        && let Ok(root) = json::parse(text)
    {
        return Ok(root);
    }
    let options = serde_saphyr::options! {
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        reject_unsupported_tags: true,
    };
    match serde_saphyr::from_str_with_options::<Spanned<Raw>>(text, options) {
        Ok(root) => Ok(build(root, text)),
        Err(error) => Err(syntax_error(&error, text)),
    }
}

fn syntax_error(error: &serde_saphyr::Error, text: &str) -> SyntaxError {
    // What people write as JSON is explained better by a JSON parser.
    if text.trim_start().starts_with('{')
        && let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(text)
    {
        return json::fault(&error, text);
    }
    let error = error.without_snippet();
    let span = error.location().map_or_else(Span::default, |location| span(&location, text));
    SyntaxError { message: plain_words(&error.to_string()), span }
}

/// The parser's message without what only a programmer could act on.
fn plain_words(message: &str) -> String {
    if message.starts_with("multiple YAML documents") {
        return "a second document begins here; a configuration is one document".to_owned();
    }
    let message = message.split(" at line ").next().unwrap_or(message);
    if let Some(breach) = message.strip_prefix("budget breached: ") {
        return too_much(breach);
    }
    if message.starts_with("recursion limit exceeded") {
        return TOO_DEEP.to_owned();
    }
    if let Some(tag) = message.strip_prefix("unsupported tag ") {
        return format!("the tag {tag} means nothing here; leave it out");
    }
    let message = message.split(", set DuplicateKeyPolicy").next().unwrap_or(message);
    message.trim_end_matches([':', ' ', ',']).to_owned()
}

const TOO_DEEP: &str = "lists and maps are nested too deeply here";

/// What there is too much of, by what the parser counted: the first that was too many.
fn too_much(breach: &str) -> String {
    let most = breach.split(|c: char| !c.is_ascii_digit()).find_map(|digits| digits.parse::<usize>().ok());
    let most = most.unwrap_or_default().saturating_sub(1);
    match breach.split([' ', '{']).next().unwrap_or_default() {
        "Nodes" => format!("the configuration has more than {most} values"),
        "Aliases" => format!("the configuration uses more than {most} aliases, such as `*name`"),
        "Anchors" => format!("the configuration has more than {most} anchors, such as `&name`"),
        "Depth" => TOO_DEEP.to_owned(),
        _ => "the configuration is too large or too entangled to be read".to_owned(),
    }
}

/// The place of one character, given by line and column from 1.
fn point(text: &str, line: usize, column: usize) -> Span {
    let before: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let inside = &text[before..];
    let at = inside.char_indices().nth(column.saturating_sub(1)).map_or(inside.len(), |(at, _)| at);
    Span { line, column, start: before + at, end: boundary(text, before + at + 1) }
}

fn span(location: &Location, text: &str) -> Span {
    let number = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    let (line, column) = (number(location.line()), number(location.column()));
    let Some(start) = location.span().byte_offset().map(number) else { return point(text, line, column) };
    let end = start.saturating_add(number(location.span().byte_len().unwrap_or(1)));
    let start = boundary(text, start);
    Span { line, column, start, end: boundary(text, end).max(start) }
}

/// The nearest place at or before a byte where a character begins: what the parser says about broken text is not
/// always one.
fn boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

fn build(raw: Spanned<Raw>, text: &str) -> Node {
    let defined = span(&raw.defined, text);
    let written = text.get(defined.start..defined.end).map(str::trim).unwrap_or_default();
    let scalar = |text, plain| Content::Scalar(Scalar { text, expanded: false, secret: false, plain });
    let content = match raw.value {
        Raw::Null => Content::Null,
        Raw::Text(value) => {
            // Until its variables are expanded, nobody knows what it looks like.
            let plain =
                value.contains("${") && written.starts_with(|c| !matches!(c, '"' | '\'' | '|' | '>' | '!' | '&'));
            scalar(value, plain)
        }
        Raw::Typed(value) => scalar(if written.is_empty() { value } else { written.to_owned() }, true),
        Raw::List(items) => Content::List(items.into_iter().map(|item| build(item, text)).collect()),
        Raw::Map(entries) => Content::Map(entries.into_iter().map(|(key, value)| entry(key, value, text)).collect()),
    };
    Node { span: span(&raw.referenced, text), content }
}

fn entry(key: Spanned<String>, value: Spanned<Raw>, text: &str) -> Entry {
    Entry::new(key.value, span(&key.referenced, text), build(value, text))
}
