//! What is accepted and what is refused, with the exact path; `properties` has what holds for any message.

mod credentials;
mod curation;
mod policy;
mod properties;

use sluice_contract::v1;

use super::parse;
use crate::model::{LogLevel, Protocol, Transport};

/// A value that is written in place.
fn said(value: &str) -> Option<v1::Sensitive> {
    from(v1::sensitive::Source::Value(value.to_owned()))
}

fn from(source: v1::sensitive::Source) -> Option<v1::Sensitive> {
    Some(v1::Sensitive { source: Some(source) })
}

pub(crate) fn http(name: &str, url: &str) -> v1::Server {
    v1::Server {
        name: name.into(),
        transport: Some(v1::server::Transport::Http(v1::HttpEndpoint {
            url: url.into(),
            headers: vec![v1::Header { name: "Authorization".into(), value: said("Bearer t0ken") }],
            ..v1::HttpEndpoint::default()
        })),
        protocol: v1::Protocol::Auto.into(),
        isolation: v1::Isolation::Auto.into(),
        timeout_ms: 60_000,
        curation: None,
        balance: None,
    }
}

fn stdio(name: &str) -> v1::Server {
    v1::Server {
        transport: Some(v1::server::Transport::Stdio(v1::Command {
            program: "npx".into(),
            args: vec!["-y".into(), String::new()],
            env: vec![v1::Variable { name: "TOKEN".into(), value: said("t0ken") }],
            cwd: String::new(),
        })),
        ..http(name, "")
    }
}

fn client(name: &str, keys: &[u8]) -> v1::Client {
    let key = |byte: &u8| v1::Key { sha256: vec![*byte; 32], expires_at: Some(7) };
    v1::Client {
        name: name.into(),
        keys: keys.iter().map(key).collect(),
        roles: vec!["b".into(), "a".into(), "b".into()],
    }
}

/// A snapshot nobody can object to.
pub(crate) fn good() -> v1::Snapshot {
    v1::Snapshot {
        revision: 7,
        prefix: v1::Prefix::Always.into(),
        name: "sluice".into(),
        listener: Some(v1::Listener {
            addresses: vec!["127.0.0.1:8000".into(), "[::1]:8000".into()],
            allowed_hosts: vec!["Gateway.Example".into(), "::1".into()],
            allowed_origins: vec!["https://App.example:443".into(), "*".into(), "vscode-webview://abc".into()],
            ..Default::default()
        }),
        access: Some(v1::Access { clients: vec![client("alice", &[1, 2])], ..Default::default() }),
        servers: vec![http("weather", "https://example.com/mcp?k=v"), stdio("files")],
        limits: Some(v1::Limits {
            body_bytes: 4 << 20,
            json_depth: 127,
            requests_per_minute: None,
            concurrent_requests: 1024,
            sessions_per_principal: 10_000,
            session_idle_ms: 3_600_000,
            children_per_server: 32,
            children_per_principal: 8,
            child_idle_ms: 600_000,
            of_fleet: None,
        }),
        monitoring: Some(v1::Monitoring {
            metrics_path: "/metrics".into(),
            access_log: true,
            ..v1::Monitoring::default()
        }),
        sessions: None,
        policies: None,
        secrets: Vec::new(),
    }
}

