//! What holds for any message that may come over the wire.

use std::fmt;

use proptest::prelude::*;
use sluice_contract::v1;

use super::{good, http, said};
use crate::model::{Sensitive, Transport};
use crate::parse::parse;

/// Messages have no `Debug`, and proptest wants one.
struct Opaque<T>(T);

impl<T> fmt::Debug for Opaque<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a message")
    }
}

prop_compose! {
    /// Text of every sort: good values, odd ones, and anything at all.
    fn any_text()(pick in 0usize..24, noise in any::<String>()) -> String {
        let known = ["", "a", "weather", "127.0.0.1:0", "0.0.0.0:80", "https://example.com/x", "http://[::1]:1",
            "*", "*.example.com", "https://a.example:1", "/metrics", "/", "x-key", "http://a:b", "a\0b", "[::]",
            "http://:80", "https://[", "://", "a:"];
        known.get(pick).map_or(noise, |text| (*text).to_owned())
    }
}

prop_compose! {
    fn any_curation()(
        texts in prop::collection::vec(any_text(), 6),
        json in prop::sample::select(vec!["", "1", " {\"a\" : [1, \"\\n\"]}\n", "{\"a\":1,\"a\":2}", "[", "\"\\ud800\"",
            "{\"title\":\"x\"}", "nul"]),
        there in prop::collection::vec(any::<bool>(), 4),
    ) -> Opaque<Option<v1::Curation>> {
        let argument = |name: &String| v1::Argument { name: name.clone(), value_json: json.to_owned() };
        Opaque(there[0].then(|| v1::Curation {
            tools: there[1].then(|| v1::Selection { allow: vec![texts[0].clone()], deny: vec![texts[1].clone()] }),
            prompts: None,
            resources: None,
            tool_edits: vec![v1::ToolEdit {
                tool: texts[2].clone(),
                name: there[2].then(|| texts[3].clone()),
                title: None,
                description: Some(texts[4].clone()),
                annotations_json: there[3].then(|| json.to_owned()),
                defaults: vec![argument(&texts[5])],
                forced: vec![argument(&texts[4])],
            }],
            prompt_edits: vec![v1::PromptEdit { prompt: texts[5].clone(), ..v1::PromptEdit::default() }],
        }))
    }
}

prop_compose! {
    fn any_sensitive()(kind in 0u8..5, text in any_text()) -> Opaque<v1::Sensitive> {
        use v1::sensitive::Source;
        Opaque(v1::Sensitive { source: match kind {
            0 => None,
            1 => Some(Source::Value(text)),
            2 => Some(Source::Secret(text)),
            3 => Some(Source::Environment(text)),
            _ => Some(Source::File(text)),
        }})
    }
}

prop_compose! {
    fn any_credential()(
        kind in 0u8..7, proof in 0u8..4, sensitive in any_sensitive(), a in any_text(), b in any_text(),
    ) -> Opaque<Option<v1::Credential>> {
        use v1::client_credentials::{Authentication, Endpoint};
        use v1::credential::Kind;
        let sensitive = sensitive.0;
        let kind = match kind {
            0 => return Opaque(None),
            1 => None,
            2 => Some(Kind::Bearer(sensitive)),
            3 => Some(Kind::Basic(sensitive)),
            4 => Some(Kind::Header(v1::Header { name: a.clone(), value: Some(sensitive) })),
            _ => Some(Kind::ClientCredentials(v1::ClientCredentials {
                endpoint: Some(if kind == 5 { Endpoint::TokenUrl(a.clone()) } else { Endpoint::Issuer(a.clone()) }),
                client_id: b.clone(),
                authentication: match proof {
                    0 => None,
                    1 => Some(Authentication::SecretBasic(sensitive)),
                    2 => Some(Authentication::SecretPost(sensitive)),
                    _ => {
                        let key = v1::PrivateKey { key: Some(sensitive), id: a.clone() };
                        Some(Authentication::PrivateKeyJwt(key))
                    }
                },
                scopes: vec![b.clone()],
                resource: b.clone(),
            })),
        };
        Opaque(Some(v1::Credential { name: a, kind }))
    }
}

