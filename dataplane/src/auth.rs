//! Who may come in: credential → principal, Origin and Host rules, limits per principal (product.md, *Who may come in*).

pub(crate) mod origin;
pub(crate) mod principal;
pub(crate) mod quota;

pub(crate) use principal::{Principal, PrincipalId};
