//! How servers are reached: what is said, what is inferred, and what is refused.

use std::path::Path;

use sluice_snapshot::model::{HttpEndpoint, Transport};

use super::{Node, compiled, compiled_for, faults};

/// The transport of the only server, as `name url [socket] [?]`; the question mark says that SSE is tried as well.
fn reached(server: &str) -> String {
    let snapshot = compiled(&format!("servers: {{a: {server}}}\n"));
    let shown = |name: &str, endpoint: &HttpEndpoint| {
        let socket = endpoint.socket.as_deref().map(|socket| format!(" {}", socket.display())).unwrap_or_default();
        let scheme = if endpoint.tls { "https" } else { "http" };
        let open = if endpoint.maybe_sse { " ?" } else { "" };
        format!("{name} {scheme}://{}{}{socket}{open}", endpoint.authority, endpoint.path)
    };
    match &snapshot.servers[0].transport {
        Transport::Http(endpoint) => shown("http", endpoint),
        Transport::Sse(endpoint) => shown("sse", endpoint),
        Transport::WebSocket(endpoint) => shown("websocket", endpoint),
        Transport::Stdio(command) => format!("stdio {}", command.program),
    }
}

#[test]
fn transports_are_what_is_said_or_what_the_address_says() {
    for (server, expected) in [
        // found out at run time which of the two it is
        ("{url: 'http://h/mcp'}", "http http://h/mcp ?"),
        ("{transport: http, url: 'http://h/mcp'}", "http http://h/mcp"),
        ("{transport: streamable-http, url: 'http://h/mcp'}", "http http://h/mcp"),
        ("{transport: Streamable_HTTP, url: 'http://h/mcp'}", "http http://h/mcp"),
        ("{transport: sse, url: 'https://h/sse'}", "sse https://h/sse"),
        ("{transport: http+sse, url: 'https://h/sse'}", "sse https://h/sse"),
        ("{url: 'ws://h/ws'}", "websocket http://h/ws"),
        ("{url: 'WSS://h:8443/ws'}", "websocket https://h:8443/ws"),
        ("{transport: ws, url: 'wss://h/ws'}", "websocket https://h/ws"),
        ("{transport: websocket, url: 'http://h/ws'}", "websocket http://h/ws"),
        ("{command: x}", "stdio x"),
        // Unix sockets
        ("{url: 'unix:///run/x.sock'}", "http http://localhost/mcp /run/x.sock ?"),
        ("{url: 'unix:/run/x.sock'}", "http http://localhost/mcp /run/x.sock ?"),
        ("{transport: sse, url: 'unix:///run/x.sock'}", "sse http://localhost/sse /run/x.sock"),
        ("{transport: ws, socket: /run/x.sock}", "websocket http://localhost/ws /run/x.sock"),
        ("{socket: /run/x.sock}", "http http://localhost/mcp /run/x.sock ?"),
        ("{socket: run/x.sock, url: 'https://name/path?q'}", "http https://name/path?q /etc/run/x.sock ?"),
        // one endpoint is the server itself
        ("{endpoints: ['http://h/mcp']}", "http http://h/mcp ?"),
        ("{transport: sse, endpoints: [{url: 'http://h/sse'}]}", "sse http://h/sse"),
    ] {
        let expected = expected.replace("/etc/run", "run");
        // Relative sockets start at the folder of the file, which is none here.
        if expected.contains("run/x.sock") && !expected.contains(" /run/x.sock") {
            let node = Node { folder: "/etc".into(), ..Node::default() };
            let snapshot = compiled_for(&format!("servers: {{a: {server}}}\n"), &[], &node).0;
            let Transport::Http(http) = &snapshot.servers[0].transport else { panic!("not HTTP") };
            assert_eq!(http.socket.as_deref(), Some(Path::new("/etc/run/x.sock")));
            assert_eq!((&*http.authority, &*http.path), ("name", "/path?q"));
            continue;
        }
        assert_eq!(reached(server), expected, "{server}");
    }
}

#[test]
fn addresses_that_lead_nowhere_are_refused() {
    for (server, expected) in [
        (
            "{transport: http, url: 'ws://h'}",
            "1:37 servers.a.url: is a WebSocket URL, and this transport is another; write `http://` or `https://`",
        ),
        (
            "{transport: sse, url: 'wss://h'}",
            "1:36 servers.a.url: is a WebSocket URL, and this transport is another; write `http://` or `https://`",
        ),
        ("{transport: sse}", "1:11 servers.a: has no `url`"),
        ("{url: 'unix://x.sock'}", "1:20 servers.a.url: is not an absolute path such as `/run/server.sock`"),
        ("{socket: x.sock}", "1:23 servers.a.socket: is not an absolute path such as `/run/server.sock`"),
        ("{socket: ''}", "1:23 servers.a.socket: is empty; give the path of a socket"),
        ("{socket: /a, url: 'unix:/b'}", "1:15 servers.a.socket: is a second socket beside the one in `url`"),
        ("{socket: /a, command: x}", "1:11 servers.a: has both a `url` and a `command`"),
        (
            "{transport: stdio, command: x, socket: /a}",
            "1:45 servers.a.socket: belongs to `transport: http`, but this one is `stdio`",
        ),
        (
            "{transport: ws, url: 'ws://h', cwd: /}",
            "1:45 servers.a.cwd: belongs to `transport: stdio`, but this one is `websocket`",
        ),
        (
            "{url: 'http://h', env_file: x}",
            "1:32 servers.a.env_file: belongs to `transport: stdio`, but this one is `http`",
        ),
        (
            "{transport: sse, url: 'http://h', protocol: modern}",
            "1:58 servers.a.protocol: is `modern`, but HTTP+SSE is a transport of legacy servers only",
        ),
        (
            "{url: 'ws://h', headers: {Sec-WebSocket-Key: x}}",
            "1:40 servers.a.headers.Sec-WebSocket-Key: `sec-websocket-key` is set by the gateway on every request",
        ),
        (
            "{url: 'http://localhost:8000/mcp'}",
            "1:20 servers.a.url: leads to this gateway, which would call itself without end",
        ),
        (
            "{enabled: true, disabled: false, command: x}",
            "1:30 servers.a.disabled: says the same as `enabled`, or its opposite",
        ),
    ] {
        assert_eq!(faults(&format!("servers: {{a: {server}}}\n")), [expected], "{server}");
    }
}

#[test]
fn servers_that_are_switched_off_take_no_part() {
    let snapshot = compiled(
        "servers: {a: {disabled: true, url: '${NONE}'}, b: {enabled: false}, c: {command: c, enabled: true}, \
         d: {command: d, disabled: '${EMPTY:-false}'}}\n",
    );
    assert_eq!(snapshot.servers.iter().map(|server| &*server.name).collect::<Vec<_>>(), ["c", "d"]);
}

#[test]
fn what_is_odd_about_an_address_is_said() {
    let warnings = |server: &str| compiled_for(&format!("servers: {{a: {server}}}\n"), &[], &Node::default()).1;
    let auth = "auth: {type: bearer, token: x}";
    let clear = ["servers.a.url: sends its credentials in the clear"];
    assert_eq!(warnings(&format!("{{url: 'http://h.example', {auth}}}")), clear);
    assert_eq!(warnings(&format!("{{url: 'ws://h.example', {auth}}}")), clear);
    for url in ["https://h.example", "http://localhost:1", "http://127.0.0.1", "wss://h.example"] {
        assert_eq!(warnings(&format!("{{url: '{url}', {auth}}}")), [""; 0], "{url}");
    }
    assert_eq!(warnings("{command: x, timeout: 0.05}").len(), 1);
}
