//! Bodies by each framing, in whatever pieces they come.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use bytes::Bytes;
use proptest::prelude::*;
use sluice_http1::{BadBody, Body, Framing};

/// Reads a body from pieces; its data, and what came behind it in the piece that ended it.
fn read(framing: Framing, pieces: &[&[u8]]) -> Result<(Vec<u8>, Vec<u8>), BadBody> {
    let mut pieces = pieces.iter().map(|piece| Bytes::copy_from_slice(piece));
    let mut body = Body::new(framing, pieces.next().unwrap_or_default())?;
    let mut data = Vec::new();
    loop {
        while let Some(some) = body.data()? {
            data.extend(some);
        }
        if body.is_end() {
            return Ok((data, body.rest().to_vec()));
        }
        match pieces.next() {
            Some(piece) => body.feed(piece)?,
            None => body.close()?,
        }
    }
}

#[test]
fn a_body_ends_where_its_framing_says() {
    assert_eq!(read(Framing::Length(0), &[b"next"]), Ok((vec![], b"next".to_vec())));
    assert_eq!(read(Framing::Length(5), &[b"he", b"llonext"]), Ok((b"hello".to_vec(), b"next".to_vec())));
    assert_eq!(read(Framing::Length(5), &[b"he"]), Err(BadBody::Truncated));
    assert_eq!(read(Framing::UntilClose, &[b"he", b"", b"llo"]), Ok((b"hello".to_vec(), vec![])));
    let chunks = b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\nnext";
    assert_eq!(read(Framing::Chunked, &[chunks]), Ok((b"hello".to_vec(), b"next".to_vec())));
    assert_eq!(read(Framing::Chunked, &[&chunks[..15]]), Err(BadBody::Truncated));
    assert_eq!(read(Framing::Chunked, &[b"x\r\n"]), Err(BadBody::Malformed));
    assert_eq!(read(Framing::Chunked, &[b"1\r\nab\r\n"]), Err(BadBody::Malformed));
}

#[test]
fn the_end_is_known_with_the_last_byte() {
    let mut body = Body::new(Framing::Chunked, Bytes::from_static(b"2\r\nhi\r\n0\r\n\r\n")).unwrap();
    assert_eq!(body.data().unwrap().unwrap(), "hi");
    assert!(body.is_exact(), "nobody has to wait for a byte that does not come");
    let mut body = Body::new(Framing::Length(2), Bytes::from_static(b"hi")).unwrap();
    assert!(!body.is_end());
    assert_eq!(body.data().unwrap().unwrap(), "hi");
    assert!(body.is_exact());
}

#[test]
fn a_body_that_broke_stays_broken() {
    let mut body = Body::new(Framing::Chunked, Bytes::from_static(b"2\r\nhi")).unwrap();
    assert_eq!(body.data().unwrap().unwrap(), "hi");
    assert_eq!(body.feed(Bytes::from_static(b"xx")), Err(BadBody::Malformed));
    assert!(body.is_broken() && !body.is_end());
    assert_eq!(body.feed(Bytes::from_static(b"\r\n0\r\n\r\n")), Err(BadBody::Malformed));
    assert_eq!(body.data(), Err(BadBody::Malformed));
    assert!(body.is_broken() && !body.is_end());
}

proptest! {
    /// Whatever comes, cuts do not change what it is: its data and what is behind it, or that it is malformed.
    #[test]
    fn any_cut_gives_the_same_judgement(
        wire in proptest::collection::vec(proptest::sample::select(vec!["\r\n", "1", "0", "2\r\n", ";", " ", "a", "\n"]), 0..40),
        size in 1usize..10,
    ) {
        let wire = wire.concat().into_bytes();
        let pieces: Vec<&[u8]> = wire.chunks(size).collect();
        let judge = |read: Result<(Vec<u8>, Vec<u8>), BadBody>| read.map(|(data, _)| data);
        prop_assert_eq!(judge(read(Framing::Chunked, &pieces)), judge(read(Framing::Chunked, &[&wire])));
    }

    #[test]
    fn any_cut_gives_the_same_body(data in proptest::collection::vec(any::<u8>(), 1..200), size in 1usize..50, chunk in 1usize..50) {
        let mut wire = Vec::new();
        for chunk in data.chunks(chunk) {
            wire.extend(format!("{:X}\r\n", chunk.len()).bytes());
            wire.extend(chunk);
            wire.extend(b"\r\n");
        }
        wire.extend(b"0\r\n\r\n");
        let chunked: Vec<&[u8]> = wire.chunks(size).collect();
        prop_assert_eq!(read(Framing::Chunked, &chunked).unwrap().0, data.clone());
        let plain: Vec<&[u8]> = data.chunks(size).collect();
        prop_assert_eq!(read(Framing::Length(data.len() as u64), &plain).unwrap().0, data.clone());
        prop_assert_eq!(read(Framing::UntilClose, &plain).unwrap().0, data);
    }
}