/// The paths and reasons of what is wrong after an edit to a good snapshot.
fn faults(edit: impl FnOnce(&mut v1::Snapshot)) -> Vec<String> {
    let mut wire = good();
    edit(&mut wire);
    parse(&wire).err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

fn listener(wire: &mut v1::Snapshot) -> &mut v1::Listener {
    wire.listener.as_mut().unwrap()
}

fn endpoint(server: &mut v1::Server) -> &mut v1::HttpEndpoint {
    match &mut server.transport {
        Some(v1::server::Transport::Http(http)) => http,
        _ => panic!("not HTTP"),
    }
}

#[test]
fn a_good_snapshot_is_parsed_whole() {
    let snapshot = parse(&good()).unwrap();
    assert_eq!(snapshot.revision, 7);
    assert_eq!(snapshot.listener.addresses.len(), 2);
    assert_eq!(snapshot.listener.allowed_hosts, ["gateway.example", "[::1]"]);
    assert_eq!(snapshot.listener.allowed_origins, ["https://app.example", "*", "vscode-webview://abc"]);
    assert_eq!(snapshot.access.keys[&[2; 32]].client.name, "alice");
    let weather = snapshot.server("weather").unwrap();
    assert_eq!(weather.protocol, Protocol::Auto);
    let Transport::Http(http) = &weather.transport else { panic!("not HTTP") };
    assert_eq!(
        (&*http.host, http.port, &*http.path, &*http.authority),
        ("example.com", 443, "/mcp?k=v", "example.com")
    );
    assert_eq!(http.headers[0].0, "authorization");
    assert_eq!(http.headers[0].1.value().unwrap().expose(), "Bearer t0ken");
    let Transport::Stdio(files) = &snapshot.server("files").unwrap().transport else { panic!("not stdio") };
    assert_eq!(files.args, ["-y", ""]);
    assert_eq!(files.cwd, None);
}

#[test]
fn urls_are_split_as_they_will_be_dialled() {
    for (url, tls, host, port, path, authority) in [
        ("http://localhost:9000", false, "localhost", 9000, "/", "localhost:9000"),
        ("http://Example.com:80/", false, "example.com", 80, "/", "example.com"),
        ("https://[::1]:8443/mcp", true, "::1", 8443, "/mcp", "[::1]:8443"),
        ("https://10.0.0.1?a=b", true, "10.0.0.1", 443, "/?a=b", "10.0.0.1"),
        ("https://example.com:80/a%20b", true, "example.com", 80, "/a%20b", "example.com:80"),
    ] {
        let mut wire = good();
        wire.servers = vec![http("s", url)];
        let snapshot = parse(&wire).unwrap_or_else(|faults| panic!("{url}: {faults:?}"));
        let Transport::Http(found) = &snapshot.servers[0].transport else { panic!("not HTTP") };
        assert_eq!(
            (found.tls, &*found.host, found.port, &*found.path, &*found.authority),
            (tls, host, port, path, authority),
            "{url}"
        );
    }
}

#[test]
fn urls_that_cannot_be_dialled_are_refused_without_being_quoted() {
    for (url, reason) in [
        ("", "is empty"),
        ("example.com/mcp", "does not begin with"),
        ("/mcp", "does not begin with"),
        ("ftp://example.com", "does not begin with"),
        ("wss://example.com", "is a WebSocket URL"),
        ("https://user:s3cret@example.com", "has credentials in it"),
        ("https://example.com/#s3cret", "fragment"),
        ("https://exämple.com", "not ASCII"),
        ("https://example.com:99999", "port"),
        ("https://example.com:0", "port"),
        ("https://example.com:", "port"),
        ("https://a..b/", "host name"),
        ("https://exa mple.com/s3cret", "not a URL"),
    ] {
        let found = faults(|wire| endpoint(&mut wire.servers[0]).url = url.into());
        assert_eq!(found.len(), 1, "{url}: {found:?}");
        assert!(found[0].starts_with("servers[0].http.url: ") && found[0].contains(reason), "{url}: {found:?}");
        assert!(!found[0].contains("s3cret"), "{found:?}");
    }
}

#[test]
fn every_fault_is_found_with_its_path() {
    let found = faults(|wire| {
        wire.name = " ".into();
        wire.limits = None;
        listener(wire).addresses[1] = "localhost".into();
        listener(wire).allowed_origins[0] = "https://a.example/".into();
        wire.access.as_mut().unwrap().clients[0].keys[1].sha256 = vec![1; 31];
        wire.servers[1].name = "weather".into();
        wire.servers[1].protocol = 9;
        wire.servers[1].isolation = 0;
        wire.servers[0].timeout_ms = 0;
        endpoint(&mut wire.servers[0]).headers[0].value = said("t0ken\n");
    });
    let paths: Vec<_> = found.iter().map(|fault| fault.split(": ").next().unwrap()).collect();
    assert_eq!(
        paths,
        [
            "name",
            "access.clients[0].keys[1].sha256",
            "listener.addresses[1]",
            "listener.allowed_origins[0]",
            "servers[0].http.headers[0].value",
            "servers[0].timeout_ms",
            "servers[1].name",
            "servers[1].protocol",
            "servers[1].isolation",
            "limits",
        ]
    );
    assert!(found.iter().all(|fault| !fault.contains("t0ken")), "{found:?}");
}

#[test]
fn other_machines_get_in_only_by_key_or_by_a_person_s_word() {
    let open = |wire: &mut v1::Snapshot| listener(wire).addresses = vec!["0.0.0.0:8000".into(), "[::]:1".into()];
    let found = faults(open);
    assert_eq!(found.len(), 2);
    assert!(found[0].starts_with("listener.addresses[0]: 0.0.0.0:8000 can be reached from other machines"));
    assert!(faults(|w| listener(w).addresses = vec!["[::ffff:127.0.0.1]:80".into()]).is_empty());
    assert!(faults(|w| (open(w), w.access.as_mut().unwrap().required = true).1).is_empty());
    assert!(faults(|w| (open(w), w.access.as_mut().unwrap().explicitly_open = true).1).is_empty());
    assert_eq!(faults(|w| listener(w).addresses.clear()).len(), 1, "no way in");
    assert!(faults(|w| (listener(w).addresses.clear(), listener(w).stdio = true).1).is_empty());
}

#[test]
fn a_key_belongs_to_one_client() {
    let found = faults(|wire| {
        wire.access.as_mut().unwrap().clients.push(client("bob", &[1]));
    });
    assert_eq!(found, ["access.clients[1].keys[0]: is the key of client `alice` as well; give each its own"]);
}

#[test]
fn the_gateway_s_own_headers_and_paths_are_not_for_configuration() {
    for name in ["Host", "mcp-session-id", "Mcp-Param-Region", "Content-Length", "bad name"] {
        let found = faults(|wire| endpoint(&mut wire.servers[0]).headers[0].name = name.into());
        assert_eq!(found.len(), 1, "{name}");
        assert!(found[0].starts_with("servers[0].http.headers[0].name: "), "{found:?}");
    }
    for path in ["metrics", "/mcp", "/servers/x", "/", "/health", "/a?b", "/sse/x"] {
        let found = faults(|wire| wire.monitoring.as_mut().unwrap().metrics_path = path.into());
        assert_eq!(found.len(), 1, "{path}");
    }
}

#[test]
fn further_transports_are_parsed_with_what_belongs_to_them() {
    let wire = |transport| {
        let mut wire = good();
        wire.servers = vec![v1::Server { transport: Some(transport), ..http("s", "") }];
        wire
    };
    let endpoint = |socket: &str, maybe_sse| v1::HttpEndpoint {
        url: "https://localhost/sse".into(),
        socket: socket.into(),
        maybe_sse,
        ..v1::HttpEndpoint::default()
    };
    let parsed = |transport| parse(&wire(transport)).map(|snapshot| snapshot.servers[0].transport.clone());
    let Ok(Transport::Http(http)) = parsed(v1::server::Transport::Http(endpoint("/run/x.sock", true))) else {
        panic!("not HTTP")
    };
    assert_eq!(http.socket.as_deref(), Some(std::path::Path::new("/run/x.sock")));
    assert!(http.maybe_sse && http.tls);
    let sse = parsed(v1::server::Transport::Sse(endpoint("", false)));
    assert!(matches!(sse, Ok(Transport::Sse(sse)) if &*sse.path == "/sse" && sse.socket.is_none()));
    let websocket = parsed(v1::server::Transport::Websocket(endpoint("", false)));
    assert!(matches!(websocket, Ok(Transport::WebSocket(_))));

    let refused = |transport| parsed(transport).unwrap_err().iter().map(ToString::to_string).collect::<Vec<_>>();
    for (socket, reason) in [
        ("run/x.sock", "is not an absolute path"),
        (&*format!("/{}", "x".repeat(107)), "is longer than the 107 bytes"),
        ("/a\0b", "contains a NUL"),
    ] {
        let found = refused(v1::server::Transport::Http(endpoint(socket, false)));
        assert!(found.len() == 1 && found[0].starts_with("servers[0].http.socket: "), "{found:?}");
        assert!(found[0].contains(reason), "{found:?}");
    }
    let found = refused(v1::server::Transport::Sse(endpoint("", true)));
    assert!(found[0].starts_with("servers[0].sse.maybe_sse: belongs to streamable HTTP"), "{found:?}");
    let mut modern = wire(v1::server::Transport::Sse(endpoint("", false)));
    modern.servers[0].protocol = v1::Protocol::Modern.into();
    assert!(parse(&modern).unwrap_err()[0].to_string().starts_with("servers[0].protocol: is `modern`"));
    let mut handshake = endpoint("", false);
    handshake.headers = vec![v1::Header { name: "Sec-WebSocket-Protocol".into(), value: said("x") }];
    assert!(parsed(v1::server::Transport::Http(handshake.clone())).is_ok());
    let found = refused(v1::server::Transport::Websocket(handshake));
    assert!(found[0].contains("is set by the gateway"), "{found:?}");
}

#[test]
fn a_log_level_is_one_of_those_that_are_known_or_none() {
    let level = |level: i32| {
        let mut wire = good();
        wire.monitoring.as_mut().unwrap().log_level = level;
        parse(&wire).map(|snapshot| snapshot.monitoring.log_level)
    };
    assert_eq!(level(0).ok(), Some(None));
    assert_eq!(level(v1::LogLevel::Warn.into()).ok(), Some(Some(LogLevel::Warn)));
    assert!(level(99).is_err_and(|faults| faults[0].path == "monitoring.log_level"));
}
