//! One event to bytes.

/// Appends an event and its blank line. Data with line breaks becomes several `data:` lines. Line breaks in the other
/// fields, and NUL in an id, cannot be expressed: such a field is left out. With nothing given, a blank comment is
/// written, which keeps a connection alive.
pub fn encode_event(
    out: &mut Vec<u8>,
    id: Option<&[u8]>,
    event: Option<&[u8]>,
    data: Option<&[u8]>,
    retry: Option<u64>,
) {
    let start = out.len();
    if let Some(event) = event
        && memchr::memchr2(b'\n', b'\r', event).is_none()
    {
        field(out, b"event: ", event);
    }
    if let Some(id) = id
        && memchr::memchr3(b'\n', b'\r', 0, id).is_none()
    {
        field(out, b"id: ", id);
    }
    if let Some(retry) = retry {
        field(out, b"retry: ", retry.to_string().as_bytes());
    }
    if let Some(mut data) = data {
        out.reserve(data.len() + 8);
        while let Some(end) = memchr::memchr2(b'\n', b'\r', data) {
            field(out, b"data: ", &data[..end]);
            let both = data[end..].starts_with(b"\r\n");
            data = &data[end + 1 + usize::from(both)..];
        }
        field(out, b"data: ", data);
    }
    if out.len() == start {
        out.extend_from_slice(b":\n");
    }
    out.push(b'\n');
}

fn field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(value);
    out.push(b'\n');
}
