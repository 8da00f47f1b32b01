use super::*;

fn read(body: &str) -> Result<Message, ScanError> {
    scan(body.as_bytes(), ScanLimits::default())
}

fn reason(body: &str) -> Reason {
    match read(body) {
        Ok(message) => panic!("accepted: {body} as {message:?}"),
        Err(error) => error.reason,
    }
}

#[test]
fn a_tool_call_is_read_in_any_order_and_spelling() {
    let body = r#" {"params" : {"_meta":{"progressToken":7,"io.modelcontextprotocol/protocolVersion":"2026-07-28",
        "io.modelcontextprotocol/related-task":{"taskId":"t"}},"arguments":{"name":"no","x":[{}, [], "\ud800\udc00"]},
        "n\u0061me":"get"}, "extra":[1.5e-3,-0,true,false,null], "method":"tools\/call", "id":"\u00e9", "jsonrpc":"2\u002e0"} "#;
    let message = read(body).unwrap();
    let of = |span: Option<Span>| std::str::from_utf8(span.unwrap().of(body.as_bytes())).unwrap();
    assert_eq!((message.kind, message.method), (Kind::Request, Method::ToolsCall));
    assert_eq!(of(message.id), r#""\u00e9""#);
    assert_eq!(of(message.p.name), r#""get""#);
    assert_eq!(of(message.p.meta_progress_token), "7");
    assert_eq!(of(message.p.meta_protocol_version), r#""2026-07-28""#);
    assert_eq!(of(message.p.meta_related_task), r#""t""#);
    assert!(of(message.p.arguments).starts_with(r#"{"name":"no""#) && of(message.p.arguments).ends_with(r#""]}"#));
    assert!(of(message.params).starts_with('{') && of(message.params).ends_with('}'));
}

#[test]
fn kinds_are_told_apart() {
    let kind = |body| read(body).map(|message| message.kind);
    assert_eq!(kind(r#"{"jsonrpc":"2.0","id":0,"method":"x/y"}"#), Ok(Kind::Request));
    assert_eq!(kind(r#"{"jsonrpc":"2.0","method":"notifications/x"}"#), Ok(Kind::Notification));
    assert_eq!(kind(r#"{"jsonrpc":"2.0","id":-1,"result":{}}"#), Ok(Kind::Response));
    assert_eq!(kind(r#"{"jsonrpc":"2.0","error":{"code":-32700,"message":""}}"#), Ok(Kind::Response));
    let failed = read(r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":""}}"#).unwrap();
    assert_eq!((failed.id, failed.error_code), (None, Some(-32700)));
}

#[test]
fn results_are_read() {
    let body = r#"{"jsonrpc":"2.0","id":18446744073709551617,"result":{"resultType":"task","taskId":"a","task":{"taskId":"b","x":{}},
        "nextCursor":"c","requestState":"d","inputRequests":{},"supportedVersions":["v"],
        "_meta":{"io.modelcontextprotocol/related-task":{"taskId":"e"},"io.modelcontextprotocol/subscriptionId":1}}}"#;
    let message = read(body).unwrap();
    let of = |span: Option<Span>| std::str::from_utf8(span.unwrap().of(body.as_bytes())).unwrap();
    let r = message.r;
    let found = [r.result_type, r.task_id, r.task_task_id, r.next_cursor, r.request_state, r.meta_related_task];
    assert_eq!(found.map(of), [r#""task""#, r#""a""#, r#""b""#, r#""c""#, r#""d""#, r#""e""#]);
    assert_eq!(
        [r.supported_versions, r.meta_subscription_id, message.id].map(of),
        [r#"["v"]"#, "1", "18446744073709551617"]
    );
}

#[test]
fn what_is_no_message_is_refused_with_its_reason() {
    for (body, expected) in [
        ("", Reason::Empty),
        (" \n", Reason::Empty),
        ("\u{feff}{}", Reason::Syntax),
        ("nul", Reason::Syntax),
        ("7", Reason::NotAnObject),
        ("[]", Reason::Batch),
        ("{}", Reason::BadVersion),
        (r#"{"jsonrpc":2.0,"id":1,"method":"x"}"#, Reason::BadVersion),
        (r#"{"jsonrpc":"1.0","id":1,"method":"x"}"#, Reason::BadVersion),
        (r#"{"jsonrpc":"2.0"}"#, Reason::BadMethod),
        (r#"{"jsonrpc":"2.0","id":1,"method":7}"#, Reason::BadMethod),
        (r#"{"jsonrpc":"2.0","id":1,"method":"x"}}"#, Reason::TrailingBytes),
        (r#"{"jsonrpc":"2.0","id":1,"method":"x"} {}"#, Reason::TrailingBytes),
        (r#"{"jsonrpc":"2.0","id":1,"method":"x","params":[]}"#, Reason::BadParams),
        (r#"{"jsonrpc":"2.0","id":1,"method":"x","params":null}"#, Reason::BadParams),
        (r#"{"jsonrpc":"2.0","method":"tools/call"}"#, Reason::RequestWithoutId),
        (r#"{"jsonrpc":"2.0","id":null,"method":"tools/call"}"#, Reason::BadId),
        (r#"{"jsonrpc":"2.0","id":1.0,"method":"x"}"#, Reason::BadId),
        (r#"{"jsonrpc":"2.0","id":1e3,"method":"x"}"#, Reason::BadId),
        (r#"{"jsonrpc":"2.0","id":-0,"method":"x"}"#, Reason::BadId),
        (r#"{"jsonrpc":"2.0","id":{},"method":"x"}"#, Reason::BadId),
        (r#"{"jsonrpc":"2.0","id":true,"method":"x"}"#, Reason::BadId),
        (r#"{"jsonrpc":"2.0","result":{}}"#, Reason::BadId),
        (r#"{"jsonrpc":"2.0","id":null,"result":{}}"#, Reason::BadId),
        (r#"{"jsonrpc":"2.0","id":1,"method":"notifications/x"}"#, Reason::Ambiguous),
        (r#"{"jsonrpc":"2.0","id":1,"method":"x","result":{}}"#, Reason::Ambiguous),
        (r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#, Reason::Ambiguous),
        (r#"{"jsonrpc":"2.0","id":1,"id":1,"method":"x"}"#, Reason::DuplicateKey),
        (r#"{"jsonrpc":"2.0","id":1,"method":"x","m\u0065thod":"x"}"#, Reason::DuplicateKey),
        (r#"{"jsonrpc":"2.0","id":1,"method":"x","z":1,"\u007a":1}"#, Reason::DuplicateKey),
        (r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"name":1,"n\u0061me":2}}"#, Reason::DuplicateKey),
        (r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"_meta":{"a":1,"a":2}}}"#, Reason::DuplicateKey),
        (r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"_meta":{},"_meta":{}}}"#, Reason::DuplicateKey),
        (
            r#"{"jsonrpc":"2.0","id":1,"result":{"_meta":{"io.modelcontextprotocol/related-task":{"taskId":1,"taskId":1}}}}"#,
            Reason::DuplicateKey,
        ),
        (r#"{"jsonrpc":"2.0","id":1,"result":{"task":{"a":1,"a":1}}}"#, Reason::DuplicateKey),
        (r#"{"jsonrpc":"2.0","id":1,"result":{"task":1,"task":{}}}"#, Reason::DuplicateKey),
        (r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"code":1}}"#, Reason::DuplicateKey),
        (r#"{"jsonrpc":"2.0","id":"\ud800","method":"x"}"#, Reason::LoneSurrogate),
        (r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"name":"\udc00"}}"#, Reason::LoneSurrogate),
        (r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"arguments":["\ud800\u0041"]}}"#, Reason::LoneSurrogate),
        (r#"{"jsonrpc":"2.0","id":1,"result":{"taskId":"\udc00"}}"#, Reason::LoneSurrogate),
    ] {
        assert_eq!(reason(body), expected, "{body}");
    }
}

#[test]
fn json_is_strict_however_deep() {
    for value in [
        "nul",
        "tru",
        "TRUE",
        "01",
        "-",
        "+1",
        "1.",
        ".5",
        "1e",
        "1e+",
        "0x1",
        "NaN",
        "'a'",
        "\"a",
        "\"\\x\"",
        "\"\\u12g4\"",
        "\"\t\"",
        "\"\u{1}\"",
        "[1,]",
        "[,1]",
        "[1 2]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{,}",
        "{a:1}",
        "[1}",
        "{\"a\":1]",
        "{1:2}",
        "//x\n1",
        "\u{a0}1",
        "[[1]",
        "\"a\" \"b\"",
        "--1",
        "1-1",
        "\u{c}1",
        "]",
        "\"\\\"",
    ] {
        for (before, after) in
            [("", ""), ("[[{\"k\":", "}]]"), ("{\"long enough to cross blocks\":[1,2,3],\"k\":", "}")]
        {
            let body = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"structuredContent":{before}{value}{after}}}}}"#);
            assert_eq!(reason(&body), Reason::Syntax, "{body}");
        }
    }
}

#[test]
fn broken_utf8_is_refused_where_it_stands() {
    let error = scan(b"{\"jsonrpc\":\"2.0\",\"x\":\"\xc3\"}", ScanLimits::default()).unwrap_err();
    assert_eq!((error.reason, error.at), (Reason::NotUtf8, 22));
}

#[test]
fn cut_emoji_pass_in_what_servers_say() {
    assert!(read(r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"\ud83d"}]}}"#).is_ok());
}

#[test]
fn depth_is_bounded() {
    let nested = |n: usize| {
        let (open, close) = ("[".repeat(n), "]".repeat(n));
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"x","x":{open}{close}}}"#)
    };
    assert!(read(&nested(126)).is_ok());
    assert_eq!(reason(&nested(127)), Reason::TooDeep);
    assert_eq!(reason(&nested(100_000)), Reason::TooDeep);
    let flat = ScanLimits { depth: 1 };
    assert!(scan(br#"{"jsonrpc":"2.0","id":1,"method":"x"}"#, flat).is_ok());
    assert_eq!(
        scan(br#"{"jsonrpc":"2.0","id":1,"method":"x","params":{}}"#, flat).unwrap_err().reason,
        Reason::TooDeep
    );
    assert!(scan(nested(127).as_bytes(), ScanLimits { depth: u16::MAX }).is_ok());
}

#[test]
fn faults_carry_the_id_that_was_read_before_them() {
    let body = r#"{"jsonrpc":"2.0","id":"a","method":"x","params":[]}"#;
    let error = read(body).unwrap_err();
    assert_eq!(error.id.unwrap().of(body.as_bytes()), b"\"a\"");
    assert_eq!(error.code(), -32602);
    assert_eq!(error.to_string(), "\"params\" must be an object (at byte 48)");
    assert_eq!(read(r#"{"id":1,"id":2}"#).unwrap_err().id, None);
    assert_eq!(read(r#"{"id":null,"x"}"#).unwrap_err().id, None);
}

#[test]
fn many_unknown_keys_are_still_compared() {
    let keys: Vec<String> = (0..100).map(|n| format!("\"k{n}\":{n}")).collect();
    let body =
        |extra: &str| format!(r#"{{"jsonrpc":"2.0","id":1,"method":"x","params":{{{}{extra}}}}}"#, keys.join(","));
    assert!(read(&body("")).is_ok());
    assert_eq!(reason(&body(r#","\u006b5":0"#)), Reason::DuplicateKey);
    assert_eq!(reason(&body(r#","k99":0"#)), Reason::DuplicateKey);
}

#[test]
fn batches_are_split_and_bounded() {
    let body = br#" [ {"a":[1,2]} , 7 ] "#;
    let spans = batch(body, ScanLimits::default(), 2).unwrap();
    let parts: Vec<_> = spans.iter().map(|span| span.of(body)).collect();
    assert_eq!(parts, [&br#"{"a":[1,2]}"#[..], b"7"]);
    let reason = |body: &[u8], most| batch(body, ScanLimits::default(), most).unwrap_err().reason;
    assert_eq!(reason(body, 1), Reason::TooLarge);
    assert_eq!(reason(b"[]", 9), Reason::Empty);
    assert_eq!(reason(b"[1]]", 9), Reason::TrailingBytes);
    assert_eq!(reason(b"{}", 9), Reason::Syntax);
}
