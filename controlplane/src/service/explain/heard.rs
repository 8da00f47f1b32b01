//! What nodes have found out of the server that a call goes to: the policies let it through, but is it there?

use jiff::Timestamp;
use sluice_contract::v1;
use sluice_snapshot::explain::{Action, Target, Verdict};

use super::UNKNOWN;
use crate::publish::{Heard, Nodes, OfferKind};

/// Adds it to an answer that is of one node. What the node heard not to be there is unknown, whoever may call it.
pub(super) fn add(
    answer: &mut v1::ExplainResponse,
    action: Action,
    target: &Target,
    node: &v1::NodeStatus,
    nodes: &[v1::NodeStatus],
    known: &Nodes,
) {
    answer.steps.extend(found(&target.server, nodes));
    let kind = match action {
        Action::Call => OfferKind::Tool,
        Action::Get => OfferKind::Prompt,
        // what a template makes is in no list
        Action::Read => return,
    };
    let (offered, value) = match known.heard(&node.node, &target.server, kind, &target.name) {
        Heard::Has => ("yes", None),
        Heard::Lacks { at_ms } => ("no", Some(lacks(kind, target, &node.node, at_ms))),
        Heard::Unknown => ("unknown", Some(unheard(kind, target, &node.node))),
    };
    answer.offered = offered.to_owned();
    if offered == "no" && answer.verdict == Verdict::Allowed.as_str() {
        answer.verdict = UNKNOWN.to_owned();
    }
    answer.steps.extend(value.map(|value| v1::Step { name: "offered".to_owned(), value, source: String::new() }));
}

/// Says so where nobody was asked who could know.
pub(super) fn nothing(answer: &mut v1::ExplainResponse, action: Action) {
    // what a template makes is in no list
    if action != Action::Read {
        answer.offered = "unknown".to_owned();
    }
}

fn lacks(kind: OfferKind, Target { server, name }: &Target, node: &str, at_ms: u64) -> String {
    let at = i64::try_from(at_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or_default();
    let kind = kind.as_str();
    format!(
        "the server has no {kind} `{name}`, as {node} heard at {at:.0}; `sluice get {kind}s --server {server}` lists them"
    )
}

fn unheard(kind: OfferKind, Target { server, name }: &Target, node: &str) -> String {
    let kind = kind.as_str();
    format!(
        "whether the server has a {kind} `{name}` is not known: {node} has not heard of its {kind}s, as no client listed them since \
         {server} is served there, or each client has its own"
    )
}

/// How connected nodes reach a server, and what era they found it to be of: a step for all who found the same.
fn found(server: &str, nodes: &[v1::NodeStatus]) -> Vec<v1::Step> {
    let mut ways: Vec<(&v1::ServerStatus, Vec<&str>)> = Vec::new();
    for node in nodes.iter().filter(|node| node.connected) {
        let Some(seen) = node.servers.iter().find(|seen| seen.server == server && seen.era != "unknown") else {
            continue;
        };
        match ways.iter_mut().find(|(way, _)| (&way.transport, &way.era) == (&seen.transport, &seen.era)) {
            Some((_, names)) => names.push(&node.node),
            None => ways.push((seen, vec![&node.node])),
        }
    }
    let step = |(seen, names): (&v1::ServerStatus, Vec<&str>)| v1::Step {
        name: "found".to_owned(),
        value: format!("transport {}, era {}: as {} found out", seen.transport, seen.era, names.join(", ")),
        source: String::new(),
    };
    ways.into_iter().map(step).collect()
}
