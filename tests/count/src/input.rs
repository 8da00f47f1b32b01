//! The messages that the cases work on. Always the same bytes: written here, not by a library.

use bytes::Bytes;

/// Bytes of text in a call.
pub(crate) const SMALL: usize = 200;
pub(crate) const MEDIUM: usize = 4 * 1024;
pub(crate) const LARGE: usize = 1024 * 1024;

/// What a modern client says in the params of each request.
const META: &str = r#","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"count","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}"#;

/// A JSON string, without its quotes, of so many bytes: prose with line breaks, quotes and letters beyond ASCII.
fn text(bytes: usize) -> String {
    const PARAGRAPH: &str = r#"Find the orders of the customer \"Müller & Sons\" between May and July,\nnewest first, and say for each its number, its state and its sum in euros. "#;
    let whole = PARAGRAPH.repeat(bytes / PARAGRAPH.len());
    let rest = bytes - whole.len();
    whole + &"x".repeat(rest)
}

/// A `tools/call` of a legacy client with so much text.
pub(crate) fn legacy_call(bytes: usize) -> Bytes {
    call(bytes, "")
}

/// A `tools/call` of a modern client with so much text.
pub(crate) fn modern_call(bytes: usize) -> Bytes {
    call(bytes, META)
}

fn call(bytes: usize, meta: &str) -> Bytes {
    let text = text(bytes);
    let params = format!(r#"{{"name":"search_orders","arguments":{{"text":"{text}","limit":20}}{meta}}}"#);
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#).into()
}

/// A modern `completion/complete` for an argument of a prompt.
pub(crate) fn completion() -> Bytes {
    let params = r#""ref":{"type":"ref/prompt","name":"orders_summary"},"argument":{"name":"customer","value":"Mü"}"#;
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{{{params}{META}}}}}"#).into()
}

/// The answer to a call with so much text.
pub(crate) fn answer(bytes: usize) -> Bytes {
    content(&format!(r#"{{"type":"text","text":"{}"}}"#, text(bytes)))
}

/// An answer of 48 KB with so many links to resources in it.
pub(crate) fn linking_answer(links: usize) -> Bytes {
    let link = |number| {
        let name = format!(r#""uri":"file:///orders/{number}.json","name":"order {number}""#);
        format!(r#"{{"type":"resource_link",{name},"mimeType":"application/json"}},"#)
    };
    let links: String = (0..links).map(link).collect();
    content(&format!(r#"{links}{{"type":"text","text":"{}"}}"#, text(48 * 1024 - links.len())))
}

fn content(items: &str) -> Bytes {
    format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"content":[{items}],"isError":false}}}}"#).into()
}

/// The answer to a `tools/list` with so many tools: 100 are some 46 KB.
pub(crate) fn tools(count: usize) -> Bytes {
    let tools: Vec<String> = (0..count).map(tool).collect();
    format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"tools":[{}]}}}}"#, tools.join(",")).into()
}

/// A tool as a server of ordinary size describes its own.
pub(crate) fn tool(number: usize) -> String {
    let about = format!(
        r#""name":"tool_{number}","title":"Search orders {number}","description":"Finds the orders of a customer between two days, newest first, and says for each its number.""#
    );
    let properties = r#""text":{"type":"string","description":"Name or number of the customer"},"since":{"type":"string","format":"date"},"limit":{"type":"integer","minimum":1,"maximum":100,"default":20}"#;
    let schema = format!(r#"{{"type":"object","properties":{{{properties}}},"required":["text"]}}"#);
    format!(r#"{{{about},"inputSchema":{schema},"annotations":{{"readOnlyHint":true}}}}"#)
}
