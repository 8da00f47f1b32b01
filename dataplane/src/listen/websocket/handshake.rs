//! The opening handshake (RFC 6455 section 4.2): what a client must send, and the answer.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::StatusCode;
use sluice_http1::Fields;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::listen::request::Head;
use crate::listen::response::Response;
use crate::reason::Reason;

/// The subprotocol of MCP.
const SUBPROTOCOL: &str = "mcp";
const PROTOCOL: &str = "sec-websocket-protocol";
/// Web pages cannot set headers of a WebSocket. They offer their key as a subprotocol of this prefix, base64url behind it;
/// it is never selected, so it does not come back, and unlike a query it stands in no log.
const KEY_PREFIX: &str = "bearer.";

/// Judges a request; the answer that opens the WebSocket.
///
/// # Errors
/// [`Reason::NotWebSocket`], [`Reason::HandshakeBroken`].
pub(super) fn judge(head: &Head) -> Result<Response, Reason> {
    let headers = &head.headers;
    let asked = head.http_11
        && headers.list("connection").any(|token| token.eq_ignore_ascii_case(b"upgrade"))
        && headers.list("upgrade").any(|token| token.eq_ignore_ascii_case(b"websocket"));
    if !asked || !headers.list("sec-websocket-version").eq([&b"13"[..]]) {
        return Err(Reason::NotWebSocket);
    }
    let length = headers.get("content-length").filter(|length| *length != b"0");
    if length.is_some() || headers.has("transfer-encoding") {
        return Err(Reason::HandshakeBroken("a handshake has no body"));
    }
    let key = headers.only("sec-websocket-key");
    let key = key.filter(|key| STANDARD.decode(key).is_ok_and(|nonce| nonce.len() == 16));
    let key = key.ok_or(Reason::HandshakeBroken("Sec-WebSocket-Key must be 16 bytes in base64, once"))?;

    let response = Response::empty(StatusCode::SWITCHING_PROTOCOLS)
        .with("connection", "Upgrade")
        .with("upgrade", "websocket")
        .with("sec-websocket-accept", derive_accept_key(key));
    Ok(match headers.list(PROTOCOL).any(|offered| offered == SUBPROTOCOL.as_bytes()) {
        true => response.with(PROTOCOL, SUBPROTOCOL),
        false => response,
    })
}

/// Puts the key a web page offered as a subprotocol where every other client has it. One more key beside it counts as two,
/// as everywhere.
pub(in crate::listen) fn take_key(headers: &mut Fields) {
    let offered = headers.list(PROTOCOL).find_map(|offered| {
        let key = URL_SAFE_NO_PAD.decode(offered.strip_prefix(KEY_PREFIX.as_bytes())?).ok()?;
        Some([b"Bearer ", &key[..]].concat())
    });
    if let Some(value) = offered {
        // what is no field value is no key either
        let _ = headers.push(b"authorization", &value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::default();
        pairs.iter().for_each(|(name, value)| fields.push(name.as_bytes(), value.as_bytes()).unwrap());
        fields
    }

    fn head(pairs: &[(&str, &str)]) -> Head {
        Head { verb: http::Method::GET, target: Default::default(), headers: fields(pairs), http_11: true }
    }

    fn given(answer: &Response, wanted: &str) -> Option<String> {
        answer.headers.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.to_string())
    }

    const GOOD: [(&str, &str); 4] = [
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "WebSocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];

    #[test]
    fn the_answer_proves_that_the_key_was_read() {
        let answer = judge(&head(&GOOD)).unwrap();
        // the example of RFC 6455 section 1.3
        assert_eq!(given(&answer, "sec-websocket-accept").unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(given(&answer, PROTOCOL), None);
        let offers = [&GOOD[..], &[("sec-websocket-protocol", "other, mcp")]].concat();
        assert_eq!(given(&judge(&head(&offers)).unwrap(), PROTOCOL).unwrap(), "mcp");
    }

    #[test]
    fn what_is_no_handshake_is_told_so() {
        for missing in 0..3 {
            let mut pairs = GOOD.to_vec();
            pairs.remove(missing);
            assert_eq!(judge(&head(&pairs)).err(), Some(Reason::NotWebSocket), "{missing}");
        }
        for key in ["", "c2hvcnQ=", "not base64"] {
            let pairs = [&GOOD[..3], &[("sec-websocket-key", key)]].concat();
            assert!(matches!(judge(&head(&pairs)), Err(Reason::HandshakeBroken(_))), "{key}");
        }
        let body = [&GOOD[..], &[("content-length", "2")]].concat();
        assert!(matches!(judge(&head(&body)), Err(Reason::HandshakeBroken(_))));
        let twice = [&GOOD[..], &GOOD[3..]].concat();
        assert!(matches!(judge(&head(&twice)), Err(Reason::HandshakeBroken(_))));
    }

    #[test]
    fn a_key_among_the_subprotocols_becomes_a_credential() {
        let mut headers = fields(&[("sec-websocket-protocol", "mcp, bearer.azE")]);
        take_key(&mut headers);
        assert_eq!(headers.get("authorization"), Some(&b"Bearer k1"[..]));
        let mut headers = fields(&[("sec-websocket-protocol", "mcp, bearer.!")]);
        take_key(&mut headers);
        assert!(!headers.has("authorization"));
    }
}
