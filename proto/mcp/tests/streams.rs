//! Event streams and handles: whatever the chunks, the outcome is the same, and equals that of a plain reading.
#![allow(clippy::unwrap_used, reason = "tests")]

mod json;

use bytes::Bytes;
use json::{Node, bodies, cut, message};
use proptest::{collection::vec, prelude::*, sample::Index};
use sluice_mcp::{Event, HandleFilter, HandleKind, SseDecoder, decode_string, encode_event, handles};

fn decode(chunks: &[Bytes]) -> (Vec<Event>, usize) {
    let mut decoder = SseDecoder::new(1 << 20);
    let mut events = Vec::new();
    for chunk in chunks {
        decoder.push(chunk.clone());
        while let Some(event) = decoder.next().unwrap() {
            events.push(event);
        }
    }
    (events, decoder.buffered())
}

type Fields = (Option<Vec<u8>>, Option<Vec<u8>>, Option<Vec<u8>>, Option<u64>);

fn fields(event: &Event) -> Fields {
    let vec = |field: &Option<Bytes>| field.as_ref().map(|bytes| bytes.to_vec());
    (vec(&event.id), vec(&event.event), vec(&event.data), event.retry)
}

/// The standard, read line by line; blocks without fields included.
fn reference(stream: &str) -> Vec<Fields> {
    let stream = stream.strip_prefix('\u{feff}').unwrap_or(stream).replace("\r\n", "\n").replace('\r', "\n");
    let mut lines: Vec<&str> = stream.split('\n').collect();
    lines.pop();
    let mut events = Vec::new();
    let mut now: Fields = (None, None, None, None);
    for line in lines {
        if line.is_empty() {
            events.push(std::mem::take(&mut now));
            continue;
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "data" => match &mut now.2 {
                Some(data) => {
                    data.push(b'\n');
                    data.extend_from_slice(value.as_bytes());
                }
                none => *none = Some(value.into()),
            },
            "event" => now.1 = Some(value.into()),
            "id" if !value.contains('\0') => now.0 = Some(value.into()),
            "retry" if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) => {
                now.3 = value.parse().ok().or(now.3);
            }
            _ => {}
        }
    }
    events
}

fn stream() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        "(data|event|id|retry|x|):? ?[a-z0-9: \u{0}é]{0,5}",
        Just("data: {\"jsonrpc\":\"2.0\"}".to_owned()),
        Just(String::new()),
        Just(String::new()),
    ];
    let end = prop_oneof![Just("\n"), Just("\r\n"), Just("\r")];
    (any::<bool>(), vec((line, end), 0..12), "[a-z:]{0,6}").prop_map(|(bom, lines, rest)| {
        let lines: String = lines.into_iter().map(|(line, end)| line + end).collect();
        format!("{}{lines}{rest}", if bom { "\u{feff}" } else { "" })
    })
}

fn mark(kind: HandleKind, handle: &str) -> String {
    format!("{kind:?} {handle}")
}

fn filter(chunks: &[Bytes]) -> Vec<u8> {
    let mut filter = HandleFilter::new(1 << 20);
    let mut out = Vec::new();
    for chunk in chunks {
        filter.feed(chunk, &mut out, &mut mark).unwrap();
    }
    filter.finish(&mut out).unwrap();
    out.concat()
}

const RELATED: &str = "io.modelcontextprotocol/related-task";

/// Replaces the handles of a parsed reply, by the list of places.
fn replaced(reply: Node, at: &[&str]) -> Node {
    let kind = match at {
        ["result", "requestState"] => Some(HandleKind::RequestState),
        ["result", "nextCursor"] => Some(HandleKind::Cursor),
        ["result", "taskId"] | ["result", "task", "taskId"] | ["result", "tasks", "[]", "taskId"] => {
            Some(HandleKind::Task)
        }
        ["result", "_meta", related, "taskId"] if *related == RELATED => Some(HandleKind::Task),
        _ => None,
    };
    let inside = |step: &str, value| replaced(value, &[at, &[step]].concat());
    match (kind, reply) {
        (Some(kind), Node::Text(handle)) => Node::Text(mark(kind, &handle)),
        (_, Node::Object(members)) => {
            Node::Object(members.into_iter().map(|(key, value)| (key.clone(), inside(&key, value))).collect())
        }
        (_, Node::Array(values)) => Node::Array(values.into_iter().map(|value| inside("[]", value)).collect()),
        (_, other) => other,
    }
}

