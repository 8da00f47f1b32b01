//! What is accepted and what is refused of policies.

use sluice_contract::v1;

use super::{faults, good};
use crate::parse;

fn everything() -> Option<v1::Coverage> {
    Some(v1::Coverage { servers: vec!["*".into()], everything: true, ..v1::Coverage::default() })
}

fn rule() -> v1::Rule {
    let actions = vec![v1::Action::List.into(), v1::Action::Call.into()];
    v1::Rule { coverage: everything(), actions, ..v1::Rule::default() }
}

fn limit() -> v1::Limit {
    v1::Limit {
        coverage: everything(),
        per: v1::Per::Tool.into(),
        requests_per_minute: Some(1),
        ..v1::Limit::default()
    }
}

fn policy() -> v1::Policy {
    v1::Policy {
        name: "readers".into(),
        who: vec!["role:reader".into()],
        allow: vec![rule()],
        deny: vec![rule()],
        limit: vec![limit()],
    }
}

fn faults_of(edit: impl FnOnce(&mut v1::Policy)) -> Vec<String> {
    let mut policy = policy();
    edit(&mut policy);
    faults(|wire| wire.policies = Some(v1::Policies { policies: vec![policy] }))
}

#[test]
fn that_there_are_policies_is_kept_even_without_one() {
    let mut wire = good();
    assert!(parse(&wire).unwrap().policies.is_none());
    wire.policies = Some(v1::Policies::default());
    assert!(parse(&wire).unwrap().policies.is_some());
}

#[test]
fn rules_know_where_they_stand() {
    let mut wire = good();
    let scopes = vec!["b".into(), "a".into(), "b".into()];
    let policy = v1::Policy { allow: vec![rule(), v1::Rule { scopes, ..rule() }], ..policy() };
    wire.policies = Some(v1::Policies { policies: vec![policy] });
    let policies = parse(&wire).unwrap().policies.unwrap();
    let policy = &policies.policies[0];
    assert_eq!(&*policy.allow[1].source, "policies.readers.allow[1]");
    assert_eq!(&*policy.deny[0].source, "policies.readers.deny[0]");
    assert_eq!(&*policy.limit[0].source, "policies.readers.limit[0]");
    assert_eq!(
        policy.allow[1].scopes.iter().map(|scope| &**scope).collect::<Vec<_>>(),
        ["a", "b"],
        "sorted, each once"
    );
}

/// An edit to a policy.
type Edit = fn(&mut v1::Policy);

#[test]
fn what_would_grant_or_deny_something_else_than_was_meant_is_refused() {
    let cases: [(Edit, &str); 17] = [
        (|p| p.name = "a b".into(), "policies.policies[0].name: is not 1 to 63 letters"),
        (|p| p.who.clear(), "policies.policies[0].who: is empty"),
        (|p| p.who = vec!["alice".into()], "policies.policies[0].who[0]: stands for nobody"),
        (|p| p.who = vec!["role:".into()], "policies.policies[0].who[0]: stands for nobody"),
        (|p| p.allow[0].actions.clear(), "policies.policies[0].allow[0].actions: is empty"),
        (|p| p.allow[0].actions = vec![7], "policies.policies[0].allow[0].actions[0]: is not one this version knows"),
        (|p| p.allow[0].scopes = vec!["a b".into()], "policies.policies[0].allow[0].scopes[0]: is not a scope"),
        (|p| p.deny[0].scopes = vec!["a".into()], "policies.policies[0].deny[0].scopes: has no place here"),
        (
            |p| p.deny[0].when = vec![v1::Condition { kind: "arguments".into(), ..Default::default() }],
            "policies.policies[0].deny[0].when[0]: is a condition of the kind `arguments`, which this version does not know",
        ),
        (|p| p.allow[0].coverage = None, "policies.policies[0].allow[0].coverage: is missing"),
        (
            |p| p.allow[0].coverage.as_mut().unwrap().servers.clear(),
            "policies.policies[0].allow[0].coverage.servers: is empty; `*` stands for all servers",
        ),
        (
            |p| p.allow[0].coverage.as_mut().unwrap().tools = vec!["x".into()],
            "policies.policies[0].allow[0].coverage: says everything, and names parts of it",
        ),
        (
            |p| p.allow[0].coverage.as_mut().unwrap().everything = false,
            "policies.policies[0].allow[0].coverage: is about nothing of these servers",
        ),
        (|p| p.limit[0].per = 0, "policies.policies[0].limit[0].per: is not one this version knows"),
        (|p| p.limit[0].requests_per_minute = None, "policies.policies[0].limit[0]: limits nothing"),
        (|p| p.limit[0].requests_per_minute = Some(0), "policies.policies[0].limit[0].requests_per_minute: is 0"),
        (|p| p.limit[0].concurrent_requests = Some(0), "policies.policies[0].limit[0].concurrent_requests: is 0"),
    ];
    for (edit, expected) in cases {
        let found = faults_of(edit);
        assert!(found.len() == 1 && found[0].starts_with(expected), "{expected}: {found:?}");
    }
    let twice = faults(|wire| wire.policies = Some(v1::Policies { policies: vec![policy(), policy()] }));
    assert_eq!(twice, ["policies.policies[1].name: `readers` is the name of another policy already"]);
}
