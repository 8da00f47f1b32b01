//! What is wrong with nodes, in words: refusals, absences, certificates, servers that are down, credentials that cannot be had.

use std::time::Duration;

use sluice_contract::v1::{NodeState, NodeStatus, ServerStatus};

use crate::fault;
use crate::output::{Paint, Stream, Tone, time, visible};

/// Nodes renew their certificates long before: one with less left than this cannot.
const SOON: Duration = Duration::from_secs(3600);

/// A paragraph per trouble.
pub(super) fn lines(nodes: &[NodeStatus], now: u64) -> Vec<String> {
    let troubles = [refused, faulty, away, certificate, servers, credentials];
    let paint = Paint::on(Stream::Stdout);
    nodes.iter().flat_map(|node| troubles.iter().filter_map(move |trouble| trouble(node, now, paint))).collect()
}

/// A paragraph per trouble that connected nodes have with servers: with all, or with the one of this name.
pub(in crate::command) fn with_servers(nodes: &[NodeStatus], name: Option<&str>, now: u64) -> Vec<String> {
    let paint = Paint::on(Stream::Stdout);
    let of = |node: &NodeStatus| {
        let mut node = node.clone();
        node.servers.retain(|server| name.is_none_or(|name| server.server == name));
        [servers, credentials].into_iter().filter_map(|trouble| trouble(&node, now, paint)).collect::<Vec<_>>()
    };
    nodes.iter().filter(|node| node.connected).flat_map(of).collect()
}

fn refused(node: &NodeStatus, now: u64, paint: Paint) -> Option<String> {
    // What it refused before it took something newer is history.
    if node.rejected_revision == 0 || (node.rejected_revision <= node.revision && node.state() != NodeState::Rejected) {
        return None;
    }
    let refused = paint.text(Tone::Bad, "refused");
    let when = time::relative(node.rejected_ms, now);
    let instead = match node.revision {
        0 => "has nothing to run".to_owned(),
        revision => format!("goes on with {revision}"),
    };
    let faults = fault::show("error", &node.rejected, &[]);
    let head = format!("{} {refused} revision {}, {when}, and {instead}:", visible(&node.node), node.rejected_revision);
    Some(format!("{head}\n{}", faults.trim_end()))
}

fn faulty(node: &NodeStatus, _: u64, paint: Paint) -> Option<String> {
    if node.faults.is_empty() {
        return None;
    }
    let but = paint.text(Tone::Notice, "not all is well");
    let faults = fault::show("warning", &node.faults, &[]);
    Some(format!("{} runs revision {}, and {but}:\n{}", visible(&node.node), node.revision, faults.trim_end()))
}

fn away(node: &NodeStatus, now: u64, paint: Paint) -> Option<String> {
    if node.connected {
        return None;
    }
    let stale = paint.text(Tone::Notice, "is not connected");
    let since = if node.seen_ms == 0 { String::new() } else { format!(", seen {}", time::relative(node.seen_ms, now)) };
    Some(match node.revision {
        0 => format!("{} {stale}{since}", visible(&node.node)),
        revision => format!("{} {stale}{since}, and may go on with revision {revision}", visible(&node.node)),
    })
}

fn certificate(node: &NodeStatus, now: u64, paint: Paint) -> Option<String> {
    let ends = node.certificate_expires_ms;
    if ends == 0 || Duration::from_millis(ends.saturating_sub(now)) > SOON {
        return None;
    }
    let word = if ends <= now { "ended" } else { "ends" };
    let what = paint.text(Tone::Bad, &format!("its certificate {word} {}", time::relative(ends, now)));
    Some(format!("{}: {what}; it renews it while it is connected", visible(&node.node)))
}

fn servers(node: &NodeStatus, _: u64, paint: Paint) -> Option<String> {
    let down = node.servers.iter().filter(|server| !server.available);
    let line = |server: &sluice_contract::v1::ServerStatus| {
        let reason = if server.reason.is_empty() { String::new() } else { format!(": {}", visible(&server.reason)) };
        format!(
            "{}: server {} is {}{reason}",
            visible(&node.node),
            visible(&server.server),
            paint.text(Tone::Bad, "down")
        )
    };
    let ailing = node.servers.iter().filter(|server| server.available && !server.reason.is_empty());
    let ails = |server: &sluice_contract::v1::ServerStatus| {
        let trouble = paint.text(Tone::Bad, "in trouble");
        format!("{}: server {} is {trouble}: {}", visible(&node.node), visible(&server.server), visible(&server.reason))
    };
    let thinned = node.servers.iter().filter(|server| server.available && server.endpoints_out > 0);
    let few = |server: &sluice_contract::v1::ServerStatus| {
        let out = format!("{} of {} endpoints out of service", server.endpoints_out, server.endpoints);
        format!("{}: server {} has {}", visible(&node.node), visible(&server.server), paint.text(Tone::Bad, &out))
    };
    let lines: Vec<String> = down.map(line).chain(ailing.map(ails)).chain(thinned.map(few)).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

fn credentials(node: &NodeStatus, _: u64, paint: Paint) -> Option<String> {
    let troubled = node.servers.iter().filter(|server| !server.credential_trouble.is_empty());
    let line = |server: &ServerStatus| {
        let lacks = paint.text(Tone::Bad, "lacks its credential");
        let since = time::iso(server.credential_since_ms).unwrap_or_default();
        format!(
            "{}: server {} {lacks} since {since}: {}",
            visible(&node.node),
            visible(&server.server),
            visible(&server.credential_trouble)
        )
    };
    let lines: Vec<String> = troubled.map(line).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}