/// Every handle of a parsed message, in order.
fn listed(message: &Node, at: &[&str], method: Option<&Node>, out: &mut Vec<(HandleKind, String)>) {
    let method = match method {
        Some(Node::Text(method)) => method.as_str(),
        _ => "",
    };
    let kind = match at {
        ["result", "requestState"] => Some(HandleKind::RequestState),
        ["result", "nextCursor"] => Some(HandleKind::Cursor),
        ["result", "taskId"] | ["result", "task", "taskId"] | ["result", "tasks", "[]", "taskId"] => {
            Some(HandleKind::Task)
        }
        ["result" | "params", "_meta", related, "taskId"] if *related == RELATED => Some(HandleKind::Task),
        ["params", "taskId"] if method == "notifications/tasks/status" => Some(HandleKind::Task),
        ["params", "notifications", "taskIds", "[]"] if method == "notifications/subscriptions/acknowledged" => {
            Some(HandleKind::Task)
        }
        _ => None,
    };
    let whole = Node::Text(method.to_owned());
    match (kind, message) {
        (Some(kind), Node::Text(handle)) => out.push((kind, handle.clone())),
        (_, Node::Object(members)) => {
            members.iter().for_each(|(key, value)| listed(value, &[at, &[key]].concat(), Some(&whole), out));
        }
        (_, Node::Array(values)) => {
            values.iter().for_each(|value| listed(value, &[at, &["[]"]].concat(), Some(&whole), out));
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_chunking_of_a_stream_gives_the_events_of_the_standard(stream in stream(), places in vec(any::<Index>(), 0..8)) {
        let (events, _) = decode(&cut(stream.as_bytes(), &places));
        let found: Vec<_> = events.iter().map(fields).collect();
        prop_assert_eq!(found, reference(&stream));
        let (whole, rest) = decode(&[Bytes::copy_from_slice(stream.as_bytes())]);
        let raw = |events: &[Event]| -> Vec<u8> { events.iter().flat_map(|event| event.raw.to_vec()).collect() };
        let stripped = stream.strip_prefix('\u{feff}').unwrap_or(&stream).as_bytes();
        // an event that ends with the last byte there is, a CR, has an LF as well
        let last: &[u8] = if rest == 0 && stripped.ends_with(b"\r") { b"\n" } else { b"" };
        let there = [stripped, last].concat();
        prop_assert!(there.starts_with(&raw(&whole)));
        prop_assert!(whole.is_empty() || raw(&whole).len() + rest == there.len());
        let lines = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace("\r\n", "\n").replace('\r', "\n");
        prop_assert!(lines(stripped).starts_with(&lines(&raw(&events))));
    }

    #[test]
    fn events_survive_writing(id in "[a-z]{0,5}", event in "[a-z]{1,5}", data in "[a-z\n:é ]{0,30}", retry: Option<u32>) {
        let retry = retry.map(u64::from);
        let mut out = Vec::new();
        encode_event(&mut out, Some(id.as_bytes()), Some(event.as_bytes()), Some(data.as_bytes()), retry);
        let (events, rest) = decode(&[Bytes::from(out)]);
        prop_assert_eq!((events.len(), rest), (1, 0));
        prop_assert_eq!(fields(&events[0]), (Some(id.into()), Some(event.into()), Some(data.into()), retry));
    }

    #[test]
    fn any_chunking_of_a_reply_replaces_the_same_handles(body in bodies(), places in vec(any::<Index>(), 0..8)) {
        let whole = filter(&[Bytes::copy_from_slice(&body)]);
        prop_assert_eq!(&filter(&cut(&body, &places)), &whole);
        if let Some(node @ Node::Object(_)) = Node::parse(&body) {
            prop_assert_eq!(Node::parse(&whole), Some(replaced(node, &[])));
        }
    }

    #[test]
    fn what_is_no_handle_keeps_its_bytes(body in bodies()) {
        let mut same = HandleFilter::new(1 << 20);
        let mut out = Vec::new();
        same.feed(&Bytes::copy_from_slice(&body), &mut out, &mut |_, handle| handle.to_owned()).unwrap();
        same.finish(&mut out).unwrap();
        prop_assert_eq!(out.concat(), body);
    }

    #[test]
    fn the_handles_of_a_message_are_listed_as_a_parser_finds_them(tree in message(), seed: u64) {
        let body = tree.spell(seed);
        let node = Node::parse(body.as_bytes()).unwrap();
        prop_assume!(!node.has_duplicates());
        let mut expected = Vec::new();
        listed(&node, &[], node.get("method"), &mut expected);
        let mut spans = smallvec::SmallVec::new();
        handles(body.as_bytes(), &mut spans);
        let found: Vec<_> =
            spans.iter().map(|(kind, span)| (*kind, decode_string(span.of(body.as_bytes())).into_owned())).collect();
        prop_assert_eq!(found, expected);
    }
}
