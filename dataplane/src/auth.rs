//! Who may come in: credential → principal, Origin and Host rules, limits per principal (product.md, *Who may come in*).

pub(crate) mod certificate;
pub(crate) mod challenge;
mod credential;
mod digests;
pub(crate) mod entitled;
pub(crate) mod issuer;
pub(crate) mod known;
pub(crate) mod meter;
pub(crate) mod meters;
pub(crate) mod origin;
pub(crate) mod permits;
pub(crate) mod principal;
pub(crate) mod quota;
pub(crate) mod resource;
pub(crate) mod shares;
mod token;
pub(crate) mod verified;
mod vouched;

pub(crate) use principal::{Principal, PrincipalId};

/// The random part of a session id: what stores key sessions by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct SessionId(pub [u8; 16]);
