//! The official Rust SDK as a client at every door, in each way it can begin: it finds everything there is and uses it.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![expect(deprecated, reason = "sampling is deprecated since 2026-07-28, and clients still offer it")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use rmcp::model::*;
use rmcp::service::{
    ClientInitializeError, ClientLifecycleMode, NotificationContext, RequestContext, RunningService, ServiceError,
};
use rmcp::transport::{StreamableHttpClientTransport, TokioChildProcess};
use rmcp::{ClientHandler, ClientServiceExt as _, ErrorData, RoleClient};
use serde_json::{Value, json};
use sluice_tests::catalogue::Catalogue;
use sluice_tests::client::Era;
use sluice_tests::gateway::{Gateway, Start};
use sluice_tests::peer::Peer;
use sluice_tests::server::Server;
use sluice_tests::{binary, until, wait};

/// What `sluice demo-server` offers.
const TOOLS: [&str; 8] = ["add", "ask_name", "bump", "echo", "image", "log", "slow", "summarize"];
const PROMPTS: [&str; 2] = ["hello", "review"];
const RESOURCES: [&str; 3] = ["demo://counter", "demo://greeting", "demo://logo"];

/// A client whose user is called Ada, with a number for each time she was asked, and whose model is terse.
#[derive(Debug, Default)]
struct Person {
    asked: Mutex<Vec<String>>,
    progress: Mutex<BTreeMap<String, BTreeSet<u64>>>,
}

impl Person {
    /// Notes a question; how many there were.
    fn hear(&self, question: &Value) -> usize {
        let mut asked = self.asked.lock().unwrap();
        asked.push(question.to_string());
        asked.len()
    }
}

impl ClientHandler for Person {
    fn get_info(&self) -> ClientInfo {
        let capabilities = serde_json::from_value(json!({ "elicitation": {}, "sampling": {} }));
        ClientInfo::new(capabilities.unwrap(), Implementation::new("person", "1"))
    }

    async fn create_elicitation(
        &self,
        request: ElicitRequestParams,
        _context: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        let name = format!("Ada {}", self.hear(&json!(request)));
        Ok(ElicitResult::new(ElicitationAction::Accept).with_content(json!({ "name": name })))
    }

    async fn create_message(
        &self,
        request: CreateMessageRequestParams,
        _context: RequestContext<RoleClient>,
    ) -> Result<CreateMessageResult, ErrorData> {
        let text = format!("Short {}.", self.hear(&json!(request)));
        Ok(CreateMessageResult::new(SamplingMessage::assistant_text(text), "terse".to_owned()))
    }

    async fn on_progress(&self, progress: ProgressNotificationParam, _context: NotificationContext<RoleClient>) {
        // Handlers of one call's progress may run in any order, so this is a set.
        let token = json!(progress.progress_token).to_string();
        self.progress.lock().unwrap().entry(token).or_default().insert(progress.progress.to_bits());
    }
}

type Client = RunningService<RoleClient, Person>;

/// The ways the client can begin. [`ClientLifecycleMode::Initialize`] is what it does unless told otherwise.
fn lifecycles() -> [(ClientLifecycleMode, Era); 3] {
    let preferred_versions = vec![ProtocolVersion::V_2026_07_28];
    [
        (ClientLifecycleMode::Initialize, Era::Legacy),
        (ClientLifecycleMode::Discover { preferred_versions: preferred_versions.clone() }, Era::Modern),
        (ClientLifecycleMode::Auto { preferred_versions, legacy_version: None }, Era::Modern),
    ]
}

fn demo() -> Value {
    json!({ "command": binary::sluice(), "args": ["demo-server"] })
}

/// An HTTP server with lists of several pages.
fn web(era: Era) -> Server {
    let catalogue = Catalogue::new("web").tools(25).prompts(12).resources(12).templates(3).page(5);
    Server::start(era, &catalogue)
}

fn house(web: &Server) -> Start {
    Start::new(json!({ "servers": { "alpha": demo(), "beta": demo(), "web": web.config() } }))
}

async fn over_http(
    gateway: &Gateway,
    path: &str,
    lifecycle: ClientLifecycleMode,
) -> Result<Client, ClientInitializeError> {
    let transport = StreamableHttpClientTransport::from_uri(format!("http://127.0.0.1:{}{path}", gateway.port));
    wait::soon(path, Person::default().serve_with_lifecycle(transport, lifecycle)).await
}

