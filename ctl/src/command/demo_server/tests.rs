//! The demo server as clients of both eras see it, over a pipe in memory and the SDK's own client.

#![expect(deprecated, reason = "sampling, logging and resources/subscribe are what legacy clients use")]

use std::time::Duration;

use rmcp::{
    ClientHandler, ClientServiceExt as _, ErrorData, RoleClient, ServiceError, ServiceExt as _,
    model::*,
    service::{ClientLifecycleMode, NotificationContext, RequestContext, RunningService},
};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{counter, demo::Demo, era::Era};

/// Longer than any of these tests takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A client with a user called Ada and a terse model, that passes on what the server says unasked.
struct Client {
    capabilities: ClientCapabilities,
    heard: mpsc::UnboundedSender<Value>,
}

impl ClientHandler for Client {
    fn get_info(&self) -> ClientInfo {
        ClientInfo::new(self.capabilities.clone(), Implementation::new("test", "1"))
    }

    async fn create_elicitation(
        &self,
        _request: ElicitRequestParams,
        _context: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        Ok(ElicitResult::new(ElicitationAction::Accept).with_content(json!({ "name": "Ada" })))
    }

    async fn create_message(
        &self,
        _request: CreateMessageRequestParams,
        _context: RequestContext<RoleClient>,
    ) -> Result<CreateMessageResult, ErrorData> {
        let message = SamplingMessage::assistant_text("Short.");
        Ok(CreateMessageResult::new(message, "terse-1".to_owned()))
    }

    async fn on_progress(&self, progress: ProgressNotificationParam, _context: NotificationContext<RoleClient>) {
        let _ = self.heard.send(json!(progress.progress));
    }

    async fn on_logging_message(
        &self,
        message: LoggingMessageNotificationParam,
        _context: NotificationContext<RoleClient>,
    ) {
        let _ = self.heard.send(message.data);
    }

    async fn on_resource_updated(
        &self,
        update: ResourceUpdatedNotificationParam,
        _context: NotificationContext<RoleClient>,
    ) {
        let _ = self.heard.send(json!(update.uri));
    }
}

type Connected = (RunningService<RoleClient, Client>, mpsc::UnboundedReceiver<Value>);

async fn connect(lifecycle: ClientLifecycleMode, capabilities: ClientCapabilities) -> Connected {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let demo = Demo::new(Era::Both).unwrap();
    tokio::spawn(async move { demo.connect().serve(theirs).await.unwrap().waiting().await });
    let (heard, hear) = mpsc::unbounded_channel();
    let client = Client { capabilities, heard };
    (client.serve_with_lifecycle(ours, lifecycle).await.unwrap(), hear)
}

async fn legacy(capabilities: ClientCapabilities) -> Connected {
    connect(ClientLifecycleMode::Initialize, capabilities).await
}

async fn modern(capabilities: ClientCapabilities) -> Connected {
    let preferred_versions = vec![ProtocolVersion::V_2026_07_28];
    connect(ClientLifecycleMode::Discover { preferred_versions }, capabilities).await
}

fn capable() -> ClientCapabilities {
    ClientCapabilities::builder().enable_elicitation().enable_sampling().build()
}

async fn call(
    client: &RunningService<RoleClient, Client>,
    tool: &'static str,
    arguments: Value,
) -> Result<CallToolResult, ServiceError> {
    let arguments = arguments.as_object().unwrap().clone();
    client.call_tool(CallToolRequestParams::new(tool).with_arguments(arguments)).await
}

fn text(result: &CallToolResult) -> &str {
    &result.content[0].as_text().unwrap().text
}

async fn next(hear: &mut mpsc::UnboundedReceiver<Value>) -> Value {
    tokio::time::timeout(PATIENCE, hear.recv()).await.unwrap().unwrap()
}

#[tokio::test]
async fn both_eras_ask_the_user_and_the_model() {
    for (client, _hear) in [legacy(capable()).await, modern(capable()).await] {
        let greeting = call(&client, "ask_name", json!({})).await.unwrap();
        assert_eq!(text(&greeting), "Hello, Ada! Nice to meet you.");
        let summary = call(&client, "summarize", json!({ "text": "much" })).await.unwrap();
        assert_eq!(text(&summary), "Short.\n\n(summarized by terse-1)");
    }
}

