//! What holds for any policies, held against the definition written down naively; and the cases people ask about.

use std::sync::Arc;

use proptest::prelude::*;

use super::{Caller, Coverage, Decision, Limit, Object, Per, Policies, Policy, Rule};
use crate::model::Pattern;

fn patterns(texts: &[&str]) -> Vec<Pattern> {
    texts.iter().map(|text| Pattern::new(*text)).collect()
}

fn names(texts: &[&str]) -> Vec<Arc<str>> {
    texts.iter().map(|text| Arc::from(*text)).collect()
}

fn rule(source: &str, coverage: Coverage, actions: (bool, bool), scopes: &[&str]) -> Arc<Rule> {
    let (list, call) = actions;
    Arc::new(Rule { source: source.into(), coverage, list, call, scopes: names(scopes).into() })
}

fn everything(servers: &[&str]) -> Coverage {
    Coverage { servers: patterns(servers), everything: true, ..Coverage::default() }
}

fn tools(servers: &[&str], tools: &[&str]) -> Coverage {
    Coverage { servers: patterns(servers), tools: patterns(tools), ..Coverage::default() }
}

fn resources(resources: &[&str]) -> Coverage {
    Coverage { servers: patterns(&["*"]), resources: patterns(resources), ..Coverage::default() }
}

fn policy(who: &[&str], allow: Vec<Arc<Rule>>, deny: Vec<Arc<Rule>>) -> Policy {
    Policy { name: "p".into(), who: patterns(who), allow, deny, limit: Vec::new() }
}

const BOTH: (bool, bool) = (true, true);

/// What a principal may do with an object: whether it is listed, and what becomes of a call, with the rule that decided.
fn judged(
    policies: &[Policy],
    caller: (&str, &[&str]),
    server: &str,
    object: Object<'_>,
    scopes: Option<&[&str]>,
) -> (bool, String) {
    let policies = Policies { policies: policies.to_vec() };
    let roles = names(caller.1);
    let verdict = policies.judge(&Caller { name: caller.0, roles: &roles }, server, object);
    let scopes = scopes.map(names);
    let decision = verdict.call(scopes.as_deref());
    let by = decision.by().map_or("nothing", |rule| &rule.source);
    let word = match decision {
        Decision::Allowed { .. } => "allowed",
        Decision::Hidden { .. } => "hidden",
        Decision::Denied { .. } => "denied",
        Decision::InsufficientScope { .. } => "insufficient_scope",
    };
    (verdict.is_listed(), format!("{word} by {by}"))
}

fn of_alice(policies: &[Policy], server: &str, object: Object<'_>) -> (bool, String) {
    judged(policies, ("client:alice", &["reader"]), server, object, None)
}

#[test]
fn what_nothing_allows_is_hidden() {
    assert_eq!(of_alice(&[], "a", Object::Tool("t")), (false, "hidden by nothing".into()));
    let others = [policy(&["client:bob", "role:writer"], vec![rule("x", everything(&["*"]), BOTH, &[])], Vec::new())];
    assert_eq!(of_alice(&others, "a", Object::Tool("t")), (false, "hidden by nothing".into()));
}

#[test]
fn a_principal_is_known_by_its_name_and_by_its_roles() {
    for who in ["*", "client:alice", "client:*", "client:al?ce", "role:reader", "role:*"] {
        let policies = [policy(&[who], vec![rule("x", everything(&["*"]), BOTH, &[])], Vec::new())];
        assert_eq!(of_alice(&policies, "a", Object::Server), (true, "allowed by x".into()), "{who}");
    }
    for who in ["client:reader", "role:alice", "local", "role:read", "jwt:*"] {
        let policies = [policy(&[who], vec![rule("x", everything(&["*"]), BOTH, &[])], Vec::new())];
        assert!(!of_alice(&policies, "a", Object::Server).0, "{who}");
    }
}

