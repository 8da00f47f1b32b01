//! Reads a tree into the types of the language, by serde, collecting every fault instead of the first.
//!
//! How: a value that cannot be read is noted and left out, and the whole is read again without it. Documents are
//! small and faults are few, so the repetition costs nothing that anyone notices.

mod parts;

use std::collections::HashSet;

use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeOwned, Deserializer, IntoDeserializer, Visitor};

use super::fault::Fault;
use super::path::{Path, Segment};
use super::tree::{Content, Entry, Node, Scalar};
use super::value;
use parts::{Entries, Items};

/// Reads a document. `known` are paths whose faults were told already and which are left out.
pub(super) fn read<T: DeserializeOwned + Default>(root: &Node, known: HashSet<Path>) -> (T, Vec<Fault>) {
    let mut left_out = known;
    let mut faults = Vec::new();
    loop {
        let reader = Reader { node: root, at: At::Top, left_out: &left_out };
        match T::deserialize(reader) {
            Ok(value) => return (value, faults),
            Err(error) => {
                let fault = error.0;
                let path = fault.path.clone();
                // What is missing because it was left out has been told already.
                let consequence = left_out.iter().any(|out| out.is_within(&path) && *out != path);
                let is_new = left_out.insert(path.clone());
                if !consequence {
                    faults.push(*fault);
                }
                if !is_new || path.segments().is_empty() {
                    return (T::default(), faults);
                }
            }
        }
    }
}

/// The deserialiser of one node.
#[derive(Clone, Copy)]
struct Reader<'a, 'r> {
    node: &'a Node,
    at: At<'r>,
    left_out: &'r HashSet<Path>,
}

/// Where a node is: the way back to the top. Of a thousand nodes hardly one is asked for its path.
#[derive(Clone, Copy)]
enum At<'r> {
    Top,
    Key(&'r At<'r>, &'r str),
    Index(&'r At<'r>, usize),
}

impl At<'_> {
    fn path(&self) -> Path {
        match self {
            Self::Top => Path::default(),
            Self::Key(before, key) => before.path().then(Segment::Key((*key).to_owned())),
            Self::Index(before, index) => before.path().then(Segment::Index(*index)),
        }
    }
}

/// What went wrong; its path is filled in by the nearest reader around it.
#[derive(Debug)]
struct ReadError(Box<Fault>);

impl std::fmt::Display for ReadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for ReadError {}

impl de::Error for ReadError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self(Box::new(Fault::value(Path::default(), message.to_string())))
    }

    fn missing_field(field: &'static str) -> Self {
        Self(Box::new(Fault::key(Path::default(), format!("`{field}` is missing"))))
    }
}

impl From<Fault> for ReadError {
    fn from(fault: Fault) -> Self {
        Self(Box::new(fault))
    }
}

/// Whether what is written without quotes is a number, if not one that was asked for.
fn is_number(text: &str) -> bool {
    value::typed(text).is_some_and(|typed| typed.starts_with(|c: char| c == '-' || c.is_ascii_digit()))
}

