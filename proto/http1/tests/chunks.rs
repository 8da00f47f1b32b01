//! Chunked bodies, in whatever pieces they come.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use proptest::prelude::*;
use sluice_http1::{BadChunk, Chunked};

/// The data of a body that comes in pieces of `size` bytes, and how many bytes of the input belong to it.
fn decode(wire: &[u8], size: usize) -> Result<(Vec<u8>, usize, bool), BadChunk> {
    let (mut decoder, mut data, mut used) = (Chunked::default(), Vec::new(), 0);
    for piece in wire.chunks(size.max(1)) {
        let mut rest = piece;
        loop {
            let step = decoder.step(rest)?;
            data.extend_from_slice(&rest[step.skip..step.skip + step.data]);
            used += step.skip + step.data;
            rest = &rest[step.skip + step.data..];
            if step.done {
                return Ok((data, used, true));
            }
            if rest.is_empty() {
                break;
            }
        }
    }
    Ok((data, used, decoder.is_done()))
}

#[test]
fn extensions_and_trailers_are_passed_over() {
    let wire = b"5;name=value\r\nhello\r\n1 \r\n!\r\n0\r\nX-Trailer: a\r\nY: b\r\n\r\nnext";
    for size in 1..wire.len() {
        let (data, used, done) = decode(wire, size).unwrap();
        assert_eq!((&data[..], done), (&b"hello!"[..], true), "{size}");
        assert_eq!(&wire[used..], b"next", "{size}");
    }
}

#[test]
fn a_size_that_is_filled_up_is_taken_from_servers_only() {
    for wire in [&b"5 \r\nhello"[..], b"5\t\r\nhello"] {
        assert!(Chunked::default().step(wire).is_ok() && Chunked::strict().step(wire).is_err());
    }
    assert!(Chunked::strict().step(b"5 ;a=b\r\nhello").is_ok());
}

#[test]
fn what_is_no_chunk_is_refused() {
    for wire in [
        &b"\r\n"[..],
        b"g\r\n",
        b"-1\r\n",
        b"5\nhello",
        b"5\r\nhelloX",
        b"5\r\nhello\n",
        b"0\r\n\n",
        b"0\r\nX: a\nb\r\n",
        b"10000000000000000\r\n",
        b"5;a\nhello",
        b" 5\r\n",
        b"5 5\r\n",
        b"5\tx\r\nhello",
        b"1\x0b\r\na",
    ] {
        assert!(decode(wire, 100).is_err(), "{:?}", String::from_utf8_lossy(wire));
    }
    let endless = format!("5;{}", "x".repeat(20_000));
    assert!(decode(endless.as_bytes(), 100).is_err(), "an extension without end");
    let long = "1;xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\na\r\n".repeat(1000);
    assert!(decode(long.as_bytes(), 100).is_err(), "extensions of forty times the data");
    let small = "1\r\na\r\n".repeat(10_000);
    assert_eq!(decode(small.as_bytes(), 100).unwrap().0.len(), 10_000, "chunks of one byte");
}

proptest! {
    #[test]
    fn any_data_survives_any_cut(chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..50), 0..8), size in 1usize..40) {
        let mut wire = Vec::new();
        for chunk in &chunks {
            wire.extend(format!("{:x}\r\n", chunk.len()).bytes());
            wire.extend(chunk);
            wire.extend(b"\r\n");
        }
        wire.extend(b"0\r\n\r\n");
        let (data, used, done) = decode(&wire, size).unwrap();
        prop_assert_eq!(data, chunks.concat());
        prop_assert!(done && used == wire.len());
    }

    #[test]
    fn anything_is_judged(wire in proptest::collection::vec(any::<u8>(), 0..200), size in 1usize..40) {
        let _ = decode(&wire, size);
    }
}
