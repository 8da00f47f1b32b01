//! The header fields a streamable HTTP client would send with a message.

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use sluice_mcp::{Era, Message, Method, Mirrored, Span, decode_string, era_of, header};

use super::Pipe;

/// A message says itself that it is modern.
pub(super) fn is_modern(body: &[u8], message: &Message) -> bool {
    let version = message.p.meta_protocol_version.map(|s| decode_string(s.of(body)));
    version.is_some_and(|v| era_of(v.as_bytes()) != Some(Era::Legacy))
}

impl Pipe {
    /// The header fields of one message.
    pub(super) fn headers(&self, body: &[u8], message: &Message, modern: bool) -> HeaderMap {
        match (modern, message.method) {
            (true, _) => mirroring(body, message),
            (false, Method::Initialize) => self.session_headers(false),
            (false, _) => self.session_headers(true),
        }
    }

    /// The header fields of the session, where there is one.
    pub(super) fn session_headers(&self, with_id: bool) -> HeaderMap {
        let state = self.state.borrow();
        let mut headers = HeaderMap::new();
        let id = state.session.id().filter(|_| with_id);
        headers.extend(id.map(|id| (HeaderName::from_static(header::SESSION_ID), id.clone())));
        let version = state.session.version();
        headers.extend(version.map(|v| (HeaderName::from_static(header::PROTOCOL_VERSION), v.clone())));
        headers
    }
}

/// A modern message's own words, mirrored.
fn mirroring(body: &[u8], message: &Message) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut put = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    let text = |span: Option<Span>| span.map(|s| decode_string(s.of(body)));
    if let Some(version) = text(message.p.meta_protocol_version) {
        put(header::PROTOCOL_VERSION, &version);
    }
    if let Some(method) = text(message.method_span) {
        put(header::METHOD, &method);
    }
    let mirrored = message.method.mirrored().and_then(|mirrored| match mirrored {
        Mirrored::Name => text(message.p.name),
        Mirrored::Uri => text(message.p.uri),
        Mirrored::TaskId => text(message.p.task_id),
    });
    if let Some(name) = mirrored {
        put(header::NAME, &header::encode_value(&name));
    }
    headers
}
