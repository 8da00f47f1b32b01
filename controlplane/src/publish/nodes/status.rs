//! What people are told of nodes.

use sluice_contract::v1;

use super::{Node, Nodes};

impl Nodes {
    /// Every node, by name; `head` is the revision they are brought to.
    #[must_use]
    pub fn status(&self, head: u64) -> Vec<v1::NodeStatus> {
        self.known().iter().map(|(name, node)| status(name, node, head)).collect()
    }
}

fn status(name: &str, node: &Node, head: u64) -> v1::NodeStatus {
    let kept = &node.kept;
    let rejected = kept.rejected.as_ref();
    v1::NodeStatus {
        node: name.to_owned(),
        state: state(node, head).into(),
        labels: kept.labels.clone(),
        version: kept.version.clone(),
        revision: if node.runs_nothing() { 0 } else { kept.revision },
        since_ms: kept.since_ms,
        connected: node.visitor.is_some(),
        seen_ms: kept.seen_ms,
        rejected_revision: rejected.map_or(0, |rejected| rejected.revision),
        rejected_ms: rejected.map_or(0, |rejected| rejected.at_ms),
        rejected: rejected.map(|rejected| rejected.faults.clone()).unwrap_or_default(),
        ready: node.report.ready,
        draining: node.report.draining,
        sessions: node.report.sessions,
        streams: node.report.streams,
        servers: node.report.servers.iter().cloned().map(server).collect(),
        addresses: node.addresses.clone(),
        link: kept.link.clone(),
        faults: node.faults.clone(),
        entitled_revision: node.entitled,
        certificate_expires_ms: node
            .certificate
            .as_ref()
            .map_or(0, |certificate| u64::try_from(certificate.ends.as_millisecond()).unwrap_or_default()),
    }
}

fn state(node: &Node, head: u64) -> v1::NodeState {
    let refused = node.kept.rejected.as_ref().map_or(0, |rejected| rejected.revision);
    match () {
        () if node.visitor.is_none() => v1::NodeState::Stale,
        // started again, it may lack what it had when it took the same before
        () if node.refuses && refused >= node.sent && node.report.revision != head => v1::NodeState::Rejected,
        () if node.kept.revision == head => v1::NodeState::Current,
        () if refused > node.kept.revision && refused >= node.sent => v1::NodeState::Rejected,
        () => v1::NodeState::Updating,
    }
}

impl Node {
    /// What it ran is known from before it started again; since then it has refused it, and served nothing.
    pub(super) fn runs_nothing(&self) -> bool {
        self.visitor.is_some() && self.refuses && !self.accepted && self.report == v1::Report::default()
    }
}

fn server(health: v1::ServerHealth) -> v1::ServerStatus {
    v1::ServerStatus {
        server: health.server,
        available: health.available,
        reason: health.reason,
        transport: health.transport,
        era: health.era,
        tools: health.tools,
        prompts: health.prompts,
        resources: health.resources,
        credential_trouble: health.credential_trouble,
        credential_since_ms: health.credential_since_ms,
        endpoints: health.endpoints,
        endpoints_out: health.endpoints_out,
    }
}