/// A client that starts the gateway itself.
async fn over_stdio(start: &Start, lifecycle: ClientLifecycleMode) -> Client {
    let mut command = start.command();
    command.arg("--stdio");
    let transport = TokioChildProcess::new(tokio::process::Command::from(command)).unwrap();
    wait::soon("the stdio door", Person::default().serve_with_lifecycle(transport, lifecycle)).await.unwrap()
}

fn version(client: &Client) -> ProtocolVersion {
    client.peer_info().unwrap().protocol_version.clone()
}

fn spoken(era: Era) -> ProtocolVersion {
    match era {
        Era::Legacy => ProtocolVersion::V_2025_11_25,
        Era::Modern => ProtocolVersion::V_2026_07_28,
    }
}

async fn call(client: &Client, tool: &str, arguments: Value) -> Result<CallToolResult, ServiceError> {
    let arguments = arguments.as_object().unwrap().clone();
    let call = client.call_tool(CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments));
    wait::soon(tool, call).await
}

/// The text of a result that is no error.
async fn said(client: &Client, tool: &str, arguments: Value) -> String {
    let result = call(client, tool, arguments).await.unwrap();
    assert_ne!(result.is_error, Some(true), "{tool}: {result:?}");
    result.content[0].as_text().unwrap().text.clone()
}

/// The contents of a resource, which has the URI it was asked for under.
async fn read(client: &Client, uri: &str) -> Value {
    let read = wait::soon(uri, client.read_resource(ReadResourceRequestParams::new(uri))).await;
    let read = json!(read.unwrap_or_else(|error| panic!("{uri}: {error}")));
    assert_eq!(read["contents"][0]["uri"], uri, "{read}");
    read["contents"][0].clone()
}

async fn prompt(client: &Client, name: &str, arguments: Value) -> String {
    let arguments = arguments.as_object().unwrap().clone();
    let got = client.get_prompt(GetPromptRequestParams::new(name).with_arguments(arguments));
    let got = wait::soon(name, got).await.unwrap();
    json!(got)["messages"][0]["content"]["text"].as_str().unwrap().to_owned()
}

fn sorted(names: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut names: Vec<_> = names.into_iter().collect();
    names.sort_unstable();
    names
}

async fn tools(client: &Client) -> Vec<String> {
    let tools = wait::soon("the tools", client.list_all_tools()).await.unwrap();
    sorted(tools.into_iter().map(|tool| tool.name.into_owned()))
}

async fn resources(client: &Client) -> Vec<String> {
    let resources = wait::soon("the resources", client.list_all_resources()).await.unwrap();
    sorted(resources.into_iter().map(|resource| resource.uri.clone()))
}

/// The entries of the three servers as the merged door shows them: `demos` of `alpha` and `beta`, `own` of `web`.
fn union(separator: &str, demos: &[&str], own: impl Iterator<Item = String>) -> Vec<String> {
    let demos =
        ["alpha", "beta"].iter().flat_map(|key| demos.iter().map(move |name| format!("{key}{separator}{name}")));
    sorted(demos.chain(own.map(|name| format!("web{separator}{name}"))))
}

/// Every entry of every page of every server, each once, and nothing else.
async fn finds_everything(client: &Client) {
    assert_eq!(tools(client).await, union("_", &TOOLS, (0..25).map(|n| format!("tool-{n:03}"))));
    assert_eq!(resources(client).await, union("+", &RESOURCES, (0..12).map(|n| format!("file:///r{n:03}"))));
    let prompts = wait::soon("the prompts", client.list_all_prompts()).await.unwrap();
    let prompts = prompts.into_iter().map(|prompt| prompt.name);
    assert_eq!(sorted(prompts), union("_", &PROMPTS, (0..12).map(|n| format!("prompt-{n:03}"))));
    let templates = wait::soon("the templates", client.list_all_resource_templates()).await.unwrap();
    let templates = templates.into_iter().map(|template| template.uri_template.clone());
    let own = (0..3).map(|n| format!("file:///t{n:03}/{{path}}"));
    assert_eq!(sorted(templates), union("+", &["demo://note/{name}"], own));
}

