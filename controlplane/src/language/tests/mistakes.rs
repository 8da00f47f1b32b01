//! How mistakes are told: where, what, and what would be right.

use super::faults;

#[test]
fn mistakes_are_told_with_their_place_and_what_would_be_right() {
    for (text, expected) in [
        // keys
        ("servers:\n  a:\n    comand: npx\n", "3:5 servers.a.comand: unknown key = did you mean `command`?"),
        ("proxi: {}\n", "1:1 proxi: unknown key = did you mean `proxy`?"),
        ("proxy: {Port: 1}\n", "1:9 proxy.Port: unknown key = did you mean `port`?"),
        (
            "features: {rate_limiting: {per_hour: 5}}\n",
            "1:28 features.rate_limiting.per_hour: unknown key = known keys: `requests_per_minute`",
        ),
        ("{\"proxy\":\n {\"hots\": \"::1\"}}", "2:3 proxy.hots: unknown key = did you mean `host`?"),
        // types
        ("proxy:\n  port: http\n", "2:9 proxy.port: must be a whole number from 0 to 65535, but is a text"),
        ("proxy: {port: 70000}\n", "1:15 proxy.port: must be a whole number from 0 to 65535, but is another number"),
        ("proxy: {port: 1.5}\n", "1:15 proxy.port: must be a whole number from 0 to 65535, but is another number"),
        ("proxy: {port: -1}\n", "1:15 proxy.port: must be a whole number from 0 to 65535, but is another number"),
        ("proxy: {port: \"70000\"}\n", "1:15 proxy.port: must be a whole number from 0 to 65535, but is a text"),
        (
            "proxy: {port: \"${WORD}\"}\n",
            "1:15 proxy.port: must be a whole number from 0 to 65535, but is something else once its variables are \
             expanded",
        ),
        (
            "proxy: {port: \"${EMPTY}\"}\n",
            "1:15 proxy.port: must be a whole number from 0 to 65535, but is an empty text",
        ),
        ("servers: {a: {timeout: []}}\n", "1:24 servers.a.timeout: must be a number, but is a list"),
        ("servers: {a: {timeout: -1}}\n", "1:24 servers.a.timeout: must be a number of seconds, 0 or more"),
        ("servers: {a: {args: --x}}\n", "1:21 servers.a.args: must be a list, but is a text"),
        ("servers: {a: {args: [x, {}]}}\n", "1:25 servers.a.args[1]: must be a text, but is a map"),
        ("servers: {a: {env: [A=b]}}\n", "1:20 servers.a.env: must be a map, but is a list"),
        ("servers: {a: {url: }}\n", ""),
        ("servers: {a: {env: {A: }}}\n", "1:22 servers.a.env.A: must be a text, but is nothing"),
        ("servers: []\n", "1:10 servers: must be a map, but is a list"),
        ("features: {authentication: yes}\n", "1:28 features.authentication: must be `true` or `false`, but is a text"),
        ("servers: {a: {tools: get_a}}\n", "1:22 servers.a.tools: must be a map, but is a text"),
        ("servers: {a: {tools: [a, {}]}}\n", "1:26 servers.a.tools[1]: must be a text, but is a map"),
        (
            "servers: {a: {tools: {allowed: [a]}}}\n",
            "1:23 servers.a.tools.allowed: unknown key = did you mean `allow`?",
        ),
        (
            "servers: {a: {prompts: {edit: {p: {forced: {}}}}}}\n",
            "1:36 servers.a.prompts.edit.p.forced: unknown key = known keys: `name`, `title`, `description`",
        ),
        ("servers: {a: {disabled: maybe}}\n", "1:25 servers.a.disabled: must be `true` or `false`, but is a text"),
        // closed sets
        (
            "proxy: {prefix: sometimes}\n",
            "1:17 proxy.prefix: must be one of `always`, `never` = known values: `always`, `never`",
        ),
        (
            "servers: {a: {transport: studio}}\n",
            "1:26 servers.a.transport: must be one of `stdio`, `http`, `sse`, `websocket` = did you mean `stdio`?",
        ),
        (
            "servers: {a: {protocol: 2025-11-25}}\n",
            "1:25 servers.a.protocol: must be one of `auto`, `legacy`, `modern` = known values: `auto`, `legacy`, `modern`",
        ),
        (
            "proxy: {log_level: loud}\n",
            "1:20 proxy.log_level: must be one of `trace`, `debug`, `info`, `warn`, `error`",
        ),
        ("proxy: {authentication: off}\n", "1:25 proxy.authentication: must be one of `none` = known values: `none`"),
        // what is missing
        ("proxy: {tls: [{key: k.pem}]}\n", "1:15 proxy.tls[0]: `certificate` is missing"),
        // variables
        (
            "servers:\n  a:\n    url: https://${HOST}/mcp\n",
            "3:10 servers.a.url: variable `HOST` is not set = set it, give a default as `${HOST:-…}`, or add it to \
             credentials.json",
        ),
        (
            "servers: {a: {url: \"${HOST\"}}\n",
            "1:20 servers.a.url: has a `${` that is never closed = write `${NAME}` or `${NAME:-default}`; `$${` stands \
             for a literal `${`",
        ),
        // text that is not YAML
        ("servers:\n  a: {url: x\n  b: {}\n", "3:4 : while parsing a flow mapping, did not find expected ',' or '}'"),
        (
            "servers:\n\ta: {}\n",
            "2:2 : tabs disallowed within this context (block indentation) = YAML is indented with spaces",
        ),
        ("servers: {}\nservers: {}\n", "2:1 : duplicate mapping key: servers"),
        ("{\"servers\": {\"a\": {\"url\": \"x\"}\n \"proxy\": {}}", "2:2 : expected `,` or `}`"),
        (
            "servers: {a: {url: ${HOST}}}\n",
            "1:21 : while parsing a flow mapping, did not find expected ',' or '}' = inside `{…}` and `[…]`, quote \
             variables: `\"${NAME}\"`",
        ),
        (
            "",
            "1:1 : the configuration is not a map of settings = a configuration begins with `servers:`, or `{\"servers\": …}`",
        ),
        (
            "- a\n",
            "1:1 : the configuration is not a map of settings = a configuration begins with `servers:`, or `{\"servers\": …}`",
        ),
        (
            "servers: {a: {url: \"http://a\", headers: {X: {vault: y}}}}\n",
            "1:45 servers.a.headers.X: must be a text, or say where it is: `{secret: NAME}`, `{env: NAME}` or `{file: PATH}`",
        ),
        (
            "servers: {a: {url: \"http://a\", auth: {type: bearer, token: {env: y, file: z}}}}\n",
            "1:60 servers.a.auth.token: must be a text, or say where it is: `{secret: NAME}`, `{env: NAME}` or `{file: PATH}`",
        ),
        (
            "servers: {a: {command: x, env: {A: [b]}}}\n",
            "1:36 servers.a.env.A: must be a text, or say where it is: `{secret: NAME}`, `{env: NAME}` or `{file: PATH}`",
        ),
        ("policies: {p: {allow: {tools: [a]}}}\n", "1:23 policies.p.allow: must be a list, but is a map"),
        ("policies: {p: {roles: [a]}}\n", "1:16 policies.p.roles: unknown key = did you mean `nodes`?"),
        (
            "policies: {p: {allow: [{actions: [read]}]}}\n",
            "1:35 policies.p.allow[0].actions[0]: must be one of `list`, `call` = known values: `list`, `call`",
        ),
    ] {
        let (found, shown) = faults(text);
        let expected: &[&str] = if expected.is_empty() { &[] } else { &[expected] };
        assert_eq!(found, expected, "{text}\n{shown}");
    }
}

