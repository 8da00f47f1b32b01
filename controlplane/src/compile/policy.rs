//! What clients may do.

use sluice_contract::v1;
use sluice_snapshot::model::Pattern;

use super::{Node, Notes};
use crate::language::{Action, Config, Fault, Limit, Path, Per, Policy, Rule, Scope, slug};

/// The word for `*` where people name whom a policy is for; in YAML, a bare `*` is something else.
const EVERYBODY: &str = "everybody";

/// That there are policies is said to every node, whichever of them are for it: otherwise a node that gets none would serve
/// everything to everybody.
pub(super) fn compile(config: &Config, node: &Node, notes: &mut Notes) -> Option<v1::Policies> {
    if config.policies.is_empty() {
        return None;
    }
    if config.policies.values().all(|policy| policy.allow.is_empty()) {
        let warning = Fault::key(Path::of(["policies"]), "allow nothing, so that everything is denied");
        notes
            .warnings
            .push(warning.advise("what is not denied needs an `allow` of its own: `allow: [{servers: [\"*\"]}]`"));
    }
    let chosen = config.policies.iter().filter(|(_, policy)| node.is_chosen(&policy.nodes));
    let mut policies = Vec::new();
    for (name, policy) in chosen {
        let path = Path::of(["policies", name]);
        let wire = format!("policies.policies[{}]", policies.len());
        notes.origins.key(wire.clone(), path.clone());
        notes.origins.advised(format!("{wire}.who"), path.key("who"), "`everybody` stands for all");
        warn_of_strangers(config, policy, &path, notes);
        let compiled = Compiling { config, path: &path, wire: &wire };
        policies.push(v1::Policy {
            name: name.clone(),
            who: policy.who.iter().map(|who| if who == EVERYBODY { "*".to_owned() } else { who.clone() }).collect(),
            allow: compiled.rules("allow", &policy.allow, notes),
            deny: compiled.rules("deny", &policy.deny, notes),
            limit: compiled.limits(&policy.limit, notes),
        });
    }
    Some(v1::Policies { policies })
}

/// A client or an issuer that is named and does not exist is a slip, and one in a `deny` denies nobody. Names with a pattern may be meant
/// for clients to come.
fn warn_of_strangers(config: &Config, policy: &Policy, path: &Path, notes: &mut Notes) {
    for (place, who) in policy.who.iter().enumerate() {
        let issuer = who.strip_prefix("jwt:").map(|rest| rest.split(':').next().unwrap_or(rest));
        if issuer.is_some_and(|issuer| !issuer.contains(['*', '?']) && !config.issuers.contains_key(issuer)) {
            let warning = Fault::value(
                path.key("who").index(place),
                "is of no issuer of this configuration: it stands for nobody",
            );
            notes.warnings.push(warning.advise("`issuers` names those whose tokens are accepted"));
        }
        let name = who.strip_prefix("client:").filter(|name| !name.contains(['*', '?']));
        if name.is_some_and(|name| !config.clients.contains_key(name)) {
            let warning = Fault::value(path.key("who").index(place), "is no client of this configuration");
            notes.warnings.push(warning.advise("as long as its key was made with `sluice token create`, that is fine"));
        }
    }
}

/// One policy, while it is compiled.
struct Compiling<'a> {
    config: &'a Config,
    path: &'a Path,
    wire: &'a str,
}

/// What a rule or limit covers, as it was written.
struct Written<'a> {
    servers: Option<&'a [String]>,
    tools: Option<&'a [String]>,
    prompts: Option<&'a [String]>,
    resources: Option<&'a [String]>,
}