#[test]
fn a_denial_wins_over_every_grant() {
    let grant = policy(&["*"], vec![rule("grant", everything(&["*"]), BOTH, &[])], Vec::new());
    let denial = policy(&["role:reader"], Vec::new(), vec![rule("denial", tools(&["a"], &["delete_*"]), BOTH, &[])]);
    for policies in [[grant.clone(), denial.clone()], [denial, grant]] {
        assert_eq!(of_alice(&policies, "a", Object::Tool("delete_x")), (false, "hidden by denial".into()));
        assert_eq!(of_alice(&policies, "a", Object::Tool("get_x")), (true, "allowed by grant".into()));
        assert_eq!(of_alice(&policies, "b", Object::Tool("delete_x")), (true, "allowed by grant".into()));
        assert_eq!(of_alice(&policies, "a", Object::Prompt("delete_x")), (true, "allowed by grant".into()));
    }
}

#[test]
fn seeing_and_calling_are_granted_apart() {
    let list = [policy(&["*"], vec![rule("x", everything(&["*"]), (true, false), &[])], Vec::new())];
    assert_eq!(of_alice(&list, "a", Object::Tool("t")), (true, "denied by nothing".into()));
    let call = [policy(&["*"], vec![rule("x", everything(&["*"]), (false, true), &[])], Vec::new())];
    assert_eq!(of_alice(&call, "a", Object::Tool("t")), (false, "allowed by x".into()));
    let denied = [policy(
        &["*"],
        vec![rule("x", everything(&["*"]), BOTH, &[])],
        vec![rule("y", everything(&["*"]), (false, true), &[])],
    )];
    assert_eq!(of_alice(&denied, "a", Object::Tool("t")), (true, "denied by y".into()));
}

#[test]
fn a_missing_scope_hides_nothing_and_all_that_are_needed_are_named() {
    let policies = [policy(
        &["*"],
        vec![
            rule("two", everything(&["*"]), BOTH, &["a", "b"]),
            rule("three", everything(&["*"]), BOTH, &["a", "c", "d"]),
        ],
        Vec::new(),
    )];
    let with = |scopes: &[&str]| judged(&policies, ("jwt:i:s", &[]), "s", Object::Tool("t"), Some(scopes));
    assert_eq!(with(&[]), (true, "insufficient_scope by two".into()));
    assert_eq!(with(&["a"]), (true, "insufficient_scope by two".into()));
    assert_eq!(
        with(&["a", "d"]),
        (true, "insufficient_scope by two".into()),
        "as many are missing: the one that asks less"
    );
    assert_eq!(with(&["a", "b", "z"]), (true, "allowed by two".into()));
    assert_eq!(with(&["a", "c", "d"]), (true, "allowed by three".into()));
    assert_eq!(judged(&policies, ("client:x", &[]), "s", Object::Tool("t"), None), (true, "allowed by two".into()));
}

#[test]
fn rules_about_parts_say_nothing_of_the_rest() {
    let policies = [policy(&["*"], vec![rule("x", tools(&["*"], &["*"]), BOTH, &[])], Vec::new())];
    assert!(of_alice(&policies, "a", Object::Tool("t")).0);
    for object in [Object::Server, Object::Prompt("t"), Object::Resource("t:x"), Object::Template("t:x")] {
        assert_eq!(of_alice(&policies, "a", object), (false, "hidden by nothing".into()), "{object:?}");
    }
}

#[test]
fn no_spelling_of_a_uri_gets_around_a_denial() {
    let policies = [policy(
        &["*"],
        vec![rule("grant", resources(&["file:///pub/*", "db://t/{id}"]), BOTH, &[])],
        vec![rule("denial", resources(&["file:///pub/secret*", "file:///etc/*"]), BOTH, &[])],
    )];
    for uri in ["file:///pub/a", "FILE:///pub/a", "db://t/1"] {
        assert_eq!(of_alice(&policies, "a", Object::Resource(uri)).1, "allowed by grant", "{uri}");
    }
    for uri in [
        "file:///pub/secret",
        "file:///pub/%73ecret",
        "file:///pub/x/../secret",
        "file:///pub//secret",
        "file:///pub/../etc/x",
    ] {
        assert_eq!(of_alice(&policies, "a", Object::Resource(uri)).1, "hidden by denial", "{uri}");
    }
    for uri in ["file:///pub/../x", "file:///pub/%2e%2e/x", "db://u/1", "db://t/1/2"] {
        assert_eq!(of_alice(&policies, "a", Object::Resource(uri)).1, "hidden by nothing", "{uri}");
    }
    assert!(of_alice(&policies, "a", Object::Template("db://t/{id}")).0);
}

