use super::*;

fn decode(chunks: &[&[u8]], limit: usize) -> Result<Vec<Event>, SseError> {
    let mut decoder = SseDecoder::new(limit);
    let mut events = Vec::new();
    for chunk in chunks {
        decoder.push(Bytes::copy_from_slice(chunk));
        while let Some(event) = decoder.next()? {
            events.push(event);
        }
    }
    Ok(events)
}

fn data(stream: &[u8]) -> Vec<Option<String>> {
    let events = decode(&[stream], 1000).unwrap();
    events.iter().map(|e| e.data.as_ref().map(|d| String::from_utf8_lossy(d).into_owned())).collect()
}

#[test]
fn fields_are_read_as_the_standard_says() {
    let stream = b"\xef\xbb\xbfevent: a\nevent:b\nid\ndata:  two \ndata\ndata:x:y\nretry: 15\nretry: 1x\nid: 7\nid: 8\x00\nnope: 1\n: c\n\n";
    let events = decode(&[stream], 1000).unwrap();
    let [event] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!(event.event.as_deref(), Some(&b"b"[..]));
    assert_eq!(event.id.as_deref(), Some(&b"7"[..]));
    assert_eq!(event.data.as_deref(), Some(&b" two \n\nx:y"[..]));
    assert_eq!(event.retry, Some(15));
    assert_eq!(event.raw, &stream[3..]);
}

#[test]
fn every_kind_of_line_end_ends_lines_and_events() {
    for stream in [
        &b"data: a\n\ndata: b\n\n"[..],
        b"data: a\r\n\r\ndata: b\r\n\r\n",
        b"data: a\r\rdata: b\r\r",
        b"data: a\n\rdata: b\r\n\n",
    ] {
        assert_eq!(data(stream), [Some("a".into()), Some("b".into())], "{stream:?}");
    }
    assert_eq!(data(b"data: a\n"), []);
}

#[test]
fn comments_and_blank_lines_come_out_without_fields() {
    let events = decode(&[b": ping\n\n\n"], 1000).unwrap();
    assert_eq!(events.len(), 2);
    assert_eq!(events[0], Event { raw: Bytes::from_static(b": ping\n\n"), ..Event::default() });
    assert_eq!(events[1].raw, "\n");
}

#[test]
fn an_empty_id_and_empty_data_are_there() {
    let events = decode(&[b"id\ndata\n\n"], 1000).unwrap();
    assert_eq!(events[0].id.as_deref(), Some(&b""[..]));
    assert_eq!(events[0].data.as_deref(), Some(&b""[..]));
}

#[test]
fn data_on_one_line_in_one_chunk_is_not_copied() {
    let chunk = Bytes::from_static(b"data: hello\n\n");
    let mut decoder = SseDecoder::new(100);
    decoder.push(chunk.clone());
    let event = decoder.next().unwrap().unwrap();
    assert_eq!(event.data.unwrap().as_ptr(), chunk[6..].as_ptr());
    assert!(!decoder.has_partial());
}

#[test]
fn a_line_end_split_between_chunks_is_one_line_end() {
    let chunks: [&[u8]; 6] = [b"data: a\r", b"\n\r", b"\n", b"data: b\r", b"\n\r", b"\ndata: c\r\r"];
    let events = decode(&chunks, 100).unwrap();
    let data: Vec<_> = events.iter().map(|e| e.data.clone().unwrap()).collect();
    assert_eq!(data, ["a", "b", "c"]);
    let mut decoder = SseDecoder::new(100);
    decoder.push(Bytes::from_static(b"data: a\r\n\r"));
    assert!(decoder.next().unwrap().is_some(), "an event must not wait for a line feed");
}

#[test]
fn wherever_a_stream_is_cut_its_events_end_as_they_did() {
    let stream = b"id: 1\r\ndata: a\r\n\r\ndata: b\r\n\r\n";
    for at in 0..stream.len() {
        let raw: Vec<u8> =
            decode(&[&stream[..at], &stream[at..]], 100).unwrap().iter().flat_map(|e| e.raw.to_vec()).collect();
        assert_eq!(raw, stream, "cut at {at}");
    }
}

#[test]
fn the_limit_holds_and_lets_go() {
    let long = [b'x'; 64];
    let mut decoder = SseDecoder::new(100);
    for _ in 0..10 {
        decoder.push(Bytes::copy_from_slice(&long));
        if decoder.next().is_err() {
            assert_eq!(decoder.buffered(), 0);
            assert_eq!(decoder.next(), Err(SseError::TooLarge { limit: 100 }));
            return;
        }
        assert!(decoder.buffered() <= 100);
    }
    panic!("no limit");
}

#[test]
fn many_small_events_in_one_large_chunk_are_fine() {
    let stream = b"data: x\n\n".repeat(1000);
    assert_eq!(decode(&[&stream], 16).unwrap().len(), 1000);
}

#[test]
fn events_are_written_as_they_are_read() {
    let mut out = Vec::new();
    encode_event(&mut out, Some(b"1"), Some(b"message"), Some(b"a\nb\r\n\rc"), Some(5));
    assert_eq!(out, b"event: message\nid: 1\nretry: 5\ndata: a\ndata: b\ndata: \ndata: c\n\n");
    let events = decode(&[&out], 1000).unwrap();
    assert_eq!(events[0].data.as_deref(), Some(&b"a\nb\n\nc"[..]));
    let mut out = Vec::new();
    encode_event(&mut out, Some(b"a\nb"), None, None, None);
    assert_eq!(out, b":\n\n");
}
