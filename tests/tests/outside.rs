//! What operators see: health, metrics, logs; bounded, escaped, and without a single secret.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sluice_tests::gateway::Start;
use sluice_tests::message;
use sluice_tests::peer::Peer;
use sluice_tests::upstream::{Legacy, Modern};
use sluice_tests::{Call, Gateway, Session, port, until};

/// Name, labels, value.
type Sample = (String, Vec<(String, String)>, f64);

/// The samples of a Prometheus text. Panics where the text is not of that form.
fn samples(text: &str) -> Vec<Sample> {
    let mut typed = BTreeSet::new();
    let mut all = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(comment) = line.strip_prefix("# ") {
            let words: Vec<&str> = comment.splitn(3, ' ').collect();
            assert!(["HELP", "TYPE"].contains(&words[0]) && words.len() == 3, "{line}");
            assert!(words[0] == "HELP" || typed.insert(words[1].to_owned()), "a second TYPE: {line}");
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        assert!(typed.contains(name) || typed.contains(base), "no TYPE before {line}");
        assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'), "{line}");
        let labels = labels.strip_suffix('}').unwrap();
        let pairs = labels.split("\",").filter(|pair| !pair.is_empty()).map(|pair| {
            let (label, value) = pair.split_once("=\"").unwrap_or_else(|| panic!("{line}"));
            (label.to_owned(), value.trim_end_matches('"').to_owned())
        });
        all.push((name.to_owned(), pairs.collect(), value.parse().unwrap_or_else(|_| panic!("{line}"))));
    }
    all
}

#[tokio::test]
async fn health_says_how_it_is_and_names_nobody() {
    let server = Legacy::start();
    let nobody = format!("http://127.0.0.1:{}/mcp", port::free());
    let servers = json!({ "visible-name": server.config(), "dead-name": { "url": nobody } });
    let gateway = Gateway::with(servers).await;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(gateway.admin(path).await.status, 200, "{path}");
    }
    let health = Call::get("/health").bare();
    let before = health.send(gateway.port).await;
    assert_eq!((before.status, before.rpc()["status"].as_str()), (200, Some("ok")), "{before:?}");
    let call = Call::post("/servers/dead-name/mcp", message::initialize(message::LEGACY, json!({})).to_string());
    assert_eq!(call.send(gateway.port).await.status, 502);
    let after = health.send(gateway.port).await;
    assert_eq!(after.rpc()["status"], "degraded", "{after:?}");
    for reply in [before, after] {
        assert!(!reply.text().contains("-name") && !reply.text().contains("127.0.0.1"), "{reply:?}");
    }
    let metrics = gateway.admin("/metrics").await.text();
    let up = samples(&metrics)
        .into_iter()
        .find(|(name, labels, _)| name == "sluice_server_up" && labels[0].1 == "dead-name");
    assert!(up.unwrap().2.abs() < f64::EPSILON);
    assert_eq!(gateway.admin("/readyz").await.status, 200, "a dead server does not take the others with it");
}