#[test]
fn a_server_is_in_reach_when_anything_of_it_is() {
    let reach = |allow: Vec<Arc<Rule>>, deny: Vec<Arc<Rule>>| {
        let policies = Policies { policies: vec![policy(&["*"], allow, deny)] };
        policies.rules(&[0], "a").reach()
    };
    assert!(!reach(Vec::new(), Vec::new()));
    assert!(!reach(vec![rule("x", everything(&["b"]), BOTH, &[])], Vec::new()));
    assert!(reach(vec![rule("x", tools(&["a"], &["t"]), BOTH, &["scope"])], Vec::new()));
    let all = || vec![rule("x", everything(&["*"]), BOTH, &[])];
    assert!(!reach(all(), vec![rule("y", everything(&["a"]), BOTH, &[])]));
    assert!(reach(all(), vec![rule("y", everything(&["a"]), (true, false), &[])]));
    assert!(reach(all(), vec![rule("y", tools(&["a"], &["*"]), BOTH, &[])]));
}

const WHO: [&str; 5] = ["*", "client:a", "client:b", "role:r", "role:s"];
const SERVERS: [&str; 4] = ["*", "a", "b", "a?"];
const NAMES: [&str; 5] = ["*", "get_*", "get_a", "put_?", "x"];
const SCOPES: [&str; 3] = ["one", "two", "three"];

/// What a test knows of a rule: no more than what a person wrote.
#[derive(Debug, Clone)]
struct Written {
    who: usize,
    server: usize,
    /// Everything, or the names of tools.
    name: Option<usize>,
    actions: (bool, bool),
    scopes: Vec<&'static str>,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Allow,
    Deny,
    Limit,
}

fn written() -> impl Strategy<Value = Written> {
    let kind = prop::sample::select(vec![Kind::Allow, Kind::Allow, Kind::Deny, Kind::Limit]);
    let actions = prop::sample::select(vec![(true, true), (true, false), (false, true)]);
    let scopes = prop::sample::subsequence(SCOPES.to_vec(), 0..=2);
    (0..WHO.len(), 0..SERVERS.len(), prop::option::of(0..NAMES.len()), actions, scopes, kind)
        .prop_map(|(who, server, name, actions, scopes, kind)| Written { who, server, name, actions, scopes, kind })
}

impl Written {
    fn coverage(&self) -> Coverage {
        match self.name {
            Some(name) => tools(&[SERVERS[self.server]], &[NAMES[name]]),
            None => everything(&[SERVERS[self.server]]),
        }
    }

    fn policy(&self, index: usize) -> Policy {
        let mut scopes = self.scopes.clone();
        scopes.sort_unstable();
        let rule = || vec![rule(&format!("{index}"), self.coverage(), self.actions, &scopes)];
        let mut policy = policy(&[WHO[self.who]], Vec::new(), Vec::new());
        match self.kind {
            Kind::Allow => policy.allow = rule(),
            Kind::Deny => policy.deny = rule(),
            Kind::Limit => {
                policy.limit = vec![Arc::new(Limit {
                    source: format!("{index}").into(),
                    coverage: self.coverage(),
                    per: Per::Principal,
                    requests_per_minute: Some(1),
                    concurrent_requests: None,
                    of_fleet: false,
                })]
            }
        }
        policy
    }

    /// The definition, without any of the machinery.
    fn covers(&self, caller: (&str, &[&str]), server: &str, tool: &str) -> bool {
        let who = WHO[self.who];
        let concerned = who == "*" || who == caller.0 || caller.1.iter().any(|role| who == format!("role:{role}"));
        let fits = |pattern: &str, name: &str| match pattern {
            "*" => true,
            "get_*" => name.starts_with("get_"),
            "put_?" => name.len() == 5 && name.starts_with("put_"),
            "a?" => name.len() == 2 && name.starts_with('a'),
            exact => exact == name,
        };
        concerned && fits(SERVERS[self.server], server) && self.name.is_none_or(|at| fits(NAMES[at], tool))
    }
}

