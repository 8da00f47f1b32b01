//! Header fields (RFC 9110 section 5), kept as the lines they are on the wire.

use std::fmt;

/// The header fields of a message, in their order. Names are found without regard to case; values are bytes without the
/// white space around them.
#[derive(Clone, Default)]
pub struct Fields {
    raw: Vec<u8>,
    // not within: a message is handed on many times
    lines: Vec<Line>,
}

/// Where a field stands in the raw bytes. Its value begins `gap` bytes behind the end of its name.
#[derive(Clone, Copy)]
struct Line {
    name: u32,
    name_len: u16,
    gap: u16,
    value_len: u32,
    /// The last letter of its name in lower case: by it and the length, most other names are told apart.
    last: u8,
}

/// The values of all fields of one name. Its own type: adapters of iterators ask a line by a call, this asks on the spot.
#[derive(Clone)]
pub struct Values<'f, 'n> {
    raw: &'f [u8],
    lines: std::slice::Iter<'f, Line>,
    name: &'n str,
}

impl<'f> Iterator for Values<'f, '_> {
    type Item = &'f [u8];

    #[inline(always)]
    fn next(&mut self) -> Option<&'f [u8]> {
        for line in self.lines.by_ref() {
            if line.is(self.raw, self.name) {
                return Some(line.value(self.raw));
            }
        }
        None
    }
}

/// A name that is no token, or a value that would not be one field on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a header field: a name is a token, a value has no control characters")]
pub struct BadField;

impl Line {
    /// Whether the field has that name.
    #[inline(always)]
    fn is(&self, raw: &[u8], name: &str) -> bool {
        usize::from(self.name_len) == name.len()
            && self.last == last(name.as_bytes())
            && self.name(raw).eq_ignore_ascii_case(name.as_bytes())
    }

    #[inline(always)]
    fn name<'f>(&self, raw: &'f [u8]) -> &'f [u8] {
        &raw[self.name as usize..][..usize::from(self.name_len)]
    }

    #[inline(always)]
    fn value<'f>(&self, raw: &'f [u8]) -> &'f [u8] {
        &raw[self.name as usize + usize::from(self.name_len) + usize::from(self.gap)..][..self.value_len as usize]
    }
}

/// See [`Line::last`].
#[inline(always)]
fn last(name: &[u8]) -> u8 {
    name.last().map_or(0, u8::to_ascii_lowercase)
}

/// Fields that one of our own messages has.
const USUAL: usize = 8;

impl Fields {
    /// No fields, with room for `bytes` of them.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self { raw: Vec::with_capacity(bytes), lines: Vec::with_capacity(USUAL) }
    }

    /// The fields of a head: its bytes, and what the parser found in them.
    pub(crate) fn parsed(head: &[u8], found: &[httparse::Header<'_>]) -> Option<Self> {
        let start = head.as_ptr() as usize;
        let line = |field: &httparse::Header<'_>| {
            let name = field.name.as_ptr() as usize - start;
            // the parser gives an empty value no place in the head
            let gap = if field.value.is_empty() {
                1
            } else {
                field.value.as_ptr() as usize - start - name - field.name.len()
            };
            Some(Line {
                name: name.try_into().ok()?,
                name_len: field.name.len().try_into().ok()?,
                gap: gap.try_into().ok()?,
                value_len: field.value.len().try_into().ok()?,
                last: last(field.name.as_bytes()),
            })
        };
        let mut lines = Vec::with_capacity(found.len());
        for field in found {
            lines.push(line(field)?);
        }
        Some(Self { lines, raw: head.to_vec() })
    }

    /// Whether every line of the head they were found in ends in CRLF: at a bare LF (RFC 9112 section 2.2) a line ends for
    /// some readers only.
    pub(crate) fn end_in_crlf(&self) -> bool {
        let begins_behind = |line: &Line| self.raw[..line.name as usize].ends_with(b"\r\n");
        self.raw.ends_with(b"\r\n\r\n") && self.lines.iter().all(begins_behind)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The values of all fields of that name.
    #[inline]
    pub fn all<'f, 'n>(&'f self, name: &'n str) -> Values<'f, 'n> {
        Values { raw: &self.raw, lines: self.lines.iter(), name }
    }

    /// The value of the first field of that name.
    #[must_use]
    #[inline]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.all(name).next()
    }

    /// The value of the only field of that name; `None` where there is none, or several.
    #[must_use]
    pub fn only(&self, name: &str) -> Option<&[u8]> {
        let mut values = self.all(name);
        values.next().filter(|_| values.next().is_none())
    }

    /// The value of the first field of that name, if it is visible ASCII.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(text)
    }

    /// The elements of all fields of that name, which is a list (RFC 9110 section 5.6.1).
    pub fn list<'f>(&'f self, name: &str) -> impl Iterator<Item = &'f [u8]> {
        self.all(name).flat_map(|value| value.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii)
    }

    /// Whether there is a field of that name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Names and values, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.lines.iter().map(|line| (line.name(&self.raw), line.value(&self.raw)))
    }

    /// Adds a field.
    ///
    /// # Errors
    /// [`BadField`]: nothing was added.
    pub fn push(&mut self, name: &[u8], value: &[u8]) -> Result<(), BadField> {
        // all bytes without a way out in between: many at a time
        let is_name = name.iter().fold(!name.is_empty(), |is, byte| is & TOKEN[usize::from(*byte)]);
        if !is_name || !value.iter().fold(true, |is, byte| is & is_in_value(*byte)) {
            return Err(BadField);
        }
        self.add(name, value)
    }

    /// Adds those fields of another message whose names are wanted.
    ///
    /// # Errors
    /// [`BadField`]: there is no room for more.
    pub fn extend(&mut self, other: &Self, wanted: impl Fn(&[u8]) -> bool) -> Result<(), BadField> {
        for line in &other.lines {
            let name = line.name(&other.raw);
            if wanted(name) {
                self.add(name, line.value(&other.raw))?;
            }
        }
        Ok(())
    }

    /// Adds what is a field.
    fn add(&mut self, name: &[u8], value: &[u8]) -> Result<(), BadField> {
        let at = self.raw.len();
        let line = Line {
            name: at.try_into().map_err(|_| BadField)?,
            name_len: name.len().try_into().map_err(|_| BadField)?,
            gap: 2,
            value_len: value.len().try_into().map_err(|_| BadField)?,
            last: last(name),
        };
        self.raw.reserve(name.len() + value.len() + 4);
        self.raw.extend_from_slice(name);
        self.raw.extend_from_slice(b": ");
        self.raw.extend_from_slice(value);
        self.raw.extend_from_slice(b"\r\n");
        self.lines.push(line);
        Ok(())
    }

    /// Takes away all fields of that name.
    pub fn remove(&mut self, name: &str) {
        let raw = &self.raw;
        self.lines.retain(|line| !line.is(raw, name));
    }

    /// Puts a field in place of all of that name.
    ///
    /// # Errors
    /// [`BadField`]: those there were are gone.
    pub fn set(&mut self, name: &str, value: &[u8]) -> Result<(), BadField> {
        self.remove(name);
        self.push(name.as_bytes(), value)
    }

    /// Writes the fields as lines.
    pub fn write(&self, out: &mut Vec<u8>) {
        for line in &self.lines {
            let length = usize::from(line.name_len) + usize::from(line.gap) + line.value_len as usize;
            out.extend_from_slice(&self.raw[line.name as usize..][..length]);
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// Names only: values may be credentials.
impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.lines.iter().map(|line| String::from_utf8_lossy(line.name(&self.raw)).into_owned());
        f.debug_list().entries(names).finish()
    }
}

