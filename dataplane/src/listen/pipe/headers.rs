//! The header fields a streamable HTTP client would send with a message.

use sluice_http1::Fields;
use sluice_mcp::{Era, Message, Method, Mirrored, Span, decode_string, era_of, header};

use super::Pipe;

/// A message says itself that it is modern.
pub(super) fn is_modern(body: &[u8], message: &Message) -> bool {
    let version = message.p.meta_protocol_version.map(|s| decode_string(s.of(body)));
    version.is_some_and(|v| era_of(v.as_bytes()) != Some(Era::Legacy))
}

impl Pipe {
    /// The header fields of one message.
    pub(super) fn headers(&self, body: &[u8], message: &Message, modern: bool) -> Fields {
        match (modern, message.method) {
            (true, _) => mirroring(body, message),
            (false, Method::Initialize) => self.session_headers(false),
            (false, _) => self.session_headers(true),
        }
    }

    /// The header fields of the session, where there is one.
    pub(super) fn session_headers(&self, with_id: bool) -> Fields {
        let state = self.state.borrow();
        let mut headers = Fields::default();
        let id = state.session.id().filter(|_| with_id).map(|id| (header::SESSION_ID, id));
        let version = state.session.version().map(|version| (header::PROTOCOL_VERSION, version));
        for (name, value) in id.into_iter().chain(version) {
            put(&mut headers, name, value);
        }
        headers
    }
}

/// What is no field value is left out: no client could have sent it.
fn put(headers: &mut Fields, name: &str, value: &str) {
    let _ = headers.push(name.as_bytes(), value.as_bytes());
}

/// A modern message's own words, mirrored.
fn mirroring(body: &[u8], message: &Message) -> Fields {
    let mut headers = Fields::default();
    let text = |span: Option<Span>| span.map(|s| decode_string(s.of(body)));
    if let Some(version) = text(message.p.meta_protocol_version) {
        put(&mut headers, header::PROTOCOL_VERSION, &version);
    }
    if let Some(method) = text(message.method_span) {
        put(&mut headers, header::METHOD, &method);
    }
    let mirrored = message.method.mirrored().and_then(|mirrored| match mirrored {
        Mirrored::Name => text(message.p.name),
        Mirrored::Uri => text(message.p.uri),
        Mirrored::TaskId => text(message.p.task_id),
    });
    if let Some(name) = mirrored {
        put(&mut headers, header::NAME, &header::encode_value(&name));
    }
    headers
}
