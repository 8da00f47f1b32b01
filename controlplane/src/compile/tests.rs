//! What configurations become.

mod credentials;
mod curation;
mod endpoints;
mod foreign;
mod issuers;
mod mistakes;
mod policy;
mod transports;

use jiff::Timestamp;
use sluice_snapshot::model::{CredentialKind, Isolation, Protocol, Sensitive, Snapshot, Transport};

use super::*;
use crate::language::{self, Variables};
use crate::store::digest;

fn variables() -> Variables {
    Variables::of([
        ("WEATHER_API_KEY", "w-key"),
        ("DB_CREDENTIALS", "user:pass"),
        ("API_BASE_URL", "https://api.example.com"),
        ("API_TOKEN", "a-token"),
        ("SHORT", "0123"),
        ("EMPTY", ""),
    ])
}

/// Named secrets that are set.
fn secrets() -> Secrets {
    let secret = |name: &str, byte| {
        let chunk = sluice_snapshot::chunk::Name::from_wire(&[byte; 32]).unwrap();
        let value = format!("value of {name}").into_bytes().into();
        (name.to_owned(), crate::secrets::SecretValue { version: byte.into(), chunk, value })
    };
    Secrets::from([secret("github", 1), secret("crm", 2), secret("unused", 3)])
}

fn config(text: &str) -> (Config, language::Source) {
    let loaded = language::load("mcp.yaml", text.to_owned(), &variables());
    let loaded = loaded.unwrap_or_else(|rejected| panic!("{rejected}"));
    (loaded.config, loaded.source)
}

/// The snapshot as the node sees it, and the warnings.
fn compiled_for(text: &str, keys: &[StoredKey], node: &Node) -> (Snapshot, Vec<String>) {
    let (config, source) = config(text);
    let compiled = compile(&config, keys, &secrets(), node, 1)
        .unwrap_or_else(|faults| panic!("{}", source.show("error", &faults)));
    let warnings = compiled.warnings.iter().map(|warning| format!("{}: {}", warning.path, warning.message)).collect();
    (sluice_snapshot::parse(&compiled.snapshot).unwrap(), warnings)
}

fn compiled(text: &str) -> Snapshot {
    compiled_for(text, &[], &Node::default()).0
}

/// Faults as `line:column path: message`.
fn faults_for(text: &str, node: &Node) -> Vec<String> {
    let (config, source) = config(text);
    let faults = compile(&config, &[], &secrets(), node, 1).err().unwrap_or_default();
    let line = |fault: &Fault| {
        let (line, column) = source.position(fault);
        format!("{line}:{column} {}: {}", source.as_written(&fault.path), fault.message)
    };
    faults.iter().map(line).collect()
}

fn faults(text: &str) -> Vec<String> {
    faults_for(text, &Node::default())
}

fn headers(snapshot: &Snapshot, server: &str) -> Vec<(String, String)> {
    let Transport::Http(http) = &snapshot.server(server).unwrap().transport else { panic!("{server} is not HTTP") };
    let said =
        |sensitive: &Sensitive| sensitive.value().map_or_else(|| sensitive.source(), |value| value.expose().to_owned());
    let headers = http.headers.iter().map(|(name, value)| (name.clone(), said(value)));
    let credential = http.credential.as_ref().map(|credential| {
        let shown = match &credential.kind {
            CredentialKind::Bearer(token) => format!("Bearer {}", said(token)),
            CredentialKind::Basic(pair) => format!("Basic {}", said(pair)),
            CredentialKind::Header(_, value) => said(value),
            CredentialKind::ClientCredentials(grant) => format!("{grant:?}"),
        };
        (credential.kind.header().to_owned(), shown)
    });
    headers.chain(credential).collect()
}