#[tokio::test]
async fn metrics_count_what_happened_under_bounded_labels() {
    let (server, legacy) = (Modern::start(), Legacy::start());
    let gateway = Gateway::with(json!({ "one": server.config(), "two": legacy.config() })).await;
    let session = Session::open(gateway.port, "/servers/two/mcp").await;
    let _stream = session.listen(None).await;
    for n in 0..50 {
        let name = format!("tool-{n}");
        Call::modern("/servers/one/mcp", "tools/call", 1, json!({ "name": name, "arguments": {} }))
            .send(gateway.port)
            .await;
        Call::modern("/servers/one/mcp", &format!("vendor/method-{n}"), 1, json!({})).send(gateway.port).await;
        Call::modern(&format!("/servers/nobody-{n}/mcp"), "tools/list", 1, json!({})).send(gateway.port).await;
        Call::get(&format!("/path-{n}?query={n}")).send(gateway.port).await;
        Call::post("/servers/one/mcp", "{").header("x-n", &n.to_string()).send(gateway.port).await;
    }
    let reply = gateway.admin("/metrics").await;
    assert!(reply.header("content-type").is_some_and(|kind| kind.starts_with("text/plain")));
    let samples = samples(&reply.text());
    let allowed = ["server", "method", "outcome", "le", "version", "revision"];
    for (name, labels, _) in &samples {
        for (label, value) in labels {
            assert!(allowed.contains(&label.as_str()), "{name} {label}");
            let wild = ["tool-", "vendor", "nobody", "path-"].iter().any(|text| value.contains(text));
            assert!(!wild, "{name} {label}={value}");
        }
    }
    assert!(samples.len() < 500, "{} series", samples.len());
    let sum = |name: &str, wanted: &[(&str, &str)]| -> f64 {
        let fits =
            |labels: &[(String, String)]| wanted.iter().all(|(k, v)| labels.iter().any(|(l, w)| l == k && w == v));
        samples.iter().filter(|(n, labels, _)| n == name && fits(labels)).map(|sample| sample.2).sum()
    };
    let close = |value: f64, expected: f64| (value - expected).abs() < f64::EPSILON;
    assert!(close(
        sum("sluice_requests_total", &[("server", "one"), ("method", "tools/call"), ("outcome", "ok")]),
        50.0
    ));
    assert!(close(sum("sluice_request_seconds_count", &[("server", "one"), ("method", "tools/call")]), 50.0));
    assert!(close(sum("sluice_requests_total", &[("server", "one"), ("outcome", "bad_message")]), 50.0));
    assert!(close(sum("sluice_sessions", &[]), 1.0) && close(sum("sluice_streams", &[]), 1.0));
    assert!(sum("sluice_upstream_connections", &[]) >= 1.0);
    let buckets: Vec<f64> = samples
        .iter()
        .filter(|(name, labels, _)| {
            name == "sluice_request_seconds_bucket"
                && labels.iter().any(|(l, v)| l == "method" && v == "tools/call")
                && labels.iter().any(|(l, v)| l == "server" && v == "one")
        })
        .map(|sample| sample.2)
        .collect();
    assert!(buckets.windows(2).all(|pair| pair[0] <= pair[1]) && close(*buckets.last().unwrap(), 50.0), "{buckets:?}");
}

#[tokio::test]
async fn metrics_are_where_clients_come_in_only_when_asked_for() {
    let server = Legacy::start();
    let servers = json!({ "one": server.config() });
    let gateway = Gateway::with(servers.clone()).await;
    assert_eq!(Call::get("/metrics").bare().send(gateway.port).await.status, 404);
    let features = json!({ "monitoring": { "enable_metrics": true, "prometheus_endpoint": "/prom" } });
    let gateway = Start::new(json!({ "servers": servers, "features": features })).ready().await;
    let reply = Call::get("/prom").bare().send(gateway.port).await;
    assert!(reply.status == 200 && !samples(&reply.text()).is_empty());
}

#[tokio::test]
async fn each_request_is_one_json_line_whatever_it_is_called() {
    let server = Modern::start();
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let long = "x".repeat(3000);
    let names = [
        "plain",
        "new\nline",
        "quote\"}\n{\"log\":\"access\",\"status\":200}",
        "esc\u{1b}[2J",
        "sep\u{2028}\u{85}",
        "bidi\u{202e}",
        &long,
    ];
    for name in names {
        let encoded = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, name);
        let call = Call::modern("/servers/one/mcp", "tools/call", 1, json!({}))
            .header("mcp-name", &format!("=?base64?{encoded}?="));
        let body = message::modern("tools/call", 1, json!({ "name": name, "arguments": {} }));
        assert_eq!(call.body(body.to_string()).send(gateway.port).await.status, 200);
    }
    let lines = until("a line for each request", || {
        let log = gateway.log();
        let lines: Vec<Value> =
            log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect();
        let access: Vec<Value> = lines.into_iter().filter(|line| line["log"] == "access").collect();
        (access.len() >= names.len()).then_some(access)
    })
    .await;
    assert_eq!(lines.len(), names.len());
    for (line, name) in lines.iter().zip(names) {
        assert_eq!(
            (&line["server"], &line["method"], &line["status"], &line["outcome"]),
            (&json!("one"), &json!("tools/call"), &json!(200), &json!("ok"))
        );
        assert!(line["request"].is_string() && line["micros"].is_u64() && line["principal"].is_string(), "{line}");
        let logged = line["name"].as_str().unwrap();
        assert!(logged.len() <= 1024 && (name.len() > 256 || logged == name), "{logged:?}");
    }
    let raw = gateway.log();
    for bad in ['\u{1b}', '\u{2028}', '\u{85}', '\u{202e}'] {
        assert!(!raw.contains(bad), "{bad:?} is not escaped");
    }
    let ids: BTreeSet<_> = lines.iter().map(|line| line["request"].to_string()).collect();
    assert_eq!(ids.len(), names.len());
}

