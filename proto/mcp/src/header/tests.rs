use super::*;
use crate::{ScanLimits, scan};

#[test]
fn the_specifications_examples_encode_and_decode() {
    for (text, header) in [
        ("us-west1", "us-west1"),
        ("Hello, 世界", "=?base64?SGVsbG8sIOS4lueVjA==?="),
        (" padded ", "=?base64?IHBhZGRlZCA=?="),
        ("line1\nline2", "=?base64?bGluZTEKbGluZTI=?="),
        ("=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="),
    ] {
        assert_eq!(encode_value(text), header);
        assert_eq!(decode_value(header.as_bytes()).unwrap(), text);
    }
}

#[test]
fn values_no_header_may_hold_are_refused() {
    for bad in [&b"a\nb"[..], "ü".as_bytes(), b"\x7f", b"=?base64?SGVsbG8?=", b"=?base64?/w==?=", b"=?base64?!?="] {
        assert!(matches!(decode_value(bad), Err(HeaderError::Malformed { .. })), "{bad:?}");
    }
    assert_eq!(decode_value(b"=?BASE64?YQ==?=").unwrap(), "=?BASE64?YQ==?=");
}

fn call(body: &[u8], version: &str, method: &str, name: &str) -> Result<(), String> {
    let message = scan(body, ScanLimits::default()).unwrap();
    let header = |v: &'static str| v;
    let _ = header;
    fn value(v: &str) -> Option<&[u8]> {
        (v != "-").then_some(v.as_bytes())
    }
    let mirror = Mirror { version: value(version), method: value(method), name: value(name) };
    check(&mirror, body, &message).map_err(|error| error.to_string())
}

const CALL: &[u8] = br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"b\u0061r","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#;

#[test]
fn headers_must_agree_with_the_body() {
    assert_eq!(call(CALL, "2026-07-28", "tools/call", "bar"), Ok(()));
    assert_eq!(call(CALL, "2026-07-28", "tools/call", "=?base64?YmFy?="), Ok(()));
    for (version, method, name, said) in [
        ("-", "tools/call", "bar", "Header mismatch: the MCP-Protocol-Version header is missing"),
        ("2026-07-28", "-", "bar", "Header mismatch: the Mcp-Method header is missing"),
        ("2026-07-28", "tools/call", "-", "Header mismatch: the Mcp-Name header is missing"),
        (
            "2026-07-28",
            "tools/call",
            "f'o\u{1b}",
            "Header mismatch: the Mcp-Name header holds characters that must be Base64-encoded",
        ),
        (
            "2026-07-28",
            "tools/call",
            "foo",
            "Header mismatch: Mcp-Name header value 'foo' does not match body value 'bar'",
        ),
        (
            "2026-07-28",
            "Tools/Call",
            "bar",
            "Header mismatch: Mcp-Method header value 'Tools/Call' does not match body value 'tools/call'",
        ),
        (
            "2025-11-25",
            "tools/call",
            "bar",
            "Header mismatch: MCP-Protocol-Version header value '2025-11-25' does not match body value '2026-07-28'",
        ),
    ] {
        assert_eq!(call(CALL, version, method, name).unwrap_err(), said);
    }
}

#[test]
fn a_name_in_the_header_alone_is_a_mismatch() {
    let body = br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{}}"#;
    let said = call(body, "2026-07-28", "tools/call", "x").unwrap_err();
    assert_eq!(said, "Header mismatch: Mcp-Name header value 'x' does not match body value (none)");
    let number = br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":7}}"#;
    assert!(call(number, "2026-07-28", "tools/call", "7").is_err());
}

#[test]
fn notifications_need_no_headers_but_must_not_lie() {
    let body = br#"{"jsonrpc":"2.0","method":"notifications/cancelled"}"#;
    assert_eq!(call(body, "-", "-", "-"), Ok(()));
    assert!(call(body, "-", "tools/call", "-").is_err());
}

#[test]
fn task_ids_are_compared_where_they_are_mirrored() {
    let body = br#"{"jsonrpc":"2.0","id":1,"method":"tasks/get","params":{"taskId":"t1"}}"#;
    assert_eq!(call(body, "2026-07-28", "tasks/get", "-"), Ok(()));
    assert_eq!(call(body, "2026-07-28", "tasks/get", "t1"), Ok(()));
    assert!(call(body, "2026-07-28", "tasks/get", "t2").is_err());
}

#[test]
fn foreign_values_are_told_short_and_escaped() {
    let error = HeaderError::Mismatch { header: NAME.into(), sent: "a'\u{1b}\n".repeat(40), body: Some("é".into()) };
    let said = error.to_string();
    assert!(said.contains("…") && said.len() < 600, "{said}");
    assert!(!said.contains('\u{1b}') && !said.contains('\n'));
}

