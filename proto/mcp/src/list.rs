//! One page of a server's list: which items it has and where they lie. The items themselves are not read.

use crate::{
    Message, Method, Span,
    scan::cursor::{Cursor, DEEPEST, Fault, Step},
    text,
};

/// One page of `tools/list`, `prompts/list`, `resources/list` or `resources/templates/list`. Spans point into the body it
/// was read from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListPage {
    /// The items in the server's order; several of one name are all here.
    pub items: Vec<ListItem>,
    /// How many items nobody could ask for: no objects, or without one name that is a string of whole characters, and not an
    /// empty one.
    pub nameless: usize,
    /// The raw string token of `nextCursor`; an empty string is a cursor, null is none (specification, *Pagination*).
    pub next_cursor: Option<Span>,
    /// `ttlMs`: how long the page is fresh, in milliseconds, rounded down; 0 for negative ones (specification, *Caching*).
    /// `None` where it is absent or no number.
    pub ttl_ms: Option<u64>,
    /// The page must not be shared between authorization contexts: `cacheScope` is there and not `public`.
    pub private: bool,
}

/// One item of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListItem {
    /// The whole object.
    pub span: Span,
    /// The raw string token of what it is called by: [`Method::item_key`].
    pub name: Span,
}

/// Why an answer is no page of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// The request was none for a list.
    #[error("{} is not one of the four lists", .0.as_str())]
    NotAList(Method),
    /// There is no result, or one that is no object.
    #[error("the answer has no result object; the server must answer with one or with an error")]
    NoResult,
    /// The result lacks its array, or has it twice.
    #[error("the result must have one array \"{0}\", which may be empty")]
    NoItems(&'static str),
    /// `nextCursor` is neither a string nor null.
    #[error("\"nextCursor\" must be a string, or absent on the last page")]
    BadCursor,
}

impl Method {
    /// The member of a list's result that holds the items; `None` if this is no list of a server's offerings.
    #[must_use]
    pub fn items_key(self) -> Option<&'static str> {
        match self {
            Method::ToolsList => Some("tools"),
            Method::PromptsList => Some("prompts"),
            Method::ResourcesList => Some("resources"),
            Method::ResourcesTemplatesList => Some("resourceTemplates"),
            _ => None,
        }
    }

    /// The member that an item of this list is called by: `name`, `uri` or `uriTemplate`.
    #[must_use]
    pub fn item_key(self) -> Option<&'static str> {
        match self {
            Method::ToolsList | Method::PromptsList => Some("name"),
            Method::ResourcesList => Some("uri"),
            Method::ResourcesTemplatesList => Some("uriTemplate"),
            _ => None,
        }
    }
}

/// Reads an answer to `method` that was scanned as `message`. Bounded by nothing but the body.
///
/// # Errors
///
/// [`ListError`], for the first thing that is wrong.
pub fn list_page(body: &[u8], message: &Message, method: Method) -> Result<ListPage, ListError> {
    let (Some(items_key), Some(item_key)) = (method.items_key(), method.item_key()) else {
        return Err(ListError::NotAList(method));
    };
    let result = message.result.filter(|span| body.get(span.start as usize) == Some(&b'{'));
    let result = result.ok_or(ListError::NoResult)?;
    let mut page = ListPage { next_cursor: cursor_of(body, message)?, ..ListPage::default() };
    let mut reader = Reader { page: &mut page, item_key, error: None, arrays: 0 };
    let mut cursor = Cursor::new(body, DEEPEST as u16);
    cursor.at = result.start as usize;
    let walked = cursor.members(|cursor, key| {
        if *key.text == *items_key.as_bytes() {
            return reader.items(cursor, items_key);
        }
        let span = cursor.skip()?;
        match &*key.text {
            b"ttlMs" => reader.page.ttl_ms = milliseconds(span.of(body)),
            b"cacheScope" => reader.page.private = text::decode_string(span.of(body)) != "public",
            _ => {}
        }
        Ok(())
    });
    let Reader { error, arrays, .. } = reader;
    match (error, walked) {
        (Some(error), _) => Err(error),
        (None, Ok(_)) if arrays == 1 => Ok(page),
        // a body that was scanned has no faults, so the array is what is wrong
        _ => Err(ListError::NoItems(items_key)),
    }
}

fn cursor_of(body: &[u8], message: &Message) -> Result<Option<Span>, ListError> {
    match message.r.next_cursor {
        Some(span) if body.get(span.start as usize) == Some(&b'"') => Ok(Some(span)),
        Some(span) if span.of(body) != b"null" => Err(ListError::BadCursor),
        _ => Ok(None),
    }
}

/// A raw number as whole milliseconds; what exceeds a `u64` counts as the largest one.
fn milliseconds(raw: &[u8]) -> Option<u64> {
    let number =
        std::str::from_utf8(raw).ok().filter(|raw| raw.starts_with(|c: char| c == '-' || c.is_ascii_digit()))?;
    number.parse().ok().or_else(|| number.parse::<f64>().ok().map(|float| float as u64))
}

struct Reader<'p> {
    page: &'p mut ListPage,
    item_key: &'static str,
    error: Option<ListError>,
    arrays: usize,
}

impl Reader<'_> {
    fn items(&mut self, cursor: &mut Cursor<'_>, items_key: &'static str) -> Step<()> {
        self.arrays += 1;
        if cursor.token() != Some(b'[') {
            return self.refuse(cursor, ListError::NoItems(items_key));
        }
        cursor.elements(|cursor| self.item(cursor)).map(drop)
    }

    fn item(&mut self, cursor: &mut Cursor<'_>) -> Step<()> {
        if cursor.token() != Some(b'{') {
            self.page.nameless += 1;
            return cursor.skip().map(drop);
        }
        let mut names = 0;
        let mut name = None;
        let span = cursor.members(|cursor, key| {
            if *key.text != *self.item_key.as_bytes() {
                return cursor.skip().map(drop);
            }
            names += 1;
            cursor.lone = None;
            let string = cursor.token() == Some(b'"');
            let span = cursor.skip()?;
            // more than its quotes
            name = Some(span).filter(|span| string && cursor.lone.is_none() && span.range().len() > 2);
            Ok(())
        })?;
        match name {
            Some(name) if names == 1 => self.page.items.push(ListItem { span, name }),
            _ => self.page.nameless += 1,
        }
        Ok(())
    }

    /// Ends the walk.
    fn refuse(&mut self, cursor: &Cursor<'_>, error: ListError) -> Step<()> {
        self.error = Some(error);
        Err(Fault::new(crate::Reason::Syntax, cursor.at))
    }
}

#[cfg(test)]
mod tests;
