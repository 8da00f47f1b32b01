//! What the scan accepts, a full parser accepts, and finds the same fields in; what is not JSON is refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;
use serde_json::Value;
use sluice_mcp::{ScanLimits, Span, batch, canonical_digest_input, decode_string, encode_string, path, scan};

fuzz_target!(|body: &[u8]| {
    let json = std::str::from_utf8(body).is_ok() && serde_json::from_slice::<IgnoredAny>(body).is_ok();
    let limits = ScanLimits::default();
    if let Ok(spans) = batch(body, limits, 8) {
        assert!(json);
        for span in spans {
            let _ = scan(span.of(body), limits);
        }
    }
    let canonical = canonical_digest_input(body);
    assert_eq!(canonical_digest_input(&canonical), canonical);
    let message = match scan(body, limits) {
        Ok(message) => message,
        Err(error) => {
            assert!(error.at <= body.len());
            return;
        }
    };
    assert!(json, "accepted what is not JSON");
    let Ok(value) = serde_json::from_slice::<Value>(body) else { return };
    let same = |span: Option<Span>, path: &[&str]| {
        let expected = path.iter().try_fold(&value, |value, key| value.get(key));
        let found = span.map(|span| serde_json::from_slice::<Value>(span.of(body)).expect("a span is a value"));
        assert_eq!(found.as_ref(), expected, "{path:?}");
        if let (Some(span), Some(Value::String(text))) = (span, expected) {
            assert_eq!(decode_string(span.of(body)), *text);
            assert_eq!(serde_json::from_slice::<String>(&encode_string(text)).expect("a string"), *text);
        }
    };
    const RELATED: &str = "io.modelcontextprotocol/related-task";
    same(message.method_span, &["method"]);
    same(message.params, &["params"]);
    same(message.result, &["result"]);
    same(message.error, &["error"]);
    same(message.p.name, &["params", "name"]);
    same(message.p.uri, &["params", "uri"]);
    same(message.p.arguments, &["params", "arguments"]);
    same(message.p.meta, &["params", "_meta"]);
    same(message.p.meta_related_task, &["params", "_meta", RELATED, "taskId"]);
    same(message.r.task_id, &["result", "taskId"]);
    same(message.r.task_task_id, &["result", "task", "taskId"]);
    same(message.r.request_state, &["result", "requestState"]);
    same(message.r.meta_related_task, &["result", "_meta", RELATED, "taskId"]);
    if let Some(arguments) = message.p.arguments {
        let raw = arguments.of(body);
        if let Ok(Some(member)) = path::member(raw, "a") {
            let found: Value = serde_json::from_slice(member.of(raw)).expect("a member is a value");
            assert_eq!(Some(&found), value["params"]["arguments"].get("a"));
        }
    }
});
