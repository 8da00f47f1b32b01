//! Sends spans to a collector: OTLP over gRPC, in batches, from the control runtime.
//!
//! A collector that does not answer costs spans, never traffic: a batch is tried twice, then counted as lost.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as Wire, Status, span, status};
use sluice_mcp::Method;
use sluice_snapshot::model::Traces;
use tokio::sync::mpsc::Receiver;
use tonic::metadata::{AsciiMetadataKey, MetadataValue};
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};

use super::metrics::Metrics;
use super::traces::Span;
use crate::limit;

/// Exports what ends to the collector of the moment (`settings`), until `ending` resolves and the queue is empty, or nobody can send any more.
pub(crate) async fn run(
    mut ended: Receiver<Span>,
    settings: impl Fn() -> Option<Traces>,
    metrics: Arc<Metrics>,
    ending: impl Future<Output = ()>,
) {
    let mut collector: Option<Collector> = None;
    let mut ending = Box::pin(ending);
    let mut batch = Vec::new();
    loop {
        let last = tokio::select! {
            biased;
            count = ended.recv_many(&mut batch, limit::SPAN_BATCH) => count == 0,
            () = &mut ending => {
                // what is there is still sent
                while batch.len() < limit::SPAN_QUEUE && let Ok(span) = ended.try_recv() {
                    batch.push(span);
                }
                true
            }
        };
        if !last && batch.len() < limit::SPAN_BATCH {
            tokio::select! {
                () = tokio::time::sleep(limit::SPAN_PAUSE) => {}
                () = &mut ending => {}
            }
            while batch.len() < limit::SPAN_BATCH
                && let Ok(span) = ended.try_recv()
            {
                batch.push(span);
            }
        }
        let count = batch.len() as u64;
        let sent = match settings() {
            Some(settings) if count > 0 => {
                let node = collector.take().filter(|known| known.settings == settings);
                let node = collector.insert(node.unwrap_or_else(|| Collector::new(settings)));
                node.send(std::mem::take(&mut batch)).await
            }
            // traces were switched off meanwhile: nobody asks for these any more
            _ => Ok(()),
        };
        batch.clear();
        if let Err(reason) = sent {
            metrics.spans_lost.fetch_add(count, Ordering::Relaxed);
            if let Some(collector) = &mut collector {
                collector.complain(&reason);
            }
        }
        if last {
            return;
        }
    }
}

/// A collector, and the connection to it.
struct Collector {
    settings: Traces,
    channel: Result<Channel, String>,
    complained: bool,
}

impl Collector {
    fn new(settings: Traces) -> Self {
        let channel = Endpoint::from_shared(settings.endpoint.clone())
            .and_then(|endpoint| {
                let endpoint = endpoint.connect_timeout(limit::CONNECT).timeout(limit::SPAN_EXPORT);
                if settings.endpoint.starts_with("https:") {
                    endpoint.tls_config(ClientTlsConfig::new().with_native_roots())
                } else {
                    Ok(endpoint)
                }
            })
            .map(|endpoint| endpoint.connect_lazy())
            .map_err(|error| error.to_string());
        Self { settings, channel, complained: false }
    }

    async fn send(&mut self, spans: Vec<Span>) -> Result<(), String> {
        let channel = self.channel.clone()?;
        let request = ExportTraceServiceRequest { resource_spans: vec![self.spans(spans)] };
        let mut client = TraceServiceClient::new(channel);
        let mut tried = false;
        loop {
            let mut request = tonic::Request::new(request.clone());
            for (name, value) in &self.settings.headers {
                let (Ok(name), Ok(mut value)) =
                    (name.parse::<AsciiMetadataKey>(), MetadataValue::try_from(value.expose()))
                else {
                    return Err(format!("the header `{name}` cannot be sent"));
                };
                value.set_sensitive(true);
                request.metadata_mut().insert(name, value);
            }
            match client.export(request).await {
                Ok(_) => {
                    self.complained = false;
                    return Ok(());
                }
                Err(status) if tried => return Err(format!("{}: {}", status.code(), status.message())),
                Err(_) => tried = true,
            }
            tokio::time::sleep(limit::SPAN_RETRY).await;
        }
    }

    /// Says once that spans are lost, and then not again before one arrived.
    fn complain(&mut self, reason: &str) {
        if !std::mem::replace(&mut self.complained, true) {
            tracing::warn!(
                endpoint = self.settings.endpoint,
                reason,
                "spans are lost: the collector does not take them"
            );
        }
    }

    fn spans(&self, spans: Vec<Span>) -> ResourceSpans {
        let resource = Resource {
            attributes: vec![
                text("service.name", self.settings.service.as_ref()),
                text("service.version", env!("CARGO_PKG_VERSION")),
            ],
            ..Resource::default()
        };
        let scope = InstrumentationScope {
            name: "sluice".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..InstrumentationScope::default()
        };
        let spans = spans.into_iter().map(wire).collect();
        let scope_spans = vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }];
        ResourceSpans { resource: Some(resource), scope_spans, ..ResourceSpans::default() }
    }
}

/// A span as OTLP has it, with the attributes of the semantic conventions for MCP where there are any.
fn wire(span: Span) -> Wire {
    let (start, end) = (nanos(span.started()), nanos(span.ended));
    let (parent, state) = (span.parent(), span.state().to_owned());
    let about = span.about;
    let method = about.other_method.unwrap_or_else(|| about.method.as_str().into());
    let named = match about.method {
        Method::ToolsCall => Some("gen_ai.tool.name"),
        Method::PromptsGet => Some("gen_ai.prompt.name"),
        _ => Some("mcp.resource.uri"),
    };
    let mut attributes = vec![
        text("mcp.method.name", &method),
        text("sluice.request", &about.request),
        text("sluice.principal", &about.principal),
        number("http.response.status_code", about.status.into()),
    ];
    if !about.server.is_empty() {
        attributes.push(text("sluice.server", &about.server));
    }
    if let (Some(key), Some(name)) = (named, &about.name) {
        attributes.push(text(key, name));
    }
    let failed = about.outcome != "ok";
    if failed {
        attributes.push(text("error.type", about.outcome));
    }
    let status = failed.then(|| Status { code: status::StatusCode::Error.into(), message: String::new() });
    // a URI would make of every resource a kind of its own
    let of_few = matches!(about.method, Method::ToolsCall | Method::PromptsGet);
    let name = match about.name.filter(|_| of_few) {
        Some(name) => format!("{method} {name}"),
        None => method.into_owned(),
    };
    Wire {
        trace_id: span.trace.context.trace.to_vec(),
        span_id: span.trace.context.span.to_vec(),
        trace_state: state,
        parent_span_id: parent.map(Vec::from).unwrap_or_default(),
        flags: 1,
        name,
        kind: span::SpanKind::Server.into(),
        start_time_unix_nano: start,
        end_time_unix_nano: end.max(start),
        attributes,
        status,
        ..Wire::default()
    }
}

fn nanos(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_nanos() as u64
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, any_value::Value::StringValue(value.to_owned()))
}

fn number(key: &str, value: i64) -> KeyValue {
    attribute(key, any_value::Value::IntValue(value))
}

fn attribute(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}
