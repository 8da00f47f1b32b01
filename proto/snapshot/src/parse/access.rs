//! Who may come in.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use sluice_contract::v1;

use super::{Faults, issuer, text};
use crate::model::{Access, Client, Key, Roles};

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
        if client.keys.is_empty() {
            faults.note::<()>(format!("{path}.keys"), "is empty: the client has no key to be known by");
        }
        let roles = roles(&client.roles, &format!("{path}.roles"), faults);
        let owner = Arc::new(Client { name, roles });
        for (place, key) in client.keys.iter().enumerate() {
            add_key(&mut keys, key, &owner, &format!("{path}.keys[{place}]"), faults);
        }
    }
    let issuers = issuer::parse_all(&wire.issuers, faults);
    (faults.0.len() == before).then_some(Access {
        required: wire.required,
        explicitly_open: wire.explicitly_open,
        keys,
        issuers,
    })
}

fn add_key(keys: &mut HashMap<[u8; 32], Key>, key: &v1::Key, owner: &Arc<Client>, path: &str, faults: &mut Faults) {
    let Ok(digest) = <[u8; 32]>::try_from(&*key.sha256) else {
        let length = key.sha256.len();
        faults.note::<()>(format!("{path}.sha256"), format!("has {length} bytes; a SHA-256 digest has 32"));
        return;
    };
    // a time that the clock cannot say does not come
    let expires = key.expires_at.and_then(|at| UNIX_EPOCH.checked_add(Duration::from_secs(at)));
    if let Some(other) = keys.insert(digest, Key { client: Arc::clone(owner), expires }) {
        let name = &other.client.name;
        faults.note::<()>(path, format!("is the key of client `{name}` as well; give each its own"));
    }
}

/// Names that policies speak of, sorted.
pub(super) fn roles(wire: &[String], path: &str, faults: &mut Faults) -> Roles {
    let said = wire.iter().enumerate();
    let names = said.filter_map(|(index, role)| text::label(role, &format!("{path}[{index}]"), faults));
    let names: BTreeSet<Arc<str>> = names.map(Arc::from).collect();
    names.into_iter().collect()
}
