//! The JSON-RPC answer in a body: the body itself, or the last event of a stream.

use serde::Deserialize;
use serde::de::IgnoredAny;

/// An answer, as far as it is looked at. Texts with escapes, which nobody sent, are wrong answers.
#[derive(Deserialize)]
pub(crate) struct Answer<'b> {
    #[serde(default)]
    pub id: Option<u64>,
    #[serde(borrow, default)]
    pub result: Option<Outcome<'b>>,
}

#[derive(Deserialize)]
pub(crate) struct Outcome<'b> {
    #[serde(borrow, default)]
    pub content: Vec<Content<'b>>,
    #[serde(rename = "isError", default)]
    pub is_error: bool,
    #[serde(borrow, default)]
    pub tools: Vec<Tool<'b>>,
    #[serde(rename = "nextCursor", default)]
    pub next: Option<IgnoredAny>,
}

#[derive(Deserialize)]
pub(crate) struct Content<'b> {
    #[serde(default)]
    pub text: &'b str,
}

#[derive(Deserialize)]
pub(crate) struct Tool<'b> {
    #[serde(default)]
    pub name: &'b str,
}

/// The message in a body: of an event stream, the data of the last event that has any.
pub(crate) fn message(body: &[u8], is_events: bool) -> &[u8] {
    if !is_events {
        return body;
    }
    let mut rest = body.trim_ascii_end();
    while !rest.is_empty() {
        let begin = memchr::memrchr(b'\n', rest).map_or(0, |at| at + 1);
        if let Some(data) = rest[begin..].strip_prefix(b"data:").map(<[u8]>::trim_ascii)
            && !data.is_empty()
        {
            return data;
        }
        rest = &rest[..begin.saturating_sub(1)];
    }
    b""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_event_is_the_answer() {
        let body = b"id: 1\ndata:\n\ndata: {\"method\":\"x\"}\n\nevent: message\ndata: {\"id\":1}\nid: 2\n\n";
        assert_eq!(message(body, true), b"{\"id\":1}");
        assert_eq!(message(b"{}", false), b"{}");
        assert_eq!(message(b": nothing\n\n", true), b"");
    }
}
