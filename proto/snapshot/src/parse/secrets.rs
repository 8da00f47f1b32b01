//! The named secrets of a snapshot: those its servers refer to, and no others.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sluice_contract::v1;

use super::Faults;
use super::sensitive::{MAX_SENSITIVE, is_secret_name};
use crate::model::{NamedSecret, Secret, Sensitive, Server};

/// Bytes of a chunk's name.
const CHUNK_NAME: usize = 32;

pub(super) fn parse(
    wire: &[v1::Secret],
    servers: &[Arc<Server>],
    faults: &mut Faults,
) -> HashMap<Arc<str>, NamedSecret> {
    let mut secrets = HashMap::with_capacity(wire.len());
    for (index, secret) in wire.iter().enumerate() {
        let path = format!("secrets[{index}]");
        if !is_secret_name(&secret.name) {
            faults.note::<()>(format!("{path}.name"), "is not 1 to 64 letters, digits and `.-_`");
        }
        if secret.chunk.len() != CHUNK_NAME {
            faults.note::<()>(format!("{path}.chunk"), format!("is not a name of {CHUNK_NAME} bytes"));
        }
        let value = match std::str::from_utf8(&secret.value) {
            Ok(value) if value.len() <= MAX_SENSITIVE => Some(value),
            Ok(_) => faults.note(format!("{path}.value"), "is longer than 64 KiB"),
            Err(_) => faults.note(format!("{path}.value"), "is not UTF-8 text"),
        };
        let named = value.map(|value| NamedSecret { version: secret.version, value: Secret::new(value) });
        if named.and_then(|named| secrets.insert(Arc::from(secret.name.as_str()), named)).is_some() {
            faults.note::<()>(format!("{path}.name"), format!("`{}` is the name of another secret", secret.name));
        }
    }
    // Servers that were refused are not here, and the others may refer to what is.
    if faults.0.is_empty() {
        check_references(&secrets, servers, faults);
    }
    secrets
}

fn check_references(secrets: &HashMap<Arc<str>, NamedSecret>, servers: &[Arc<Server>], faults: &mut Faults) {
    let mut used = HashSet::new();
    for (index, server) in servers.iter().enumerate() {
        for (place, sensitive) in server.sensitive() {
            let Sensitive::Secret(name) = sensitive else { continue };
            if !secrets.contains_key(name) {
                faults.note::<()>(format!("servers[{index}].{place}"), format!("there is no secret `{name}`"));
            }
            used.insert(name);
        }
    }
    for name in secrets.keys().filter(|name| !used.contains(name)) {
        faults.note::<()>("secrets", format!("`{name}` is used by no server; a node gets no more than it needs"));
    }
}