#[tokio::test]
async fn a_stream_its_client_leaves_and_the_end_of_a_session_are_lines_of_their_own() {
    let server = Legacy::start();
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let session = Session::open(gateway.port, "/servers/one/mcp").await;
    drop(session.listen(None).await);
    assert_eq!(session.delete().await.status, 200);
    for method in ["GET /mcp", "DELETE /mcp"] {
        let line = until("its line", || {
            let lines =
                gateway.log().lines().filter_map(|line| serde_json::from_str(line).ok()).collect::<Vec<Value>>();
            lines.into_iter().find(|line| line["log"] == "access" && line["method"] == method)
        })
        .await;
        assert_eq!((&line["server"], &line["status"], &line["outcome"]), (&json!("one"), &json!(200), &json!("ok")));
    }
}

#[tokio::test]
async fn nothing_secret_is_in_any_log_metric_or_page() {
    let secret = |what: &str| format!("canary-{what}-0123456789");
    let (server, peer) = (Legacy::start(), Peer::new("legacy"));
    let auth = json!({ "type": "bearer", "token": secret("token") });
    let headers = json!({ "X-Secret": secret("fixed") });
    let servers = json!({
        "one": { "url": format!("{}?q={}", server.url(), secret("url")), "auth": auth, "headers": headers },
        "stdio": peer.config_with(json!({ "env": { "SECRET": secret("env") } })),
    });
    let config = json!({ "proxy": { "log_level": "trace" }, "servers": servers, "clients": { "alice": { "api_key": secret("key") } } });
    let mut gateway = Start::new(config).ready().await;
    let key = secret("key");
    let mut ids = vec!["upstream-session".to_owned()];
    for path in ["/servers/one/mcp", "/servers/stdio/mcp"] {
        let session = Session::with(gateway.port, path, json!({ "roots": {} }), Some(&key)).await;
        let stream = session.listen(None).await;
        session.call("echo", json!({ "x": secret("argument") })).await;
        session.request("resources/subscribe", json!({ "uri": "file:///a", "x": secret("params") })).await;
        drop(stream);
        ids.push(session.id.clone());
        let call = session.dressed(Call::get(&format!("{path}?token={}", secret("query"))));
        drop(
            call.header("cookie", &secret("cookie")).header("last-event-id", &secret("event")).open(gateway.port).await,
        );
        Call::post(path, format!("{{{}", secret("garbage"))).key(&secret("wrong-key")).send(gateway.port).await;
        Call::post(path, format!("{{{}", secret("garbage"))).key(&key).send(gateway.port).await;
        Call::get(path).key(&key).header("mcp-session-id", &secret("session")).send(gateway.port).await;
        server.forget(404);
        session.call("echo", json!({})).await;
        session.delete().await;
    }
    let mut seen = Vec::new();
    for path in ["/metrics", "/config", "/healthz", "/readyz"] {
        seen.push((path, gateway.admin(path).await.text()));
    }
    assert!(seen[1].1.contains("\"one\""), "the configuration is shown: {}", seen[1].1);
    seen.push(("/health", Call::get("/health").bare().send(gateway.port).await.text()));
    gateway.signal(rustix::process::Signal::TERM);
    gateway.ended().await;
    seen.push(("log", gateway.log()));
    for (where_, text) in seen {
        for id in ids.iter().map(String::as_str).chain(["canary-"]) {
            let found = text.lines().find(|line| line.contains(id));
            assert!(found.is_none(), "{id} in {where_}: {found:?}");
        }
    }
}