/// Calls, reads and gets something of each server.
async fn uses_everything(client: &Client) {
    for key in ["alpha", "beta"] {
        assert_eq!(said(client, &format!("{key}_echo"), json!({ "text": key })).await, key);
        let sum = call(client, &format!("{key}_add"), json!({ "a": 2, "b": 3 })).await.unwrap();
        assert_eq!(sum.structured_content, Some(json!({ "sum": 5 })), "{key}");
        let written = prompt(client, &format!("{key}_review"), json!({ "language": "rust", "code": key })).await;
        assert!(written.contains(&format!("```rust\n{key}\n```")), "{written}");
        let note = read(client, &format!("{key}+demo://note/{key}")).await;
        assert_eq!(note["text"], format!("Nobody has written the note \"{key}\" yet."));
        let logo = read(client, &format!("{key}+demo://logo")).await;
        assert!(logo["blob"].as_str().unwrap().starts_with("iVBORw0KGgo"), "a PNG: {logo}");
        let (review, typed) = (Reference::for_prompt(format!("{key}_review")), ArgumentInfo::new("language", "ja"));
        let completed = client.complete(CompleteRequestParams::new(review, typed));
        let completed = wait::soon("the completion", completed).await.unwrap();
        assert_eq!(completed.completion.values, ["java", "javascript"], "{key}");
    }
    // The two of them count for themselves.
    for count in 1..=2 {
        let bumped = call(client, "alpha_bump", json!({})).await.unwrap();
        assert_eq!(bumped.structured_content, Some(json!({ "value": count })));
    }
    assert_eq!(read(client, "alpha+demo://counter").await["text"], "2");
    assert_eq!(read(client, "beta+demo://counter").await["text"], "0");

    let value = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let called = value(&said(client, "web_tool-024", json!({ "n": 1 })).await);
    assert_eq!(called, json!({ "server": "web", "tool": "tool-024", "arguments": { "n": 1 } }));
    let told = read(client, "web+file:///r011").await;
    assert_eq!(value(told["text"].as_str().unwrap()), json!({ "server": "web", "uri": "file:///r011" }));
    let got = value(&prompt(client, "web_prompt-011", json!({ "who": "me" })).await);
    assert_eq!(got, json!({ "server": "web", "prompt": "prompt-011", "arguments": { "who": "me" } }));

    let Err(ServiceError::McpError(error)) = call(client, "gamma_echo", json!({})).await else { panic!("no error") };
    assert_eq!(error.code, ErrorCode::INVALID_PARAMS, "{error:?}");
}

/// The servers behind these tools ask the user and the model, one after the other, and each gets its own answer.
async fn is_asked(client: &Client, prefixes: &[&str]) {
    let mut count = 0;
    for prefix in prefixes {
        count += 1;
        let greeting = said(client, &format!("{prefix}ask_name"), json!({})).await;
        assert_eq!(greeting, format!("Hello, Ada {count}! Nice to meet you."), "{prefix}");
        count += 1;
        let text = format!("much of {prefix}");
        let summary = said(client, &format!("{prefix}summarize"), json!({ "text": text })).await;
        assert_eq!(summary, format!("Short {count}.\n\n(summarized by terse)"), "{prefix}");
        let asked = client.service().asked.lock().unwrap();
        assert_eq!(asked.len(), count, "each question is asked once: {asked:?}");
        assert!(asked[count - 2].contains("What shall I call you?"), "{asked:?}");
        assert!(asked[count - 1].contains(&text), "{asked:?}");
    }
}

/// Calls of both servers at once report their steps, each under a token of its own.
async fn hears_of_progress(client: &Client) {
    let steps = [2, 3];
    let slow = async |tool, steps: u32| call(client, tool, json!({ "seconds": 0.05, "steps": steps })).await.unwrap();
    let (alpha, beta) = tokio::join!(slow("alpha_slow", steps[0]), slow("beta_slow", steps[1]));
    assert!(alpha.is_error != Some(true) && beta.is_error != Some(true), "{alpha:?} {beta:?}");
    let expected = steps.map(|steps| (1..=steps).map(|step| f64::from(step).to_bits()).collect::<BTreeSet<_>>());
    until("the progress of both", || {
        let mut heard: Vec<_> = client.service().progress.lock().unwrap().values().cloned().collect();
        heard.sort_by_key(BTreeSet::len);
        (heard == expected).then_some(())
    })
    .await;
}

/// The end of a client is the end of its session at a legacy server; a modern one never had any.
async fn leaves(client: Client, web: &Server, era: Era) {
    let session = web.calls("tool-024")[0].header("mcp-session-id").map(ToOwned::to_owned);
    let is_open = || web.sessions().iter().any(|open| Some(open) == session.as_ref());
    assert_eq!(is_open(), era == Era::Legacy);
    wait::soon("the end", client.cancel()).await.unwrap();
    until("the session at the server is ended", || (!is_open()).then_some(())).await;
}