impl Compiling<'_> {
    fn rules(&self, list: &str, rules: &[Rule], notes: &mut Notes) -> Vec<v1::Rule> {
        let mut compiled = Vec::with_capacity(rules.len());
        for (place, rule) in rules.iter().enumerate() {
            let (path, wire) = self.place(list, place, notes);
            notes.origins.value(format!("{wire}.actions"), path.key("actions"));
            notes.origins.value(format!("{wire}.scopes"), path.key("scopes"));
            let Rule { servers, tools, prompts, resources, .. } = rule;
            let written = Written {
                servers: servers.as_deref(),
                tools: tools.as_deref(),
                prompts: prompts.as_deref(),
                resources: resources.as_deref(),
            };
            let actions = rule.actions.as_deref().unwrap_or(&[Action::List, Action::Call]).iter();
            compiled.push(v1::Rule {
                coverage: Some(self.coverage(&written, &path, &wire, notes)),
                actions: actions
                    .map(|action| match action {
                        Action::List => v1::Action::List.into(),
                        Action::Call => v1::Action::Call.into(),
                    })
                    .collect(),
                scopes: rule.scopes.clone(),
                when: Vec::new(),
            });
        }
        compiled
    }

    fn limits(&self, limits: &[Limit], notes: &mut Notes) -> Vec<v1::Limit> {
        let mut compiled = Vec::with_capacity(limits.len());
        for (place, limit) in limits.iter().enumerate() {
            let (path, wire) = self.place("limit", place, notes);
            for word in ["requests_per_minute", "concurrent_requests"] {
                notes.origins.value(format!("{wire}.{word}"), path.key(word));
            }
            let Limit { servers, tools, prompts, resources, .. } = limit;
            let written = Written {
                servers: servers.as_deref(),
                tools: tools.as_deref(),
                prompts: prompts.as_deref(),
                resources: resources.as_deref(),
            };
            compiled.push(v1::Limit {
                coverage: Some(self.coverage(&written, &path, &wire, notes)),
                per: match limit.per.unwrap_or_default() {
                    Per::Principal => v1::Per::Principal.into(),
                    Per::Tool => v1::Per::Tool.into(),
                },
                requests_per_minute: limit.requests_per_minute,
                concurrent_requests: limit.concurrent_requests,
                of_fleet: self.config.proxy.limits.scope.unwrap_or_default() == Scope::Fleet,
            });
        }
        compiled
    }

    /// Where something of the policy stands, in the words of the configuration and of the contract.
    fn place(&self, list: &str, place: usize, notes: &mut Notes) -> (Path, String) {
        let path = self.path.key(list).index(place);
        let wire = format!("{}.{list}[{place}]", self.wire);
        notes.origins.value(wire.clone(), path.clone());
        (path, wire)
    }

    fn coverage(&self, written: &Written<'_>, path: &Path, wire: &str, notes: &mut Notes) -> v1::Coverage {
        for word in ["servers", "tools", "prompts", "resources"] {
            notes.origins.value(format!("{wire}.coverage.{word}"), path.key(word));
        }
        notes.origins.value(format!("{wire}.coverage"), path.clone());
        self.warn_of_nothing(written.servers.unwrap_or_default(), &path.key("servers"), notes);
        let list = |patterns: Option<&[String]>| patterns.unwrap_or_default().to_vec();
        // a server that is named as the configuration names it, and not as nodes do
        let server = |text: &String| if self.config.servers.contains_key(text) { slug(text) } else { text.clone() };
        v1::Coverage {
            servers: written.servers.map_or_else(|| vec!["*".to_owned()], |texts| texts.iter().map(server).collect()),
            everything: written.tools.is_none() && written.prompts.is_none() && written.resources.is_none(),
            tools: list(written.tools),
            prompts: list(written.prompts),
            resources: list(written.resources),
        }
    }

    /// A pattern of servers may stand for those to come, so that it is no fault if it stands for none.
    fn warn_of_nothing(&self, servers: &[String], path: &Path, notes: &mut Notes) {
        for (place, text) in servers.iter().enumerate() {
            let pattern = Pattern::new(text.as_str());
            if !self.config.servers.keys().any(|key| key == text || pattern.matches(&slug(key))) {
                let warning = Fault::value(path.index(place), "stands for no server of this configuration");
                notes.warnings.push(warning);
            }
        }
    }
}
