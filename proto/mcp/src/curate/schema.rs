//! The input schema of a tool some of whose arguments are forced or have defaults: what clients see of it.

use bytes::Bytes;

use super::object::{self, Object};
use crate::{
    Edit, Span,
    scan::cursor::{Cursor, DEEPEST},
    text,
};

/// Edits one `inputSchema`. What is not shaped like an object's schema is left alone.
pub(super) fn edit(
    item: &[u8],
    schema: Span,
    defaults: &[(&str, &str)],
    forced: &[(&str, &str)],
    edits: &mut Vec<Edit>,
) {
    let Some(schema) = Object::read(item, schema) else { return };
    let is_forced = |name: &[u8]| forced.iter().any(|(forced, _)| forced.as_bytes() == name);
    for span in schema.values("properties") {
        let Some(properties) = Object::read(item, span) else { continue };
        for (name, value) in defaults.iter().filter(|(name, _)| !is_forced(name.as_bytes())) {
            for property in properties.values(name) {
                show_default(item, property, value, edits);
            }
        }
        properties.remove(is_forced, edits);
    }
    for required in schema.values("required") {
        let given = |name: &str| is_forced(name.as_bytes()) || defaults.iter().any(|(default, _)| *default == name);
        unrequire(item, required, given, edits);
    }
}

/// Says in a property's schema what its default is.
fn show_default(item: &[u8], property: Span, value: &str, edits: &mut Vec<Edit>) {
    match Object::read(item, property) {
        Some(mut property) => property.set("default", value.as_bytes(), edits),
        // `true` allows everything, as `{}` does
        None if property.of(item) == b"true" => {
            let with = Bytes::from(object::write([("default", value)].into_iter()));
            edits.push(Edit { span: property, with });
        }
        None => {}
    }
}

/// Takes the names that are `given` out of a `required` array.
fn unrequire(item: &[u8], required: Span, given: impl Fn(&str) -> bool, edits: &mut Vec<Edit>) {
    let mut cursor = Cursor::new(item, DEEPEST as u16);
    cursor.at = required.start as usize;
    let mut names = Vec::new();
    let walked = cursor.elements(|cursor| {
        let string = cursor.token() == Some(b'"');
        let span = cursor.skip()?;
        names.push((span, string && given(&text::decode_string(span.of(item)))));
        Ok(())
    });
    if walked.is_ok() {
        object::remove(names.into_iter(), edits);
    }
}
