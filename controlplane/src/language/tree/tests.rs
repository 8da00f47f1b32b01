//! What the tree keeps of the text.

use super::*;

fn dump(node: &Node) -> String {
    let place = format!("{}:{}", node.span.line, node.span.column);
    match &node.content {
        Content::Null => format!("null@{place}"),
        Content::Scalar(scalar) => format!("{}@{place}", scalar.text),
        Content::List(items) => format!("[{}]@{place}", items.iter().map(dump).collect::<Vec<_>>().join(" ")),
        Content::Map(entries) => {
            let entries: Vec<_> = entries
                .iter()
                .map(|e| format!("{}@{}:{}={}", e.key, e.key_span.line, e.key_span.column, dump(&e.value)))
                .collect();
            format!("{{{}}}@{place}", entries.join(" "))
        }
        Content::Broken => "broken".into(),
    }
}

fn parsed(text: &str) -> String {
    parse(text).map_or_else(|e| format!("{} at {}:{}", e.message, e.span.line, e.span.column), |n| dump(&n))
}

#[test]
fn scalars_stay_the_text_that_was_written() {
    for (written, kept) in [
        ("0123", "0123"),
        ("0x10", "0x10"),
        ("1_000", "1_000"),
        ("yes", "yes"),
        ("1.50", "1.50"),
        ("1e3", "1e3"),
        ("True", "True"),
        ("'007'", "007"),
        ("\"a\\u00e9\"", "aé"),
        ("12345678901234567890123456789012345678901", "12345678901234567890123456789012345678901"),
        (".inf", ".inf"),
        ("-5", "-5"),
        ("2026-07-28", "2026-07-28"),
        ("${A:-30}", "${A:-30}"),
    ] {
        let node = parse(&format!("a:  {written}   # comment\n")).ok().unwrap();
        assert_eq!(node.get("a").unwrap().text(), Some(kept), "{written}");
    }
}

#[test]
fn everything_has_its_place() {
    assert_eq!(parsed("a: 1\nb:\n  - x\n  - {c: ~}\n"), "{a@1:1=1@1:4 b@2:1=[x@3:5 {c@4:6=null@4:9}@4:5]@3:3}@1:1");
    assert_eq!(parsed("{\n\t\"a\": {\"b\":true},\n\t\"c\": []\n}"), "{a@2:2={b@2:8=true@2:12}@2:7 c@3:2=[]@3:7}@1:1");
}

#[test]
fn anchors_and_merge_keys_work() {
    assert_eq!(
        parsed("d: &d {t: 5}\ns:\n  <<: *d\n  u: 1\n"),
        "{d@1:1={t@1:8=5@1:11}@1:7 s@2:1={u@4:3=1@4:6 t@3:7=5@3:7}@3:3}@1:1"
    );
}

#[test]
fn broken_text_is_reported_with_its_place() {
    for (text, report) in [
        ("a: 1\na: 2\n", "duplicate mapping key: a at 2:1"),
        ("a: [1\nb: 2\n", "illegal placement of ':' indicator at 2:2"),
        ("a: b: c\n", "mapping values are not allowed in this context at 1:5"),
        ("{\"a\": 1 \"b\": 2}", "expected `,` or `}` at 1:9"),
        ("{\"é\": \"é\" \"b\": 2}", "expected `,` or `}` at 1:11"),
        ("{\"a\": 1, \"a\": 2}", "duplicate mapping key: a at 1:10"),
        ("a: \"x\n", "invalid indentation in multiline quoted scalar at 2:1"),
        ("a: *x\n", "alias references unknown anchor at 1:4"),
        ("? [a]\n: 1\n", "expected string scalar at 1:3"),
        ("a: 1\n---\nb: 2\n", "a second document begins here; a configuration is one document at 3:1"),
    ] {
        assert_eq!(parsed(text), report, "{text:?}");
    }
}

#[test]
fn spans_cover_what_was_written() {
    let text = "a: \"x y\"\nb: {é: true}\n";
    let node = parse(text).ok().unwrap();
    let written = |keys: &[&str]| {
        let path = keys.iter().fold(Path::default(), |path, key| path.key(key));
        let (key, value) = node.locate(&path);
        (text[key.start..key.end].to_owned(), text[value.start..value.end].to_owned())
    };
    assert_eq!(written(&["a"]), ("a".into(), "\"x y\"".into()));
    assert_eq!(written(&["b", "é"]), ("é".into(), "true".into()));
    assert_eq!(written(&["b", "é", "no", "more"]), ("é".into(), "true".into()));
}

fn parsed_json(text: &str) -> String {
    json::parse(text).map_or_else(|e| format!("{} at {}:{}", e.message, e.span.line, e.span.column), |n| dump(&n))
}

#[test]
fn json_is_read_as_json_says() {
    for (text, read) in [
        ("{\n\t\"a\": {\"b\":true},\n\t\"c\": []\n}", "{a@2:2={b@2:8=true@2:12}@2:7 c@3:2=[]@3:7}@1:1"),
        ("[\"\\/\", \"\\ud83d\\ude00\", \"\u{2028}\u{7f}\u{85} x\"]", "[/@1:2 😀@1:8 \u{2028}\u{7f}\u{85} x@1:24]@1:1"),
        ("[1e3, -0.50, null, \"yes\"]", "[1e3@1:2 -0.50@1:7 null@1:14 yes@1:20]@1:1"),
        ("{\"é\": \"é\", \"<<\": {\"a\": \"*b\"}}", "{é@1:2=é@1:7 <<@1:12={a@1:19=*b@1:24}@1:18}@1:1"),
    ] {
        assert_eq!(parsed_json(text), read, "{text}");
        if text.starts_with('{') {
            assert_eq!(parsed(text), read, "and whatever the file is called: {text}");
        }
    }
}

#[test]
fn what_only_yaml_knows_is_no_json() {
    for (text, report) in [
        ("{\"a\": \"\\x41\"}", "invalid escape at 1:9"),
        ("{\"a\": \"x\n  y\"}", "control character (\\u0000-\\u001F) found while parsing a string at 1:8"),
        ("{\"a\": yes}", "expected value at 1:7"),
        ("{\"a\": 010}", "invalid number at 1:8"),
        ("{\"a\": {b: 1}}", "key must be a string at 1:8"),
        ("{\"a\": 'b'}", "expected value at 1:7"),
        ("a: 1\n", "expected value at 1:1"),
        ("{\"a\": 1} # more\n", "trailing characters at 1:10"),
        ("{\"a\": 1, \"b\": {\"a\": 2, \"a\": 3}}", "duplicate mapping key: a at 1:24"),
        ("{\"a\": \"\\ud83d\"}", "unexpected end of hex escape at 1:7"),
        ("", "EOF while parsing a value at 1:1"),
    ] {
        assert_eq!(parsed_json(text), report, "{text:?}");
    }
    let deep = format!("{}{}", "[".repeat(1_000), "]".repeat(1_000));
    assert!(parsed_json(&deep).contains("nested too deeply"), "{}", parsed_json(&deep));
}

#[test]
fn the_place_of_every_value_of_a_long_line_is_found_at_once() {
    let text = format!("[{}]", vec!["{\"ab\":\"cd\"}"; 60_000].join(","));
    let node = json::parse(&text).ok().unwrap();
    let Content::List(items) = &node.content else { panic!("no list") };
    assert_eq!(items.last().unwrap().span.column, text.len() - "{\"ab\":\"cd\"}]".len() + 1);
}
