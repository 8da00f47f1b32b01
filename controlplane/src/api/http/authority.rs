//! Whom to trust as this control plane, for clients that are told so by a file. It is no secret, and no proof either: what came
//! over a connection that was not checked is compared with the fingerprint at the end of a token.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::authority::Authority;

/// Characters of a line of PEM (RFC 7468).
const LINE: usize = 64;

/// The certificates in PEM, the one that signs now first.
pub(super) async fn certificates(State(authority): State<Arc<Authority>>) -> impl IntoResponse {
    let pem: String = authority.certificates().iter().map(|certificate| pem(certificate)).collect();
    ([(CONTENT_TYPE, "application/pem-certificate-chain")], pem)
}

fn pem(certificate: &[u8]) -> String {
    let mut text = "-----BEGIN CERTIFICATE-----\n".to_owned();
    let mut rest = BASE64_STANDARD.encode(certificate);
    while !rest.is_empty() {
        let after = rest.split_off(LINE.min(rest.len()));
        text.push_str(&rest);
        text.push('\n');
        rest = after;
    }
    text + "-----END CERTIFICATE-----\n"
}
