//! One spelling for every JSON value, so that equal values have equal digests.

use crate::{
    decode_string,
    scan::cursor::{Cursor, DEEPEST, Step},
    text,
};

/// The canonical form of a raw JSON value that was scanned before: object keys sorted by their decoded bytes, no
/// whitespace, strings decoded and encoded again, number tokens as they were spelled. Meant to be fed to a digest.
///
/// Members of equal keys keep their order. What is not JSON in UTF-8, holds a lone surrogate, or is nested more than 128
/// deep, comes back unchanged: different values never get the same bytes.
#[must_use]
pub fn canonical_digest_input(raw: &[u8]) -> Vec<u8> {
    if simdutf8::basic::from_utf8(raw).is_err() {
        return raw.to_vec();
    }
    let mut out = Vec::with_capacity(raw.len());
    let mut cursor = Cursor::new(raw, DEEPEST as u16);
    match write(&mut cursor, &mut out) {
        Ok(()) if cursor.token().is_none() => out,
        _ => raw.to_vec(),
    }
}

/// Recursion ends where the cursor's depth does.
fn write(cursor: &mut Cursor<'_>, out: &mut Vec<u8>) -> Step<()> {
    match cursor.token() {
        Some(b'{') => write_object(cursor, out),
        Some(b'[') => {
            out.push(b'[');
            let start = out.len();
            cursor.elements(|cursor| {
                if out.len() > start {
                    out.push(b',');
                }
                write(cursor, out)
            })?;
            out.push(b']');
            Ok(())
        }
        Some(b'"') => {
            let span = cursor.value()?;
            text::encode_into(out, &decode_string(span.of(cursor.body)));
            Ok(())
        }
        _ => {
            let span = cursor.skip()?;
            out.extend_from_slice(span.of(cursor.body));
            Ok(())
        }
    }
}

fn write_object(cursor: &mut Cursor<'_>, out: &mut Vec<u8>) -> Step<()> {
    let mut members = Vec::new();
    cursor.members(|cursor, key| {
        let mut value = Vec::new();
        write(cursor, &mut value)?;
        members.push((key.text, value));
        Ok(())
    })?;
    members.sort_by(|(a, _), (b, _)| a.cmp(b));
    out.push(b'{');
    for (at, (key, value)) in members.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        text::encode_into(out, &String::from_utf8_lossy(key));
        out.push(b':');
        out.extend_from_slice(value);
    }
    out.push(b'}');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_have_one_spelling() {
        let a = br#" { "b" : [ 1.0 , true , "\u0041\/" ] , "a" : { } , "\u0061a": null } "#;
        let b = br#"{"aa":null,"a":{},"b":[1.0,true,"A/"]}"#;
        assert_eq!(canonical_digest_input(a), br#"{"a":{},"aa":null,"b":[1.0,true,"A/"]}"#);
        assert_eq!(canonical_digest_input(a), canonical_digest_input(b));
    }

    #[test]
    fn different_values_stay_different() {
        assert_ne!(canonical_digest_input(b"[1,2]"), canonical_digest_input(b"[2,1]"));
        assert_ne!(canonical_digest_input(b"1"), canonical_digest_input(b"1.0"));
        assert_ne!(canonical_digest_input(br#"{"a":1,"a":2}"#), canonical_digest_input(br#"{"a":2,"a":1}"#));
        for odd in [&b"[1,"[..], b"[\"\\ud800\", 1]", b"{\"\xff\" :1}"] {
            assert_eq!(canonical_digest_input(odd), odd);
        }
    }
}