#[tokio::test]
async fn everything_is_found_and_used_on_the_merged_door_over_http() {
    for (lifecycle, era) in lifecycles() {
        let web = web(era);
        let gateway = house(&web).ready().await;
        let client = over_http(&gateway, "/mcp", lifecycle).await.unwrap();
        assert_eq!(version(&client), spoken(era));
        finds_everything(&client).await;
        uses_everything(&client).await;
        is_asked(&client, &["alpha_", "beta_"]).await;
        hears_of_progress(&client).await;
        leaves(client, &web, era).await;
    }
}

#[tokio::test]
async fn everything_is_found_and_used_over_stdio() {
    for (lifecycle, era) in lifecycles() {
        let web = web(era);
        let start = house(&web);
        let client = over_stdio(&start, lifecycle).await;
        assert_eq!(version(&client), spoken(era));
        finds_everything(&client).await;
        uses_everything(&client).await;
        is_asked(&client, &["alpha_", "beta_"]).await;
        hears_of_progress(&client).await;
        leaves(client, &web, era).await;
    }
}

#[tokio::test]
async fn at_its_own_door_a_server_is_as_if_it_were_reached_directly() {
    for (lifecycle, era) in lifecycles() {
        let web = web(era);
        let gateway = house(&web).ready().await;
        let client = over_http(&gateway, "/servers/beta/mcp", lifecycle.clone()).await.unwrap();
        assert_eq!(version(&client), spoken(era));
        assert_eq!(tools(&client).await, TOOLS);
        assert_eq!(resources(&client).await, RESOURCES);
        assert_eq!(read(&client, "demo://greeting").await["text"], "Hello from Sluice's demo server.");
        assert!(prompt(&client, "hello", json!({})).await.starts_with("Say hello"));
        assert_eq!(said(&client, "echo", json!({ "text": "hé" })).await, "hé");
        is_asked(&client, &[""]).await;
        wait::soon("the end", client.cancel()).await.unwrap();

        let client = over_http(&gateway, "/servers/web/mcp", lifecycle).await.unwrap();
        assert_eq!(version(&client), spoken(era));
        assert_eq!(tools(&client).await.len(), 25, "all five pages");
        assert_eq!(resources(&client).await[11], "file:///r011");
        let called: Value = serde_json::from_str(&said(&client, "tool-007", json!({})).await).unwrap();
        assert_eq!(called["tool"], "tool-007");
        wait::soon("the end", client.cancel()).await.unwrap();
    }
}

#[tokio::test]
async fn a_client_that_tries_discovery_first_falls_back_where_all_servers_are_legacy() {
    let (web, pipe) = (web(Era::Legacy), Peer::new("legacy"));
    let config = json!({ "servers": { "pipe": pipe.config(), "web": web.config() } });
    let [_, (discover, _), (auto, _)] = lifecycles();
    let is_used = async |client: &Client, count: usize, names: &[&str]| {
        assert_eq!(version(client), spoken(Era::Legacy));
        assert_eq!(tools(client).await.len(), count);
        for name in names {
            assert!(said(client, name, json!({ "mark": name })).await.contains(&format!(r#""mark":"{name}""#)));
        }
    };
    let merged = (26, ["pipe_echo", "web_tool-024"]);
    let form = json!({ "message": "Who?", "requestedSchema": { "type": "object", "properties": {} } });
    let question = json!({ "method": "elicitation/create", "params": form });

    let gateway = Start::new(config.clone()).ready().await;
    let doors = [
        ("/mcp", merged.0, &merged.1[..]),
        ("/servers/pipe/mcp", 1, &["echo"]),
        ("/servers/web/mcp", 25, &["tool-024"]),
    ];
    for (path, count, names) in doors {
        let client = over_http(&gateway, path, auto.clone()).await.unwrap();
        is_used(&client, count, names).await;
        wait::soon("the end", client.cancel()).await.unwrap();
        let refused = over_http(&gateway, path, discover.clone()).await;
        assert!(matches!(refused, Err(ClientInitializeError::JsonRpcError(_))), "{path}: {refused:?}");
    }
    let start = Start::new(config);
    for client in [over_http(&gateway, "/mcp", auto.clone()).await.unwrap(), over_stdio(&start, auto).await] {
        is_used(&client, merged.0, &merged.1).await;
        assert!(said(&client, "pipe_ask", question.clone()).await.contains("Ada 1"));
        wait::soon("the end", client.cancel()).await.unwrap();
    }
}
