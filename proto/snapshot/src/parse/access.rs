//! Who may come in.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sluice_contract::v1;

use super::{Faults, text};
use crate::model::{Access, Client};

pub(super) fn parse(wire: &v1::Access, faults: &mut Faults) -> Option<Access> {
    let before = faults.0.len();
    if wire.required && wire.explicitly_open {
        faults.note::<()>("access", "asks for a key and says that none is wanted");
    }
    let mut names = HashSet::new();
    let mut keys = HashMap::new();
    for (index, client) in wire.clients.iter().enumerate() {
        let path = format!("access.clients[{index}]");
        let Some(name) = text::label(&client.name, &format!("{path}.name"), faults) else {
            continue;
        };
        if !names.insert(client.name.as_str()) {
            faults.note::<()>(format!("{path}.name"), format!("`{name}` is the name of another client already"));
        }
        if client.key_sha256.is_empty() {
            faults.note::<()>(format!("{path}.key_sha256"), "is empty: the client has no key to be known by");
        }
        let owner = Arc::new(Client { name });
        for (place, digest) in client.key_sha256.iter().enumerate() {
            add_key(&mut keys, digest, &owner, format!("{path}.key_sha256[{place}]"), faults);
        }
    }
    (faults.0.len() == before).then_some(Access {
        required: wire.required,
        explicitly_open: wire.explicitly_open,
        keys,
    })
}

fn add_key(
    keys: &mut HashMap<[u8; 32], Arc<Client>>,
    digest: &[u8],
    owner: &Arc<Client>,
    path: String,
    faults: &mut Faults,
) {
    let Ok(digest) = <[u8; 32]>::try_from(digest) else {
        faults.note::<()>(path, format!("has {} bytes; a SHA-256 digest has 32", digest.len()));
        return;
    };
    if let Some(other) = keys.insert(digest, Arc::clone(owner)) {
        faults.note::<()>(path, format!("is the key of client `{}` as well; give each its own", other.name));
    }
}
