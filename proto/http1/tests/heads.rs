//! Heads as they are read, and as they are refused.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use http::{Method, StatusCode};
use proptest::prelude::*;
use sluice_http1::{Fields, Framing, HeadError, Limits, RequestHead, ResponseHead, Target, find_end};

const LIMITS: Limits = Limits { bytes: 1024, fields: 8 };

fn request(text: &str) -> Result<Option<(RequestHead, usize)>, HeadError> {
    RequestHead::parse(text.as_bytes(), LIMITS)
}

fn framing(lines: &str) -> Result<Framing, HeadError> {
    request(&format!("POST /mcp HTTP/1.1\r\n{lines}\r\n")).map(|head| head.unwrap().0.framing)
}

#[test]
fn a_request_is_taken_apart() {
    let text = "POST /servers/a/mcp?x=1 HTTP/1.1\r\nHost: h\r\nContent-Length:  5 \r\nX-Empty:\r\n\r\nhello";
    let (head, length) = request(text).unwrap().unwrap();
    assert_eq!(&text[length..], "hello");
    assert_eq!((head.verb, head.framing), (Method::POST, Framing::Length(5)));
    assert_eq!(
        (head.target.path(), head.target.query(), head.target.authority()),
        ("/servers/a/mcp", Some("x=1"), None)
    );
    assert!(head.http_11 && head.keep_alive && !head.expects_continue);
    let fields: Vec<_> = head.fields.iter().collect();
    assert_eq!(fields, [(&b"Host"[..], &b"h"[..]), (b"Content-Length", b"5"), (b"X-Empty", b"")]);
}

#[test]
fn targets_have_three_forms() {
    let absolute = Target::parse("http://Example.com:80/mcp?q").unwrap();
    assert_eq!((absolute.path(), absolute.query(), absolute.authority()), ("/mcp", Some("q"), Some("Example.com:80")));
    assert_eq!(Target::parse("http://h").unwrap().path(), "/");
    let bare = Target::parse("http://h?q").unwrap();
    assert_eq!((bare.path(), bare.query()), ("/", Some("q")));
    assert_eq!(Target::parse("*").unwrap().path(), "*");
    assert!(Target::parse("https://h/mcp").unwrap().is_https() && !absolute.is_https());
    for bad in ["", "/a#b", "http://", "ftp://h/mcp"] {
        assert!(Target::parse(bad).is_none(), "{bad}");
    }
}

#[test]
fn later_versions_of_http_1_are_read_and_others_are_told_apart() {
    let (head, length) = request("\r\nGET / HTTP/1.9\r\nHost: h\r\n\r\n").unwrap().unwrap();
    assert!(head.http_11 && head.keep_alive && length == 29, "{length}");
    assert!(matches!(request("GET / HTTP/1.2"), Ok(None)), "more is to come");
    for (text, error) in [
        ("GET / HTTP/2.0\r\n\r\n", HeadError::Version),
        ("GET / HTTP/0.9\r\n\r\n", HeadError::Version),
        ("GET / HTTP/1.22\r\n\r\n", HeadError::Malformed),
        ("GET / XTTP/1.2\r\n\r\n", HeadError::Malformed),
        ("\x16\x03\x01\x02", HeadError::Tls),
    ] {
        assert_eq!(request(text).map(|_| ()), Err(error), "{text:?}");
    }
}

#[test]
fn what_two_readers_could_frame_differently_is_refused() {
    assert_eq!(framing(""), Ok(Framing::Length(0)));
    assert_eq!(framing("Content-Length: 12\r\n"), Ok(Framing::Length(12)));
    assert_eq!(framing("Transfer-Encoding: Chunked\r\n"), Ok(Framing::Chunked));
    for lines in [
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length:\r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "Content-Length : 5\r\n",
        "X: a\r\n b\r\n",
        "X: a\0b\r\n",
        "X: a\n",
        "X: a\nContent-Length: 5\r\n",
        "Content-Length: 5\r\n\n",
        "\n",
    ] {
        assert_eq!(framing(lines), Err(HeadError::Malformed), "{lines:?}");
    }
    let old = request("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_eq!(old.map(|_| ()), Err(HeadError::Malformed), "HTTP/1.0 knows no chunks");
}

#[test]
fn connections_persist_as_their_version_says() {
    let keeps =
        |version: &str, line: &str| request(&format!("GET / {version}\r\n{line}\r\n")).unwrap().unwrap().0.keep_alive;
    assert!(keeps("HTTP/1.1", "") && keeps("HTTP/1.1", "Connection: keep-alive\r\n"));
    assert!(!keeps("HTTP/1.1", "Connection: x, CLOSE\r\n") && !keeps("HTTP/1.0", ""));
    assert!(keeps("HTTP/1.0", "Connection: Keep-Alive\r\n"));
}

#[test]
fn limits_hold() {
    let many: String = (0..9).map(|n| format!("X-{n}: 1\r\n")).collect();
    assert_eq!(framing(&many), Err(HeadError::TooLarge));
    let long = format!("X: {}\r\n", "x".repeat(1024));
    assert_eq!(framing(&long), Err(HeadError::TooLarge));
    let unfinished = format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(1024));
    assert_eq!(request(&unfinished).map(|_| ()), Err(HeadError::TooLarge));
}

