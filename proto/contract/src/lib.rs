//! The wire contract between the planes: generated code, and the names in certificates that no `.proto` can say.
//!
//! Made at build time from `proto/sluice/v1/*.proto`; the comments there are the documentation. `snapshot` is the complete
//! configuration of a node, `sync` the push stream that carries it, `admin` what people and their tools may do, `session` what they are
//! told of sessions.
//!
//! Messages carry credentials and therefore have no `Debug`.

/// The DNS name in the certificate of a control plane, whatever address it is reached at: who has a certificate of the
/// authority with this name is a control plane.
pub const CONTROL_PLANE: &str = "control-plane.sluice";

/// What the URI in the certificate of a node begins with; the node's name follows.
pub const NODE: &str = "sluice:node:";

/// What stands in a token of a person or a node before the fingerprint of the authority it is for: the SHA-256 of the authority's
/// certificate, in hexadecimal. By it the bearer knows whom to show the token to; a control plane looks at what is before it.
pub const FINGERPRINT_MARK: char = '.';

/// What a client of a control plane names in the `certificate_authorities` of its hello (RFC 8446 section 4.2.4) for each authority it
/// knows, by fingerprint: while authorities are exchanged, a control plane has a certificate of each, and shows one that is known.
///
/// A name (X.501) with the fingerprint as its common name, without the sequence around it.
#[must_use]
pub fn authority_hint(fingerprint: &str) -> Vec<u8> {
    // SET { SEQUENCE { OBJECT IDENTIFIER 2.5.4.3, UTF8String } }: no length takes more than one byte
    let text = &fingerprint.as_bytes()[..fingerprint.len().min(64)];
    let length = |more: usize| (text.len() + more) as u8;
    let head = [0x31, length(9), 0x30, length(7), 0x06, 0x03, 0x55, 0x04, 0x03, 0x0c, length(0)];
    [&head, text].concat()
}

/// Version 1 of the contract: package `sluice.v1`.
#[expect(missing_docs, clippy::all, reason = "generated code; the .proto files hold the documentation")]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/sluice.v1.rs"));
}
