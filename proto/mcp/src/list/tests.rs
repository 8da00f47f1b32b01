use super::*;
use crate::{ScanLimits, scan};

fn page(method: Method, result: &str) -> Result<(ListPage, String), ListError> {
    let body = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{result}}}"#);
    let message = scan(body.as_bytes(), ScanLimits::default()).unwrap();
    list_page(body.as_bytes(), &message, method).map(|page| (page, body))
}

#[test]
fn items_lie_where_they_are_said_to_lie() {
    let result = r#"{ "tools" : [ {"x":{"name":"\ud800"},"name":"a\u0062"} ,{ "name" : "b" }, {"name":"b"}],"nextCursor":"","ttlMs":600000,"cacheScope":"private"}"#;
    let (page, body) = page(Method::ToolsList, result).unwrap();
    let items: Vec<_> = page.items.iter().map(|item| (&body[item.span.range()], &body[item.name.range()])).collect();
    let expected = [
        (r#"{"x":{"name":"\ud800"},"name":"a\u0062"}"#, r#""a\u0062""#),
        (r#"{ "name" : "b" }"#, r#""b""#),
        (r#"{"name":"b"}"#, r#""b""#),
    ];
    assert_eq!(items, expected);
    assert_eq!(page.next_cursor.map(|span| &body[span.range()]), Some("\"\""));
    assert_eq!((page.ttl_ms, page.private), (Some(600_000), true));
}

#[test]
fn each_list_has_its_own_words() {
    for (method, key, name) in [
        (Method::ToolsList, "tools", "name"),
        (Method::PromptsList, "prompts", "name"),
        (Method::ResourcesList, "resources", "uri"),
        (Method::ResourcesTemplatesList, "resourceTemplates", "uriTemplate"),
    ] {
        let (page, body) = page(method, &format!(r#"{{"{key}":[{{"{name}":"a"}}],"nextCursor":null}}"#)).unwrap();
        assert_eq!(&body[page.items[0].name.range()], "\"a\"");
        assert_eq!((page.next_cursor, page.ttl_ms, page.private), (None, None, false));
    }
    assert_eq!(page(Method::ToolsCall, "{}").unwrap_err(), ListError::NotAList(Method::ToolsCall));
}

#[test]
fn hints_are_read_with_care() {
    let hints = |hints: &str| {
        let (page, _) = page(Method::ToolsList, &format!(r#"{{"tools":[],{hints}}}"#)).unwrap();
        (page.ttl_ms, page.private)
    };
    assert_eq!(hints(r#""ttlMs":0,"cacheScope":"public""#), (Some(0), false));
    assert_eq!(hints(r#""ttlMs":-5,"cacheScope":"elsewhere""#), (Some(0), true));
    assert_eq!(hints(r#""ttlMs":1.5e3,"cacheScope":"publi\u0063""#), (Some(1500), false));
    assert_eq!(hints(r#""ttlMs":1e99,"cacheScope":null"#), (Some(u64::MAX), true));
    assert_eq!(hints(r#""ttlMs":"60","cacheScope":["public"]"#), (None, true));
}

#[test]
fn what_is_wrong_is_named() {
    let error = |result: &str| page(Method::ToolsList, result).unwrap_err();
    assert_eq!(error("7"), ListError::NoResult);
    assert_eq!(error("{}"), ListError::NoItems("tools"));
    assert_eq!(error(r#"{"tools":{}}"#), ListError::NoItems("tools"));
    assert_eq!(error(r#"{"tools":[],"nextCursor":7}"#), ListError::BadCursor);
}

#[test]
fn items_nobody_could_ask_for_are_left_out_and_counted() {
    for item in ["7", "null", "[]", "{}", r#"{"name":7}"#, r#"{"name":"a","n\u0061me":"b"}"#, r#"{"name":"\ud800"}"#] {
        let (page, body) = page(Method::ToolsList, &format!(r#"{{"tools":[{item},{{"name":"good"}}]}}"#)).unwrap();
        let names: Vec<_> = page.items.iter().map(|item| item.name.of(body.as_bytes())).collect();
        assert_eq!((names, page.nameless), (vec![&b"\"good\""[..]], 1), "{item}");
    }
}

#[test]
fn an_error_is_no_page() {
    let body = br#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no"}}"#;
    let message = scan(body, ScanLimits::default()).unwrap();
    assert_eq!(list_page(body, &message, Method::ToolsList), Err(ListError::NoResult));
}