#[test]
fn the_examples_of_the_requirements_load_unchanged() {
    let bearer = [("authorization".to_owned(), "Bearer w-key".to_owned())];
    for text in [include_str!("../../tests/fixtures/standard.json"), include_str!("../../tests/fixtures/direct.json")] {
        let snapshot = compiled(text);
        assert!(snapshot.listener.stdio && snapshot.listener.addresses.is_empty());
        assert_eq!(headers(&snapshot, "weather"), bearer);
    }
    let standard = compiled(include_str!("../../tests/fixtures/standard.json"));
    assert_eq!(&*standard.name, "My MCP Proxy");
    let Transport::Stdio(files) = &standard.server("filesystem").unwrap().transport else { panic!("not stdio") };
    assert_eq!(
        (files.program.as_str(), files.args.as_slice()),
        ("uv", &["run".to_owned(), "mcp-filesystem".to_owned()][..])
    );
    assert_eq!((files.env[0].0.as_str(), files.env[0].1.value().unwrap().expose()), ("HOME_DIR", "/Users/alex"));

    let docker = compiled(include_str!("../../tests/fixtures/docker.json"));
    assert_eq!(docker.listener.addresses, ["0.0.0.0:8000".parse().unwrap()]);
    assert!(docker.access.required && !docker.access.explicitly_open);
    assert_eq!(docker.limits.requests_per_minute, Some(1000));
    assert_eq!(docker.monitoring.metrics_path.as_deref(), Some("/metrics"));
    assert_eq!(headers(&docker, "database"), [("authorization".to_owned(), "Basic user:pass".to_owned())]);

    let with_variables = compiled(include_str!("../../tests/fixtures/variables.json"));
    let server = with_variables.server("api-server").unwrap();
    assert_eq!(server.timeout.as_secs(), 30);
    let Transport::Http(http) = &server.transport else { panic!("not HTTP") };
    assert_eq!((&*http.host, &*http.path), ("api.example.com", "/mcp"));
}

#[test]
fn what_is_left_out_has_a_default() {
    let snapshot = compiled("servers: {a: {url: \"http://a/mcp\"}, b: {command: b}}\n");
    assert_eq!(snapshot.listener.addresses, ["127.0.0.1:8000".parse().unwrap()]);
    assert!(!snapshot.listener.stdio && !snapshot.access.required && !snapshot.access.explicitly_open);
    assert!(snapshot.monitoring.access_log && snapshot.monitoring.metrics_path.is_none());
    assert_eq!(snapshot.limits, sluice_snapshot::model::Limits::default());
    assert_eq!(&*snapshot.name, "sluice");
    for server in &snapshot.servers {
        assert_eq!(
            (server.timeout.as_secs(), server.protocol, server.isolation),
            (60, Protocol::Auto, Isolation::Auto)
        );
    }
    assert!(compiled("servers:\n").servers.is_empty(), "an empty gateway is a gateway");
}

#[test]
fn every_word_has_its_effect() {
    let snapshot = compiled(
        "
proxy:
  name: Mine
  host: localhost
  port: 9001
  authentication: none
  allowed_hosts: [Gateway.example]
  allowed_origins: ['https://app.example']
  tls: [{certificate: c.pem, key: /k.pem, domains: [a.example]}]
  limits: {body_bytes: 1, json_depth: 2, concurrent_requests: 3, sessions_per_principal: 4, session_idle_seconds: 5,
    children_per_server: 6, children_per_principal: 7, child_idle_seconds: 0.8}
  access_log: false
servers:
  a: {url: 'http://a', headers: {X-A: b}, auth: {type: header, name: X-Key, value: c}, timeout: 1.5, protocol: modern}
  b: {command: ./b, cwd: sub, isolation: per_session}
features: {rate_limiting: {requests_per_minute: 9}, monitoring: {enable_metrics: true, prometheus_endpoint: /m}}
",
    );
    assert_eq!(snapshot.listener.addresses, ["127.0.0.1:9001".parse().unwrap()]);
    assert_eq!(snapshot.listener.allowed_hosts, ["gateway.example"]);
    assert_eq!(snapshot.listener.allowed_origins, ["https://app.example"]);
    assert_eq!(snapshot.listener.certificates[0].chain.to_str(), Some("c.pem"));
    assert_eq!(snapshot.listener.certificates[0].key.to_str(), Some("/k.pem"));
    assert!(snapshot.access.explicitly_open && !snapshot.monitoring.access_log);
    let limits = format!("{:?}", snapshot.limits);
    assert_eq!(
        limits,
        "Limits { body_bytes: 1, json_depth: 2, requests_per_minute: Some(9), concurrent_requests: 3, \
         sessions_per_principal: 4, session_idle: 5s, children_per_server: 6, children_per_principal: 7, child_idle: \
         800ms, of_fleet: OfFleet { requests_per_minute: true, concurrent_requests: true, sessions_per_principal: true } }"
    );
    assert_eq!(headers(&snapshot, "a"), [("x-a".into(), "b".into()), ("x-key".into(), "c".into())]);
    assert_eq!(snapshot.servers[0].timeout.as_millis(), 1500);
    assert_eq!(
        (snapshot.servers[0].protocol, snapshot.servers[1].isolation),
        (Protocol::Modern, Isolation::PerSession)
    );
    assert_eq!(snapshot.monitoring.metrics_path.as_deref(), Some("/m"));
}

