//! However a connection's bytes are cut, they are the same requests: no body is ever taken for a head. The first byte says how
//! to cut.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use sluice_http1::{Body, Limits, RequestHead};

const LIMITS: Limits = Limits { bytes: 256, fields: 8 };

/// Method, path, body.
type Request = (String, String, Vec<u8>);

/// How the connection ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// In a head, or between two requests.
    Head,
    Body,
    Refused,
}

fn read(wire: &[u8], size: usize) -> (Vec<Request>, End) {
    let mut pieces = wire.chunks(size);
    let (mut requests, mut unread) = (Vec::new(), Vec::new());
    loop {
        let (head, length) = match RequestHead::parse(&unread, LIMITS) {
            Ok(Some(head)) => head,
            Ok(None) => match pieces.next() {
                Some(piece) => {
                    unread.extend_from_slice(piece);
                    continue;
                }
                None => return (requests, End::Head),
            },
            Err(_) => return (requests, End::Refused),
        };
        let Ok(mut body) = Body::new(head.framing, Bytes::copy_from_slice(&unread[length..])) else {
            return (requests, End::Refused);
        };
        let mut data = Vec::new();
        while !body.is_end() {
            match body.data() {
                Ok(Some(some)) => data.extend(some),
                Ok(None) => match pieces.next() {
                    Some(piece) if body.feed(Bytes::copy_from_slice(piece)).is_ok() => {}
                    Some(_) => return (requests, End::Refused),
                    None => return (requests, End::Body),
                },
                Err(_) => return (requests, End::Refused),
            }
        }
        requests.push((head.verb.to_string(), head.target.path().to_owned(), data));
        unread = body.rest().to_vec();
    }
}

fuzz_target!(|input: &[u8]| {
    let [how, wire @ ..] = input else { return };
    assert_eq!(read(wire, usize::MAX), read(wire, usize::from(*how) + 1));
});
