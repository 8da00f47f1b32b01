//! What principals may do.

use std::collections::HashSet;
use std::sync::Arc;

use sluice_contract::v1;

use super::Faults;
use super::curation::patterns;
use crate::model::Pattern;
use crate::policy::{Coverage, Limit, Per, Policies, Policy, ROLE, Rule};

/// Longest name of a policy: it is part of what logs say.
const MAX_NAME: usize = 63;
/// How patterns for principals may begin. What begins otherwise stands for nobody, and would be taken for a rule that holds.
const WHO: [&str; 4] = [ROLE, "client:", "jwt:", "certificate:"];
/// Principals without a name of their own, and everybody.
const WHO_AT_ALL: [&str; 3] = ["*", "local", "anonymous"];

pub(super) fn parse(wire: &v1::Policies, faults: &mut Faults) -> Policies {
    let mut names = HashSet::new();
    let mut policies = Vec::with_capacity(wire.policies.len());
    for (index, policy) in wire.policies.iter().enumerate() {
        let path = format!("policies.policies[{index}]");
        if !is_name(&policy.name) {
            let reason =
                format!("is not 1 to {MAX_NAME} letters, digits, `.`, `_` and `-`, the first a letter or digit");
            faults.note::<()>(format!("{path}.name"), reason);
        } else if !names.insert(policy.name.as_str()) {
            faults
                .note::<()>(format!("{path}.name"), format!("`{}` is the name of another policy already", policy.name));
        }
        policies.push(one(policy, &path, faults));
    }
    Policies { policies }
}

fn is_name(name: &str) -> bool {
    let first = name.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
    first && name.len() <= MAX_NAME && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

fn one(wire: &v1::Policy, path: &str, faults: &mut Faults) -> Policy {
    let source = |list: &str, place: usize| Arc::from(format!("policies.{}.{list}[{place}]", wire.name));
    let mut rules = |list: &str, wire: &[v1::Rule]| -> Vec<Arc<Rule>> {
        let parsed = wire.iter().enumerate().map(|(place, wire)| {
            let path = format!("{path}.{list}[{place}]");
            if list == "deny" && !wire.scopes.is_empty() {
                faults.note::<()>(
                    format!("{path}.scopes"),
                    "has no place here: what is denied is denied to every credential",
                );
            }
            Arc::new(rule(wire, source(list, place), &path, faults))
        });
        parsed.collect()
    };
    let (allow, deny) = (rules("allow", &wire.allow), rules("deny", &wire.deny));
    let limit = wire.limit.iter().enumerate();
    let limit = limit.map(|(place, wire)| {
        Arc::new(limited(wire, source("limit", place), &format!("{path}.limit[{place}]"), faults))
    });
    let limit = limit.collect();
    Policy { name: wire.name.clone(), who: who(&wire.who, &format!("{path}.who"), faults), allow, deny, limit }
}

fn who(wire: &[String], path: &str, faults: &mut Faults) -> Vec<Pattern> {
    if wire.is_empty() {
        faults.note::<()>(path, "is empty, so that the policy is for nobody; `*` is everybody");
    }
    for (place, text) in wire.iter().enumerate() {
        let known = WHO_AT_ALL.contains(&text.as_str())
            || WHO.iter().any(|kind| text.strip_prefix(kind).is_some_and(|name| !name.is_empty()));
        if !known {
            let reason = "stands for nobody; write `role:NAME`, `client:NAME`, `jwt:ISSUER:SUBJECT`, `certificate:NAME`, \
                          `local`, `anonymous` or `*`";
            faults.note::<()>(format!("{path}[{place}]"), reason);
        }
    }
    patterns(wire, path, faults)
}

fn rule(wire: &v1::Rule, source: Arc<str>, path: &str, faults: &mut Faults) -> Rule {
    let (mut list, mut call) = (false, false);
    for (place, action) in wire.actions.iter().enumerate() {
        match v1::Action::try_from(*action) {
            Ok(v1::Action::List) => list = true,
            Ok(v1::Action::Call) => call = true,
            Ok(v1::Action::Unspecified) | Err(_) => {
                faults.note::<()>(format!("{path}.actions[{place}]"), "is not one this version knows");
            }
        }
    }
    if wire.actions.is_empty() {
        faults.note::<()>(format!("{path}.actions"), "is empty, so that the rule is about nothing");
    }
    for (place, condition) in wire.when.iter().enumerate() {
        // to leave one out would be to grant, or deny, more than was meant
        let reason =
            format!("is a condition of the kind `{}`, which this version does not know", condition.kind.escape_debug());
        faults.note::<()>(format!("{path}.when[{place}]"), reason);
    }
    Rule {
        source,
        coverage: coverage(wire.coverage.as_ref(), path, faults),
        list,
        call,
        scopes: scopes(&wire.scopes, &format!("{path}.scopes"), faults),
    }
}

/// Scope tokens (RFC 6749 section 3.3), sorted, each once.
fn scopes(wire: &[String], path: &str, faults: &mut Faults) -> Arc<[Arc<str>]> {
    for (place, scope) in wire.iter().enumerate() {
        let is_token = !scope.is_empty() && scope.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e));
        if !is_token {
            let reason = "is not a scope: printable ASCII without spaces, quotes and backslashes";
            faults.note::<()>(format!("{path}[{place}]"), reason);
        }
    }
    let mut scopes: Vec<Arc<str>> = wire.iter().map(|scope| scope.as_str().into()).collect();
    scopes.sort_unstable();
    scopes.dedup();
    scopes.into()
}