#[test]
fn without_authentication_only_this_machine_gets_in() {
    let open = "proxy: {host: 0.0.0.0}\n";
    let refusal = "0.0.0.0:8000 can be reached from other machines, but no authentication is configured";
    assert_eq!(faults(open), [format!("1:15 proxy.host: {refusal}")]);
    let node = Node { listen: Some("0.0.0.0:8000".parse().unwrap()), ..Node::default() };
    assert_eq!(faults_for("servers: {}\n", &node), [format!("1:1 : {refusal}")], "the command line is no way around");
    let (config, _) = config(open);
    let advice = compile(&config, &[], &secrets(), &Node::default(), 1).err().unwrap()[0].advice.clone().unwrap();
    assert!(
        advice.contains("`features.authentication: true`") && advice.contains("`authentication: none`"),
        "{advice}"
    );
    for answered in [
        "proxy: {host: 0.0.0.0, authentication: none}\n",
        "proxy: {host: 0.0.0.0}\nfeatures: {authentication: true}\n",
        "proxy: {host: 0.0.0.0}\nclients: {a: {api_key: long-enough-to-be-a-key}}\n",
        "proxy: {host: '::1'}\n",
        "proxy: {host: 127.8.8.8}\n",
        "proxy: {host: 0.0.0.0, transport: stdio}\n",
    ] {
        assert_eq!(faults(answered), [""; 0], "{answered}");
    }
}

#[test]
fn stdio_opens_no_port_unless_one_is_asked_for() {
    let address = "127.0.0.1:9".parse().unwrap();
    let node = |stdio, listen| Node { stdio, listen, ..Node::default() };
    for (text, node, stdio, addresses) in [
        ("servers: {}\n", node(true, None), true, vec![]),
        ("proxy: {transport: stdio, port: 1}\n", node(false, None), true, vec![]),
        ("proxy: {transport: stdio}\n", node(false, Some(address)), true, vec![address]),
        ("proxy: {transport: http}\n", node(true, Some(address)), true, vec![address]),
        ("proxy: {port: 1}\n", node(false, Some(address)), false, vec![address]),
        ("proxy: {transport: SSE}\n", node(false, Some(address)), false, vec![address]),
        ("proxy: {transport: streamable-http}\n", node(false, Some(address)), false, vec![address]),
    ] {
        let listener = compiled_for(text, &[], &node).0.listener;
        assert_eq!((listener.stdio, listener.addresses), (stdio, addresses), "{text}");
    }
}

#[test]
fn names_are_made_to_fit() {
    for (key, name) in [
        ("my_server", "my-server"),
        ("a.b c", "a-b-c"),
        ("_x_", "x"),
        ("-x-", "-x-"),
        ("größe", "gr-e"),
        ("a23456789012345678901234567890123456", "a2345678901234567890123456789012"),
    ] {
        let text = format!("servers: {{{key:?}: {{command: x}}}}\n");
        let (snapshot, warnings) = compiled_for(&text, &[], &Node::default());
        assert_eq!(&*snapshot.servers[0].name, name);
        assert_eq!(warnings.len(), usize::from(key != name), "{warnings:?}");
    }
}

#[test]
fn our_own_program_is_found_where_path_has_none() {
    let node = Node { own_program: Some("/opt/sluice".into()), folder: "/etc/sluice".into(), ..Node::default() };
    let (snapshot, warnings) = compiled_for(
        "servers: {a: {command: sluice, cwd: x}, b: {command: ./sluice}, c: {command: npx -y x}}\n",
        &[],
        &node,
    );
    let commands: Vec<_> = snapshot
        .servers
        .iter()
        .map(|server| match &server.transport {
            Transport::Stdio(command) => (command.program.as_str(), command.cwd.as_deref()),
            _ => panic!("not stdio"),
        })
        .collect();
    let cwd = std::path::Path::new("/etc/sluice/x");
    assert_eq!(commands, [("/opt/sluice", Some(cwd)), ("./sluice", None), ("npx -y x", None)]);
    assert_eq!(warnings, ["servers.c.command: has spaces in it, and no shell will split it"]);
}

#[test]
fn a_command_line_in_one_word_is_warned_about_and_a_path_with_spaces_is_not() {
    for (command, is_warned) in [
        ("npx -y foo", true),
        ("npx -y @modelcontextprotocol/server-everything", true),
        (" uvx /opt/my-server", true),
        ("/opt/my programs/x", false),
        ("./my programs/x", false),
        ("npx", false),
    ] {
        let text = format!("servers: {{a: {{command: {command:?}}}}}\n");
        let (_, warnings) = compiled_for(&text, &[], &Node::default());
        assert_eq!(warnings.len(), usize::from(is_warned), "{command}: {warnings:?}");
    }
}

