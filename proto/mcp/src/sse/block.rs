//! The fields of one complete block.

use bytes::{Bytes, BytesMut};

use super::Event;

/// Reads the fields of a block that ends with a blank line.
pub(super) fn parse(raw: Bytes) -> Event {
    let mut event = Event::default();
    let mut data = Data::None;
    let mut rest = 0;
    while rest < raw.len() {
        let end = memchr::memchr2(b'\n', b'\r', &raw[rest..]).map_or(raw.len(), |n| rest + n);
        let line = rest..end;
        rest = end + 1;
        let (name, value) = match memchr::memchr(b':', &raw[line.clone()]) {
            Some(colon) => {
                let value = line.start + colon + 1;
                let space = usize::from(raw[value..line.end].first() == Some(&b' '));
                (line.start..line.start + colon, value + space..line.end)
            }
            None => (line.clone(), line.end..line.end),
        };
        match &raw[name] {
            b"data" => data.add(raw.slice(value)),
            b"event" => event.event = Some(raw.slice(value)),
            b"id" if memchr::memchr(0, &raw[value.clone()]).is_none() => {
                event.id = Some(raw.slice(value));
            }
            b"retry" => event.retry = milliseconds(&raw[value]).or(event.retry),
            _ => {}
        }
    }
    event.data = data.finish();
    event.raw = raw;
    event
}

/// The data of a block so far: shared while it is one line, copied from the second on.
enum Data {
    None,
    One(Bytes),
    More(BytesMut),
}

impl Data {
    fn add(&mut self, line: Bytes) {
        *self = match std::mem::replace(self, Data::None) {
            Data::None => Data::One(line),
            Data::One(first) => {
                let mut lines = BytesMut::with_capacity(first.len() + line.len() + 64);
                lines.extend_from_slice(&first);
                Data::More(with_line(lines, &line))
            }
            Data::More(lines) => Data::More(with_line(lines, &line)),
        }
    }

    fn finish(self) -> Option<Bytes> {
        match self {
            Data::None => None,
            Data::One(line) => Some(line),
            Data::More(lines) => Some(lines.freeze()),
        }
    }
}

fn with_line(mut lines: BytesMut, line: &[u8]) -> BytesMut {
    lines.extend_from_slice(b"\n");
    lines.extend_from_slice(line);
    lines
}

/// ASCII digits only; what does not fit is as good as no field.
fn milliseconds(value: &[u8]) -> Option<u64> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}