fn limited(wire: &v1::Limit, source: Arc<str>, path: &str, faults: &mut Faults) -> Limit {
    let per = match v1::Per::try_from(wire.per) {
        Ok(v1::Per::Principal) => Some(Per::Principal),
        Ok(v1::Per::Tool) => Some(Per::Tool),
        Ok(v1::Per::Unspecified) | Err(_) => faults.note(format!("{path}.per"), "is not one this version knows"),
    };
    if wire.requests_per_minute.is_none() && wire.concurrent_requests.is_none() {
        faults.note::<()>(path, "limits nothing; give `requests_per_minute` or `concurrent_requests`");
    }
    for (field, number) in
        [("requests_per_minute", wire.requests_per_minute), ("concurrent_requests", wire.concurrent_requests)]
    {
        if number == Some(0) {
            faults.note::<()>(
                format!("{path}.{field}"),
                "is 0, which would refuse everything; `deny` says that in words",
            );
        }
    }
    Limit {
        source,
        coverage: coverage(wire.coverage.as_ref(), path, faults),
        per: per.unwrap_or(Per::Principal),
        requests_per_minute: wire.requests_per_minute,
        concurrent_requests: wire.concurrent_requests,
        of_fleet: wire.of_fleet,
    }
}

fn coverage(wire: Option<&v1::Coverage>, path: &str, faults: &mut Faults) -> Coverage {
    let Some(wire) = wire else {
        return faults.note(format!("{path}.coverage"), "is missing").unwrap_or_default();
    };
    let path = format!("{path}.coverage");
    if wire.servers.is_empty() {
        faults.note::<()>(format!("{path}.servers"), "is empty; `*` stands for all servers");
    }
    let singled_out = !(wire.tools.is_empty() && wire.prompts.is_empty() && wire.resources.is_empty());
    if wire.everything == singled_out {
        let reason =
            if singled_out { "says everything, and names parts of it" } else { "is about nothing of these servers" };
        faults.note::<()>(path.as_str(), reason);
    }
    Coverage {
        servers: patterns(&wire.servers, &format!("{path}.servers"), faults),
        everything: wire.everything,
        tools: patterns(&wire.tools, &format!("{path}.tools"), faults),
        prompts: patterns(&wire.prompts, &format!("{path}.prompts"), faults),
        resources: patterns(&wire.resources, &format!("{path}.resources"), faults),
    }
}
