//! The whole of what nodes are to run, before it is compiled for any of them.

use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock, PoisonError};

use prost::Message as _;
use sluice_contract::v1;
use sluice_snapshot::chunk::Name;

use crate::compile::{Compiled, Labels, Node, Origins, compile, entitled, origins};
use crate::language::{Config, Fault, Path};
use crate::secrets::Secrets;
use crate::store::StoredKey;

/// One revision of everything that nodes are made from.
#[derive(Default)]
pub struct Desired {
    /// Rises with every change.
    pub revision: u64,
    /// What people wrote.
    pub config: Config,
    /// API keys of clients.
    pub keys: Vec<StoredKey>,
    /// Credentials by name, for those nodes whose servers use them.
    pub secrets: Secrets,
    /// What is known of every node; its labels are replaced by those of the node in question.
    pub node: Node,
    /// The listener that the node of this process has: where a port is exchanged for stdin and stdout, or the other way round,
    /// addresses and certificates stay what they are until it is started again.
    pub bound: Option<v1::Listener>,
    /// What was compiled and proved of it before it came to be desired, for those who are to get it.
    pub proved: Proved,
    /// Who may come in by it, compiled when the first node is to be told.
    pub entitled: Entitled,
}

/// Who may come in: compiled once, and the same for all nodes.
#[derive(Default)]
pub struct Entitled(OnceLock<(v1::Entitled, Name)>);

/// Snapshots by the labels of their nodes, until they are taken.
#[derive(Default)]
pub struct Proved(Mutex<BTreeMap<Labels, Compiled>>);

/// For so many choices of labels: each takes the room of a whole configuration until nodes get it, and to compile it again is never wrong.
const PROVED: usize = 4;

impl Proved {
    /// Keeps one, while there is room.
    pub(crate) fn keep(&self, labels: &Labels, compiled: Compiled) {
        let mut proved = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if proved.len() < PROVED {
            proved.insert(labels.clone(), compiled);
        }
    }

    fn take(&self, labels: &Labels) -> Option<Compiled> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(labels)
    }
}

impl Desired {
    /// What a node of these labels is to run, as it was proved before or is now.
    ///
    /// # Errors
    ///
    /// Every fault found.
    pub(super) fn take(&self, labels: &Labels) -> Result<Compiled, Vec<Fault>> {
        self.proved.take(labels).map_or_else(|| self.compile(labels), Ok)
    }

    /// Where the parts of what such a node is to run come from.
    pub(super) fn origins(&self, labels: &Labels) -> Origins {
        let node = Node { labels: labels.clone(), ..self.node.clone() };
        origins(&self.config, &self.keys, &self.secrets, &node)
    }

    /// Who may come in, for nodes that do not run this, and a digest of that. Neither has the revision in it.
    pub(super) fn entitled(&self) -> &(v1::Entitled, Name) {
        self.entitled.0.get_or_init(|| {
            let entitled = entitled(&self.config, &self.keys);
            let digest = Name::of(&entitled.encode_to_vec());
            (entitled, digest)
        })
    }

    /// What a node of these labels is to run.
    ///
    /// # Errors
    ///
    /// Every fault found.
    pub fn compile(&self, labels: &BTreeMap<String, String>) -> Result<Compiled, Vec<Fault>> {
        let node = Node { labels: labels.clone(), ..self.node.clone() };
        let mut compiled = compile(&self.config, &self.keys, &self.secrets, &node, self.revision)?;
        if let Some((bound, said)) = self.bound.as_ref().zip(compiled.snapshot.listener.as_mut()) {
            said.addresses.clone_from(&bound.addresses);
            said.stdio = bound.stdio;
            said.certificates.clone_from(&bound.certificates);
            prove(&compiled.snapshot)?;
        }
        Ok(compiled)
    }
}

/// What is bound may not go with the rest: a door that other machines reach must not lose its lock.
fn prove(snapshot: &v1::Snapshot) -> Result<(), Vec<Fault>> {
    let faults = sluice_snapshot::parse(snapshot).err().unwrap_or_default();
    let fault = |fault: sluice_snapshot::Fault| {
        let fault = Fault::key(Path::of(["proxy"]), format!("the address in use stays: {}", fault.reason));
        fault.advise("restart to listen elsewhere, or keep authentication")
    };
    if faults.is_empty() { Ok(()) } else { Err(faults.into_iter().map(fault).collect()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::digest;

    #[test]
    fn who_may_come_in_is_compiled_once_and_compared_by_what_it_says() {
        let at = jiff::Timestamp::UNIX_EPOCH;
        let key = |name: &str, key: &str| StoredKey {
            name: name.to_owned(),
            sha256: digest(key),
            created: at,
            expires: None,
        };
        let desired = |revision, keys: Vec<StoredKey>| Desired { revision, keys, ..Desired::default() };
        let one = desired(1, vec![key("a", "1"), key("b", "2"), key("a", "3"), key("c", "1")]);
        let (entitled, digest) = one.entitled();
        assert!(std::ptr::eq(entitled, &one.entitled().0));
        let clients: Vec<_> = entitled.clients.iter().map(|client| (&*client.name, client.keys.len())).collect();
        assert_eq!(clients, [("a", 2), ("b", 1)]);
        let same = desired(2, vec![key("a", "1"), key("b", "2"), key("a", "3")]);
        let other = desired(2, vec![key("a", "1"), key("a", "3")]);
        assert!(same.entitled().1 == *digest && other.entitled().1 != *digest);
    }
}
