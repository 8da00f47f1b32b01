//! What is refused, in the words and at the place of the file.

use super::faults;

#[test]
fn what_cannot_run_is_told_in_the_words_and_at_the_place_of_the_file() {
    for (text, expected) in [
        ("servers: {a: {}}\n", "1:11 servers.a: has no `url` and no `command`"),
        ("servers: {a: {url: x, command: y}}\n", "1:11 servers.a: has both a `url` and a `command`"),
        ("servers:\n  a: {transport: http}\n", "2:3 servers.a: has no `url`"),
        ("servers:\n  a: {transport: stdio}\n", "2:3 servers.a: has no `command`"),
        (
            "servers: {a: {url: 'http://a', args: [x]}}\n",
            "1:32 servers.a.args: belongs to `transport: stdio`, but this one is `http`",
        ),
        (
            "servers: {a: {command: x, auth: {type: bearer, token: y}}}\n",
            "1:27 servers.a.auth: belongs to `transport: http`, but this one is `stdio`",
        ),
        ("servers: {a: {url: example.com}}\n", "1:20 servers.a.url: does not begin with `http://` or `https://`"),
        ("servers: {a: {command: ''}}\n", "1:24 servers.a.command: is empty; give the program to start"),
        (
            "servers: {my_server: {command: x}, my-server: {command: y}}\n",
            "1:36 servers.my-server: becomes `my-server`, and so does `my_server`",
        ),
        ("servers: {'_': {command: x}}\n", "1:11 servers._: is no name for a server"),
        ("servers: {a: {url: 'http://a', timeout: 0}}\n", "1:41 servers.a.timeout: is not between 1 ms and 3600 s"),
        (
            "servers: {a: {url: 'http://a', headers: {Host: x}}}\n",
            "1:42 servers.a.headers.Host: `host` is set by the gateway on every request",
        ),
        (
            "servers: {a: {url: 'http://a', headers: {Authorization: x}, auth: {type: bearer, token: y}}}\n",
            "1:61 servers.a.auth: is sent in `authorization`, which is a configured header as well",
        ),
        (
            "servers: {a: {url: 'http://a', auth: {type: basic, credentials: nobody}}}\n",
            "1:65 servers.a.auth.credentials: is not of the form `user:password`",
        ),
        (
            "servers: {a: {url: 'http://a', auth: {type: bearer, token: '${EMPTY}'}}}\n",
            "1:60 servers.a.auth.token: is empty",
        ),
        (
            "servers: {a: {url: 'http://a', auth: {type: bearer, value: x, token: y}}}\n",
            "1:53 servers.a.auth.value: does not belong to `type: bearer`",
        ),
        (
            "servers: {a: {url: 'http://a', auth: {type: header, value: x}}}\n",
            "1:32 servers.a.auth: has no `name`, which `type: header` needs",
        ),
        (
            "servers: {a: {command: x, env: {'A=B': c}}}\n",
            "1:33 servers.a.env.\"A=B\": is not the name of an environment variable",
        ),
        ("servers: {a: {command: x, args: ['', \"\\0\"]}}\n", "1:38 servers.a.args[1]: contains a NUL character"),
        ("proxy: {host: example.com}\n", "1:15 proxy.host: is not an IP address"),
        (
            "proxy: {limits: {body_bytes: 0}}\n",
            "1:30 proxy.limits.body_bytes: is 0, which would refuse everything; at least 1",
        ),
        (
            "proxy: {allowed_origins: ['https://a', 'b/c']}\n",
            "1:40 proxy.allowed_origins[1]: is not an origin; write `https://app.example.com`, with a port where it is \
             unusual, or `*`",
        ),
        (
            "proxy: {allowed_hosts: ['a:80']}\n",
            "1:25 proxy.allowed_hosts[0]: has a port; host names are compared without it, so leave it out",
        ),
        (
            "proxy: {tls: [{certificate: '', key: k}]}\n",
            "1:29 proxy.tls[0].certificate: is empty; give the path of a file",
        ),
        (
            "clients: {a: {expires: '2027-01-31T12:00:00Z'}}\n",
            "1:15 clients.a.expires: is about a key that is written here, and there is none",
        ),
        ("clients: {a: {api_key: '${EMPTY}'}}\n", "1:24 clients.a.api_key: is empty"),
        ("clients: {a: {api_key: 0123456789abcdef, expires: soon}}\n", "1:51 clients.a.expires: is not a time"),
        ("clients: {a: {api_key_sha256: abc}}\n", "1:31 clients.a.api_key_sha256: is not 64 hexadecimal digits"),
        (
            "clients: {a: {api_key: k}, b: {api_key: k}}\n",
            "1:28 clients.b: is the key of client `a` as well; give each its own",
        ),
        (
            "features: {monitoring: {enable_metrics: true, prometheus_endpoint: /mcp}}\n",
            "1:68 features.monitoring.prometheus_endpoint: `/mcp` is taken by a door of the gateway; use another, such \
             as `/metrics`",
        ),
        (
            "proxy: {authentication: none}\nfeatures: {authentication: true}\n",
            "1:25 proxy.authentication: says `none`, but `features.authentication` says `true`",
        ),
    ] {
        assert_eq!(faults(text), [expected], "{text}");
    }
}

#[test]
fn one_mistake_does_not_hide_the_next() {
    let found = faults(
        "proxy: {host: x, name: ''}\nservers: {a: {}, b: {url: x}, c: {command: ''}}\nfeatures: {rate_limiting: {requests_per_minute: 0}}\n",
    );
    let mut paths: Vec<_> = found.iter().filter_map(|fault| fault.split([' ', ':']).nth(2)).collect();
    paths.sort_unstable();
    assert_eq!(
        paths,
        [
            "features.rate_limiting.requests_per_minute",
            "proxy.host",
            "proxy.name",
            "servers.a",
            "servers.b.url",
            "servers.c.command"
        ]
    );
}
