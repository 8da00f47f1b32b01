//! Spans at a collector, and the trace context that servers see.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::{Value, json};
use sluice_tests::gateway::Start;
use sluice_tests::upstream::Modern;
use sluice_tests::{Call, wait};
use tonic::{Request, Response, Status};

const PATH: &str = "/servers/one/mcp";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

/// A collector that keeps what it gets.
#[derive(Clone, Default)]
struct Collector {
    spans: Arc<Mutex<Vec<Span>>>,
    credentials: Arc<Mutex<Vec<String>>>,
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let said = request.metadata().get("authorization").map(|v| v.to_str().unwrap().to_owned());
        self.credentials.lock().unwrap().extend(said);
        for resource in request.into_inner().resource_spans {
            let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
            self.spans.lock().unwrap().extend(spans);
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    /// Starts on a free port.
    async fn start() -> (Self, u16) {
        let collector = Self::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let incoming = tonic::transport::server::TcpIncoming::from(listener);
        let service = TraceServiceServer::new(collector.clone());
        tokio::spawn(tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming));
        (collector, port)
    }

    async fn span(&self, name: &str) -> Span {
        let find = || self.spans.lock().unwrap().iter().find(|span| span.name == name).cloned();
        wait::until(&format!("a span `{name}`"), find).await
    }

    fn names(&self) -> Vec<String> {
        self.spans.lock().unwrap().iter().map(|span| span.name.clone()).collect()
    }
}

fn config(server: &Modern, tracing: Value) -> Value {
    json!({ "servers": { "one": server.config() }, "features": { "tracing": tracing } })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn attribute(span: &Span, key: &str) -> Option<String> {
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    let found = span.attributes.iter().find(|attribute| attribute.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        _ => None,
    }
}

fn echo(meta: Option<&str>) -> Call {
    let mut params = json!({ "name": "echo", "arguments": {} });
    if let Some(context) = meta {
        params["_meta"] = json!({ "traceparent": context });
    }
    Call::modern(PATH, "tools/call", 1, params)
}

#[tokio::test]
async fn a_call_is_a_child_of_its_caller_and_the_parent_of_what_the_server_does() {
    let (collector, port) = Collector::start().await;
    let server = Modern::start();
    let tracing = json!({
        "endpoint": format!("http://127.0.0.1:{port}"),
        "headers": { "authorization": "Bearer collector-key" },
        // what comes with a trace is its caller's to decide
        "sample": 0,
    });
    let gateway = Start::new(config(&server, tracing)).ready().await;
    let caller = format!("00-{TRACE}-{SPAN}-01");
    let in_meta = echo(Some(&caller));
    let in_header = echo(None).header("traceparent", &caller).header("tracestate", "vendor=1");
    for call in [in_meta, in_header] {
        assert_eq!(call.send(gateway.port).await.status, 200);
        let span = collector.span("tools/call echo").await;
        assert_eq!((hex(&span.trace_id), hex(&span.parent_span_id)), (TRACE.to_owned(), SPAN.to_owned()));
        assert!(span.end_time_unix_nano > span.start_time_unix_nano);
        let got = server.calls("echo").pop().unwrap();
        let ours = format!("00-{TRACE}-{}-01", hex(&span.span_id));
        assert_eq!(got.header("traceparent"), Some(&*ours));
        assert_eq!(got.message()["params"]["_meta"]["traceparent"], json!(ours));
        let told = ["mcp.method.name", "gen_ai.tool.name", "sluice.server", "sluice.principal"];
        let told = told.map(|key| attribute(&span, key).unwrap_or_default());
        assert_eq!(told, ["tools/call", "echo", "one", "local"]);
        assert_eq!(attribute(&span, "http.response.status_code").as_deref(), Some("200"));
        collector.spans.lock().unwrap().clear();
    }
    assert_eq!(server.calls("echo").pop().unwrap().header("tracestate"), Some("vendor=1"));
    assert!(collector.credentials.lock().unwrap().iter().all(|said| said == "Bearer collector-key"));
}

#[tokio::test]
async fn a_caller_that_does_not_record_is_passed_on_as_it_came() {
    let (collector, port) = Collector::start().await;
    let server = Modern::start();
    let gateway = Start::new(config(&server, json!({ "endpoint": format!("http://127.0.0.1:{port}") }))).ready().await;
    let caller = format!("00-{TRACE}-{SPAN}-00");
    assert_eq!(echo(Some(&caller)).header("traceparent", &caller).send(gateway.port).await.status, 200);
    let got = server.calls("echo").pop().unwrap();
    assert_eq!(
        (got.header("traceparent"), &got.message()["params"]["_meta"]["traceparent"]),
        (Some(&*caller), &json!(caller))
    );
    // what is nobody's begins a trace; nothing recorded before it
    let unknown = Call::modern(PATH, "tools/call", 2, json!({ "name": "no-such-tool", "arguments": {} }));
    let refused = unknown.send(gateway.port).await;
    let span = collector.span("tools/call no-such-tool").await;
    assert!(span.parent_span_id.is_empty());
    assert_eq!(attribute(&span, "http.response.status_code"), Some(refused.status.to_string()));
    assert!(!collector.names().contains(&"tools/call echo".to_owned()), "{:?}", collector.names());
}

#[tokio::test]
async fn spans_of_the_last_calls_arrive_before_the_end() {
    let (collector, port) = Collector::start().await;
    let server = Modern::start();
    let mut gateway =
        Start::new(config(&server, json!({ "endpoint": format!("http://127.0.0.1:{port}") }))).ready().await;
    assert_eq!(echo(None).send(gateway.port).await.status, 200);
    gateway.signal(rustix::process::Signal::TERM);
    assert!(gateway.ended().await.success());
    assert!(collector.names().contains(&"tools/call echo".to_owned()), "{:?}", collector.names());
}

#[tokio::test]
async fn a_collector_that_is_not_there_costs_spans_and_nothing_else() {
    let server = Modern::start();
    // a port that was free a moment ago
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let gateway = Start::new(config(&server, json!({ "endpoint": format!("http://127.0.0.1:{port}") }))).ready().await;
    for _ in 0..100 {
        assert_eq!(echo(None).send(gateway.port).await.status, 200);
    }
    let lost = async || gateway.metric("sluice_spans_lost_total", &[]).await;
    wait::becomes(Duration::from_secs(30), "lost spans are counted", lost, |lost| *lost > 0.0).await;
}
