//! Servers that run in several places: which a node prefers, what holds without a word, and what does not go together.

use sluice_snapshot::model::{Balance, HealthCheck, Retries};

use super::{Node, compiled, compiled_for, faults};

/// The places as `host weight`, with a `*` for those on standby.
fn places(balance: &Balance) -> Vec<String> {
    let place = |endpoint: &sluice_snapshot::model::Endpoint| {
        let socket = endpoint.at.socket.as_ref().map(|path| path.display().to_string());
        let address = socket.unwrap_or_else(|| format!("{}{}", endpoint.at.authority, endpoint.at.path));
        format!("{address} {}{}", endpoint.weight, if endpoint.standby { "*" } else { "" })
    };
    balance.endpoints.iter().map(place).collect()
}

fn balance(server: &str) -> Balance {
    let snapshot = compiled(&format!("servers: {{a: {server}}}\n"));
    Balance::clone(snapshot.servers[0].balance.as_ref().unwrap())
}

#[test]
fn endpoints_are_urls_or_say_their_share() {
    let said = balance("{endpoints: ['http://h/mcp', {url: 'http://i/x', weight: 3}, 'unix:///run/x.sock']}");
    assert_eq!(places(&said), ["h/mcp 1", "i/x 3", "/run/x.sock 1"]);
    assert_eq!((said.retries, said.retry_percent, said.health_check), (Retries::Unsent, 20, None));
    assert_eq!((said.ejection.failures, said.ejection.pause.as_secs(), said.ejection.percent), (5, 2, 50));
    let server = "{url: 'http://h/mcp', balance: {health_check: {path: /up, interval_seconds: 1}}}";
    let check = balance(server).health_check.unwrap();
    let expected = HealthCheck {
        path: Some("/up".into()),
        interval: std::time::Duration::from_secs(1),
        timeout: std::time::Duration::from_secs(1),
        unhealthy: 3,
        healthy: 2,
    };
    assert_eq!(check, expected);
    assert!(compiled("servers: {a: {endpoints: ['http://h/mcp']}}\n").servers[0].balance.is_none());
}

#[test]
fn all_are_shown_what_the_server_is_shown() {
    let said = balance("{endpoints: ['https://h', 'https://i'], headers: {x-a: b}, auth: {type: bearer, token: t}}");
    for endpoint in said.endpoints {
        assert_eq!(endpoint.at.headers.len(), 1);
        assert!(endpoint.at.credential.is_some() && endpoint.at.tls && !endpoint.at.maybe_sse);
    }
}

#[test]
fn nodes_prefer_endpoints_whose_labels_they_have() {
    let text = "servers: {a: {endpoints: [{url: 'http://eu', labels: {region: eu}}, {url: 'http://us', labels: {region: us}}]}}\n";
    let of = |labels: &[(&str, &str)]| {
        let labels = labels.iter().map(|(label, value)| ((*label).to_owned(), (*value).to_owned())).collect();
        let (snapshot, _) = compiled_for(text, &[], &Node { labels, ..Node::default() });
        places(snapshot.servers[0].balance.as_ref().unwrap())
    };
    assert_eq!(of(&[("region", "eu")]), ["eu/ 1", "us/ 1*"]);
    assert_eq!(of(&[("region", "us")]), ["eu/ 1*", "us/ 1"]);
    assert_eq!(of(&[]), ["eu/ 1", "us/ 1"], "none is preferred");
}

#[test]
fn what_does_not_go_together_is_told() {
    for (server, expected) in [
        ("{url: 'http://h', endpoints: ['http://i']}", "1:32 servers.a.endpoints: is a second address beside `url`"),
        (
            "{transport: sse, endpoints: ['http://h', 'http://i']}",
            "1:31 servers.a.endpoints: are several, which is for streamable HTTP only",
        ),
        ("{command: x, balance: {}}", "1:27 servers.a.balance: is for streamable HTTP only"),
        (
            "{endpoints: ['https://h', 'http://i']}",
            "1:40 servers.a.endpoints[1]: has another scheme than the first endpoint: what is encrypted on the way to one \
             is to be so to all",
        ),
        (
            "{endpoints: ['http://h', 'http://i', 'http://h']}",
            "1:51 servers.a.endpoints[2]: is there already; leave it out, or give it a larger weight",
        ),
        (
            "{endpoints: ['http://h', {url: 'http://i', weight: 0}]}",
            "1:65 servers.a.endpoints[1].weight: is not between 1 and 1000",
        ),
        (
            "{endpoints: ['http://h', 'http://i'], balance: {eject_percent: 101}}",
            "1:77 servers.a.balance.eject_percent: is not between 0 and 100",
        ),
        (
            "{endpoints: ['http://h', 'http://i'], balance: {health_check: {path: up}}}",
            "1:83 servers.a.balance.health_check.path: is not a path such as `/health`",
        ),
        (
            "{endpoints: ['http://h', 'http://localhost:8000/mcp']}",
            "1:26 servers.a.endpoints: leads to this gateway, which would call itself without end",
        ),
    ] {
        assert_eq!(faults(&format!("servers: {{a: {server}}}\n")), [expected], "{server}");
    }
}
