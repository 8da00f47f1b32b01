//! The parts of maps and lists, without those that are left out.

use serde::de::value::StrDeserializer;
use serde::de::{DeserializeSeed, IntoDeserializer, MapAccess, SeqAccess};

use super::{At, ReadError, Reader};
use crate::language::tree::{Content, Entry, Node};

/// The entries of a map that are not left out.
pub(super) struct Entries<'r, 'a> {
    reader: &'r Reader<'a, 'r>,
    rest: std::slice::Iter<'a, Entry>,
    next: Option<&'a Entry>,
}

impl<'r, 'a> Entries<'r, 'a> {
    pub(super) fn new(reader: &'r Reader<'a, 'r>, entries: &'a [Entry]) -> Self {
        Self { reader, rest: entries.iter(), next: None }
    }
}

impl<'a> MapAccess<'a> for Entries<'_, 'a> {
    type Error = ReadError;

    fn next_key_seed<K: DeserializeSeed<'a>>(&mut self, seed: K) -> Result<Option<K::Value>, ReadError> {
        let reader = self.reader;
        let usable = |entry: &&Entry| {
            !matches!(entry.value.content, Content::Broken) && !reader.is_left_out(At::Key(&reader.at, &entry.key))
        };
        self.next = self.rest.find(usable);
        let Some(entry) = self.next else { return Ok(None) };
        let key: StrDeserializer<'_, ReadError> = entry.key.as_str().into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'a>>(&mut self, seed: V) -> Result<V::Value, ReadError> {
        let entry = self.next.take().expect("serde asks for a value only after its key");
        let reader = Reader { node: &entry.value, at: At::Key(&self.reader.at, &entry.key), ..*self.reader };
        seed.deserialize(reader).map_err(|e| reader.place(e))
    }
}

/// The items of a list that are not left out.
pub(super) struct Items<'r, 'a> {
    reader: &'r Reader<'a, 'r>,
    rest: std::iter::Enumerate<std::slice::Iter<'a, Node>>,
}

impl<'r, 'a> Items<'r, 'a> {
    pub(super) fn new(reader: &'r Reader<'a, 'r>, items: &'a [Node]) -> Self {
        Self { reader, rest: items.iter().enumerate() }
    }
}

impl<'a> SeqAccess<'a> for Items<'_, 'a> {
    type Error = ReadError;

    fn next_element_seed<T: DeserializeSeed<'a>>(&mut self, seed: T) -> Result<Option<T::Value>, ReadError> {
        let reader = self.reader;
        let usable = |(index, node): &(usize, &Node)| {
            !matches!(node.content, Content::Broken) && !reader.is_left_out(At::Index(&reader.at, *index))
        };
        let Some((index, node)) = self.rest.find(usable) else { return Ok(None) };
        let reader = Reader { node, at: At::Index(&self.reader.at, index), ..*self.reader };
        seed.deserialize(reader).map(Some).map_err(|e| reader.place(e))
    }
}
