//! What a head is taken for, it is again when it is written anew; and nobody can read its lines otherwise.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice_http1::{Fields, Framing, Limits, RequestHead, find_end};

const LIMITS: Limits = Limits { bytes: 1024, fields: 16 };

fn written(head: &RequestHead) -> Vec<u8> {
    let query = head.target.query().map(|query| format!("?{query}")).unwrap_or_default();
    let version = if head.http_11 { "1.1" } else { "1.0" };
    let mut out = format!("{} {}{query} HTTP/{version}\r\n", head.verb, head.target.path()).into_bytes();
    head.fields.write(&mut out);
    out.extend(b"\r\n");
    out
}

fuzz_target!(|input: &[u8]| {
    let Ok(Some((head, length))) = RequestHead::parse(input, LIMITS) else { return };
    let text = &input[..length];
    assert!(length <= LIMITS.bytes && head.fields.len() <= LIMITS.fields);
    assert!(text.ends_with(b"\r\n\r\n") && find_end(text, 0).is_some());
    // the request line, the fields and the empty line; only empty lines may stand before them
    let lines = text.iter().filter(|byte| **byte == b'\n').count();
    let before = text.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or_default();
    let before = text[..before].iter().filter(|byte| **byte == b'\n').count();
    assert_eq!(lines - before, head.fields.len() + 2);
    for (name, value) in head.fields.iter() {
        assert!(Fields::default().push(name, value).is_ok(), "a field is one on the wire");
        assert!(head.fields.has(std::str::from_utf8(name).expect("a token")));
    }
    let lengths = head.fields.all("content-length").count();
    let codings = head.fields.all("transfer-encoding").count();
    match head.framing {
        Framing::Chunked => assert!(head.http_11 && codings == 1 && lengths == 0),
        Framing::Length(length) => assert!(codings == 0 && (lengths == 1 || lengths == 0 && length == 0)),
        Framing::UntilClose => panic!("a request does not end so"),
    }
    let wire = written(&head);
    let roomy = Limits { bytes: 64 << 10, ..LIMITS };
    let (again, whole) = RequestHead::parse(&wire, roomy).expect("well formed").expect("whole");
    assert_eq!((whole, &again.verb, again.framing), (wire.len(), &head.verb, head.framing));
    assert_eq!((again.keep_alive, again.target.path()), (head.keep_alive, head.target.path()));
    assert!(again.fields.iter().eq(head.fields.iter()));
});
