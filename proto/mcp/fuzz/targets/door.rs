//! What many servers offer on one door: names and URIs lead back, edits leave valid JSON and nothing that was forced. The
//! input is `kind`, NUL, `text`, NUL, `text`, NUL, `body`.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use sluice_mcp::{
    EXPOSED_NAME_CHARS, ItemEdit, Method, ScanLimits, edit_arguments, edit_item, encode_string, expose_uri,
    exposed_name, join, list_page, name_in_ref, scan, splice, split_uri, template_matches, uri_token, uris_in_ref,
};

const LISTS: [Method; 4] =
    [Method::ToolsList, Method::PromptsList, Method::ResourcesList, Method::ResourcesTemplatesList];

fn door(one: &str, two: &str) {
    assert!(exposed_name(one, two).chars().count() <= EXPOSED_NAME_CHARS);
    let token = uri_token(one, &|_| false);
    let exposed = expose_uri(&token, two);
    assert_eq!(split_uri(&exposed), Some((token, two.to_owned())));
    if let Some((token, uri)) = split_uri(one) {
        assert_eq!(split_uri(&expose_uri(&token, &uri)), Some((token, uri)));
    }
    if !one.contains('{') && template_matches(one, two) {
        assert!(one.eq_ignore_ascii_case(two));
    }
    assert!(template_matches("{+any}", two));
}

fn edits(method: Method, one: &str, two: &str, body: &Bytes) {
    let Ok(message) = scan(body, ScanLimits::default()) else { return };
    let value = String::from_utf8(encode_string(two)).expect("text");
    let (defaults, forced) = ([("a", value.as_str())], [(one, "[1.0]")]);
    let _ = (name_in_ref(body, &message), uris_in_ref(body, &message));
    if let Ok(page) = list_page(body, &message, method) {
        let edit = ItemEdit { title: Some(two), defaults: &defaults, forced: &forced, ..ItemEdit::default() };
        for item in page.items {
            assert!(item.name.of(body).starts_with(b"\""));
            let edited = edit_item(&body.slice(item.span.range()), method, &edit);
            assert_eq!(edit_item(&edited, method, &edit), edited);
            // A parser gives up on some numbers and on halves of surrogate pairs; only what it reads can be looked into.
            let Ok(value) = serde_json::from_slice::<Value>(&edited) else { continue };
            assert_eq!(value["title"], two);
            if method == Method::ToolsList {
                let schema = &value["inputSchema"];
                assert!(schema["properties"].get(one).is_none());
                let names = schema["required"].as_array().map_or(&[][..], Vec::as_slice);
                assert!(!names.iter().any(|name| name == one || name == "a"));
            }
        }
    }
    let mut found = smallvec::SmallVec::new();
    if message.method == Method::ToolsCall && edit_arguments(body, &message, &defaults, &forced, &mut found).is_ok() {
        let edited = join(&splice(body, &mut found));
        let message = scan(&edited, ScanLimits::default()).expect("still a message");
        let arguments = message.p.arguments.expect("completed").of(&edited);
        let Ok(value) = serde_json::from_slice::<Value>(arguments) else { return };
        assert_eq!(value[one], serde_json::json!([1.0]));
        assert!(value.get("a").is_some());
    }
}

fuzz_target!(|input: &[u8]| {
    let mut parts = input.splitn(4, |&byte| byte == 0);
    let [kind, one, two, body] = [(); 4].map(|()| parts.next().unwrap_or_default());
    let (Ok(one), Ok(two)) = (std::str::from_utf8(one), std::str::from_utf8(two)) else { return };
    door(one, two);
    let method = LISTS[usize::from(kind.first().copied().unwrap_or_default()) % 4];
    edits(method, one, two, &Bytes::copy_from_slice(body));
});