#[tokio::test]
async fn a_client_that_cannot_be_asked_is_told_so_in_the_words_of_its_era() {
    for tool in ["ask_name", "summarize"] {
        let (client, _hear) = legacy(ClientCapabilities::default()).await;
        let refusal = call(&client, tool, json!({ "text": "" })).await.unwrap();
        assert_eq!(refusal.is_error, Some(true));
        assert!(text(&refusal).contains("your client"), "{refusal:?}");

        let (client, _hear) = modern(ClientCapabilities::default()).await;
        let refusal = call(&client, tool, json!({ "text": "" })).await.unwrap_err();
        let ServiceError::McpError(error) = refusal else { panic!("{refusal:?}") };
        assert_eq!(error.code, ErrorCode::MISSING_REQUIRED_CLIENT_CAPABILITY);
    }
}

#[tokio::test]
async fn slow_reports_every_step_in_both_eras() {
    for (client, mut hear) in [legacy(capable()).await, modern(capable()).await] {
        let result = call(&client, "slow", json!({ "seconds": 0.01, "steps": 2 })).await.unwrap();
        assert_eq!(text(&result), "Took 0.01 seconds in 2 steps.");
        assert_eq!((next(&mut hear).await, next(&mut hear).await), (json!(1.0), json!(2.0)));
    }
}

#[tokio::test]
async fn a_legacy_subscriber_hears_of_the_counter() {
    let (client, mut hear) = legacy(capable()).await;
    client.subscribe(SubscribeRequestParams::new(counter::URI)).await.unwrap();
    let bumped = call(&client, "bump", json!({})).await.unwrap();
    assert_eq!(bumped.structured_content, Some(json!({ "value": 1 })));
    assert_eq!(next(&mut hear).await, json!(counter::URI));
}

#[tokio::test]
async fn a_modern_subscriber_hears_of_the_counter_and_only_of_what_exists() {
    let (client, _hear) = modern(capable()).await;
    let filter = SubscriptionFilter::builder().resource_subscriptions([counter::URI, "demo://nothing"]).build();
    let mut subscription = client.listen(filter).await.unwrap();
    assert_eq!(subscription.acknowledged().resource_subscriptions, Some(vec![counter::URI.to_owned()]));
    call(&client, "bump", json!({})).await.unwrap();
    let event = tokio::time::timeout(PATIENCE, subscription.next()).await.unwrap();
    assert!(format!("{event:?}").contains(counter::URI), "{event:?}");
}

#[tokio::test]
async fn log_messages_keep_to_the_level_the_client_asked_for() {
    let (client, mut hear) = legacy(capable()).await;
    let log = |level: &'static str| call(&client, "log", json!({ "level": level, "text": level }));
    assert!(text(&log("debug").await.unwrap()).starts_with("Not sent"));
    client.set_level(SetLevelRequestParams::new(LoggingLevel::Debug)).await.unwrap();
    assert_eq!(text(&log("debug").await.unwrap()), "Sent.");
    assert_eq!(next(&mut hear).await, json!("debug"));

    let (client, _hear) = modern(capable()).await;
    let unasked = call(&client, "log", json!({ "level": "error", "text": "" })).await.unwrap();
    assert!(text(&unasked).starts_with("Not sent"));
}

#[tokio::test]
async fn completion_knows_languages_and_notes() {
    let (client, _hear) = modern(capable()).await;
    let complete = async |reference, name: &str, value: &str| {
        let argument = ArgumentInfo::new(name, value);
        client.complete(CompleteRequestParams::new(reference, argument)).await.unwrap().completion.values
    };
    assert_eq!(complete(Reference::for_prompt("review"), "language", "Ja").await, ["java", "javascript"]);
    assert_eq!(complete(Reference::for_resource("demo://note/{name}"), "name", "w").await, ["welcome"]);
    assert!(complete(Reference::for_prompt("hello"), "language", "").await.is_empty());
}
