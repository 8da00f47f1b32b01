//! The whole of what nodes are to run, before it is compiled for any of them.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use sluice_contract::v1;

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
}

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

    /// Who may come in, for nodes that do not run this.
    pub(super) fn entitled(&self) -> v1::Entitled {
        v1::Entitled { revision: self.revision, ..entitled(&self.config, &self.keys) }
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