#[test]
fn tags_are_not_passed_over() {
    for (text, told) in [
        ("proxy:\n  port: !!python/object 1\n", ["2:", "the tag `!!python/object` means nothing here; leave it out"]),
        ("servers:\n  a: !foo {url: 'http://a'}\n", ["2:", "the tag `!foo` means nothing here; leave it out"]),
        ("servers:\n  a:\n    args: [!x y]\n", ["3:", "the tag `!x` means nothing here; leave it out"]),
    ] {
        let (found, shown) = faults(text);
        assert!(found.len() == 1 && found[0].starts_with(told[0]) && found[0].contains(told[1]), "{found:?}\n{shown}");
    }
    assert!(
        faults("servers:\n  a: {command: x, args: [!!str 1]}\n").0.is_empty(),
        "those of YAML itself mean something"
    );
}

#[test]
fn all_mistakes_are_told_at_once() {
    let text = "\
proxy: {port: x, hots: y}
servers:
  a: {url: \"${NONE}\", timeout: soon, nonsense: 1}
  b: {args: 5, auth: {type: barer}}
  c: {endpoints: [{url: a, weight: heavy}, {urls: b}]}
features: {monitoring: {enable_metrics: maybe}}
";
    let (found, _) = faults(text);
    let places: Vec<_> = found.iter().map(|fault| fault.split(": ").next().unwrap_or_default()).collect();
    assert_eq!(
        places,
        [
            "1:15 proxy.port",
            "1:18 proxy.hots",
            "3:12 servers.a.url",
            "3:32 servers.a.timeout",
            "3:38 servers.a.nonsense",
            "4:13 servers.b.args",
            "4:29 servers.b.auth.type",
            "5:36 servers.c.endpoints[0].weight",
            "5:45 servers.c.endpoints[1].urls",
            "6:41 features.monitoring.enable_metrics",
        ]
    );
}

#[test]
fn a_mistake_is_shown_in_its_line() {
    let (_, shown) = faults("servers:\n  a:\n    comand: npx\n");
    let expected = "\
error: servers.a.comand: unknown key
 --> mcp.yaml:3:5
  |
3 |     comand: npx
  |     ^^^^^^
  = did you mean `command`?
";
    assert_eq!(shown, expected);
}
