//! Event streams, in and out.

use std::hint::black_box;

use bytes::Bytes;
use sluice_mcp::{SseDecoder, encode_event};

use super::{FEW, MANY, Row, Work};
use crate::input::{LARGE, SMALL, answer};

/// As much as a connection reads at once.
const CHUNK: usize = 16 * 1024;
/// No event is larger.
const LIMIT: usize = 2 * LARGE;

pub(super) const CASES: &[Row] = &[
    ("sse: decode an event of 200 B", MANY, || decode(&event(&answer(SMALL)), CHUNK)),
    ("sse: decode it in pieces of 64 B", MANY, || decode(&event(&answer(SMALL)), 64)),
    ("sse: decode 1 MB of them", FEW, || decode(&stream(), CHUNK)),
    ("sse: encode an event of 200 B", MANY, encode),
];

/// A new stream each time.
fn decode(stream: &Bytes, chunk: usize) -> Work {
    let chunks: Vec<Bytes> = stream.chunks(chunk).map(|chunk| stream.slice_ref(chunk)).collect();
    Box::new(move || {
        let mut decoder = SseDecoder::new(LIMIT);
        for chunk in black_box(&chunks) {
            decoder.push(chunk.clone());
            while let Some(event) = decoder.next().expect("no event is too large") {
                black_box(event);
            }
        }
    })
}

/// Into a buffer that is large enough already.
fn encode() -> Work {
    let (data, mut out) = (answer(SMALL), Vec::with_capacity(CHUNK));
    Box::new(move || {
        out.clear();
        encode_event(&mut out, Some(b"s1.17"), Some(b"message"), Some(black_box(&data)), None);
        black_box(&out);
    })
}

fn event(data: &[u8]) -> Bytes {
    let mut out = Vec::new();
    encode_event(&mut out, Some(b"s1.17"), Some(b"message"), Some(data), None);
    out.into()
}

fn stream() -> Bytes {
    let event = event(&answer(SMALL));
    event.repeat(LARGE / event.len()).into()
}
