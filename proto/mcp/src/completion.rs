//! What `completion/complete` refers to: a prompt by name, or a resource by URI or template.

use crate::{
    Message, Span,
    scan::cursor::{Cursor, DEEPEST},
    text,
};

/// The raw `uri` token of `params.ref`, where its type is `ref/resource`. `None` for other requests, and where the
/// reference has no string `uri` or says something twice.
#[must_use]
pub fn uris_in_ref(body: &[u8], message: &Message) -> Option<Span> {
    token_in_ref(body, message, "ref/resource", b"uri")
}

/// The raw `name` token of `params.ref`, where its type is `ref/prompt`. `None` for other requests, and where the
/// reference has no string `name` or says something twice.
#[must_use]
pub fn name_in_ref(body: &[u8], message: &Message) -> Option<Span> {
    token_in_ref(body, message, "ref/prompt", b"name")
}

fn token_in_ref(body: &[u8], message: &Message, wanted: &str, key_of_token: &[u8]) -> Option<Span> {
    let mut cursor = Cursor::new(body, DEEPEST as u16);
    cursor.at = message.p.ref_?.start as usize;
    let (mut kinds, mut tokens) = (0, 0);
    let (mut kind, mut token) = (None, None);
    let walked = cursor.members(|cursor, key| {
        let string = cursor.token() == Some(b'"');
        let span = cursor.skip()?;
        if *key.text == *b"type" {
            kinds += 1;
            kind = Some(span);
        } else if *key.text == *key_of_token {
            tokens += 1;
            token = Some(span).filter(|_| string);
        }
        Ok(())
    });
    let fits = walked.is_ok() && kinds == 1 && tokens == 1 && text::decode_string(kind?.of(body)) == wanted;
    token.filter(|_| fits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ScanLimits, scan};

    fn both(reference: &str) -> (Option<String>, Option<String>) {
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{{"argument":{{}},"ref":{reference}}}}}"#
        );
        let message = scan(body.as_bytes(), ScanLimits::default()).unwrap();
        let token = |span: Option<Span>| span.map(|span| body[span.range()].to_owned());
        (token(uris_in_ref(body.as_bytes(), &message)), token(name_in_ref(body.as_bytes(), &message)))
    }

    #[test]
    fn references_are_found_by_their_type() {
        let uri = Some(r#""file:\/\/\/{a}""#.to_owned());
        assert_eq!(both(r#"{"uri":"file:\/\/\/{a}", "type" : "ref\/resource","name":"x"}"#), (uri, None));
        assert_eq!(both(r#"{"type":"ref/prompt","n\u0061me":"p","title":"t"}"#), (None, Some("\"p\"".into())));
    }

    #[test]
    fn what_is_unclear_refers_to_nothing() {
        for reference in [
            "null",
            "[]",
            "{}",
            r#"{"type":"ref/resource"}"#,
            r#"{"uri":"a"}"#,
            r#"{"type":"ref/resource","uri":7}"#,
            r#"{"type":"ref/resource","uri":"a","uri":"b"}"#,
            r#"{"type":"ref/resource","type":"ref/prompt","uri":"a","name":"b"}"#,
            r#"{"type":["ref/resource"],"uri":"a"}"#,
        ] {
            assert_eq!(both(reference), (None, None), "{reference}");
        }
    }
}
