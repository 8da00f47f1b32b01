//! The opening handshake (RFC 6455 section 4.2): what a client must send, and the answer.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Response, StatusCode, Version};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::listen::body::Body;
use crate::reason::Reason;

/// The subprotocol of MCP.
const SUBPROTOCOL: &str = "mcp";
/// Web pages cannot set headers of a WebSocket. They offer their key as a subprotocol of this prefix, base64url behind it;
/// it is never selected, so it does not come back, and unlike a query it stands in no log.
const KEY_PREFIX: &str = "bearer.";

/// Judges a request; the answer that opens the WebSocket.
///
/// # Errors
/// [`Reason::NotWebSocket`], [`Reason::HandshakeBroken`].
pub(super) fn judge(parts: &http::request::Parts) -> Result<Response<Body>, Reason> {
    let headers = &parts.headers;
    let asked = parts.version == Version::HTTP_11
        && tokens(headers, &header::CONNECTION).any(|token| token.eq_ignore_ascii_case("upgrade"))
        && tokens(headers, &header::UPGRADE).any(|token| token.eq_ignore_ascii_case("websocket"));
    if !asked || !tokens(headers, &header::SEC_WEBSOCKET_VERSION).eq(["13"]) {
        return Err(Reason::NotWebSocket);
    }
    let length = headers.get(header::CONTENT_LENGTH).filter(|length| *length != "0");
    if length.is_some() || headers.contains_key(header::TRANSFER_ENCODING) {
        return Err(Reason::HandshakeBroken("a handshake has no body"));
    }
    let mut keys = headers.get_all(header::SEC_WEBSOCKET_KEY).iter();
    let key = keys.next().filter(|_| keys.next().is_none()).map(HeaderValue::as_bytes);
    let key = key.filter(|key| STANDARD.decode(key).is_ok_and(|nonce| nonce.len() == 16));
    let key = key.ok_or(Reason::HandshakeBroken("Sec-WebSocket-Key must be 16 bytes in base64, once"))?;
    let accept = HeaderValue::from_str(&derive_accept_key(key))
        .map_err(|_| Reason::HandshakeBroken("Sec-WebSocket-Key cannot be answered"))?;

    let mut response = Response::new(Body::full(bytes::Bytes::new()));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let answer = response.headers_mut();
    answer.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    answer.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    answer.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    if tokens(headers, &header::SEC_WEBSOCKET_PROTOCOL).any(|offered| offered == SUBPROTOCOL) {
        answer.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    }
    Ok(response)
}

/// Puts the key a web page offered as a subprotocol where every other client has it. One more key beside it counts as two,
/// as everywhere.
pub(in crate::listen) fn take_key(headers: &mut HeaderMap) {
    let offered = tokens(headers, &header::SEC_WEBSOCKET_PROTOCOL).find_map(|offered| {
        let key = URL_SAFE_NO_PAD.decode(offered.strip_prefix(KEY_PREFIX)?).ok()?;
        HeaderValue::from_bytes(&[b"Bearer ", &key[..]].concat()).ok()
    });
    if let Some(mut value) = offered {
        value.set_sensitive(true);
        headers.append(header::AUTHORIZATION, value);
    }
}

/// The tokens of a list field.
fn tokens<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h str> {
    headers.get_all(name).iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(',')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(pairs: &[(&'static str, &'static str)]) -> http::request::Parts {
        let builder = http::Request::builder().uri("/ws");
        let request = pairs.iter().fold(builder, |builder, (name, value)| builder.header(*name, *value));
        request.body(()).unwrap().into_parts().0
    }

    const GOOD: [(&str, &str); 4] = [
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "WebSocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];

    #[test]
    fn the_answer_proves_that_the_key_was_read() {
        let answer = judge(&parts(&GOOD)).unwrap();
        // the example of RFC 6455 section 1.3
        assert_eq!(answer.headers()[header::SEC_WEBSOCKET_ACCEPT], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert!(!answer.headers().contains_key(header::SEC_WEBSOCKET_PROTOCOL));
        let offers = [&GOOD[..], &[("sec-websocket-protocol", "other, mcp")]].concat();
        assert_eq!(judge(&parts(&offers)).unwrap().headers()[header::SEC_WEBSOCKET_PROTOCOL], "mcp");
    }

    #[test]
    fn what_is_no_handshake_is_told_so() {
        for missing in 0..3 {
            let mut pairs = GOOD.to_vec();
            pairs.remove(missing);
            assert_eq!(judge(&parts(&pairs)).err(), Some(Reason::NotWebSocket), "{missing}");
        }
        for key in ["", "c2hvcnQ=", "not base64"] {
            let pairs = [&GOOD[..3], &[("sec-websocket-key", key)]].concat();
            assert!(matches!(judge(&parts(&pairs)), Err(Reason::HandshakeBroken(_))), "{key}");
        }
        let body = [&GOOD[..], &[("content-length", "2")]].concat();
        assert!(matches!(judge(&parts(&body)), Err(Reason::HandshakeBroken(_))));
        let twice = [&GOOD[..], &GOOD[3..]].concat();
        assert!(matches!(judge(&parts(&twice)), Err(Reason::HandshakeBroken(_))));
    }

    #[test]
    fn a_key_among_the_subprotocols_becomes_a_credential() {
        let mut headers = parts(&[("sec-websocket-protocol", "mcp, bearer.azE")]).headers;
        take_key(&mut headers);
        assert_eq!(headers[header::AUTHORIZATION], "Bearer k1");
        let mut headers = parts(&[("sec-websocket-protocol", "mcp, bearer.!")]).headers;
        take_key(&mut headers);
        assert!(!headers.contains_key(header::AUTHORIZATION));
    }
}
