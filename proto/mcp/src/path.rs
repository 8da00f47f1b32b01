//! A look into a value that a scan has only skipped, such as a call's arguments: one member by name, at a known place.

use crate::{
    Reason, Span,
    scan::cursor::{Cursor, DEEPEST, Fault},
};

/// A key occurs twice in an object on the way, so that two readers could find two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key occurs twice (at byte {at})")]
pub struct Duplicate {
    /// Where the second one stands, in bytes from the start of the object.
    pub at: usize,
}

/// The member `name`, compared decoded, of a raw JSON object that was scanned before; its span is relative to
/// `object`. `None` if there is no such member, or if the value is no object.
///
/// # Errors
///
/// [`Duplicate`] if the object has the member twice. Other keys are not compared.
pub fn member(object: &[u8], name: &str) -> Result<Option<Span>, Duplicate> {
    let mut cursor = Cursor::new(object, DEEPEST as u16);
    let mut found = None;
    if cursor.token() != Some(b'{') {
        return Ok(None);
    }
    let walked = cursor.members(|cursor, key| {
        let span = cursor.skip()?;
        if *key.text == *name.as_bytes() && found.replace(span).is_some() {
            return Err(Fault::new(Reason::DuplicateKey, key.at));
        }
        Ok(())
    });
    match walked {
        Err(Fault { reason: Reason::DuplicateKey, at }) => Err(Duplicate { at: at as usize }),
        Err(_) => Ok(None),
        Ok(_) => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_found_by_decoded_name_and_once() {
        let object = br#" {"a":{"b":1}, "\u0062" : [2] }"#;
        assert_eq!(member(object, "b").unwrap().unwrap().of(object), b"[2]");
        assert_eq!(member(object, "c"), Ok(None));
        assert_eq!(member(b"[1]", "a"), Ok(None));
        assert_eq!(member(br#"{"a":1,"\u0061":2}"#, "a"), Err(Duplicate { at: 7 }));
        assert_eq!(member(br#"{"a":1,"x":1,"x":2}"#, "a").unwrap(), Some(Span { start: 5, end: 6 }));
    }
}
