//! JSON-RPC errors: their codes and their bodies. What each says to whom is decided elsewhere.

use crate::{Era, Message, era_of, path::member, protocol_versions, text};

/// Error codes of JSON-RPC 2.0 and of the specification's *Error Codes*.
pub mod code {
    /// Not JSON.
    pub const PARSE: i64 = -32700;
    /// JSON, but not a message of this protocol.
    pub const INVALID_REQUEST: i64 = -32600;
    /// No such method here.
    pub const METHOD_NOT_FOUND: i64 = -32601;
    /// The params do not fit the method; since 2026-07-28 also: no such resource.
    pub const INVALID_PARAMS: i64 = -32602;
    /// A fault of the one who answers.
    pub const INTERNAL: i64 = -32603;
    /// A header is missing, malformed, or disagrees with the body (2026-07-28).
    pub const HEADER_MISMATCH: i64 = -32020;
    /// The request needs a capability the client did not declare (2026-07-28).
    pub const MISSING_CLIENT_CAPABILITY: i64 = -32021;
    /// The protocol version is not spoken here (2026-07-28).
    pub const UNSUPPORTED_VERSION: i64 = -32022;
    /// No such resource, until 2025-11-25.
    pub const RESOURCE_NOT_FOUND_LEGACY: i64 = -32002;
    /// The user must visit a URL first, 2025-11-25 only.
    pub const URL_ELICITATION_REQUIRED: i64 = -32042;
}

/// Whether an error with this code can only come from a server of the modern era (streamable HTTP, *Backward
/// Compatibility*). `-32601` and `-32602` are older than the protocol and prove nothing.
#[must_use]
pub fn is_modern_error(code: i64) -> bool {
    matches!(code, code::HEADER_MISMATCH | code::MISSING_CLIENT_CAPABILITY | code::UNSUPPORTED_VERSION)
}

/// Whether an error answer comes from a server of the modern era: by its code, and where it refuses the version, by the
/// versions it names instead. One that names legacy ones only says that it is no modern server.
#[must_use]
pub fn is_modern_refusal(body: &[u8], message: &Message) -> bool {
    match message.error_code.filter(|code| is_modern_error(*code)) {
        None => false,
        Some(code::UNSUPPORTED_VERSION) => {
            let error = message.error.map_or(&b"{}"[..], |span| span.of(body));
            let inner = |raw, key| member(raw, key).ok().flatten();
            let data = inner(error, "data").map_or(&b"{}"[..], |span| span.of(error));
            let Some(supported) = inner(data, "supported") else { return true };
            let versions = protocol_versions(supported.of(data));
            versions.is_empty() || versions.iter().any(|version| era_of(version.as_bytes()) == Some(Era::Modern))
        }
        Some(_) => true,
    }
}

/// The body of an error response. `id` is a raw id token, `data` raw JSON. Without an id the response says
/// `"id":null`: JSON-RPC 2.0 asks for it, and readers of every revision take it.
#[must_use]
pub fn error_body(id: Option<&[u8]>, code: i64, message: &str, data: Option<&str>) -> Vec<u8> {
    let mut out = Vec::with_capacity(80 + message.len() + id.map_or(4, <[u8]>::len) + data.map_or(0, str::len));
    out.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
    out.extend_from_slice(id.unwrap_or(b"null"));
    out.extend_from_slice(br#","error":{"code":"#);
    out.extend_from_slice(code.to_string().as_bytes());
    out.extend_from_slice(br#","message":"#);
    text::encode_into(&mut out, message);
    if let Some(data) = data {
        out.extend_from_slice(br#","data":"#);
        out.extend_from_slice(data.as_bytes());
    }
    out.extend_from_slice(b"}}");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_refuses_a_version_and_names_only_legacy_ones_is_legacy() {
        let refusal = |data: &str| {
            let body = error_body(Some(b"1"), code::UNSUPPORTED_VERSION, "no", Some(data));
            let message = crate::scan(&body, crate::ScanLimits::default()).unwrap();
            is_modern_refusal(&body, &message)
        };
        assert!(refusal(r#"{"supported":["2026-07-28"],"requested":"x"}"#));
        assert!(refusal(r#"{"supported":["2025-11-25","2026-07-28"]}"#));
        assert!(refusal("{}") && refusal(r#"{"supported":7}"#));
        assert!(!refusal(r#"{"supported":["2025-11-25","2024-11-05"]}"#));
    }

    #[test]
    fn error_bodies_carry_id_code_message_and_data() {
        assert_eq!(
            error_body(Some(b"\"a\""), code::HEADER_MISMATCH, "no \"x\"", Some("{\"k\":1}")),
            br#"{"jsonrpc":"2.0","id":"a","error":{"code":-32020,"message":"no \"x\"","data":{"k":1}}}"#
        );
        assert_eq!(
            error_body(None, code::PARSE, "m", None),
            br#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"m"}}"#
        );
    }
}
