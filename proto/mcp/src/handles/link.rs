//! The URIs of resources in a complete message, however deep: links, embedded resources, what notifications name.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use crate::{
    Method, Span, path,
    scan::cursor::{Cursor, DEEPEST, Step},
    text, uri,
};

/// Whether a key that leads to a URI can occur in the body at all: spelled out, or with a letter behind an escape.
pub(super) fn may_hold(body: &[u8]) -> bool {
    static MARKERS: LazyLock<[Finder<'static>; 4]> =
        LazyLock::new(|| ["\"uri\"", "resourceUri\"", "resourceSubscriptions", "\\u00"].map(Finder::new));
    MARKERS.iter().any(|marker| marker.find(body).is_some())
}

/// Gives each URI's raw string token to `found`, in no particular order and none twice.
pub(super) fn find(body: &[u8], found: &mut dyn FnMut(Span)) {
    let mut cursor = Cursor::new(body, DEEPEST as u16);
    let mut method = Method::Other;
    let (mut result, mut params, mut error) = (None, None, None);
    let walked = cursor.members(|cursor, key| {
        let span = cursor.skip()?;
        match &*key.text {
            b"method" => method = Method::from_bytes(text::decode_string(span.of(body)).as_bytes()),
            b"result" => result = Some(span),
            b"params" => params = Some(span),
            b"error" => error = Some(span),
            _ => {}
        }
        Ok(())
    });
    if walked.is_err() {
        return;
    }
    let mut walk = Walk { body, found };
    if let Some(result) = result {
        walk.part(result, Role::Result);
    }
    if let Some(error) = error
        && let Ok(Some(data)) = path::member(error.of(body), "data")
    {
        let uri = walk.part(Span { start: error.start + data.start, end: error.start + data.end }, Role::Other);
        walk.give(uri);
    }
    if let Some(params) = params {
        let uri = walk.part(params, Role::Other);
        match method {
            Method::NotificationResourcesUpdated => walk.give(uri),
            Method::NotificationSubscriptionsAcknowledged => walk.subscriptions(params),
            _ => {}
        }
    }
}

/// What an object is by where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Result,
    Meta,
    /// `_meta.ui`.
    Ui,
    Other,
}

/// What an object is by its `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Link,
    Embedded,
    Other,
}

struct Walk<'b, 'f> {
    body: &'b [u8],
    found: &'f mut dyn FnMut(Span),
}

impl<'b> Walk<'b, '_> {
    fn give(&mut self, uri: Option<Span>) {
        if let Some(span) = uri {
            (self.found)(span);
        }
    }

    /// Walks over one value; its `uri` if it is an object that has one and is no link itself.
    fn part(&mut self, span: Span, role: Role) -> Option<Span> {
        let mut cursor = Cursor::new(self.body, DEEPEST as u16);
        cursor.at = span.start as usize;
        self.value(&mut cursor, role).ok()?
    }

    /// Recursion ends where the cursor's depth does.
    fn value(&mut self, cursor: &mut Cursor<'b>, role: Role) -> Step<Option<Span>> {
        match cursor.token() {
            Some(b'{') => self.object(cursor, role),
            Some(b'[') => cursor.elements(|cursor| self.value(cursor, Role::Other).map(drop)).map(|_| None),
            _ => cursor.skip().map(|_| None),
        }
    }

    fn object(&mut self, cursor: &mut Cursor<'b>, role: Role) -> Step<Option<Span>> {
        let mut kind = Type::Other;
        let (mut uri, mut resource) = (None, None);
        cursor.members(|cursor, key| {
            match (role, &*key.text) {
                (_, b"type") => kind = self.string(cursor)?.map_or(Type::Other, |span| self.type_at(span)),
                (_, b"uri") => uri = self.string(cursor)?,
                (_, b"resource") => resource = self.value(cursor, Role::Other)?,
                (_, b"_meta") => drop(self.value(cursor, Role::Meta)?),
                (Role::Result, b"contents") => self.contents(cursor)?,
                (Role::Meta, b"ui") => drop(self.value(cursor, Role::Ui)?),
                (Role::Meta, b"ui/resourceUri") | (Role::Ui, b"resourceUri") => {
                    let string = self.string(cursor)?;
                    self.give(string.filter(|span| uri::is_ui(&text::decode_string(span.of(self.body)))));
                }
                _ => drop(self.value(cursor, Role::Other)?),
            }
            Ok(())
        })?;
        match kind {
            Type::Link => {
                self.give(uri);
                return Ok(None);
            }
            Type::Embedded => self.give(resource),
            Type::Other => {}
        }
        Ok(uri)
    }

    /// A string's token; anything else is walked over.
    fn string(&mut self, cursor: &mut Cursor<'b>) -> Step<Option<Span>> {
        if cursor.token() == Some(b'"') {
            return cursor.skip().map(Some);
        }
        self.value(cursor, Role::Other).map(|_| None)
    }

    fn type_at(&self, span: Span) -> Type {
        match &*text::decode_string(span.of(self.body)) {
            "resource_link" => Type::Link,
            "resource" => Type::Embedded,
            _ => Type::Other,
        }
    }

    /// `result.contents`.
    fn contents(&mut self, cursor: &mut Cursor<'b>) -> Step<()> {
        if cursor.token() != Some(b'[') {
            return self.value(cursor, Role::Other).map(drop);
        }
        let each = |cursor: &mut Cursor<'b>| {
            let uri = self.value(cursor, Role::Other)?;
            self.give(uri);
            Ok(())
        };
        cursor.elements(each).map(drop)
    }

    /// `notifications.resourceSubscriptions` of these params (specification, *SubscriptionFilter*).
    fn subscriptions(&mut self, params: Span) {
        let member = |outer: Span, name| {
            let inner = path::member(outer.of(self.body), name).ok()??;
            Some(Span { start: outer.start + inner.start, end: outer.start + inner.end })
        };
        let list = member(params, "notifications").and_then(|filter| member(filter, "resourceSubscriptions"));
        let Some(list) = list else { return };
        let mut cursor = Cursor::new(self.body, DEEPEST as u16);
        cursor.at = list.start as usize;
        // a list that is none names nothing
        let _ = cursor.elements(|cursor| {
            let string = cursor.token() == Some(b'"');
            let span = cursor.skip()?;
            self.give(Some(span).filter(|_| string));
            Ok(())
        });
    }
}
