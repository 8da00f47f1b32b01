//! Mirrored headers: what is encoded decodes to itself, and what is mirrored is accepted.
#![allow(clippy::unwrap_used, reason = "tests")]

mod json;

use proptest::prelude::*;
use sluice_mcp::{
    Mirror, ScanLimits, decode_string, encode_string,
    header::{check, check_params, decode_value, encode_value, param_headers, param_value},
    scan,
};

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn values_survive_encoding(text in prop_oneof![any::<String>(), "[ -~\t]{0,12}", "=\\?base64\\?[a-zA-Z0-9=]{0,8}\\?="]) {
        let value = encode_value(&text);
        prop_assert!(value.bytes().all(|b| matches!(b, b'\t' | b' '..=b'~')), "{}", value);
        prop_assert_eq!(value.trim(), &*value);
        prop_assert_eq!(&*decode_value(value.as_bytes()).unwrap(), &text);
    }

    #[test]
    fn any_value_decodes_or_is_refused(value in proptest::collection::vec(any::<u8>(), 0..40)) {
        if let Ok(text) = decode_value(&value) {
            prop_assert!(decode_value(encode_value(&text).as_bytes()).unwrap() == text);
        }
    }

    #[test]
    fn a_mirrored_name_agrees(name: String, other: String) {
        let token = String::from_utf8(encode_string(&name)).unwrap();
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{{"name":{token}}}}}"#);
        let message = scan(body.as_bytes(), ScanLimits::default()).unwrap();
        let judge = |name: &str| {
            let value = encode_value(name).into_owned();
            let (version, method) = (Some(&b"2026-07-28"[..]), Some(&b"prompts/get"[..]));
            check(&Mirror { version, method, name: Some(value.as_bytes()) }, body.as_bytes(), &message)
        };
        prop_assert!(judge(&name).is_ok());
        prop_assert_eq!(judge(&other).is_ok(), name == other);
    }

    /// Also where header and body look alike and are not, or look different and are alike.
    #[test]
    fn names_agree_just_where_they_mean_the_same(
        inner in prop_oneof![
            "[ -!#-\\[\\]-~]{0,10}",
            "(\\\\[\"\\\\/bfnrt]|\\\\u00[46][0-9]|[a-z=?é]){0,8}",
            "=\\?base64\\?(YQ==|YmFy|!)?\\?="
        ],
        other in prop_oneof![any::<String>(), "[a-z=?\\\\é]{0,4}"],
        which in 0..4_usize,
    ) {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{{"name":"{inner}"}}}}"#);
        let message = scan(body.as_bytes(), ScanLimits::default()).unwrap();
        let text = decode_string(format!("\"{inner}\"").as_bytes()).into_owned();
        let value = [inner.clone(), text.clone(), encode_value(&text).into_owned(), other][which].clone();
        let (version, method) = (Some(&b"2026-07-28"[..]), Some(&b"prompts/get"[..]));
        let mirror = Mirror { version, method, name: Some(value.as_bytes()) };
        let same = decode_value(value.as_bytes()).is_ok_and(|sent| sent == text);
        prop_assert_eq!(check(&mirror, body.as_bytes(), &message).is_ok(), same);
    }

    #[test]
    fn mirrored_arguments_agree(text: String, number in -(1i64 << 53) + 1..1 << 53, flag: bool) {
        let schema = br#"{"properties":{"t":{"type":"string","x-mcp-header":"T"},"o":{"properties":{"n":{"type":"integer","x-mcp-header":"N"},"f":{"type":"boolean","x-mcp-header":"F"}}}}}"#;
        let headers = param_headers(schema).unwrap();
        let arguments = serde_json::json!({"t": text, "o": {"n": number, "f": flag}}).to_string();
        let values: Vec<_> = headers
            .iter()
            .map(|h| (h.header.clone(), encode_value(&param_value(arguments.as_bytes(), h).unwrap()).into_owned()))
            .collect();
        let get = |name: &str| values.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_bytes());
        prop_assert_eq!(check_params(&headers, get, Some(arguments.as_bytes())), Ok(()));
        prop_assert!(check_params(&headers, |_| None, Some(arguments.as_bytes())).is_err());
    }

    #[test]
    fn any_schema_is_judged_without_a_panic(tree in json::tree(), seed: u64) {
        let schema = tree.spell(seed).replace("taskId", "x-mcp-header").replace("task", "properties");
        let _ = param_headers(schema.as_bytes());
    }
}