/// Listed, and what becomes of a call.
fn expected(
    all: &[Written],
    caller: (&str, &[&str]),
    server: &str,
    tool: &str,
    scopes: Option<&[&str]>,
) -> (bool, &'static str) {
    let about = |kind: Kind| all.iter().filter(move |rule| rule.kind == kind && rule.covers(caller, server, tool));
    let listed = about(Kind::Allow).any(|rule| rule.actions.0) && !about(Kind::Deny).any(|rule| rule.actions.0);
    let granted = |rule: &Written| scopes.is_none_or(|has| rule.scopes.iter().all(|scope| has.contains(scope)));
    let mut calls = about(Kind::Allow).filter(|rule| rule.actions.1).peekable();
    let call = match (about(Kind::Deny).any(|rule| rule.actions.1) || calls.peek().is_none(), listed) {
        (true, true) => "denied",
        (true, false) => "hidden",
        (false, _) if calls.any(granted) => "allowed",
        (false, _) => "insufficient_scope",
    };
    (listed, call)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    /// The verdict is that of the definition, whatever the order of policies.
    #[test]
    fn verdicts_are_those_of_the_definition_in_any_order(
        all in prop::collection::vec(written(), 0..8),
        seed in any::<u64>(),
        name in prop::sample::select(vec!["client:a", "client:b", "local"]),
        roles in prop::sample::subsequence(vec!["r", "s"], 0..=2),
        server in prop::sample::select(vec!["a", "b", "ab"]),
        tool in prop::sample::select(vec!["get_a", "get_b", "put_a", "put_ab", "x", ""]),
        scopes in prop::option::of(prop::sample::subsequence(SCOPES.to_vec(), 0..=3)),
    ) {
        let mut sorted = scopes.clone();
        if let Some(scopes) = &mut sorted { scopes.sort_unstable(); }
        let policies: Vec<Policy> = all.iter().enumerate().map(|(index, rule)| rule.policy(index)).collect();
        let found = judged(&policies, (name, &roles), server, Object::Tool(tool), sorted.as_deref());
        let (listed, call) = expected(&all, (name, &roles), server, tool, scopes.as_deref());
        prop_assert_eq!(found.0, listed);
        prop_assert_eq!(found.1.split(' ').next(), Some(call));

        // turned and reversed: not only the verdict stays, also which rule is named
        let mut turned = policies.clone();
        turned.rotate_left(seed as usize % policies.len().max(1));
        if seed & 1 == 1 { turned.reverse(); }
        prop_assert_eq!(judged(&turned, (name, &roles), server, Object::Tool(tool), sorted.as_deref()), found.clone());

        // what cannot be reached shows nothing, and where nothing is singled out the server stands for all of it
        let whole = Policies { policies };
        let role_names = names(&roles);
        let concerning = whole.concerning(&Caller { name, roles: &role_names });
        let rules = whole.rules(&concerning, server);
        prop_assert!(rules.reach() || (!found.0 && found.1.starts_with("hidden")));
        if rules.are_uniform() {
            prop_assert_eq!(rules.judge(Object::Tool(tool)), rules.judge(Object::Server));
        }
        let limits = all.iter().filter(|rule| rule.kind == Kind::Limit && rule.covers((name, &roles), server, tool)).count();
        if let Decision::Allowed { limits: found, .. } = rules.judge(Object::Tool(tool)).call(None) {
            prop_assert_eq!(found.len(), limits);
        }
    }

    /// One denial more never grants, one grant more never denies.
    #[test]
    fn denials_only_take_and_grants_only_give(
        all in prop::collection::vec(written(), 0..6), more in written(), tool in prop::sample::select(vec!["get_a", "x"]),
    ) {
        let rank = |(listed, call): (bool, String)| {
            let call = ["hidden", "denied", "insufficient_scope", "allowed"].iter().position(|word| call.starts_with(word));
            // whether a refusal is told as hidden or as denied follows from the list
            (listed, call.map(|at| at.max(1)))
        };
        let judged = |all: &[Written]| {
            let policies: Vec<Policy> = all.iter().enumerate().map(|(index, rule)| rule.policy(index)).collect();
            rank(judged(&policies, ("client:a", &["r"]), "a", Object::Tool(tool), Some(&["one"])))
        };
        let before = judged(&all);
        for kind in [Kind::Allow, Kind::Deny] {
            let mut with = all.clone();
            with.push(Written { kind, ..more.clone() });
            let after = judged(&with);
            let (less, greater) = if kind == Kind::Allow { (before, after) } else { (after, before) };
            prop_assert!(less.0 <= greater.0 && less.1 <= greater.1, "{:?} {:?}", before, after);
        }
    }
}
