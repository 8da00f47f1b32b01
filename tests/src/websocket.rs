//! A WebSocket client, whose every frame a test can choose.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use http::HeaderMap;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use crate::message::{self, LEGACY};
use crate::wait::soon;

/// Header lines of a proper handshake.
pub const HANDSHAKE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// What a WebSocket runs over: TCP, or TLS on it.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// An open WebSocket. Dropped: the connection closes.
pub struct Socket {
    socket: WebSocketStream<Box<dyn Stream>>,
    /// The header fields of the handshake's answer.
    pub headers: HeaderMap,
}

impl Socket {
    /// Connects as MCP clients do.
    pub async fn open(port: u16, path: &str) -> Self {
        Self::with(port, path, "Sec-WebSocket-Protocol: mcp\r\n").await
    }

    /// Connects with further header lines, each ended by CRLF.
    pub async fn with(port: u16, path: &str, headers: &str) -> Self {
        match Self::try_with(port, path, headers).await {
            Ok(socket) => socket,
            Err((status, text)) => panic!("refused with {status}: {text}"),
        }
    }

    /// As [`Socket::with`]; status and text when the handshake is refused.
    pub async fn try_with(port: u16, path: &str, headers: &str) -> Result<Self, (u16, String)> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let host = format!("127.0.0.1:{port}");
        soon("the handshake is answered", Self::over(Box::new(stream), &host, path, headers)).await
    }

    /// As [`Socket::try_with`], over a connection that is open already.
    pub async fn over(mut stream: Box<dyn Stream>, host: &str, path: &str, more: &str) -> Result<Self, (u16, String)> {
        let head = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{HANDSHAKE}{more}\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut text = String::new();
        while !text.ends_with("\r\n\r\n") {
            text.push(char::from(stream.read_u8().await.expect("an answer")));
        }
        let status: u16 = text.split(' ').nth(1).unwrap().parse().unwrap();
        let mut headers = HeaderMap::new();
        for (name, value) in text.lines().filter_map(|line| line.split_once(": ")) {
            headers.append(name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap());
        }
        if status != 101 {
            let length = headers.get("content-length").map_or(0, |v| v.to_str().unwrap().parse().unwrap());
            let mut body = vec![0; length];
            stream.read_exact(&mut body).await.unwrap();
            return Err((status, text + &String::from_utf8_lossy(&body)));
        }
        let config = WebSocketConfig::default().max_message_size(None).max_frame_size(None);
        Ok(Self { socket: WebSocketStream::from_raw_socket(stream, Role::Client, Some(config)).await, headers })
    }

    /// Sends any message.
    pub async fn write(&mut self, message: Message) {
        self.try_write(message).await.unwrap();
    }

    /// As [`Socket::write`].
    ///
    /// # Errors
    /// The other side has closed.
    pub async fn try_write(&mut self, message: Message) -> Result<(), Box<tokio_tungstenite::tungstenite::Error>> {
        self.socket.send(message).await.map_err(Box::new)
    }

    /// Sends one frame of a text message: the first, or one that goes on.
    pub async fn fragment(&mut self, text: &str, first: bool, last: bool) {
        let kind = if first { Data::Text } else { Data::Continue };
        self.write(Message::Frame(Frame::message(text.to_owned(), OpCode::Data(kind), last))).await;
    }

    /// Sends a message.
    pub async fn send(&mut self, message: &Value) {
        self.write(Message::text(message.to_string())).await;
    }

    /// Begins the session; the result of `initialize`.
    pub async fn initialize(&mut self, capabilities: Value) -> Value {
        self.send(&message::initialize(LEGACY, capabilities)).await;
        let (answer, before) = self.answer(&json!(0)).await;
        assert!(before.is_empty(), "{before:?}");
        self.send(&message::notification("notifications/initialized", json!({}))).await;
        answer["result"].clone()
    }

    /// The next frame of any kind; `None` at the end.
    pub async fn frame(&mut self) -> Option<Message> {
        self.socket.next().await.and_then(Result::ok)
    }

    /// The next message.
    pub async fn message(&mut self) -> Value {
        soon("the next message", async {
            loop {
                match self.frame().await.expect("the connection goes on") {
                    Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                    Message::Close(frame) => panic!("closed: {frame:?}"),
                    _ => {}
                }
            }
        })
        .await
    }

    /// The answer to a request, and the messages before it.
    pub async fn answer(&mut self, id: &Value) -> (Value, Vec<Value>) {
        let mut before = Vec::new();
        loop {
            let message = self.message().await;
            if message["id"] == *id && message.get("method").is_none() {
                return (message, before);
            }
            before.push(message);
        }
    }

    /// Calls a tool: the text it answers with.
    pub async fn call(&mut self, tool: &str, id: i64, arguments: Value) -> String {
        self.send(&message::call(tool, id, arguments)).await;
        let (answer, _) = self.answer(&json!(id)).await;
        answer["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    /// Whether nothing comes for `pause`.
    pub async fn silent(&mut self, pause: Duration) -> bool {
        crate::wait::silent(pause, self.frame()).await
    }

    /// Waits for the close frame: its code and reason, and the messages before it.
    pub async fn closed(&mut self) -> (u16, String, Vec<Value>) {
        soon("a close frame", async {
            let mut before = Vec::new();
            loop {
                match self.frame().await.expect("a close frame before the end") {
                    Message::Close(frame) => {
                        let frame = frame.expect("a code");
                        return (frame.code.into(), frame.reason.as_str().to_owned(), before);
                    }
                    Message::Text(text) => before.push(serde_json::from_str(&text).unwrap()),
                    _ => {}
                }
            }
        })
        .await
    }
}
