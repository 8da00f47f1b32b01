//! What a scripted server answers: whole, bit by bit, or broken.

use std::io;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use serde_json::Value;
use tokio::sync::mpsc;

/// An HTTP answer.
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: BoxBody<Bytes, io::Error>,
}

/// The writing end of an answer that is sent bit by bit.
#[derive(Clone)]
pub struct Pipe(mpsc::Sender<Result<Bytes, io::Error>>);

impl Answer {
    /// A status with a body of any type.
    #[must_use]
    pub fn new(status: u16, kind: &str, body: impl Into<Bytes>) -> Self {
        let body = Full::new(body.into()).map_err(|never| match never {}).boxed();
        Self { status, headers: vec![("content-type".into(), kind.into())], body }
    }

    /// 200 with a JSON body as it is.
    #[must_use]
    pub fn json(body: impl Into<Bytes>) -> Self {
        Self::new(200, "application/json", body)
    }

    /// 200 with a JSON-RPC message.
    #[must_use]
    pub fn message(message: &Value) -> Self {
        Self::json(message.to_string())
    }

    /// 200 with a whole event stream as it is.
    #[must_use]
    pub fn events(text: impl Into<Bytes>) -> Self {
        Self::new(200, "text/event-stream", text)
    }

    /// 202 without a body.
    #[must_use]
    pub fn accepted() -> Self {
        Self::empty(202)
    }

    /// A status without a body.
    #[must_use]
    pub fn empty(status: u16) -> Self {
        let mut answer = Self::new(status, "", Bytes::new());
        answer.headers.clear();
        answer
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// A head at once, and a body that is written through the pipe. Dropping the pipe ends it.
    #[must_use]
    pub fn stream(kind: &str) -> (Pipe, Self) {
        let (sender, receiver) = mpsc::channel(1);
        let frames = futures_util::stream::unfold(receiver, |mut receiver| async {
            let piece: Result<Bytes, io::Error> = receiver.recv().await?;
            Some((piece.map(Frame::data), receiver))
        });
        let body = BodyExt::boxed(StreamBody::new(frames));
        (Pipe(sender), Self { status: 200, headers: vec![("content-type".into(), kind.into())], body })
    }

    /// A part of an answer, after which the connection breaks.
    #[must_use]
    pub fn broken(kind: &str, part: &'static str) -> Self {
        let (pipe, answer) = Self::stream(kind);
        tokio::spawn(async move {
            pipe.send(part).await;
            pipe.cut().await;
        });
        answer
    }

    /// The connection breaks before anything of an answer is sent.
    #[must_use]
    pub fn cut() -> Self {
        let fault = futures_util::stream::once(async { Err(io::Error::other("cut")) });
        let body = BodyExt::boxed(StreamBody::new(fault));
        Self { status: 200, headers: Vec::new(), body }
    }

    /// No answer, ever.
    pub async fn never() -> Self {
        std::future::pending().await
    }

    pub(super) fn into_response(self) -> http::Response<BoxBody<Bytes, io::Error>> {
        let builder = http::Response::builder().status(self.status);
        let builder = self.headers.iter().fold(builder, |builder, (name, value)| builder.header(name, value));
        builder.body(self.body).unwrap()
    }
}

impl Pipe {
    /// Writes; `false` when the other side has closed.
    pub async fn send(&self, bytes: impl Into<Bytes>) -> bool {
        self.0.send(Ok(bytes.into())).await.is_ok()
    }

    /// Writes a message as an event.
    pub async fn event(&self, message: &Value) -> bool {
        self.send(format!("data: {message}\n\n")).await
    }

    /// Writes a message as an event with an id.
    pub async fn numbered(&self, id: &str, message: &Value) -> bool {
        self.send(format!("id: {id}\ndata: {message}\n\n")).await
    }

    /// Breaks the connection in the middle of the body.
    pub async fn cut(&self) {
        let _ = self.0.send(Err(io::Error::other("cut"))).await;
    }

    /// Waits until the other side has closed.
    pub async fn closed(&self) {
        self.0.closed().await;
    }

    /// Whether the other side has closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }
}
