//! Whether objects are a configuration that every node can run, found out before anything is stored: they are read as one
//! document, compiled for every choice of nodes, and proved by the node's own parser.

use jiff::Timestamp;

use crate::compile::{Compiled, Labels, choices, doubts};
use crate::language::{Fault, Object, join};
use crate::publish::Desired;
use crate::secrets::Secrets;
use crate::store::StoredKey;

/// Most faults that are told; whoever made more made the same one often.
const MAX_FAULTS: usize = 200;

/// A fault, and which node it concerns where others do not mind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// What is wrong.
    pub fault: Fault,
    /// The name of the node.
    pub node: Option<String>,
}

/// What was found.
#[derive(Default)]
pub(super) struct Judgement {
    pub(super) faults: Vec<Judged>,
    pub(super) warnings: Vec<Fault>,
    /// What would be desired; `None`: it is no configuration.
    pub(super) desired: Option<Desired>,
}

impl From<Fault> for Judged {
    fn from(fault: Fault) -> Self {
        Self { fault, node: None }
    }
}

/// Judges objects, as the revision they would become. `nodes` are those that are known, with their labels.
pub(super) fn judge(
    objects: &[&Object],
    keys: Vec<StoredKey>,
    secrets: Secrets,
    nodes: &[(String, Labels)],
    revision: u64,
    now: Timestamp,
) -> Judgement {
    let mut judgement = Judgement::default();
    let config = match join(objects.iter().copied()) {
        Ok(config) => config,
        Err(faults) => {
            judgement.faults = faults.into_iter().take(MAX_FAULTS).map(Judged::from).collect();
            return judgement;
        }
    };
    // beside the nodes there are: a part that concerns no node today is not left unjudged until one comes
    let mut choices = choices(&config);
    judgement.warnings = doubts(&config, now, nodes);
    let desired = Desired { revision, config, keys, secrets, ..Desired::default() };
    for labels in &choices {
        let compiled = judgement.add(&desired, labels, None);
        // others are for nobody yet
        let is_of_a_node = nodes.iter().any(|(_, of_node)| of_node == labels);
        compiled.filter(|_| is_of_a_node).into_iter().for_each(|compiled| desired.proved.keep(labels, compiled));
    }
    for (node, labels) in nodes {
        if choices.insert(labels.clone()) {
            let compiled = judgement.add(&desired, labels, Some(node));
            compiled.into_iter().for_each(|compiled| desired.proved.keep(labels, compiled));
        }
    }
    judgement.faults.truncate(MAX_FAULTS);
    judgement.desired = Some(desired);
    judgement
}

impl Judgement {
    /// Notes what is wrong or odd about it for nodes of these labels; what they would get.
    fn add(&mut self, desired: &Desired, labels: &Labels, node: Option<&str>) -> Option<Compiled> {
        let same = |a: &Fault, b: &Fault| a.path == b.path && a.message == b.message;
        let (faults, compiled) = match desired.compile(labels) {
            Ok(compiled) => (Vec::new(), Some(compiled)),
            Err(faults) => (faults, None),
        };
        for fault in faults {
            if !self.faults.iter().any(|known| same(&known.fault, &fault)) {
                self.faults.push(Judged { fault, node: node.map(str::to_owned) });
            }
        }
        for warning in compiled.iter().flat_map(|compiled| &compiled.warnings) {
            if !self.warnings.iter().any(|known| same(known, warning)) {
                self.warnings.push(warning.clone());
            }
        }
        compiled
    }
}
