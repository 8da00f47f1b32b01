//! Who may come in, apart from the rest of a snapshot: what nodes go by that do not run it.

use sluice_contract::v1;

use super::{Node, Notes, access};
use crate::language::Config;
use crate::store::StoredKey;

/// Who may come in. It is the same on all nodes: none of it is chosen by labels.
pub(crate) fn entitled(config: &Config, keys: &[StoredKey]) -> v1::Entitled {
    let access = access::compile(config, keys, &Node::default(), &mut Notes::default());
    let certificates = config.proxy.tls_clients.as_ref();
    v1::Entitled {
        clients: access.clients.into_iter().map(|client| v1::Client { roles: Vec::new(), ..client }).collect(),
        issuers: access.issuers.into_iter().map(|issuer| issuer.issuer).collect(),
        certificates: certificates.is_some(),
        certificate_names: certificates.map(|clients| clients.names.keys().cloned().collect()).unwrap_or_default(),
        ..v1::Entitled::default()
    }
}
