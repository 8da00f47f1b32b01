//! Why a request is refused or failed: one exhaustive table from reasons to HTTP status, JSON-RPC code, log field and the
//! text a client sees. What is told inside (server addresses, exit codes' causes) is logged, not told outside.

use std::borrow::Cow;
use std::sync::Arc;

use http::StatusCode;
use sluice_mcp::code;

use crate::limit;

/// Every way a request ends without the server's own answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reason {
    // the client's fault
    /// No head of HTTP, or one that two readers could frame differently.
    HeadMalformed,
    HeadTooLarge,
    HttpVersion,
    TlsUnexpected,
    /// It is for a resource of https, and came without TLS (RFC 9110 section 7.4).
    Misdirected,
    NoSuchDoor,
    UnknownServer,
    MethodNotAllowed(&'static str),
    BadHost,
    HostMalformed,
    BadOrigin,
    Unauthenticated,
    /// A credential that is not good, and why.
    BadCredential(&'static str),
    ManyCredentials,
    RateLimited {
        retry_after_ms: u64,
    },
    /// The call needs a credential for all of these scopes.
    InsufficientScope(Arc<[Arc<str>]>),
    /// Policies show it, and do not let it be called.
    NotAllowed,
    TooManyInFlight,
    TooManyStreams,
    TooManySessions,
    MediaType,
    NotAcceptable(&'static str),
    BodyTooLarge {
        limit: usize,
    },
    BodyTooSlow,
    BodyBroken,
    Message {
        code: i64,
        text: String,
    },
    HeaderMismatch(String),
    MissingMeta(&'static str),
    UnsupportedVersion {
        requested: String,
        supported: Vec<String>,
    },
    UnsupportedVersionHeader,
    SessionMissing,
    /// The same on a connection that is the session.
    SessionNotBegun,
    SessionRepeated,
    SessionUnknown,
    /// It is held by another node, if there is one of that home.
    SessionElsewhere(Elsewhere),
    HandleUnknown(&'static str),
    EventIdUnknown,
    /// A stream cannot be resumed, because nobody has its events any more.
    EventsLost,
    ResponseNotAllowed,
    UnknownTool(String),
    UnknownPrompt(String),
    UnknownResource {
        uri: String,
        /// Told by the code of revisions up to 2025-11-25.
        legacy: bool,
    },
    UnknownMethod {
        modern: bool,
    },
    /// A server's own method, which no policy is about.
    UnjudgedMethod {
        modern: bool,
    },
    /// A method of the tasks extension, which the client did not declare.
    NoTasks,
    NameMissing,
    ReferenceMissing,
    FilterMissing,
    BadArguments(String),
    NobodyLogs,
    StreamMissing,
    StreamUnknown,
    /// A newer GET of the session came while this one was opening.
    StreamTaken,
    /// The server does not let go of an older stream of the session.
    StreamHeld,
    /// As many standing streams of the session are open as may be.
    StreamsEnough,
    NotWebSocket,
    HandshakeBroken(&'static str),
    /// What a client says of where its connection broke cannot be.
    NotResumable(&'static str),
    /// Another connection, or node, has the session.
    ConnectionElsewhere,
    // eras that do not meet
    ServerIsLegacy,
    DoorIsLegacy(String),
    ServerIsModern {
        requested: String,
        supported: Vec<String>,
    },
    // the node's state
    IssuerUnavailable {
        retry_after: u32,
    },
    Busy,
    /// What keeps sessions does not answer, and this one is not at hand.
    SessionStore,
    MailboxFull,
    Draining,
    /// The node that holds what is asked for cannot be reached, and may be there.
    HolderAway,
    /// It went away before it answered.
    HolderLost,
    // the server's fault
    ServerUnreachable,
    ServerTimeout,
    ServerSilent,
    ServerClosed,
    ServerStatus(u16),
    /// The server takes no more requests for now; after how many seconds it will, if it says so.
    ServerLimits {
        status: StatusCode,
        retry_after: Option<u32>,
    },
    /// The head of its answer exceeds a limit of ours.
    ServerHead,
    ServerCredential,
    /// There is no token for the server; what the credential is called.
    NoToken(String),
    ServerRedirect,
    ServerGarbage(&'static str),
    ServerForgot,
    ServerRefused(String),
    ServerVersion(String),
    NoEndpoint,
    ForeignEndpoint,
    NoWebSocket,
    ChildStart,
    ChildBackoff {
        retry_after: u32,
    },
    ChildLimit,
    ChildEnded,
    /// It said something longer than the limit, and was ended.
    ChildTooLong,
    ChildQueueFull,
}

/// Where a session is that is not here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Elsewhere {
    /// The bytes of the home.
    pub home: [u8; 8],
    /// It may be kept where all nodes find it: nobody could look.
    pub unseen: bool,
}

/// One row of the table.
pub(crate) struct Row {
    pub status: StatusCode,
    pub code: i64,
    /// The bounded word for logs and metrics.
    pub outcome: &'static str,
    pub retry_after: Option<u32>,
}

const fn row(status: StatusCode, code: i64, outcome: &'static str) -> Row {
    Row { status, code, outcome, retry_after: None }
}

impl Reason {
    /// Why an answer with this status is not what was asked for.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Self::ServerCredential,
            status if status.is_redirection() => Self::ServerRedirect,
            status => Self::ServerStatus(status.as_u16()),
        }
    }

    /// Status, code and log word.
    pub(crate) fn row(&self) -> Row {
        use Reason::*;
        use StatusCode as S;
        match self {
            HeadMalformed => row(S::BAD_REQUEST, code::INVALID_REQUEST, "head_malformed"),
            HeadTooLarge => row(S::REQUEST_HEADER_FIELDS_TOO_LARGE, code::INVALID_REQUEST, "head_too_large"),
            HttpVersion => row(S::HTTP_VERSION_NOT_SUPPORTED, code::INVALID_REQUEST, "http_version"),
            TlsUnexpected => row(S::BAD_REQUEST, code::INVALID_REQUEST, "tls_unexpected"),
            Misdirected => row(S::MISDIRECTED_REQUEST, code::INVALID_REQUEST, "misdirected"),
            NoSuchDoor => row(S::NOT_FOUND, code::INVALID_REQUEST, "no_such_door"),
            UnknownServer => row(S::NOT_FOUND, code::INVALID_REQUEST, "unknown_server"),
            MethodNotAllowed(_) => row(S::METHOD_NOT_ALLOWED, code::INVALID_REQUEST, "method_not_allowed"),
            BadHost => row(S::FORBIDDEN, code::INVALID_REQUEST, "bad_host"),
            HostMalformed => row(S::BAD_REQUEST, code::INVALID_REQUEST, "host_malformed"),
            BadOrigin => row(S::FORBIDDEN, code::INVALID_REQUEST, "bad_origin"),
            Unauthenticated => row(S::UNAUTHORIZED, code::INVALID_REQUEST, "unauthenticated"),
            BadCredential(_) => row(S::UNAUTHORIZED, code::INVALID_REQUEST, "bad_credential"),
            ManyCredentials => row(S::BAD_REQUEST, code::INVALID_REQUEST, "many_credentials"),
            IssuerUnavailable { retry_after } => Row {
                retry_after: Some(*retry_after),
                ..row(S::SERVICE_UNAVAILABLE, code::INTERNAL, "issuer_unavailable")
            },
            RateLimited { retry_after_ms } => Row {
                retry_after: Some(u32::try_from(retry_after_ms.div_ceil(1_000)).unwrap_or(u32::MAX).max(1)),
                ..row(S::TOO_MANY_REQUESTS, code::INVALID_REQUEST, "rate_limited")
            },
            InsufficientScope(_) => row(S::FORBIDDEN, code::INVALID_REQUEST, "insufficient_scope"),
            TooManyInFlight => retry(S::TOO_MANY_REQUESTS, "too_many_in_flight"),
            TooManyStreams => retry(S::TOO_MANY_REQUESTS, "too_many_streams"),
            TooManySessions => retry(S::TOO_MANY_REQUESTS, "too_many_sessions"),
            MediaType => row(S::UNSUPPORTED_MEDIA_TYPE, code::INVALID_REQUEST, "media_type"),
            NotAcceptable(_) => row(S::NOT_ACCEPTABLE, code::INVALID_REQUEST, "not_acceptable"),
            BodyTooLarge { .. } => row(S::PAYLOAD_TOO_LARGE, code::INVALID_REQUEST, "body_too_large"),
            BodyTooSlow => row(S::REQUEST_TIMEOUT, code::INVALID_REQUEST, "body_too_slow"),
            BodyBroken => row(S::BAD_REQUEST, code::PARSE, "body_broken"),
            Message { code, .. } => row(S::BAD_REQUEST, *code, "bad_message"),
            HeaderMismatch(_) => row(S::BAD_REQUEST, code::HEADER_MISMATCH, "header_mismatch"),
            MissingMeta(_) => row(S::BAD_REQUEST, code::INVALID_PARAMS, "missing_meta"),
            UnsupportedVersion { .. } => row(S::BAD_REQUEST, code::UNSUPPORTED_VERSION, "unsupported_version"),
            UnsupportedVersionHeader => row(S::BAD_REQUEST, code::INVALID_REQUEST, "unsupported_version"),
            SessionMissing | SessionNotBegun => row(S::BAD_REQUEST, code::INVALID_REQUEST, "session_missing"),
            SessionRepeated => row(S::BAD_REQUEST, code::INVALID_REQUEST, "session_repeated"),
            SessionUnknown | SessionElsewhere(_) => row(S::NOT_FOUND, code::INVALID_REQUEST, "session_unknown"),
            // an answer of the protocol: legacy clients take other statuses for a broken transport
            HandleUnknown(_) => row(S::OK, code::INVALID_PARAMS, "handle_unknown"),
            EventIdUnknown => row(S::BAD_REQUEST, code::INVALID_REQUEST, "event_id_unknown"),
            // the answer to another request than the one it resumes
            EventsLost => row(S::OK, code::INTERNAL, "events_lost"),
            ResponseNotAllowed => row(S::BAD_REQUEST, code::INVALID_REQUEST, "response_not_allowed"),
            // answers of the protocol, as HandleUnknown
            NotAllowed => row(S::OK, code::INVALID_REQUEST, "not_allowed"),
            UnknownTool(_) => row(S::OK, code::INVALID_PARAMS, "unknown_tool"),
            UnknownPrompt(_) => row(S::OK, code::INVALID_PARAMS, "unknown_prompt"),
            UnknownResource { legacy: false, .. } => row(S::OK, code::INVALID_PARAMS, "unknown_resource"),
            UnknownResource { legacy: true, .. } => row(S::OK, code::RESOURCE_NOT_FOUND_LEGACY, "unknown_resource"),
            NoTasks => row(S::BAD_REQUEST, code::MISSING_CLIENT_CAPABILITY, "no_tasks"),
            NameMissing | ReferenceMissing | FilterMissing => row(S::OK, code::INVALID_PARAMS, "bad_params"),
            BadArguments(_) => row(S::OK, code::INVALID_PARAMS, "bad_arguments"),
            UnknownMethod { modern: true } | UnjudgedMethod { modern: true } => {
                row(S::NOT_FOUND, code::METHOD_NOT_FOUND, "unknown_method")
            }
            UnknownMethod { modern: false } | UnjudgedMethod { modern: false } => {
                row(S::OK, code::METHOD_NOT_FOUND, "unknown_method")
            }
            NobodyLogs => row(S::OK, code::METHOD_NOT_FOUND, "unknown_method"),
            DoorIsLegacy(_) => row(S::BAD_REQUEST, code::INVALID_REQUEST, "door_is_legacy"),
            StreamMissing => row(S::BAD_REQUEST, code::INVALID_REQUEST, "stream_missing"),
            StreamUnknown => row(S::NOT_FOUND, code::INVALID_REQUEST, "stream_unknown"),
            StreamTaken => row(S::CONFLICT, code::INVALID_REQUEST, "overtaken"),
            StreamsEnough => row(S::CONFLICT, code::INVALID_REQUEST, "streams_enough"),
            StreamHeld => retry(S::SERVICE_UNAVAILABLE, "stream_held"),
            NotWebSocket => row(S::UPGRADE_REQUIRED, code::INVALID_REQUEST, "not_websocket"),
            HandshakeBroken(_) => row(S::BAD_REQUEST, code::INVALID_REQUEST, "handshake_broken"),
            NotResumable(_) => row(S::BAD_REQUEST, code::INVALID_REQUEST, "not_resumable"),
            ConnectionElsewhere => retry(S::SERVICE_UNAVAILABLE, "connection_elsewhere"),
            ServerIsLegacy => row(S::BAD_REQUEST, code::INVALID_REQUEST, "server_is_legacy"),
            ServerIsModern { .. } => row(S::BAD_REQUEST, code::UNSUPPORTED_VERSION, "server_is_modern"),
            Busy => retry(S::SERVICE_UNAVAILABLE, "busy"),
            SessionStore => Row {
                retry_after: Some(limit::STORE_RETRY_AFTER),
                ..row(S::SERVICE_UNAVAILABLE, code::INTERNAL, "session_store")
            },
            MailboxFull => retry(S::SERVICE_UNAVAILABLE, "mailbox_full"),
            HolderAway => retry(S::SERVICE_UNAVAILABLE, "holder_away"),
            HolderLost => row(S::BAD_GATEWAY, code::INTERNAL, "holder_lost"),
            Draining => retry(S::SERVICE_UNAVAILABLE, "draining"),
            ServerUnreachable => row(S::BAD_GATEWAY, code::INTERNAL, "server_unreachable"),
            ServerTimeout => row(S::GATEWAY_TIMEOUT, code::INTERNAL, "server_timeout"),
            ServerSilent => row(S::GATEWAY_TIMEOUT, code::INTERNAL, "server_silent"),
            ServerClosed => row(S::BAD_GATEWAY, code::INTERNAL, "server_closed"),
            ServerLimits { status, retry_after } => {
                Row { retry_after: *retry_after, ..row(*status, code::INTERNAL, "server_limits") }
            }
            ServerHead => row(S::BAD_GATEWAY, code::INTERNAL, "server_head"),
            ServerStatus(_) => row(S::BAD_GATEWAY, code::INTERNAL, "server_status"),
            ServerCredential => row(S::BAD_GATEWAY, code::INTERNAL, "server_credential"),
            NoToken(_) => row(S::BAD_GATEWAY, code::INTERNAL, "no_token"),
            ServerRedirect => row(S::BAD_GATEWAY, code::INTERNAL, "server_redirect"),
            ServerGarbage(_) => row(S::BAD_GATEWAY, code::INTERNAL, "server_garbage"),
            ServerForgot => row(S::BAD_GATEWAY, code::INTERNAL, "server_forgot"),
            ServerVersion(_) => row(S::BAD_GATEWAY, code::INTERNAL, "server_version"),
            ServerRefused(_) => row(S::BAD_GATEWAY, code::INTERNAL, "server_refused"),
            NoEndpoint => row(S::BAD_GATEWAY, code::INTERNAL, "no_endpoint"),
            ForeignEndpoint => row(S::BAD_GATEWAY, code::INTERNAL, "foreign_endpoint"),
            NoWebSocket => row(S::BAD_GATEWAY, code::INTERNAL, "no_websocket"),
            ChildStart => row(S::BAD_GATEWAY, code::INTERNAL, "child_start"),
            ChildBackoff { retry_after } => {
                Row { retry_after: Some(*retry_after), ..row(S::SERVICE_UNAVAILABLE, code::INTERNAL, "child_backoff") }
            }
            ChildLimit => retry(S::SERVICE_UNAVAILABLE, "child_limit"),
            ChildEnded => row(S::BAD_GATEWAY, code::INTERNAL, "child_ended"),
            ChildTooLong => row(S::BAD_GATEWAY, code::INTERNAL, "child_too_long"),
            ChildQueueFull => retry(S::SERVICE_UNAVAILABLE, "child_queue_full"),
        }
    }

    /// The sentence a client sees, with a way out.
    pub(crate) fn text(&self) -> Cow<'static, str> {
        use Reason::*;
        Cow::Borrowed(match self {
            HeadMalformed => {
                "the request's head is malformed, or leaves open where its body ends (RFC 9112, RFC 9113); nothing of it was served"
            }
            HeadTooLarge => {
                return format!(
                    "the request's head is larger than the limit of {} bytes or {} header fields",
                    limit::HEAD_BYTES,
                    limit::HEADERS
                )
                .into();
            }
            HttpVersion => "HTTP/1.1 and HTTP/2 are spoken here, and no other version",
            TlsUnexpected => "this port speaks HTTP without TLS; use http://, or set `proxy.tls`",
            Misdirected => "the request asks for https and came without TLS; use http://, or set `proxy.tls`",
            NoSuchDoor => {
                "nothing is served at this path; the doors are /mcp (streamable HTTP), /sse (HTTP+SSE) and /ws (WebSocket), each also at /servers/{server}/…"
            }
            UnknownServer => "no server of that name is configured; see `servers` in the configuration",
            MethodNotAllowed(allow) => return format!("this path takes {allow}").into(),
            BadHost => {
                "the Host header names a host this listener does not answer for; add it to `proxy.allowed_hosts`"
            }
            HostMalformed => {
                "the Host header must be sent once, as host or host:port, and agree with the request target"
            }
            BadOrigin => "requests from this Origin are not allowed; add it to `proxy.allowed_origins`",
            Unauthenticated => {
                "a credential is required: send `Authorization: Bearer` with a key or token, or `X-API-Key: KEY`"
            }
            BadCredential(why) => why,
            ManyCredentials => "a request speaks for one: send one credential, once",
            IssuerUnavailable { .. } => {
                "the keys of the token's issuer cannot be had at the moment; send the request again later"
            }
            RateLimited { retry_after_ms } => {
                let seconds = retry_after_ms.div_ceil(1_000).max(1);
                return format!("the limit of requests per minute is reached; try again in {seconds} s").into();
            }
            InsufficientScope(scopes) => {
                return format!("this call needs a token for the scopes `{}`", scopes.join(" ")).into();
            }
            NotAllowed => "policies do not let this client call it",
            TooManyInFlight => "too many requests of this client are in flight; wait for one to finish",
            TooManyStreams => "too many streams of this client are open; close one first",
            TooManySessions => "too many sessions of this client are open; end one with DELETE first",
            MediaType => "the body must be sent as `Content-Type: application/json`, without Content-Encoding",
            NotAcceptable(need) => return format!("the Accept header must list {need}").into(),
            BodyTooLarge { limit } => return format!("the body is larger than the limit of {limit} bytes").into(),
            BodyTooSlow => "the body did not arrive in time",
            BodyBroken => "the body ended before it was complete",
            Message { text, .. } => return text.clone().into(),
            HeaderMismatch(text) => return text.clone().into(),
            MissingMeta(key) => return format!("params._meta[\"{key}\"] is required on every request").into(),
            UnsupportedVersion { .. } => "unsupported protocol version",
            UnsupportedVersionHeader => "the MCP-Protocol-Version header names no version that is known here",
            SessionMissing => {
                "the Mcp-Session-Id header is required; it comes with the answer to `initialize`. Servers that speak \
                 2026-07-28 only do not take that, and need no session: there each request says its version in \
                 params._meta"
            }
            SessionNotBegun => {
                "no session has begun on this connection: begin with `initialize`, or, as servers want it that speak \
                 2026-07-28 only, say the version in params._meta of each request"
            }
            SessionRepeated => "the Mcp-Session-Id header must be sent once, with one value",
            SessionUnknown | SessionElsewhere(_) => "no such session; start a new one with `initialize`",
            HandleUnknown(what) => return format!("unknown or expired {what}").into(),
            EventIdUnknown => "the Last-Event-ID does not belong to this session",
            EventsLost => "what the server said while the client was away is no longer kept; the request may have run",
            ResponseNotAllowed => "responses are not sent by clients of this protocol version",
            UnknownTool(name) => return format!("Unknown tool: {name}").into(),
            UnknownPrompt(name) => return format!("Unknown prompt: {name}").into(),
            UnknownResource { .. } => "Resource not found",
            UnknownMethod { .. } => {
                "this door serves the methods of MCP only; a server's own methods are at /servers/{server}/mcp"
            }
            UnjudgedMethod { .. } => {
                "policies name tools, prompts and resources, so that none of them is about this method of the server: it is refused, but to those who may use all of the server"
            }
            NameMissing => {
                "params must name what is asked for: `name` of a tool or prompt, `uri` of a resource, a string"
            }
            NoTasks => "this method needs the tasks extension; declare it in clientCapabilities.extensions",
            ReferenceMissing => "params.ref must be a `ref/prompt` with a `name` or a `ref/resource` with a `uri`",
            FilterMissing => "params.notifications is required: an object that says what to be told",
            BadArguments(text) => return format!("params.arguments: {text}").into(),
            NobodyLogs => "none of the servers takes a log level",
            DoorIsLegacy(server) => {
                return format!(
                    "not all servers behind this door speak protocol version 2026-07-28 ({server} does not); start with `initialize`, or use /servers/{{server}}/mcp"
                )
                .into();
            }
            StreamMissing => "the session_id parameter is required; it comes with the first event of GET /sse",
            StreamTaken => "a newer GET of this session has its stream",
            StreamsEnough => {
                "this session has as many streams as it may; close one, or come back with the Last-Event-ID of one"
            }
            StreamHeld => "the server says that a stream of this session is still open; try again shortly",
            StreamUnknown => "no such session; open a new one with GET /sse",
            NotWebSocket => {
                "this path takes WebSocket connections (version 13, over HTTP/1.1); streamable HTTP is at /mcp beside it"
            }
            HandshakeBroken(what) => return format!("not a WebSocket handshake (RFC 6455): {what}").into(),
            NotResumable(what) => return format!("the connection cannot go on: {what}").into(),
            ConnectionElsewhere => "another node or connection has this session at the moment; connect again",
            ServerIsLegacy => "this server speaks protocol versions up to 2025-11-25 only; start with `initialize`",
            ServerIsModern { supported, .. } => {
                return format!("this server does not take `initialize`; it speaks {}", supported.join(", ")).into();
            }
            SessionStore => {
                "sessions cannot be looked up or kept at the moment; send the request again, in its session if it has one"
            }
            Busy => "the gateway is at its memory limit; try again shortly",
            MailboxFull => "messages come faster than they are taken; send this one again shortly",
            HolderAway => "the node that holds this session cannot be reached at the moment; try again shortly",
            HolderLost => "the node that holds this session went away before it answered; the request may have run",
            Draining => "the gateway is stopping; connect again",
            ServerUnreachable => "the server cannot be reached; nothing was sent to it",
            ServerTimeout => "the server did not answer in time; the request may have run",
            ServerSilent => "it does not answer; nothing was sent to it, and it is asked again from time to time",
            ServerClosed => "the server closed the connection before it answered; the request may have run",
            ServerStatus(404) => "the server answered with HTTP status 404; check the path of its `url`",
            ServerStatus(status) => return format!("the server answered with HTTP status {status}").into(),
            ServerLimits { status, retry_after } => {
                let when = retry_after.map_or_else(|| "later".to_owned(), |seconds| format!("in {seconds} s"));
                let status = status.as_u16();
                return format!("the server takes no more requests for now (HTTP status {status}); try again {when}")
                    .into();
            }
            ServerHead => {
                return format!(
                    "the head of the server's answer is longer than {} KiB or has more than {} fields; the request may have run",
                    limit::HEAD_BYTES >> 10,
                    limit::HEADERS
                )
                .into();
            }
            ServerCredential => {
                "the server refused the gateway's credential; see `auth` of the server in the configuration"
            }
            NoToken(name) => {
                return format!(
                    "the gateway has no token for this server: credential `{name}` could not be obtained from its authorization server; nothing was sent to the server, see the gateway's log"
                )
                .into();
            }
            ServerRedirect => "the server answered with a redirect, which is not followed; configure its final URL",
            ServerGarbage(what) => {
                return format!("the server's answer is not MCP: {what}; the request may have run").into();
            }
            ServerForgot => "the server no longer knows this session and could not be initialised again",
            ServerVersion(version) => {
                return format!("the server answers with protocol version `{version}`, which is not known here").into();
            }
            ServerRefused(text) => return format!("the server refused: {text}").into(),
            NoEndpoint => {
                "the server's event stream did not begin with an `endpoint` event, so this is not HTTP+SSE; check the \
                 server's `url` and `transport`"
            }
            ForeignEndpoint => {
                "the server's event stream asks for messages at another origin, where the gateway sends nothing; \
                 configure the `url` with the host the server itself names"
            }
            NoWebSocket => "the server did not answer as a WebSocket server; check its `url` and `transport`",
            ChildStart => "the server could not be started or did not answer `initialize`; see the gateway's log",
            ChildBackoff { retry_after } => {
                return format!("the server keeps ending or cannot be reached; it is tried again in {retry_after} s")
                    .into();
            }
            ChildLimit => "the limit of processes or connections for this server is reached; end a session first",
            ChildTooLong => {
                return format!(
                    "the server wrote a message longer than the limit of {} bytes, and its process or connection was ended; the request may have run",
                    limit::LINE_BYTES
                )
                .into();
            }
            ChildEnded => "the server's process or connection ended before it answered; the request may have run",
            ChildQueueFull => "the server does not take messages as fast as they come; try again",
        })
    }

    /// The sentence where the server concerned is one of many.
    pub(crate) fn text_of(&self, server: Option<&str>) -> Cow<'static, str> {
        match server {
            Some(server) => format!("server `{server}`: {}", self.text()).into(),
            None => self.text(),
        }
    }

    /// Whether a server said nothing at all.
    pub(crate) fn is_silence(&self) -> bool {
        matches!(self, Self::ServerSilent | Self::ServerTimeout)
    }

    /// Whether a server is at fault, not the client or the node.
    pub(crate) fn is_the_servers(&self) -> bool {
        use Reason::*;
        matches!(
            self,
            ServerUnreachable
                | ServerTimeout
                | ServerSilent
                | ServerClosed
                | ServerStatus(_)
                | ServerLimits { .. }
                | ServerHead
                | ServerCredential
                | ServerRedirect
                | ServerGarbage(_)
                | ServerForgot
                | ServerRefused(_)
                | ServerVersion(_)
                | ServerIsModern { .. }
                | ServerIsLegacy
                | NoEndpoint
                | ForeignEndpoint
                | NoWebSocket
                | ChildStart
                | ChildBackoff { .. }
                | ChildLimit
                | ChildEnded
                | ChildTooLong
                | ChildQueueFull
        )
    }

    /// `error.data`, raw JSON, where the specification defines one.
    pub(crate) fn data(&self) -> Option<String> {
        match self {
            Self::UnsupportedVersion { requested, supported } | Self::ServerIsModern { requested, supported } => {
                Some(serde_json::json!({ "supported": supported, "requested": requested }).to_string())
            }
            Self::NoTasks => Some(
                serde_json::json!({ "requiredCapabilities": { "extensions": { "io.modelcontextprotocol/tasks": {} } } })
                    .to_string(),
            ),
            Self::RateLimited { retry_after_ms } => Some(serde_json::json!({ "retryAfterMs": retry_after_ms }).to_string()),
            Self::ServerLimits { retry_after: Some(seconds), .. } => {
                Some(serde_json::json!({ "retryAfterMs": u64::from(*seconds) * 1_000 }).to_string())
            }
            Self::TooManyInFlight | Self::TooManyStreams | Self::TooManySessions => {
                let seconds = self.row().retry_after.unwrap_or(1);
                Some(serde_json::json!({ "retryAfterMs": u64::from(seconds) * 1_000 }).to_string())
            }
            Self::InsufficientScope(scopes) => Some(serde_json::json!({ "scopes": &**scopes }).to_string()),
            Self::UnknownResource { uri, .. } => Some(serde_json::json!({ "uri": uri }).to_string()),
            _ => None,
        }
    }
}

fn retry(status: StatusCode, outcome: &'static str) -> Row {
    Row { retry_after: Some(1), ..row(status, code::INTERNAL, outcome) }
}