fn headers(schema: &str) -> Result<Vec<(String, String)>, HeaderError> {
    let mut found: Vec<_> =
        param_headers(schema.as_bytes())?.into_iter().map(|h| (h.header, h.path.join("."))).collect();
    found.sort();
    Ok(found)
}

#[test]
fn annotations_are_found_along_properties() {
    let schema = r#"{"type":"object","properties":{
        "region":{"type":"string","x-mcp-header":"Region"},
        "x-mcp-header":{"type":"string","default":{"x-mcp-header":"no"}},
        "deep":{"type":"object","properties":{"n":{"type":["integer","null"],"x-mcp-header":"N"}}}}}"#;
    let expected = [("mcp-param-n", "deep.n"), ("mcp-param-region", "region")];
    assert_eq!(headers(schema).unwrap(), expected.map(|(h, p)| (h.to_owned(), p.to_owned())));
    assert_eq!(headers(r#"{"type":"object"}"#).unwrap(), []);
}

#[test]
fn annotations_that_break_a_rule_make_the_tool_invalid() {
    for schema in [
        r#"{"properties":{"a":{"type":"string","x-mcp-header":""}}}"#,
        r#"{"properties":{"a":{"type":"string","x-mcp-header":"a b"}}}"#,
        r#"{"properties":{"a":{"type":"string","x-mcp-header":"a\r\nb"}}}"#,
        r#"{"properties":{"a":{"type":"string","x-mcp-header":"é"}}}"#,
        r#"{"properties":{"a":{"type":"string","x-mcp-header":7}}}"#,
        r#"{"properties":{"a":{"type":"number","x-mcp-header":"A"}}}"#,
        r#"{"properties":{"a":{"type":"object","x-mcp-header":"A"}}}"#,
        r#"{"properties":{"a":{"type":["string","integer"],"x-mcp-header":"A"}}}"#,
        r#"{"properties":{"a":{"x-mcp-header":"A"}}}"#,
        r#"{"properties":{"a":{"type":"string","x-mcp-header":"A"},"b":{"type":"string","x-mcp-header":"a"}}}"#,
        r#"{"properties":{"a":{"type":"array","items":{"type":"string","x-mcp-header":"A"}}}}"#,
        r#"{"properties":{"a":{"anyOf":[{"type":"string","x-mcp-header":"A"}]}}}"#,
        r#"{"oneOf":[{"properties":{"a":{"type":"string","x-mcp-header":"A"}}}]}"#,
        r#"{"if":{"properties":{"a":{"type":"string","x-mcp-header":"A"}}}}"#,
        r##"{"$defs":{"a":{"type":"string","x-mcp-header":"A"}},"properties":{"a":{"$ref":"#/$defs/a"}}}"##,
        r#"{"additionalProperties":{"type":"string","x-mcp-header":"A"}}"#,
        r#"{"type":"string","x-mcp-header":"A"}"#,
        r#"{"properties":{"a":{"type":"string","x-\u006dcp-header":""}}}"#,
    ] {
        assert!(matches!(headers(schema), Err(HeaderError::Annotation { .. })), "{schema}");
    }
}

#[test]
fn parameters_must_agree_with_the_arguments() {
    let schema =
        br#"{"properties":{"r":{"type":"string","x-mcp-header":"R"},"n":{"type":"integer","x-mcp-header":"N"}}}"#;
    let wanted = param_headers(schema).unwrap();
    let check = |arguments: &str, r: Option<&'static str>, n: Option<&'static str>| {
        let get = |name: &str| match name {
            "mcp-param-r" => r.map(str::as_bytes),
            "mcp-param-n" => n.map(str::as_bytes),
            other => panic!("{other}"),
        };
        check_params(&wanted, get, Some(arguments.as_bytes()))
    };
    assert_eq!(check(r#"{"r":"x","n":42}"#, Some("x"), Some("42.0")), Ok(()));
    assert_eq!(check(r#"{"r":"x","n":42.0}"#, Some("=?base64?eA==?="), Some("42")), Ok(()));
    assert_eq!(check(r#"{"r":null}"#, None, None), Ok(()));
    assert_eq!(check_params(&wanted, |_| None, None), Ok(()));
    for (arguments, r, n) in [
        (r#"{"r":"x"}"#, None, None),
        (r#"{"r":"x"}"#, Some("y"), None),
        (r#"{"r":null}"#, Some("null"), None),
        (r#"{}"#, Some("x"), None),
        (r#"{"n":42}"#, None, Some("43")),
        (r#"{"n":9007199254740993}"#, None, Some("9007199254740993")),
        (r#"{"n":1}"#, None, Some("one")),
        (r#"{"r":"x","r":"y"}"#, Some("x"), None),
        (r#"{"r":"x"}"#, Some("x\n"), None),
    ] {
        assert!(check(arguments, r, n).is_err(), "{arguments} {r:?} {n:?}");
    }
}