#[test]
fn clients_come_from_the_file_and_from_the_state_folder() {
    let key = |name: &str, key: &str| StoredKey {
        name: name.into(),
        sha256: digest(key),
        created: Timestamp::UNIX_EPOCH,
        expires: None,
    };
    let hex: String = digest("b-key").iter().map(|byte| format!("{byte:02X}")).collect();
    let text = format!("clients: {{alice: {{api_key: '${{SHORT}}'}}, bob: {{api_key_sha256: {hex}}}}}\n");
    let stored = [key("alice", "second"), key("carol", "c-key"), key("mallory", "b-key")];
    let (snapshot, warnings) = compiled_for(&text, &stored, &Node::default());
    let owner = |key: &str| snapshot.access.keys.get(&digest(key)).map(|key| key.client.name.as_str());
    assert_eq!(
        ["0123", "second", "b-key", "c-key"].map(owner),
        [Some("alice"), Some("alice"), Some("bob"), Some("carol")]
    );
    assert!(snapshot.access.required);
    assert_eq!(warnings, ["clients.alice.api_key: is shorter than 16 characters"]);
}

#[test]
fn clients_have_roles_and_their_keys_an_end() {
    let text =
        "clients: {a: {api_key: 0123456789abcdef, roles: [reader, admin, reader], expires: 2027-01-31T12:00:00Z}}";
    let snapshot = compiled(text);
    let key = &snapshot.access.keys[&digest("0123456789abcdef")];
    assert_eq!(key.client.roles.iter().map(|role| &**role).collect::<Vec<_>>(), ["admin", "reader"]);
    let at: Timestamp = "2027-01-31T12:00:00Z".parse().unwrap();
    assert_eq!(key.expires, Some(std::time::SystemTime::from(at)));
}

#[test]
fn a_client_may_be_said_here_and_its_key_be_made_elsewhere() {
    let text = "clients: {a: {roles: [reader]}}";
    let stored = StoredKey { name: "a".into(), sha256: [7; 32], created: Timestamp::UNIX_EPOCH, expires: None };
    let (snapshot, warnings) = compiled_for(text, &[stored], &Node::default());
    let client = &snapshot.access.keys[&[7; 32]].client;
    assert_eq!((client.name.as_str(), client.roles.iter().map(|role| &**role).collect()), ("a", vec!["reader"]));
    assert!(warnings.is_empty(), "{warnings:?}");
    let (snapshot, warnings) = compiled_for(text, &[], &Node::default());
    assert!(snapshot.access.required && snapshot.access.keys.is_empty());
    assert_eq!(warnings, ["clients.a: has no key, so that nobody comes in as it"]);
}

#[test]
fn revoking_the_last_key_does_not_open_the_door() {
    let snapshot = compiled("features: {authentication: true}\n");
    assert!(snapshot.access.required && snapshot.access.keys.is_empty());
}

#[test]
fn words_without_effect_are_warned_about() {
    let warnings = |text: &str| compiled_for(text, &[], &Node::default()).1;
    assert_eq!(
        warnings("features: {monitoring: {prometheus_endpoint: /m}}\n"),
        ["features.monitoring.prometheus_endpoint: has no effect"]
    );
    assert_eq!(
        warnings("features: {authentication: false}\nclients: {a: {api_key: 0123456789abcdef}}\n"),
        ["clients: are known by their keys, but requests without a key get in"]
    );
}

#[test]
fn a_server_is_for_nodes_that_have_all_its_labels() {
    let text = "servers:\n  all: {command: a}\n  eu: {command: b, nodes: {region: eu}}\n  \
                paid: {command: c, nodes: {region: eu, tier: paid}}\n";
    let names = |labels: &[(&str, &str)]| {
        let labels = labels.iter().map(|(label, value)| ((*label).to_owned(), (*value).to_owned())).collect();
        let (snapshot, _) = compiled_for(text, &[], &Node { labels, ..Node::default() });
        snapshot.servers.iter().map(|server| server.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(&[]), ["all"]);
    assert_eq!(names(&[("region", "eu"), ("tier", "free")]), ["all", "eu"]);
    assert_eq!(names(&[("region", "eu"), ("tier", "paid"), ("zone", "a")]), ["all", "eu", "paid"]);
    assert_eq!(names(&[("region", "us"), ("tier", "paid")]), ["all"]);
}
