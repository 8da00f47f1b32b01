//! However a stream is cut, its events are the same, and memory stays within the limit. The first byte says how to cut.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use sluice_mcp::{Event, SseDecoder, SseError, encode_event};

const LIMIT: usize = 64;

fn decode(stream: &[u8], size: usize, limit: usize) -> (Vec<Event>, Option<SseError>) {
    let mut decoder = SseDecoder::new(limit);
    let mut events = Vec::new();
    for chunk in stream.chunks(size) {
        decoder.push(Bytes::copy_from_slice(chunk));
        loop {
            match decoder.next() {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(error) => return (events, Some(error)),
            }
        }
        assert!(decoder.buffered() <= limit);
    }
    (events, None)
}

fn same(a: &Event, b: &Event) -> bool {
    (&a.id, &a.event, &a.data, a.retry) == (&b.id, &b.event, &b.data, b.retry)
}

fuzz_target!(|input: &[u8]| {
    let [how, stream @ ..] = input else { return };
    let size = usize::from(*how) + 1;
    let (whole, _) = decode(stream, usize::MAX, usize::MAX);
    let (cut, _) = decode(stream, size, usize::MAX);
    assert!(whole.len() == cut.len() && whole.iter().zip(&cut).all(|(a, b)| same(a, b)));
    let (limited, error) = decode(stream, size, LIMIT);
    assert!(limited.iter().zip(&whole).all(|(a, b)| same(a, b) && a.raw.len() <= LIMIT + 1)); // an LF after the last CR
    assert!(error.is_some() || limited.len() == whole.len());
    for event in &whole {
        let mut out = Vec::new();
        encode_event(&mut out, event.id.as_deref(), event.event.as_deref(), event.data.as_deref(), event.retry);
        let (again, _) = decode(&out, size, usize::MAX);
        assert!(again.len() == 1 && same(&again[0], event));
    }
});
