//! Who may come in: the clients of the file and those whose keys are in the state folder.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use sluice_contract::v1;

use super::{Node, Notes, issuer};
use crate::language::{Authentication, Client, Config, Fault, Path};
use crate::store::{StoredKey, digest};

/// Keys shorter than this can be guessed.
const SHORT_KEY: usize = 16;

/// `true` when requests without a credential are refused. It depends on the file alone: were it to depend on the keys that
/// exist, revoking the last one would open the door.
fn needs_key(config: &Config) -> bool {
    let open = config.proxy.authentication == Some(Authentication::None);
    config.features.authentication.unwrap_or(!open && !has_no_client(config))
}

/// `true` when nobody could come in unless a key is made.
#[must_use]
pub fn needs_first_key(config: &Config) -> bool {
    needs_key(config) && has_no_client(config)
}

/// Nobody has a credential by the file.
fn has_no_client(config: &Config) -> bool {
    config.clients.is_empty() && config.issuers.is_empty() && config.proxy.tls_clients.is_none()
}

pub(super) fn compile(config: &Config, keys: &[StoredKey], node: &Node, notes: &mut Notes) -> v1::Access {
    let required = needs_key(config);
    let explicitly_open = config.proxy.authentication == Some(Authentication::None);
    let said = Path::of(["proxy", "authentication"]);
    if required && explicitly_open {
        let fault = Fault::value(said, "says `none`, but `features.authentication` says `true`");
        notes.faults.push(fault.advise("leave out one of them"));
    }
    if !required && !config.clients.is_empty() {
        let warning = Fault::key(Path::of(["clients"]), "are known by their keys, but requests without a key get in");
        notes.warnings.push(warning.advise("`features.authentication: true` asks everybody for a key"));
    }
    let mut clients: Vec<v1::Client> = Vec::new();
    let stored: HashSet<&str> = keys.iter().map(|key| key.name.as_str()).collect();
    for (name, client) in &config.clients {
        let path = Path::of(["clients", name]);
        let wire = format!("access.clients[{}]", clients.len());
        notes.origins.key(wire.clone(), path.clone());
        let Some(digest) = key(client, stored.contains(name.as_str()), &path, notes) else { continue };
        notes.origins.value(format!("{wire}.roles"), path.key("roles"));
        let expires_at = expires(client, &path, notes);
        let key = digest.map(|digest| v1::Key { sha256: digest.to_vec(), expires_at });
        clients.push(v1::Client { name: name.clone(), keys: key.into_iter().collect(), roles: client.roles.clone() });
    }
    add_stored(&mut clients, keys);
    let issuers = issuer::compile_all(config, node, notes);
    v1::Access { required, explicitly_open, clients, issuers }
}

/// Adds the keys of the state folder. A name that the file has as well is the same client with one more key; a key
/// that the file has as well stays with the file's client.
fn add_stored(clients: &mut Vec<v1::Client>, keys: &[StoredKey]) {
    let of_file = clients.iter().flat_map(|client| &client.keys);
    let mut known: HashSet<Vec<u8>> = of_file.map(|key| key.sha256.clone()).collect();
    let mut places: HashMap<String, usize> =
        clients.iter().enumerate().map(|(place, client)| (client.name.clone(), place)).collect();
    for stored in keys {
        let key = v1::Key { sha256: stored.sha256.to_vec(), expires_at: stored.expires.map(seconds) };
        if !known.insert(key.sha256.clone()) {
            continue;
        }
        match places.get(&stored.name) {
            Some(place) => clients[*place].keys.push(key),
            None => {
                places.insert(stored.name.clone(), clients.len());
                clients.push(v1::Client { name: stored.name.clone(), keys: vec![key], roles: Vec::new() });
            }
        }
    }
}

/// When the key of the file expires.
fn expires(client: &Client, path: &Path, notes: &mut Notes) -> Option<u64> {
    let said = client.expires.as_deref()?;
    let parsed = said.trim().parse().ok().map(seconds);
    if parsed.is_none() {
        let fault = Fault::value(path.key("expires"), "is not a time");
        notes.faults.push(fault.advise("write the day and the time with its zone, `2027-01-31T12:00:00Z`"));
    }
    parsed
}

/// As the contract says times: what lies before 1970 has long expired.
fn seconds(at: Timestamp) -> u64 {
    u64::try_from(at.as_second()).unwrap_or(0)
}

/// The key that is written here; `Some(None)`: the client has another one, made by `sluice token create`. To revoke that one must
/// not make the configuration wrong.
fn key(client: &Client, is_stored: bool, path: &Path, notes: &mut Notes) -> Option<Option<[u8; 32]>> {
    let fault = match (&client.api_key, &client.api_key_sha256) {
        (Some(key), None) if key.expose().is_empty() => {
            Fault::value(path.key("api_key"), "is empty").advise("is the variable in it set to something?")
        }
        (Some(key), None) => {
            if key.expose().len() < SHORT_KEY {
                let warning = Fault::key(path.key("api_key"), format!("is shorter than {SHORT_KEY} characters"));
                notes.warnings.push(warning.advise("`sluice token create NAME` makes a key that cannot be guessed"));
            }
            return Some(Some(digest(key.expose())));
        }
        (None, Some(hex)) => match crate::hex::digest(hex.trim()) {
            Some(digest) => return Some(Some(digest)),
            None => Fault::value(path.key("api_key_sha256"), "is not 64 hexadecimal digits")
                .advise("make it with `printf %s \"$KEY\" | sha256sum`"),
        },
        (Some(_), Some(_)) => Fault::key(path.clone(), "has both `api_key` and `api_key_sha256`; leave out one"),
        (None, None) if client.expires.is_some() => {
            Fault::key(path.key("expires"), "is about a key that is written here, and there is none")
                .advise("how long a token lasts is said when it is made")
        }
        (None, None) if is_stored => return Some(None),
        (None, None) => {
            let warning = Fault::key(path.clone(), "has no key, so that nobody comes in as it");
            notes.warnings.push(warning.advise("add `api_key: \"${VARIABLE}\"`, or run `sluice token create NAME`"));
            return None;
        }
    };
    notes.faults.push(fault);
    None
}