impl<'a> Reader<'a, '_> {
    /// Says that something else was expected here.
    fn expected(&self, what: &str) -> ReadError {
        let found = match &self.node.content {
            Content::Null => "nothing".to_owned(),
            Content::List(_) => "a list".to_owned(),
            Content::Map(_) => "a map".to_owned(),
            Content::Scalar(Scalar { text, .. }) if text.is_empty() => "an empty text".to_owned(),
            // What a variable holds is nobody else's business; what was written is shown beside the message.
            Content::Scalar(Scalar { expanded: true, .. }) => {
                "something else once its variables are expanded".to_owned()
            }
            Content::Scalar(Scalar { text, plain: true, .. }) if is_number(text) => "another number".to_owned(),
            Content::Scalar(_) | Content::Broken => "a text".to_owned(),
        };
        Fault::value(self.at.path(), format!("must be {what}, but is {found}")).into()
    }

    fn scalar(&self, what: &str) -> Result<&'a str, ReadError> {
        self.node.text().ok_or_else(|| self.expected(what))
    }

    fn parse<T: std::str::FromStr>(&self, what: &str) -> Result<T, ReadError> {
        self.scalar(what)?.trim().parse().map_err(|_| self.expected(what))
    }

    /// Gives an error without a path the path of this node.
    fn place(&self, mut error: ReadError) -> ReadError {
        if error.0.path.segments().is_empty() {
            error.0.path = self.at.path();
        }
        error
    }

    /// Whether what is there was left out because of a fault that is told.
    fn is_left_out(&self, at: At<'_>) -> bool {
        !self.left_out.is_empty() && self.left_out.contains(&at.path())
    }

    fn map<V: Visitor<'a>>(&self, visitor: V) -> Result<V::Value, ReadError> {
        let entries: &[Entry] = match &self.node.content {
            Content::Map(entries) => entries,
            // A key with nothing after it, as YAML people leave it when they comment out what was there.
            Content::Null => &[],
            _ => return Err(self.expected("a map")),
        };
        visitor.visit_map(Entries::new(self, entries)).map_err(|e| self.place(e))
    }
}

macro_rules! whole_numbers {
    ($($method:ident $visit:ident $number:ty),*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
            let number: $number = self.parse(&format!("a whole number from 0 to {}", <$number>::MAX))?;
            visitor.$visit(number).map_err(|e| self.place(e))
        }
    )*};
}

impl<'de> Deserializer<'de> for Reader<'de, '_> {
    type Error = ReadError;

    whole_numbers!(deserialize_u8 visit_u8 u8, deserialize_u16 visit_u16 u16, deserialize_u32 visit_u32 u32,
        deserialize_u64 visit_u64 u64);

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_bool(self.parse("`true` or `false`")?)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_f64(self.parse("a number")?).map_err(|e| self.place(e))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_str(self.scalar("a text")?).map_err(|e| self.place(e))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.node.content {
            Content::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        if name == value::TOKEN {
            return visitor.visit_str(&value::json(self.node));
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        let Content::List(items) = &self.node.content else { return Err(self.expected("a list")) };
        visitor.visit_seq(Items::new(&self, items)).map_err(|e| self.place(e))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.map(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        for entry in self.node.entries() {
            let at = At::Key(&self.at, &entry.key);
            if !fields.contains(&entry.key.as_str()) && !self.is_left_out(at) {
                let fault = Fault::key(at.path(), "unknown key");
                return Err(fault.advise(suggestion(&entry.key, fields, "key")).into());
            }
        }
        self.map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        let text = self.scalar(&format!("one of {}", list(variants)))?.trim();
        let Some(variant) = variants.iter().find(|variant| **variant == text) else {
            let fault = Fault::value(self.at.path(), format!("must be one of {}", list(variants)));
            return Err(fault.advise(suggestion(text, variants, "value")).into());
        };
        let variant: StrDeserializer<'_, ReadError> = (*variant).into_deserializer();
        visitor.visit_enum(variant).map_err(|e| self.place(e))
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.node.content {
            Content::Map(_) => self.map(visitor),
            Content::List(_) => self.deserialize_seq(visitor),
            Content::Null => visitor.visit_unit(),
            Content::Scalar(_) | Content::Broken => self.deserialize_str(visitor),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i64 f32 char bytes byte_buf unit unit_struct tuple tuple_struct identifier
    }
}

/// What may have been meant, or everything there is.
pub(crate) fn suggestion(written: &str, known: &[&str], noun: &str) -> String {
    let written = written.to_ascii_lowercase();
    let near = known
        .iter()
        .map(|name| (strsim::damerau_levenshtein(&written, &name.to_ascii_lowercase()), name))
        .filter(|(distance, name)| *distance <= 1 + name.len() / 4)
        .min_by_key(|(distance, _)| *distance);
    match near {
        Some((_, name)) => format!("did you mean `{name}`?"),
        None if known.is_empty() => format!("there are no {noun}s"),
        None => format!("known {noun}s: {}", list(known)),
    }
}

fn list(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