/// A value as text, if it is visible ASCII, spaces and tabs.
fn text(value: &[u8]) -> Option<&str> {
    let visible = value.iter().all(|b| matches!(b, b' '..=b'~' | b'\t'));
    std::str::from_utf8(value).ok().filter(|_| visible)
}

/// Which bytes a name consists of (RFC 9110 section 5.6.2).
const TOKEN: [bool; 256] = {
    let mut token = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        let it = byte as u8;
        token[byte] = it.is_ascii_alphanumeric()
            || matches!(it, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~');
        byte += 1;
    }
    token
};

/// RFC 9110 section 5.5: visible characters, spaces, tabs and bytes above ASCII.
fn is_in_value(byte: u8) -> bool {
    byte == b'\t' || byte >= b' ' && byte != 0x7f
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_without_regard_to_case() {
        let mut fields = Fields::default();
        fields.push(b"Mcp-Session-Id", b"a").unwrap();
        fields.push(b"mcp-session-id", b"b").unwrap();
        fields.push(b"Accept", b"x, y;q=1").unwrap();
        fields.push(b"accept", b"z").unwrap();
        assert_eq!(fields.get("MCP-SESSION-ID"), Some(&b"a"[..]));
        assert_eq!(fields.all("mcp-session-id").count(), 2);
        assert_eq!(fields.only("mcp-session-id"), None);
        assert_eq!(fields.list("accept").collect::<Vec<_>>(), [&b"x"[..], b"y;q=1", b"z"]);
        fields.set("accept", b"*/*").unwrap();
        assert_eq!(fields.only("Accept"), Some(&b"*/*"[..]));
        let mut out = Vec::new();
        fields.write(&mut out);
        assert_eq!(out, b"Mcp-Session-Id: a\r\nmcp-session-id: b\r\naccept: */*\r\n");
    }

    #[test]
    fn what_would_not_be_one_field_is_refused() {
        let mut fields = Fields::default();
        for (name, value) in
            [("", "a"), ("a b", "c"), ("a:", "b"), ("a", "b\r\nc: d"), ("a", "b\nc"), ("a", "\0"), ("é", "a")]
        {
            assert_eq!(fields.push(name.as_bytes(), value.as_bytes()), Err(BadField), "{name:?} {value:?}");
        }
        assert!(fields.is_empty());
    }

    #[test]
    fn debug_shows_no_value() {
        let mut fields = Fields::default();
        fields.push(b"Authorization", b"Bearer secret").unwrap();
        assert_eq!(format!("{fields:?}"), r#"["Authorization"]"#);
    }
}
