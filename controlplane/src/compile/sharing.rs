//! Which nodes have part in a limit that is for the whole fleet: those that get its policy, and a server that it covers.

use indexmap::IndexMap;
use sluice_snapshot::model::Pattern;

use super::{Labels, chooses};
use crate::language::{Config, Limit, Policy, Scope, Server, slug};

/// A limit that only some nodes have part in.
pub(crate) struct Partial<'c> {
    /// Where it stands, as in [`sluice_snapshot::policy::Limit::source`].
    pub source: String,
    policy: &'c IndexMap<String, String>,
    /// Which nodes each server it covers is for.
    servers: Vec<&'c IndexMap<String, String>>,
}

impl Partial<'_> {
    /// Whether nodes of these labels have part in it.
    pub(crate) fn is_held_by(&self, labels: &Labels) -> bool {
        chooses(self.policy, labels) && self.servers.iter().any(|server| chooses(server, labels))
    }
}

/// The limits of policies that are for the whole fleet, and that not every node has part in.
pub(crate) fn partial(config: &Config) -> impl Iterator<Item = Partial<'_>> {
    let is_fleet = config.proxy.limits.scope.unwrap_or_default() == Scope::Fleet;
    let policies = config.policies.iter().filter(move |_| is_fleet);
    policies.flat_map(move |(name, policy)| {
        let limits = policy.limit.iter().enumerate();
        limits.filter_map(move |(place, limit)| of(config, name, policy, place, limit))
    })
}

fn of<'c>(config: &'c Config, name: &str, policy: &'c Policy, place: usize, limit: &Limit) -> Option<Partial<'c>> {
    let covers = covers(limit);
    let covered = config.servers.iter().filter(|(key, server)| server.takes_part() && covers(key));
    let servers: Vec<_> = covered.map(|(_, server): (_, &Server)| &server.nodes).collect();
    // a limit on nothing is everybody's
    let is_everywhere = servers.is_empty() || servers.iter().any(|nodes| nodes.is_empty());
    let partial = !(policy.nodes.is_empty() && is_everywhere);
    let source = format!("policies.{name}.limit[{place}]");
    partial.then_some(Partial { source, policy: &policy.nodes, servers })
}

/// Whether the limit is about a server of this key.
fn covers(limit: &Limit) -> impl Fn(&str) -> bool {
    let patterns = limit
        .servers
        .as_ref()
        .map(|texts| texts.iter().map(|text| (text.clone(), Pattern::new(text.as_str()))).collect::<Vec<_>>());
    move |key| {
        patterns.as_ref().is_none_or(|patterns| {
            let name = slug(key);
            patterns.iter().any(|(text, pattern)| text == key || pattern.matches(&name))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::{self, Variables};

    fn held(text: &str) -> Vec<(String, [bool; 3])> {
        let config =
            language::load("mcp.yaml", text.to_owned(), &Variables::of([])).unwrap_or_else(|e| panic!("{e}")).config;
        let labels = |region: &str| Labels::from([("region".to_owned(), region.to_owned())]);
        let of = |limit: Partial<'_>| {
            let held = [Labels::new(), labels("eu"), labels("us")].map(|labels| limit.is_held_by(&labels));
            (limit.source, held)
        };
        partial(&config).map(of).collect()
    }

    const SERVERS: &str = "
servers:
  all: {command: a}
  Eu_One: {command: a, nodes: {region: eu}}
  eu-two: {command: a, nodes: {region: eu}}
  us: {command: a, nodes: {region: us}}
";

    #[test]
    fn a_limit_is_held_where_its_policy_is_and_a_server_it_covers() {
        let policies = "
policies:
  all:
    who: [everybody]
    allow: [{}]
    limit:
      - {requests_per_minute: 1}
      - {requests_per_minute: 1, servers: ['eu-*']}
      - {requests_per_minute: 1, servers: [Eu_One, us]}
      - {requests_per_minute: 1, servers: ['*l*', us]}
  eu:
    who: [everybody]
    nodes: {region: eu}
    limit: [{requests_per_minute: 1}, {requests_per_minute: 1, servers: [us]}]
";
        let expected = [
            ("policies.all.limit[1]", [false, true, false]),
            ("policies.all.limit[2]", [false, true, true]),
            ("policies.eu.limit[0]", [false, true, false]),
            ("policies.eu.limit[1]", [false, false, false]),
        ];
        let expected: Vec<_> = expected.iter().map(|(source, held)| ((*source).to_owned(), *held)).collect();
        assert_eq!(held(&format!("{SERVERS}{policies}")), expected);
        let own = format!("{SERVERS}{policies}proxy: {{limits: {{scope: node}}}}\n");
        assert_eq!(held(&own), [], "each node has the whole");
    }

    #[test]
    fn where_all_nodes_run_the_same_all_share() {
        let text = "servers: {a: {command: a}}\npolicies: {p: {who: [local], limit: [{requests_per_minute: 1}, {requests_per_minute: 1, servers: [none]}]}}";
        assert_eq!(held(text), []);
    }
}
