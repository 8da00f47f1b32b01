use bytes::Bytes;

use super::*;

fn mark(kind: HandleKind, handle: &str) -> String {
    format!("<{kind:?}:{handle}>")
}

fn filter(chunks: &[&[u8]]) -> String {
    let mut filter = HandleFilter::new(100);
    let mut out = Vec::new();
    for chunk in chunks {
        filter.feed(&Bytes::copy_from_slice(chunk), &mut out, &mut mark).unwrap();
    }
    filter.finish(&mut out).unwrap();
    String::from_utf8(out.concat()).unwrap()
}

const REPLY: &str = r#" {"jsonrpc":"2.0","id":"taskId","taskId":"no","result":{"structuredContent":{"taskId":"no","task":{"taskId":"no"}},
  "content":[{"type":"text","text":"{\"taskId\":\"no\"}"},"taskId"],"requestState":"a\"b","nextCursor":"c","t\u0061skId":"d","task":{"status":"taskId","taskId":"e","x":[{"taskId":"no"}]},
  "tasks":[{"taskId":"f","y":{"taskId":"no"}},"no",{"taskId":"g"},[{"taskId":"no"}],{"taskId":7},"no"],
  "_meta":{"taskId":"no","io.modelcontextprotocol/related-task":{"taskId":"h"}},"taskId":null,"nextCursor":7},"requestState":"no"} "#;

fn expected() -> String {
    let mut expected = REPLY.to_owned();
    for (from, to) in [
        (r#":"a\"b""#, r#":"<RequestState:a\"b>""#),
        (r#":"c""#, r#":"<Cursor:c>""#),
        (r#":"d""#, r#":"<Task:d>""#),
        (r#":"e""#, r#":"<Task:e>""#),
        (r#":"f""#, r#":"<Task:f>""#),
        (r#":"g""#, r#":"<Task:g>""#),
        (r#":"h""#, r#":"<Task:h>""#),
    ] {
        assert_eq!(expected.matches(from).count(), 1, "{from}");
        expected = expected.replace(from, to);
    }
    expected
}

#[test]
fn handles_are_replaced_where_they_stand_and_nowhere_else() {
    assert_eq!(filter(&[REPLY.as_bytes()]), expected());
}

#[test]
fn any_chunking_gives_the_same_reply() {
    let reply = REPLY.as_bytes();
    for cut in 0..reply.len() {
        assert_eq!(filter(&[&reply[..cut], &reply[cut..]]), expected(), "cut at {cut}");
    }
    let bytes: Vec<&[u8]> = reply.chunks(1).collect();
    assert_eq!(filter(&bytes), expected());
}

#[test]
fn batches_and_replies_in_a_row_are_read() {
    let batch = br#"[{"result":{"taskId":"a"}},{"result":{"taskId":"b"}}]{"result":{"nextCursor":"c"}}"#;
    let expected =
        r#"[{"result":{"taskId":"<Task:a>"}},{"result":{"taskId":"<Task:b>"}}]{"result":{"nextCursor":"<Cursor:c>"}}"#;
    assert_eq!(filter(&[batch]), expected);
}

#[test]
fn replies_without_handles_pass_as_they_are() {
    let reply = Bytes::from_static(br#"{"jsonrpc":"2.0","id":1,"result":{"content":[]}}"#);
    let mut out = Vec::new();
    let mut filter = HandleFilter::new(10);
    filter.feed(&reply, &mut out, &mut |_, _| unreachable!()).unwrap();
    assert_eq!((out.len(), out[0].as_ptr()), (1, reply.as_ptr()));
}

#[test]
fn malformed_replies_pass() {
    for reply in [
        "",
        "]]}}\"",
        "{\"result\":[1,2,}",
        "{\"result\":{\"taskId\":\"abc",
        "{\"result\":{:,\"taskId\"\"x\"",
        "<html>",
    ] {
        assert_eq!(filter(&[reply.as_bytes()]).replace("<Task:x>", "x"), reply);
    }
}

#[test]
fn a_handle_over_the_limit_ends_the_reply() {
    let reply = Bytes::from(format!(r#"{{"result":{{"taskId":"{}"}}}}"#, "x".repeat(60)));
    let limited = |limit, cut: usize| {
        let mut filter = HandleFilter::new(limit);
        let mut out = Vec::new();
        filter.feed(&reply.slice(..cut), &mut out, &mut mark)?;
        filter.feed(&reply.slice(cut..), &mut out, &mut mark)?;
        filter.finish(&mut out)
    };
    for cut in 0..reply.len() {
        assert_eq!(limited(62, cut), Ok(()));
        assert_eq!(limited(61, cut), Err(HandleError::TooLarge { limit: 61 }));
    }
}

fn listed(body: &str) -> Vec<(HandleKind, &str)> {
    let mut out = SmallVec::new();
    handles(body.as_bytes(), &mut out);
    out.iter().map(|(kind, span)| (*kind, &body[span.range()])).collect()
}

#[test]
fn handles_of_a_complete_message_are_listed() {
    use HandleKind::{Cursor, RequestState, Task};
    let tokens: Vec<_> = listed(REPLY);
    let expected = [
        (RequestState, r#""a\"b""#),
        (Cursor, r#""c""#),
        (Task, r#""d""#),
        (Task, r#""e""#),
        (Task, r#""f""#),
        (Task, r#""g""#),
        (Task, r#""h""#),
    ];
    assert_eq!(tokens, expected);
    assert_eq!(listed(r#"{"method":"x"}"#), []);
}

#[test]
fn task_ids_of_params_count_by_method() {
    use HandleKind::Task;
    let status = r#"{"params":{"taskId":"a","_meta":{"io.modelcontextprotocol/related-task":{"taskId":"b"}},"nextCursor":"no"},"method":"notifications/tasks\/status"}"#;
    assert_eq!(listed(status), [(Task, "\"a\""), (Task, "\"b\"")]);
    assert_eq!(listed(&status.replace("\\/status", "")), [(Task, "\"a\""), (Task, "\"b\"")]);
    assert_eq!(listed(&status.replace("\\/status", "/x")), [(Task, "\"b\"")]);
    let listening = r#"{"method":"notifications/subscriptions/acknowledged","params":{"notifications":{"taskIds":["a",7,["no"],{"taskId":"no"},"b"]},"taskIds":["no"]}}"#;
    assert_eq!(listed(listening), [(Task, "\"a\""), (Task, "\"b\"")]);
    assert_eq!(listed(&listening.replace("acknowledged", "x")), []);
}
