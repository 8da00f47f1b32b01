//! One JSON object under edit: where its members lie, and the edits that replace, insert and remove them.

use std::borrow::Cow;

use bytes::Bytes;

use crate::{
    Edit, Span,
    scan::cursor::{Cursor, DEEPEST},
    text,
};

/// The members of an object in a scanned text, in order, duplicates included.
pub(super) struct Object<'a> {
    members: Vec<Member<'a>>,
    /// Behind the last member, or behind the opening brace: where further members go.
    end: u32,
    /// It has no members, inserted ones included.
    empty: bool,
}

pub(super) struct Member<'a> {
    key: Cow<'a, [u8]>,
    /// Key, colon and value.
    whole: Span,
    value: Span,
}

impl<'a> Object<'a> {
    /// The object at `span` in `body`; `None` if something else is there.
    pub(super) fn read(body: &'a [u8], span: Span) -> Option<Self> {
        let mut cursor = Cursor::new(body, DEEPEST as u16);
        cursor.at = span.start as usize;
        let mut members: Vec<Member<'a>> = Vec::new();
        let walked = cursor.members(|cursor, key| {
            let value = cursor.skip()?;
            members.push(Member { key: key.text, whole: Span { start: key.at as u32, end: value.end }, value });
            Ok(())
        });
        let whole = walked.ok()?;
        let end = members.last().map_or(whole.start + 1, |last| last.whole.end);
        Some(Self { empty: members.is_empty(), members, end })
    }

    /// Every value of this key.
    pub(super) fn values<'s>(&'s self, key: &'s str) -> impl Iterator<Item = Span> + 's {
        self.members.iter().filter(move |member| *member.key == *key.as_bytes()).map(|member| member.value)
    }

    /// Replaces every value of this key, or inserts the first.
    pub(super) fn set(&mut self, key: &str, raw: &[u8], edits: &mut Vec<Edit>) {
        let before = edits.len();
        edits.extend(self.values(key).map(|span| Edit { span, with: Bytes::copy_from_slice(raw) }));
        if edits.len() > before {
            return;
        }
        let mut with = Vec::with_capacity(key.len() + raw.len() + 4);
        if !self.empty {
            with.push(b',');
        }
        text::encode_into(&mut with, key);
        with.push(b':');
        with.extend_from_slice(raw);
        self.empty = false;
        edits.push(Edit { span: Span::at(self.end), with: with.into() });
    }

    /// Removes every member whose key is one of these.
    pub(super) fn remove(&self, goes: impl Fn(&[u8]) -> bool, edits: &mut Vec<Edit>) {
        remove(self.members.iter().map(|member| (member.whole, goes(&member.key))), edits);
    }
}

/// Removes entries of an object or array, with their commas: what stays is well-formed and keeps its bytes.
pub(super) fn remove(entries: impl Iterator<Item = (Span, bool)>, edits: &mut Vec<Edit>) {
    let mut kept: Option<Span> = None;
    let mut run: Option<Span> = None;
    for (entry, goes) in entries {
        if goes {
            // Behind an entry that stays, a run begins with the comma before it.
            let start = run.map_or_else(|| kept.map_or(entry.start, |kept| kept.end), |run| run.start);
            run = Some(Span { start, end: entry.end });
            continue;
        }
        if let Some(Span { start, end }) = run.take() {
            // At the beginning, a run ends with the comma behind it.
            let end = if kept.is_some() { end } else { entry.start };
            edits.push(Edit { span: Span { start, end }, with: Bytes::new() });
        }
        kept = Some(entry);
    }
    edits.extend(run.map(|span| Edit { span, with: Bytes::new() }));
}

/// An object of these members: name and raw value.
pub(super) fn write<'m>(members: impl Iterator<Item = (&'m str, &'m str)>) -> Vec<u8> {
    let mut out = vec![b'{'];
    write_members(&mut out, false, members);
    out.push(b'}');
    out
}

/// Appends members; the first one is preceded by a comma if something is `before` it.
pub(super) fn write_members<'m>(out: &mut Vec<u8>, before: bool, members: impl Iterator<Item = (&'m str, &'m str)>) {
    let mut comma = before;
    for (name, raw) in members {
        if std::mem::replace(&mut comma, true) {
            out.push(b',');
        }
        text::encode_into(out, name);
        out.push(b':');
        out.extend_from_slice(raw.as_bytes());
    }
}
