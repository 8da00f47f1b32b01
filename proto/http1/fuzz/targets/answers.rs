//! An answer whose connection is kept ends where it says, and what is unclear is not kept. The first byte says what was asked.
#![no_main]

use bytes::Bytes;
use http::Method;
use libfuzzer_sys::fuzz_target;
use sluice_http1::{Body, Framing, Limits, ResponseHead};

const LIMITS: Limits = Limits { bytes: 1024, fields: 16 };

fuzz_target!(|input: &[u8]| {
    let [asked, wire @ ..] = input else { return };
    let verb = [Method::POST, Method::GET, Method::HEAD][usize::from(*asked) % 3].clone();
    let Ok(Some((head, length))) = ResponseHead::parse(wire, &verb, LIMITS) else { return };
    assert!(length <= LIMITS.bytes && head.fields.len() <= LIMITS.fields);
    let has = |name| head.fields.has(name);
    let (status, bodiless) =
        (head.status.as_u16(), verb == Method::HEAD || matches!(head.status.as_u16(), 100..200 | 204 | 304));
    if head.keep_alive {
        assert!(head.framing != Framing::UntilClose && status != 101);
        assert!(!(has("content-length") && has("transfer-encoding")));
    }
    match head.framing {
        _ if bodiless => assert_eq!(head.framing, Framing::Length(0)),
        Framing::Chunked => assert_eq!(head.fields.all("transfer-encoding").count(), 1),
        Framing::Length(_) => assert!(has("content-length") && !has("transfer-encoding")),
        Framing::UntilClose => assert!(!has("content-length") && !has("transfer-encoding")),
    }
    let Ok(mut body) = Body::new(head.framing, Bytes::copy_from_slice(&wire[length..])) else { return };
    let mut data = 0;
    while let Ok(Some(some)) = body.data() {
        data += some.len() as u64;
    }
    if let Framing::Length(length) = head.framing {
        assert!(data <= length && body.is_end() == (data == length) && body.ahead() == length - data);
    }
    assert!(!body.is_broken() || !body.is_end());
});