#[test]
fn an_answer_is_framed_by_what_was_asked() {
    let parse =
        |text: &str, verb: Method| ResponseHead::parse(text.as_bytes(), &verb, LIMITS).map(|head| head.unwrap().0);
    let ok = parse("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n", Method::GET).unwrap();
    assert_eq!((ok.status, ok.framing, ok.keep_alive), (StatusCode::OK, Framing::Length(3), true));
    let head = parse("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", Method::HEAD).unwrap();
    assert_eq!(head.framing, Framing::Length(0));
    let open = parse("HTTP/1.1 200 OK\r\n\r\n", Method::POST).unwrap();
    assert_eq!((open.framing, open.keep_alive), (Framing::UntilClose, false));
    let both =
        parse("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", Method::POST).unwrap();
    assert_eq!((both.framing, both.keep_alive), (Framing::Chunked, false));
    for (head, keep_alive) in [
        ("204 No Content\r\n", true),
        ("204 No Content\r\nContent-Length: 0\r\n", true),
        ("204 No Content\r\nContent-Length: 5\r\n", false),
        ("204 No Content\r\nTransfer-Encoding: chunked\r\n", false),
        ("304 Not Modified\r\nContent-Length: 5\r\n", true),
        ("101 Switching Protocols\r\n", false),
    ] {
        let empty = parse(&format!("HTTP/1.1 {head}\r\n"), Method::POST).unwrap();
        assert_eq!((empty.framing, empty.keep_alive), (Framing::Length(0), keep_alive), "{head}");
    }
    for bad in ["Content-Length: 3\r\nContent-Length: 4\r\n", "Transfer-Encoding: gzip\r\n", "Content-Length: -1\r\n"] {
        let answer = parse(&format!("HTTP/1.1 200 OK\r\n{bad}\r\n"), Method::POST);
        assert_eq!(answer.map(|_| ()), Err(HeadError::Malformed), "{bad:?}");
    }
}

proptest! {
    /// However a head is cut, it is read once it is whole, and the same as in one piece.
    #[test]
    fn a_head_may_come_in_pieces(cut in 0usize..90) {
        let text = "POST /a HTTP/1.1\r\nHost: h\r\nMcp-Name: =?base64?eA==?=\r\nContent-Length: 2\r\n\r\n";
        let cut = cut.min(text.len());
        let first = request(&text[..cut]).unwrap();
        prop_assert_eq!(first.is_some(), cut == text.len());
        prop_assert_eq!(find_end(&text.as_bytes()[..cut], 0).is_some(), cut == text.len());
        prop_assert_eq!(find_end(text.as_bytes(), cut), Some(text.len()));
    }

    /// Whatever comes: no panic, and what is accepted has a head that ends in an empty line.
    #[test]
    fn anything_is_judged(bytes in proptest::collection::vec(any::<u8>(), 0..200), good in any::<bool>()) {
        let mut input = if good { b"GET / HTTP/1.1\r\n".to_vec() } else { Vec::new() };
        input.extend(bytes);
        if let Ok(Some((head, length))) = RequestHead::parse(&input, LIMITS) {
            prop_assert!(input[..length].ends_with(b"\n"));
            prop_assert!(head.fields.iter().all(|(name, _)| !name.is_empty()));
        }
        let _ = ResponseHead::parse(&input, &Method::POST, LIMITS);
    }

    /// What is written is read as it was.
    #[test]
    fn fields_survive_the_wire(names in proptest::collection::vec("[a-zA-Z-]{1,12}", 0..8), value in "[ -~]{0,40}") {
        let mut fields = Fields::default();
        for name in &names {
            prop_assume!(!name.eq_ignore_ascii_case("content-length") && !name.eq_ignore_ascii_case("transfer-encoding"));
            fields.push(name.as_bytes(), value.as_bytes()).unwrap();
        }
        let mut wire = b"GET / HTTP/1.1\r\n".to_vec();
        fields.write(&mut wire);
        wire.extend(b"\r\n");
        let (head, _) = RequestHead::parse(&wire, LIMITS).unwrap().unwrap();
        let read: Vec<_> = head.fields.iter().map(|(n, v)| (n.to_vec(), v.to_vec())).collect();
        let expected: Vec<_> = names.iter().map(|n| (n.as_bytes().to_vec(), value.trim().as_bytes().to_vec())).collect();
        prop_assert_eq!(read, expected);
    }
}
