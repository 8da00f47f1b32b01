//! Tool parameters mirrored into headers (`x-mcp-header`, 2026-07-28 *Custom Headers from Tool Parameters*): checked where
//! the server behind us sees no headers, made where the client in front of us sends none.

use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use sluice_http1::Fields;
use sluice_mcp::header::{check_params, encode_value, param_headers, param_value};
use sluice_mcp::{Method, ScanLimits, decode_string, scan};

use super::ask::{answer_to, send};
use super::call::{Call, Posted};
use super::relay::edited;
use crate::limit;
use crate::node::Worker;
use crate::reason::Reason;
use crate::upstream::Upstream;
use crate::upstream::http::Request;
use crate::upstream::parameters::Tools;
use crate::upstream::pipe::Child;

/// Where a server's tools are listed.
#[derive(Clone, Copy)]
pub(super) enum From<'a> {
    Http(&'a Rc<Worker>),
    Child(&'a Child),
}

/// Checks a call's `Mcp-Param-*` headers towards a server that sees only the body.
///
/// # Errors
/// [`Reason::HeaderMismatch`], after the tools were listed anew: the annotation may have changed.
pub(super) async fn check(call: &Call, posted: &Posted, child: &Child) -> Result<(), Reason> {
    let Some(tool) = (!call.synthesized).then(|| tool(posted)).flatten() else { return Ok(()) };
    let parameters = &call.upstream.parameters;
    let arguments = posted.raw(posted.message.p.arguments);
    let mut second = false;
    loop {
        let listed = Box::pin(parameters.get(list(&call.upstream, From::Child(child)))).await;
        let Some(headers) = listed.tools.headers.get(&tool) else { return Ok(()) };
        let sent = |name: &str| call.headers.get(name);
        match check_params(headers, sent, arguments.as_deref()) {
            Ok(()) => return Ok(()),
            Err(error) if second => return Err(Reason::HeaderMismatch(error.to_string())),
            Err(_) => parameters.forget(),
        }
        second = true;
    }
}

/// Adds the `Mcp-Param-*` headers a tool asks for to a request whose client speaks without headers, and makes them again
/// where the configuration changed the arguments.
pub(super) async fn mirror(worker: &Rc<Worker>, call: &Call, posted: &Posted, headers: &mut Fields) {
    let Some(tool) = (call.synthesized || posted.rearranged).then(|| tool(posted)).flatten() else { return };
    let Some(arguments) = arguments(posted) else { return };
    let listed = Box::pin(call.upstream.parameters.get(list(&call.upstream, From::Http(worker)))).await;
    for parameter in listed.tools.headers.get(&tool).into_iter().flatten() {
        headers.remove(parameter.header.as_str());
        let Some(value) = param_value(&arguments, parameter) else { continue };
        // an annotation that is no token names no field
        let _ = headers.push(parameter.header.as_bytes(), encode_value(&value).as_bytes());
    }
}

/// The arguments as the server sees them.
fn arguments(posted: &Posted) -> Option<Bytes> {
    if !posted.rearranged {
        return posted.raw(posted.message.p.arguments);
    }
    let body = edited(&posted.body, &mut posted.edits.clone());
    let message = scan(&body, ScanLimits { depth: u16::MAX }).ok()?;
    message.p.arguments.map(|span| body.slice(span.range()))
}

fn tool(posted: &Posted) -> Option<String> {
    let name = posted.message.p.name.filter(|_| posted.message.method == Method::ToolsCall)?;
    Some(posted.name.clone().unwrap_or_else(|| decode_string(name.of(&posted.body)).into_owned()))
}

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    result: PageResult<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageResult<'a> {
    #[serde(borrow, default)]
    tools: Vec<Tool<'a>>,
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Tool<'a> {
    name: String,
    #[serde(borrow)]
    input_schema: Option<&'a RawValue>,
    #[serde(default)]
    annotations: Annotations,
}

/// What a tool says of running twice (2025-11-25 *Schema: ToolAnnotations*).
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Annotations {
    read_only_hint: bool,
    idempotent_hint: bool,
}

/// Whether a request may run twice: it reads, or calls a tool of which the configuration or the server says so. For servers whose
/// configuration trusts such words.
pub(super) async fn may_run_twice(worker: &Rc<Worker>, call: &Call, posted: &Posted) -> bool {
    let Some(tool) = tool(posted) else { return reads(posted.message.method) };
    let edits = call.upstream.config.curation.tool_edits.get(&tool);
    let said = |hint: &str| {
        let mut annotations = edits?.annotations.iter();
        annotations.find(|(name, _)| name == hint).map(|(_, value)| value.trim() == "true")
    };
    let hints = [said("readOnlyHint"), said("idempotentHint")];
    if hints.contains(&Some(true)) {
        return true;
    }
    if hints.contains(&Some(false)) {
        return false;
    }
    let listed = Box::pin(call.upstream.parameters.get(list(&call.upstream, From::Http(worker)))).await;
    listed.tools.repeatable.contains(&tool)
}

/// Whether a method only reads.
fn reads(method: Method) -> bool {
    use Method::{
        PromptsGet, PromptsList, ResourcesList, ResourcesRead, ResourcesTemplatesList, ServerDiscover, ToolsList,
    };
    let reading =
        [PromptsGet, PromptsList, ResourcesList, ResourcesRead, ResourcesTemplatesList, ServerDiscover, ToolsList];
    reading.contains(&method)
}

/// What is to be remembered of all tools, all pages. Of a server that cannot be asked, nothing.
async fn list(upstream: &Upstream, from: From<'_>) -> Tools {
    let mut found = Tools::default();
    let mut cursor: Option<String> = None;
    for _ in 0..limit::LIST_PAGES {
        let Some(page) = page(upstream, from, cursor.as_deref()).await else { break };
        let Ok(page) = serde_json::from_slice::<Page<'_>>(&page) else { break };
        for tool in page.result.tools {
            // an invalid annotation makes the tool invalid: clients do not offer it, the server judges what comes
            let headers = tool.input_schema.and_then(|schema| param_headers(schema.get().as_bytes()).ok());
            if tool.annotations.read_only_hint || tool.annotations.idempotent_hint {
                found.repeatable.insert(tool.name.clone());
            }
            found.headers.extend(headers.filter(|h| !h.is_empty()).map(|headers| (tool.name, headers)));
        }
        cursor = page.result.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    found
}

async fn page(upstream: &Upstream, from: From<'_>, cursor: Option<&str>) -> Option<Bytes> {
    let mut params = serde_json::json!({ "_meta": {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": { "name": "sluice", "version": env!("CARGO_PKG_VERSION") },
        "io.modelcontextprotocol/clientCapabilities": {},
    }});
    if let Some(cursor) = cursor {
        params["cursor"] = cursor.into();
    }
    let body = serde_json::json!({ "jsonrpc": "2.0", "id": "sluice-tools", "method": "tools/list", "params": params });
    let body = Bytes::from(body.to_string());
    match from {
        From::Child(child) => child.ask(body).await,
        From::Http(worker) => {
            let request = Request::post(&body).modern("tools/list");
            let response = send(worker, upstream, &request, Instant::now()).await.ok()?;
            answer_to(None, response, limit::SMALL_REPLY_BYTES).await
        }
    }
}