prop_compose! {
    fn any_balance()(
        there in prop::collection::vec(any::<bool>(), 5),
        texts in prop::collection::vec(any_text(), 3),
        numbers in prop::collection::vec(prop_oneof![0u32..4, any::<u32>()], 8),
        retries in -1i32..4,
    ) -> Opaque<Option<v1::Balance>> {
        let share = || there[0].then_some(v1::Share { weight: numbers[0], standby: there[1] });
        Opaque(there[2].then(|| v1::Balance {
            share: share(),
            others: vec![v1::Endpoint { url: texts[0].clone(), socket: texts[1].clone(), share: share() }],
            retries,
            retry_percent: numbers[1],
            ejection: there[3].then(|| v1::Ejection {
                failures: numbers[2], pause_ms: numbers[3].into(), percent: numbers[4],
            }),
            health_check: there[4].then(|| v1::HealthCheck {
                path: texts[2].clone(), interval_ms: numbers[5].into(), timeout_ms: numbers[6].into(),
                unhealthy: numbers[7], healthy: numbers[0],
            }),
        }))
    }
}

prop_compose! {
    fn any_server()(
        name in any_text(), a in any_text(), b in any_text(), kind in 0u8..5,
        curation in any_curation(), sensitive in any_sensitive(), credential in any_credential(),
        socket in any_text(), maybe_sse in any::<bool>(),
        protocol in -1i32..6, isolation in -1i32..6, timeout_ms in prop_oneof![Just(0), 1u64..10, any::<u64>()],
        balance in any_balance(),
    ) -> Opaque<v1::Server> {
        Opaque(v1::Server {
            name,
            transport: match kind {
                0 => None,
                1..=3 => {
                    let endpoint = v1::HttpEndpoint {
                        url: a.clone(),
                        headers: vec![
                            v1::Header { name: b.clone(), value: said(&a) }, v1::Header { name: b.clone(), value: Some(sensitive.0) },
                        ],
                        socket,
                        maybe_sse,
                        credential: credential.0,
                    };
                    Some(match kind {
                        1 => v1::server::Transport::Http(endpoint),
                        2 => v1::server::Transport::Sse(endpoint),
                        _ => v1::server::Transport::Websocket(endpoint),
                    })
                }
                _ => Some(v1::server::Transport::Stdio(v1::Command {
                    program: a.clone(), args: vec![b.clone()], env: vec![v1::Variable { name: b, value: said(&a) }],
                    cwd: String::new(),
                })),
            },
            protocol, isolation, timeout_ms, curation: curation.0, balance: balance.0,
        })
    }
}

prop_compose! {
    fn any_policies()(
        texts in prop::collection::vec(any_text(), 6),
        there in prop::collection::vec(any::<bool>(), 5),
        numbers in prop::collection::vec(-1i32..4, 3),
    ) -> Opaque<Option<v1::Policies>> {
        let coverage = there[0].then(|| v1::Coverage {
            servers: vec![texts[0].clone()],
            everything: there[1],
            tools: if there[1] { Vec::new() } else { vec![texts[1].clone()] },
            ..v1::Coverage::default()
        });
        let rule = |scopes: &[String]| v1::Rule {
            coverage: coverage.clone(), actions: vec![numbers[0]], scopes: scopes.to_vec(), when: Vec::new(),
        };
        let limit = v1::Limit {
            coverage: coverage.clone(), per: numbers[1], requests_per_minute: u32::try_from(numbers[2]).ok(),
            concurrent_requests: None, of_fleet: there[0],
        };
        Opaque(there[2].then(|| v1::Policies { policies: vec![v1::Policy {
            name: texts[2].clone(),
            who: vec![if there[3] { "role:x".to_owned() } else { texts[3].clone() }],
            allow: vec![rule(&texts[4..])],
            deny: vec![rule(&[])],
            limit: there[4].then_some(limit).into_iter().collect(),
        }] }))
    }
}

