//! The whole of what nodes are to run, before it is compiled for any of them.

use std::collections::BTreeMap;

use sluice_contract::v1;

use crate::compile::{Compiled, Node, compile};
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
}

impl Desired {
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
