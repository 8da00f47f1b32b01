//! From what people wrote to what a node runs. Pure: the same input makes the same snapshot, without files, clock or
//! network. The result is proved by the node's own parser before it is handed on, and what that parser objects to is
//! told in the words and at the place of the file.

mod access;
mod balance;
mod command;
mod credential;
mod curation;
mod doubts;
mod endpoint;
mod entitled;
mod issuer;
mod listener;
mod origins;
mod own;
mod policy;
mod sensitive;
mod server;
mod sessions;
mod sharing;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;

use indexmap::IndexMap;
use sluice_contract::v1;

use crate::language::{Config, Fault, Path, Prefix};
use crate::secrets::Secrets;
use crate::store::StoredKey;
pub use access::needs_first_key;
pub use doubts::doubts;
pub(crate) use entitled::entitled;
pub use origins::Origins;
pub(crate) use sharing::partial;

/// What the gateway calls itself unless told otherwise.
const DEFAULT_NAME: &str = "sluice";

/// By which configuration chooses nodes.
pub type Labels = BTreeMap<String, String>;

/// The nodes a configuration is to be compiled for so that no part of it is left out: one without labels, and for each part that
/// chooses nodes one that it chooses.
#[must_use]
pub fn choices(config: &Config) -> BTreeSet<Labels> {
    let servers = config.servers.values().map(|server| &server.nodes);
    let chosen = servers.chain(config.policies.values().map(|policy| &policy.nodes));
    let chosen = chosen.map(|labels| labels.clone().into_iter().collect());
    std::iter::once(Labels::new()).chain(chosen).collect()
}

/// The named secrets that servers refer to, on whatever nodes.
#[must_use]
pub fn referred(config: &Config) -> BTreeSet<String> {
    let mut notes = Notes::default();
    for labels in choices(config) {
        server::compile_all(config, &[], &Node { labels, ..Node::default() }, &mut notes);
    }
    notes.referred
}

/// What is known of the node a snapshot is for, beyond the configuration.
#[derive(Debug, Clone, Default)]
pub struct Node {
    /// Folder that relative paths in the configuration start from: that of the file.
    pub folder: PathBuf,
    /// Address given on the command line; replaces those of the configuration.
    pub listen: Option<SocketAddr>,
    /// MCP on stdin and stdout was asked for on the command line.
    pub stdio: bool,
    /// What `command: sluice` starts; `None` leaves it to be found in `PATH`.
    pub own_program: Option<PathBuf>,
    /// By which servers and policies choose their nodes.
    pub labels: BTreeMap<String, String>,
}

impl Node {
    /// Whether a part of the configuration that names labels (`nodes`) is for this node.
    fn is_chosen(&self, nodes: &IndexMap<String, String>) -> bool {
        chooses(nodes, &self.labels)
    }
}

/// Whether a part of the configuration that names labels (`nodes`) is for nodes of these.
fn chooses(nodes: &IndexMap<String, String>, labels: &Labels) -> bool {
    nodes.iter().all(|(label, value)| labels.get(label) == Some(value))
}

/// A snapshot, and what is odd about the configuration it came from.
pub struct Compiled {
    /// Proved by [`sluice_snapshot::parse`].
    pub snapshot: v1::Snapshot,
    /// Accepted, but perhaps not what was meant.
    pub warnings: Vec<Fault>,
}

/// Compiles a configuration. Of the secrets, the node gets those that its servers refer to.
///
/// # Errors
///
/// Every fault found.
pub fn compile(
    config: &Config,
    keys: &[StoredKey],
    secrets: &Secrets,
    node: &Node,
    revision: u64,
) -> Result<Compiled, Vec<Fault>> {
    let mut notes = Notes::default();
    let snapshot = snapshot(config, keys, secrets, node, revision, &mut notes);
    let proof = sluice_snapshot::parse(&snapshot).err().unwrap_or_default();
    // What the parser misses because it was left out above has been told already; nobody wrote it.
    let first = notes.faults.is_empty();
    if !proof.is_empty() {
        let origins = origins(config, keys, secrets, node);
        let translated = proof.into_iter().map(|fault| origins.translate(fault));
        notes.faults.extend(translated.filter(|(_, written)| first || *written).map(|(fault, _)| fault));
    }
    if notes.faults.is_empty() { Ok(Compiled { snapshot, warnings: notes.warnings }) } else { Err(notes.faults) }
}

/// Where the parts of what is compiled of the same come from: worked out again, for whoever has a fault to tell.
#[must_use]
pub fn origins(config: &Config, keys: &[StoredKey], secrets: &Secrets, node: &Node) -> Origins {
    let mut notes = Notes { origins: Origins::asked(), ..Notes::default() };
    let _ = snapshot(config, keys, secrets, node, 0, &mut notes);
    notes.origins
}

fn snapshot(
    config: &Config,
    keys: &[StoredKey],
    secrets: &Secrets,
    node: &Node,
    revision: u64,
    notes: &mut Notes,
) -> v1::Snapshot {
    credential::check_all(&config.credentials, notes);
    let listener = listener::compile(&config.proxy, node, notes);
    let own: Vec<SocketAddr> = listener.addresses.iter().filter_map(|address| address.parse().ok()).collect();
    let servers = server::compile_all(config, &own, node, notes);
    notes.origins.key("name", Path::of(["proxy", "name"]));
    v1::Snapshot {
        revision,
        name: config.proxy.name.clone().unwrap_or_else(|| DEFAULT_NAME.to_owned()),
        listener: Some(listener),
        access: Some(access::compile(config, keys, node, notes)),
        servers,
        secrets: sensitive::referred(secrets, notes),
        limits: Some(listener::limits(config, notes)),
        monitoring: Some(listener::monitoring(config, notes)),
        prefix: match config.proxy.prefix.unwrap_or(Prefix::Always) {
            Prefix::Always => v1::Prefix::Always.into(),
            Prefix::Never => v1::Prefix::Never.into(),
        },
        sessions: sessions::compile(config.proxy.sessions.as_ref(), notes),
        policies: policy::compile(config, node, notes),
    }
}

/// What is collected on the way.
#[derive(Default)]
struct Notes {
    faults: Vec<Fault>,
    warnings: Vec<Fault>,
    origins: Origins,
    /// Named secrets that servers refer to.
    referred: BTreeSet<String>,
}