prop_compose! {
    fn any_snapshot()(
        servers in prop::collection::vec(any_server(), 0..4),
        texts in prop::collection::vec(any_text(), 6),
        flags in prop::collection::vec(any::<bool>(), 5),
        digest in prop_oneof![Just(vec![7u8; 32]), prop::collection::vec(any::<u8>(), 0..40)],
        numbers in prop::collection::vec(prop_oneof![Just(0u32), 1u32..500, any::<u32>()], 5),
        parts in prop::collection::vec(any::<bool>(), 4),
        policies in any_policies(),
    ) -> Opaque<v1::Snapshot> {
        Opaque(v1::Snapshot {
            revision: 1,
            prefix: v1::Prefix::Always.into(),
            name: texts[0].clone(),
            listener: parts[0].then(|| v1::Listener {
                addresses: vec![texts[1].clone()],
                stdio: flags[0],
                certificates: vec![v1::Certificate {
                    chain_file: texts[2].clone(), key_file: texts[3].clone(), domains: vec![texts[4].clone()],
                }],
                allowed_hosts: vec![texts[5].clone()],
                allowed_origins: vec![texts[3].clone()],
                ..Default::default()
            }),
            access: parts[1].then(|| v1::Access {
                required: flags[1], explicitly_open: flags[2],
                clients: vec![v1::Client { name: texts[4].clone(), keys: vec![v1::Key { sha256: digest, expires_at: None }], roles: vec![texts[3].clone()] }],
                ..Default::default()
            }),
            servers: servers.into_iter().map(|server| server.0).collect(),
            limits: parts[2].then(|| v1::Limits {
                body_bytes: numbers[0].into(), json_depth: numbers[1], requests_per_minute: Some(numbers[2]),
                concurrent_requests: numbers[3], sessions_per_principal: numbers[4], session_idle_ms: 1,
                children_per_server: 1, children_per_principal: numbers[0], child_idle_ms: numbers[1].into(),
                of_fleet: flags[0].then(v1::LimitsOfFleet::default),
            }),
            monitoring: parts[3].then(|| v1::Monitoring { metrics_path: texts[5].clone(), access_log: flags[3], ..v1::Monitoring::default() }),
            sessions: flags[4].then(|| v1::Sessions {
                store: Some(v1::sessions::Store::Redis(v1::RedisSessions {
                    url: Some(v1::Sensitive { source: Some(v1::sensitive::Source::Value(texts[1].clone())) }),
                    prefix: texts[2].clone(),
                })),
            }),
            policies: policies.0,
            secrets: vec![v1::Secret { name: texts[0].clone(), version: 1, chunk: vec![1; 32], value: vec![b'x'] }],
        })
    }
}

proptest! {
    /// Whatever comes over the wire: no panic, and either a list of faults or a snapshot that keeps its promises.
    #[test]
    fn any_message_is_parsed_or_refused_with_reasons(wire in any_snapshot()) {
        match parse(&wire.0) {
            Err(faults) => prop_assert!(!faults.is_empty() && faults.iter().all(|f| !f.reason.is_empty())),
            Ok(snapshot) => {
                prop_assert_eq!(snapshot.servers.len(), wire.0.servers.len());
                let found = |sensitive: &Sensitive| match sensitive {
                    Sensitive::Secret(name) => snapshot.secrets.contains_key(name),
                    Sensitive::File(path) => path.is_absolute(),
                    Sensitive::Value(_) | Sensitive::Environment(_) => true,
                };
                prop_assert!(snapshot.servers.iter().flat_map(|s| s.sensitive()).all(|(_, sensitive)| found(sensitive)));
                for server in &snapshot.servers {
                    prop_assert!((1..=32).contains(&server.name.len()));
                    prop_assert!(!server.timeout.is_zero());
                    if let Transport::Http(http) | Transport::Sse(http) | Transport::WebSocket(http) = &server.transport {
                        prop_assert!(http.path.starts_with('/') && http.port > 0 && !http.host.is_empty());
                        prop_assert!(http.socket.as_ref().is_none_or(|socket| socket.is_absolute()));
                    }
                    for edit in server.curation.tool_edits.values() {
                        let values = edit.defaults.iter().chain(&edit.forced).map(|(_, value)| value.expose());
                        for value in values {
                            prop_assert!(!value.contains('\n') && serde_json::from_str::<serde_json::Value>(value).is_ok());
                        }
                    }
                }
                for policy in snapshot.policies.iter().flat_map(|policies| &policies.policies) {
                    prop_assert!(!policy.who.is_empty());
                    for rule in policy.allow.iter().chain(&policy.deny) {
                        prop_assert!(rule.list || rule.call);
                        let own = format!("policies.{}.", policy.name);
                        prop_assert!(rule.source.starts_with(&own));
                    }
                }
                let open = !snapshot.access.required && !snapshot.access.explicitly_open;
                prop_assert!(!open || snapshot.listener.addresses.iter().all(|a| a.ip().to_canonical().is_loopback()));
            }
        }
    }

    /// A URL is either refused or split into parts that make the same URL again.
    #[test]
    fn urls_survive_being_split(host in "[a-z0-9]{1,8}(\\.[a-z]{2,5})?", port in 1u16.., path in "(/[a-z0-9%~._-]{0,6}){0,3}(\\?[a-z=&]{0,9})?") {
        let mut wire = good();
        wire.servers = vec![http("s", &format!("http://{host}:{port}{path}"))];
        let snapshot = parse(&wire).unwrap();
        let Transport::Http(found) = &snapshot.servers[0].transport else { panic!("not HTTP") };
        let slash = if path.starts_with('/') { "" } else { "/" };
        prop_assert_eq!(format!("{}:{}{}", found.host, found.port, found.path), format!("{host}:{port}{slash}{path}"));
    }
}
