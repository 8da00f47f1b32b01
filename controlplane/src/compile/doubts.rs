//! What is right as it is written, and doubtful for what else is known: the time, and the nodes there are. A snapshot does not depend
//! on either.

use indexmap::IndexMap;
use jiff::Timestamp;

use super::Labels;
use crate::language::{Config, Fault, Path};

/// Nodes that are named where nobody is chosen.
const MOST_NAMED: usize = 3;

/// Warnings about a configuration, at a time, for these nodes.
pub fn doubts(config: &Config, now: Timestamp, nodes: &[(String, Labels)]) -> Vec<Fault> {
    let mut doubts: Vec<Fault> = config
        .clients
        .iter()
        .filter_map(|(name, client)| {
            let expires: Timestamp = client.expires.as_deref()?.trim().parse().ok()?;
            let path = Path::of(["clients", name, "expires"]);
            (expires <= now).then(|| Fault::value(path, "is over: the key does not count any more"))
        })
        .collect();
    let servers = config.servers.iter().map(|(name, server)| (["servers", name, "nodes"], &server.nodes));
    let policies = config.policies.iter().map(|(name, policy)| (["policies", name, "nodes"], &policy.nodes));
    let nobody = |chosen: &IndexMap<String, String>| {
        let has = |labels: &Labels| chosen.iter().all(|(label, value)| labels.get(label) == Some(value));
        !chosen.is_empty() && !nodes.iter().any(|(_, labels)| has(labels))
    };
    // the first node may be on its way
    let choosing = servers.chain(policies).filter(|(_, chosen)| !nodes.is_empty() && nobody(chosen));
    doubts.extend(choosing.map(|(path, _)| {
        Fault::key(Path::of(path), "choose none of the nodes that are known").advise(labelled(nodes))
    }));
    doubts
}

/// Which labels nodes have.
fn labelled(nodes: &[(String, Labels)]) -> String {
    let label = |(key, value): (&String, &String)| format!("{key}={value}");
    let one = |(node, labels): &(String, Labels)| match labels.is_empty() {
        true => format!("{node} has none"),
        false => format!("{node} has {}", labels.iter().map(label).collect::<Vec<_>>().join(" ")),
    };
    let told: Vec<_> = nodes.iter().take(MOST_NAMED).map(one).collect();
    let more = if nodes.len() > MOST_NAMED { ", …" } else { "" };
    format!("of labels, {}{more}; `sluice status` lists all", told.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::{Variables, load};

    fn told(text: &str, nodes: &[(&str, &[(&str, &str)])]) -> Vec<String> {
        let config = load("mcp.yaml", text.to_owned(), &Variables::of_process()).unwrap().config;
        let labels = |labels: &[(&str, &str)]| labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let nodes: Vec<_> = nodes.iter().map(|(node, of)| ((*node).to_owned(), labels(of))).collect();
        let now = "2026-11-21T10:00:00Z".parse().unwrap();
        doubts(&config, now, &nodes).iter().map(|doubt| format!("{}: {}", doubt.path, doubt.message)).collect()
    }

    #[test]
    fn keys_that_are_over_and_labels_of_nobody_are_doubtful() {
        let text = "servers:\n  a: {url: 'http://a/mcp', nodes: {region: eu}}\n  b: {url: 'http://b/mcp', nodes: {region: us}}\n\
            policies: {p: {who: [local], allow: [{servers: ['*']}], nodes: {region: us, tier: free}}}\n\
            clients:\n  old: {api_key_sha256: x, expires: '2026-11-21T09:59:59Z'}\n  new: {api_key_sha256: x, expires: '2027-01-01T00:00:00Z'}\n";
        let over = "clients.old.expires: is over: the key does not count any more";
        let nobody = |of: &str| format!("{of}.nodes: choose none of the nodes that are known");
        assert_eq!(told(text, &[]), [over], "the first node may be on its way");
        let eu: &[(&str, &str)] = &[("region", "eu"), ("tier", "free")];
        assert_eq!(told(text, &[("edge-1", eu)]), [over.to_owned(), nobody("servers.b"), nobody("policies.p")]);
        assert_eq!(
            told(text, &[("edge-1", eu), ("edge-2", &[("region", "us")])]),
            [over.to_owned(), nobody("policies.p")]
        );
    }
}
