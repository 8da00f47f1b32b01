//! What a scan found: the kind of a message and where its parts lie. Spans are of raw value tokens, never decoded.

use crate::{Method, Span};

/// What a message is, by JSON-RPC 2.0 and the specification's *Messages*.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Has a method and an id.
    Request,
    /// Has a method that begins with `notifications/`, and no id.
    Notification,
    /// Has `result` or `error`, and no method.
    Response,
}

/// The facts about one message. All spans point into the scanned body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message {
    /// Request, notification or response.
    pub kind: Kind,
    /// The raw id: a string token with its quotes, or an integer. `None` for notifications, and for error responses
    /// whose id is null or absent.
    pub id: Option<Span>,
    /// The method; [`Method::Other`] for responses and for methods this crate does not know.
    pub method: Method,
    /// The raw method token with its quotes.
    pub method_span: Option<Span>,
    /// The whole `params` object.
    pub params: Option<Span>,
    /// The whole `result` value.
    pub result: Option<Span>,
    /// The whole `error` value.
    pub error: Option<Span>,
    /// `error.code`, where it is an integer that fits.
    pub error_code: Option<i64>,
    /// What lies in `params`.
    pub p: Params,
    /// What lies in `result`.
    pub r: ResultFields,
}

/// Nothing was found yet.
impl Default for Message {
    fn default() -> Self {
        Self {
            kind: Kind::Request,
            id: None,
            method: Method::Other,
            method_span: None,
            params: None,
            result: None,
            error: None,
            error_code: None,
            p: Params::default(),
            r: ResultFields::default(),
        }
    }
}

/// Values found directly in `params`, in `params._meta`, and in its related task. Each is a whole raw value of
/// whatever type the sender chose; `None` when absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Params {
    /// `name` of tools and prompts.
    pub name: Option<Span>,
    /// `uri` of resources.
    pub uri: Option<Span>,
    /// `ref` of `completion/complete`.
    pub ref_: Option<Span>,
    /// `cursor` of lists.
    pub cursor: Option<Span>,
    /// `taskId`.
    pub task_id: Option<Span>,
    /// `requestState` of a retried request (multi round-trip requests).
    pub request_state: Option<Span>,
    /// `inputResponses` of a retried request (multi round-trip requests).
    pub input_responses: Option<Span>,
    /// `requestId` of `notifications/cancelled`.
    pub request_id: Option<Span>,
    /// `progressToken` of `notifications/progress`.
    pub progress_token: Option<Span>,
    /// `arguments` of tools and prompts.
    pub arguments: Option<Span>,
    /// `level` of `logging/setLevel` and `notifications/message`.
    pub level: Option<Span>,
    /// `protocolVersion` of `initialize`.
    pub protocol_version: Option<Span>,
    /// `capabilities` of `initialize`.
    pub capabilities: Option<Span>,
    /// `clientInfo` of `initialize`.
    pub client_info: Option<Span>,
    /// `notifications`, the filter of `subscriptions/listen`.
    pub notifications: Option<Span>,
    /// The whole `_meta`.
    pub meta: Option<Span>,
    /// `_meta.progressToken`.
    pub meta_progress_token: Option<Span>,
    /// `_meta["io.modelcontextprotocol/protocolVersion"]`.
    pub meta_protocol_version: Option<Span>,
    /// `_meta["io.modelcontextprotocol/clientInfo"]`.
    pub meta_client_info: Option<Span>,
    /// `_meta["io.modelcontextprotocol/clientCapabilities"]`.
    pub meta_client_capabilities: Option<Span>,
    /// `_meta["io.modelcontextprotocol/logLevel"]`.
    pub meta_log_level: Option<Span>,
    /// `_meta["io.modelcontextprotocol/subscriptionId"]`.
    pub meta_subscription_id: Option<Span>,
    /// `_meta["io.modelcontextprotocol/related-task"].taskId`.
    pub meta_related_task: Option<Span>,
}

/// Values found directly in `result`, in `result._meta`, its related task, and `result.task`. Each is a whole raw
/// value; `None` when absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ResultFields {
    /// `protocolVersion` of `initialize`.
    pub protocol_version: Option<Span>,
    /// `capabilities` of `initialize` and `server/discover`.
    pub capabilities: Option<Span>,
    /// `serverInfo` of `initialize`.
    pub server_info: Option<Span>,
    /// `supportedVersions` of `server/discover`.
    pub supported_versions: Option<Span>,
    /// `nextCursor` of lists.
    pub next_cursor: Option<Span>,
    /// `requestState` of an input-required result.
    pub request_state: Option<Span>,
    /// `resultType`.
    pub result_type: Option<Span>,
    /// `taskId`, as the tasks extension puts it.
    pub task_id: Option<Span>,
    /// `tasks` of `tasks/list`.
    pub tasks: Option<Span>,
    /// `task.taskId`, as 2025-11-25 puts it.
    pub task_task_id: Option<Span>,
    /// `inputRequests` of an input-required result.
    pub input_requests: Option<Span>,
    /// The whole `_meta`.
    pub meta: Option<Span>,
    /// `_meta["io.modelcontextprotocol/serverInfo"]`.
    pub meta_server_info: Option<Span>,
    /// `_meta["io.modelcontextprotocol/subscriptionId"]`.
    pub meta_subscription_id: Option<Span>,
    /// `_meta["io.modelcontextprotocol/related-task"].taskId`.
    pub meta_related_task: Option<Span>,
}
