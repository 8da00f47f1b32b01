//! What clients may do: what the words become, and what is refused or odd.

use sluice_snapshot::policy::{Caller, Decision, Object, Per, Policies};

use super::{Node, compiled, compiled_for, faults};

const TEXT: &str = "
servers: {wiki: {command: x}, 'my server': {command: y}}
clients: {alice: {api_key: 0123456789abcdef}}
policies:
  readers:
    who: ['role:reader', 'client:alice']
    allow:
      - servers: [wiki, my server]
        tools: ['get_*']
      - {servers: [wiki], resources: ['file:*'], actions: [list], scopes: [b, a]}
    deny: [{tools: [get_secret]}]
    limit: [{requests_per_minute: 5}, {tools: ['*'], per: tool, concurrent_requests: 2}]
  all:
    who: [everybody]
    nodes: {zone: eu}
    allow: [{}]
";

fn policies(node: &Node) -> Policies {
    compiled_for(TEXT, &[], node).0.policies.unwrap()
}

fn allowed(policies: &Policies, server: &str, object: Object<'_>) -> bool {
    let concerning = policies.concerning(&Caller { name: "client:alice", roles: &[] });
    matches!(policies.rules(&concerning, server).judge(object).call(None), Decision::Allowed { .. })
}

#[test]
fn every_word_of_policies_has_its_effect() {
    let policies = policies(&Node::default());
    assert_eq!(policies.policies.len(), 1, "the other one is for nodes in a zone");
    for (server, object, expected) in [
        ("wiki", Object::Tool("get_a"), true),
        ("my-server", Object::Tool("get_a"), true),
        ("wiki", Object::Tool("get_secret"), false),
        ("wiki", Object::Tool("put"), false),
        ("wiki", Object::Resource("file:a"), false),
        ("wiki", Object::Server, false),
    ] {
        assert_eq!(allowed(&policies, server, object), expected, "{server} {object:?}");
    }
    let policy = &policies.policies[0];
    assert_eq!((policy.allow[1].list, policy.allow[1].call), (true, false));
    assert_eq!(policy.allow[1].scopes.iter().map(|scope| &**scope).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!((policy.limit[0].per, policy.limit[0].requests_per_minute), (Per::Principal, Some(5)));
    assert_eq!((policy.limit[1].per, policy.limit[1].concurrent_requests), (Per::Tool, Some(2)));
}

#[test]
fn nodes_choose_policies_by_labels_and_deny_what_none_of_theirs_allows() {
    let in_zone = Node { labels: [("zone".to_owned(), "eu".to_owned())].into(), ..Node::default() };
    assert!(allowed(&policies(&in_zone), "wiki", Object::Server));
    let only = "policies: {p: {who: [everybody], nodes: {zone: eu}, allow: [{}]}}\n";
    assert!(compiled(only).policies.is_some_and(|policies| policies.policies.is_empty()), "not open to everybody");
    assert!(compiled("servers: {}\n").policies.is_none());
}

#[test]
fn mistakes_in_policies_are_told_at_their_place() {
    for (text, expected) in [
        ("policies: {p: {}}\n", "policies.p.who: is empty, so that the policy is for nobody; `*` is everybody"),
        ("policies: {'a b': {who: ['*']}}\n", "policies.\"a b\": is not 1 to 63 letters, digits"),
        ("policies: {p: {who: [alice]}}\n", "policies.p.who[0]: stands for nobody; write `role:NAME`"),
        ("policies: {p: {who: ['*'], allow: [{tools: []}]}}\n", "policies.p.allow[0]: is about nothing"),
        ("policies: {p: {who: ['*'], allow: [{tools: [a, '']}]}}\n", "policies.p.allow[0].tools[1]: is empty"),
        ("policies: {p: {who: ['*'], allow: [{servers: []}]}}\n", "policies.p.allow[0].servers: is empty"),
        ("policies: {p: {who: ['*'], deny: [{scopes: [a]}]}}\n", "policies.p.deny[0].scopes: has no place here"),
        ("policies: {p: {who: ['*'], allow: [{scopes: [a b]}]}}\n", "policies.p.allow[0].scopes[0]: is not a scope"),
        ("policies: {p: {who: ['*'], allow: [{actions: []}]}}\n", "policies.p.allow[0].actions: is empty"),
        ("policies: {p: {who: ['*'], limit: [{}]}}\n", "policies.p.limit[0]: limits nothing"),
        (
            "policies: {p: {who: ['*'], limit: [{requests_per_minute: 0}]}}\n",
            "policies.p.limit[0].requests_per_minute: is 0",
        ),
    ] {
        let found = faults(text);
        let told = found.first().and_then(|line| line.split_once(' '));
        assert!(
            found.len() == 1 && told.is_some_and(|(_, told)| told.starts_with(expected)),
            "{text} {expected}: {found:?}"
        );
    }
}

#[test]
fn what_is_odd_about_policies_is_said() {
    let text = "servers: {wiki: {command: x}}\n\
        policies: {p: {who: ['client:bob', 'client:b*'], deny: [{servers: [wiki, wikki, 'w*']}]}}\n";
    let (_, warnings) = compiled_for(text, &[], &Node::default());
    assert_eq!(
        warnings,
        [
            "policies: allow nothing, so that everything is denied",
            "policies.p.who[0]: is no client of this configuration",
            "policies.p.deny[0].servers[1]: stands for no server of this configuration",
        ]
    );
}
