//! A comfortable HTTP client: one request on a connection of its own, all of whose parts a test can change.

use std::net::Ipv4Addr;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::events::Events;
use crate::message::{self, MODERN};
use crate::wait::soon;

/// One HTTP request.
#[derive(Clone)]
pub struct Call {
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

/// A whole answer.
#[derive(Debug)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, to its end.
    pub body: Bytes,
}

impl Call {
    /// A POST as every MCP client sends it: JSON, accepting JSON and event streams.
    #[must_use]
    pub fn post(path: &str, body: impl Into<Bytes>) -> Self {
        let call = Self { method: Method::POST, path: path.into(), headers: HeaderMap::new(), body: body.into() };
        call.header("content-type", "application/json").header("accept", "application/json, text/event-stream")
    }

    /// A GET that accepts event streams.
    #[must_use]
    pub fn get(path: &str) -> Self {
        let call = Self { method: Method::GET, path: path.into(), headers: HeaderMap::new(), body: Bytes::new() };
        call.header("accept", "text/event-stream")
    }

    /// A DELETE.
    #[must_use]
    pub fn delete(path: &str) -> Self {
        Self { method: Method::DELETE, path: path.into(), headers: HeaderMap::new(), body: Bytes::new() }
    }

    /// A modern request with everything the specification wants in `_meta` and headers.
    #[must_use]
    pub fn modern(path: &str, method: &str, id: i64, params: Value) -> Self {
        let body = message::modern(method, id, params);
        let name = ["name", "uri", "taskId"].iter().find_map(|key| body["params"][key].as_str().map(str::to_owned));
        let mirrored = ["tools/call", "prompts/get", "resources/read", "tasks/get", "tasks/update", "tasks/cancel"];
        let call =
            Self::post(path, body.to_string()).header("mcp-protocol-version", MODERN).header("mcp-method", method);
        match name {
            Some(name) if mirrored.contains(&method) => call.header("mcp-name", &message::header_value(&name)),
            _ => call,
        }
    }

    /// With a header in place of any of its name.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.insert(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
        self
    }

    /// With one more header, beside any of its name.
    #[must_use]
    pub fn also(mut self, name: &str, value: &str) -> Self {
        self.headers.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
        self
    }

    /// Without a header.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.headers.remove(name);
        self
    }

    /// Without any header but Host.
    #[must_use]
    pub fn bare(mut self) -> Self {
        self.headers.clear();
        self
    }

    /// With another body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// With another HTTP method.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        self.method = method.parse().unwrap();
        self
    }

    /// With `Authorization: Bearer KEY`.
    #[must_use]
    pub fn key(self, key: &str) -> Self {
        self.header("authorization", &format!("Bearer {key}"))
    }

    /// Sends it and reads the whole answer.
    pub async fn send(&self, port: u16) -> Reply {
        soon(&format!("{} {} is answered", self.method, self.path), async {
            let response = self.response(port).await.unwrap();
            Reply::read(response).await.unwrap()
        })
        .await
    }

    /// As [`Call::send`], for calls that may take long: without a deadline.
    pub async fn send_patiently(&self, port: u16) -> Reply {
        Reply::read(self.response(port).await.unwrap()).await.unwrap()
    }

    /// As [`Call::send`]; `None` when there is no connection or it breaks before the answer's end.
    pub async fn try_send(&self, port: u16) -> Option<Reply> {
        Reply::read(self.response(port).await.ok()?).await.ok()
    }

    /// Sends it and hands over the answer as it arrives.
    pub async fn open(&self, port: u16) -> Events {
        let response = soon(&format!("{} {} is answered", self.method, self.path), self.response(port)).await;
        Events::new(response.unwrap())
    }

    /// As [`Call::open`]; `None` when there is no connection or it breaks before the answer's head.
    pub async fn try_open(&self, port: u16) -> Option<Events> {
        self.response(port).await.ok().map(Events::new)
    }

    async fn response(&self, port: u16) -> Result<http::Response<Incoming>, Box<dyn std::error::Error>> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(sender.send_request(self.request(&format!("127.0.0.1:{port}"))).await?)
    }

    /// The request as hyper wants it, for connections of other kinds.
    #[must_use]
    pub fn request(&self, host: &str) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.path.parse().unwrap();
        *request.headers_mut() = self.headers.clone();
        if !self.headers.contains_key("host") {
            request.headers_mut().insert("host", host.parse().unwrap());
        }
        request
    }
}

impl Reply {
    /// Reads an answer to its end.
    pub async fn read(response: http::Response<Incoming>) -> Result<Self, hyper::Error> {
        let (head, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Self { status: head.status.as_u16(), headers: head.headers, body })
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The JSON-RPC response: the body, or the last message of an event stream.
    #[must_use]
    pub fn rpc(&self) -> Value {
        let text = self.text();
        let stream = self.header("content-type").is_some_and(|kind| kind.starts_with("text/event-stream"));
        let found = if stream { crate::events::messages(&text).pop() } else { serde_json::from_str(&text).ok() };
        found.unwrap_or_else(|| panic!("no JSON-RPC in {self:?}"))
    }

    /// `error.code` of the JSON-RPC response, if it is one.
    #[must_use]
    pub fn code(&self) -> Option<i64> {
        serde_json::from_slice::<Value>(&self.body).ok()?["error"]["code"].as_i64()
    }

    /// Status and code: what most tests of refusals compare.
    #[must_use]
    pub fn verdict(&self) -> (u16, Option<i64>) {
        (self.status, self.code())
    }

    /// `result` of the JSON-RPC response.
    #[must_use]
    pub fn result(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        let message = self.rpc();
        assert!(message.get("result").is_some(), "no result in {message}");
        message["result"].clone()
    }
}
