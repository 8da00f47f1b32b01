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

fn linked(body: &str) -> Vec<&str> {
    let mut out = SmallVec::new();
    handles_and_links(body.as_bytes(), &mut out);
    assert!(out.is_sorted_by_key(|(_, span)| span.start));
    out.iter().filter(|(kind, _)| *kind == HandleKind::Uri).map(|(_, span)| &body[span.range()]).collect()
}

const LINKS: &str = r#"{"jsonrpc":"2.0","id":"uri","uri":"no","result":{"uri":"no","taskId":"t","content":[
  {"type":"text","text":"{\"type\":\"resource_link\",\"uri\":\"no\"}"},
  {"uri":"a:1","name":"x","type":"resource_link"},
  {"type":"resource","uri":"@","resource":{"text":"x","uri":"a:2","_meta":{"uri":"no"}}},
  {"type":"resource","resource":[{"uri":"no"}]}],
  "structuredContent":{"deep":[[{"links":[{"type":"resource_link","\u0075ri":"a:3"}],"_meta":{"ui":{"resourceUri":"ui://4"}}}]],
    "a":{"type":"resource","resource":{"type":"resource_link","uri":"a:5"}},"b":{"type":"resource_link","uri":{"uri":"no"}},
    "c":{"type":"link","uri":"no"},"d":{"type":["resource_link"],"uri":"no"},"ui/resourceUri":"ui://no","ui":{"resourceUri":"ui://no"}},
  "_meta":{"ui/resourceUri":"ui:\/\/6","ui":{"resourceUri":"https://no","x":{"resourceUri":"ui://no"}}}}}"#;

#[test]
fn links_of_a_complete_message_are_found_however_deep() {
    let expected = [r#""a:1""#, r#""a:2""#, r#""a:3""#, r#""ui://4""#, r#""a:5""#, r#""ui:\/\/6""#];
    assert_eq!(linked(LINKS), expected);
    let mut out = SmallVec::new();
    handles_and_links(LINKS.as_bytes(), &mut out);
    assert_eq!(out.len(), expected.len() + 1, "the task is listed, too");
    // requests and notifications alike
    assert_eq!(linked(&LINKS.replace("\"result\"", "\"method\":\"x\",\"params\"")), expected);
    assert_eq!(linked(&LINKS.replace("\"result\"", "\"error\"")), [""; 0]);
}

#[test]
fn what_was_read_and_what_notifications_name_are_links() {
    let read = r#"{"result":{"contents":[{"uri":"a:1"},{"uri":7},["uri",{"uri":"no"}],{"type":"resource_link","uri":"a:2"}]}}"#;
    assert_eq!(linked(read), ["\"a:1\"", "\"a:2\""]);
    assert_eq!(linked(&read.replace("result", "params")), ["\"a:2\""]);
    let updated = r#"{"params":{"uri":"a:1","x":{"uri":"no"}},"method":"notifications\/resources\/updated"}"#;
    assert_eq!(linked(updated), ["\"a:1\""]);
    assert_eq!(linked(&updated.replace("updated", "x")), [""; 0]);
    let acknowledged = r#"{"method":"notifications/subscriptions/acknowledged","params":{"uri":"no","notifications":{"taskIds":["t"],"resourceSubscriptions":["a:1",7,["no"],"a:2"]}}}"#;
    assert_eq!(linked(acknowledged), ["\"a:1\"", "\"a:2\""]);
    assert_eq!(linked(&acknowledged.replace("acknowledged", "x")), [""; 0]);
}

#[test]
fn the_last_of_two_counts() {
    let body = r#"{"result":{"a":{"type":"text","type":"resource_link","uri":"no","uri":"a:1"},"b":{"type":"resource_link","type":"text","uri":"no"}}}"#;
    assert_eq!(linked(body), ["\"a:1\""]);
}

#[test]
fn malformed_messages_have_few_links_and_no_faults() {
    for end in 0..LINKS.len() {
        linked(&String::from_utf8_lossy(&LINKS.as_bytes()[..end]));
    }
    let deep = format!("{}{}{}", r#"{"result":"#, r#"{"uri":["#.repeat(1000), "]}".repeat(1000) + "}");
    assert_eq!(linked(&deep), [""; 0]);
}

fn filter_links(chunks: &[&[u8]]) -> String {
    let mut filter = HandleFilter::with_links(100);
    let mut out = Vec::new();
    for chunk in chunks {
        filter.feed(&Bytes::copy_from_slice(chunk), &mut out, &mut mark).unwrap();
    }
    filter.finish(&mut out).unwrap();
    String::from_utf8(out.concat()).unwrap()
}

#[test]
fn links_of_a_reply_that_streams_past_are_replaced_by_place() {
    let reply = r#"[{"result":{"uri":"no","taskId":"1","content":[{"uri":"2","type":"resource_link"},{"resource":{"uri":"3","x":{"uri":"no"}}},[{"uri":"no"}],"uri"],
      "contents":[{"\u0075ri":"4","resource":{"uri":"no"}}],"messages":[{"role":"user","content":{"resource":{"uri":"5"}},"uri":"no"},{"content":[{"uri":"6"},{"uri":7},{"resource":{"uri":"10"}}]}],
      "structuredContent":{"content":[{"uri":"no"}]},"_meta":{"ui":{"resourceUri":"ui://8"},"ui/resourceUri":"no"}}},
      {"result":{"content":{"uri":"9"}}},{"params":{"content":[{"uri":"no"}]},"content":[{"uri":"no"}]}]"#;
    let mut expected = reply.replace("\"1\"", "\"<Task:1>\"").replace("\"ui://8\"", "\"<Uri:ui://8>\"");
    for uri in ["2", "3", "4", "5", "6", "9", "10"] {
        expected = expected.replace(&format!("\"{uri}\""), &format!("\"<Uri:{uri}>\""));
    }
    assert_eq!(filter_links(&[reply.as_bytes()]), expected);
    for cut in 0..reply.len() {
        assert_eq!(filter_links(&[&reply.as_bytes()[..cut], &reply.as_bytes()[cut..]]), expected, "cut at {cut}");
    }
    assert_eq!(filter(&[reply.as_bytes()]), reply.replace("\"1\"", "\"<Task:1>\""));
}
