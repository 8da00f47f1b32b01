//! A client that writes whatever bytes it is given: for requests that no proper client would send.

use std::net::Ipv4Addr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::wait::SOON;

/// One TCP connection.
pub struct Raw {
    stream: TcpStream,
    read: Vec<u8>,
}

/// The head of an answer and what came of its body.
#[derive(Debug)]
pub struct Answered {
    /// The HTTP status.
    pub status: u16,
    /// Everything, as text.
    pub text: String,
}

impl Answered {
    /// `error.code` of the JSON body.
    #[must_use]
    pub fn code(&self) -> Option<i64> {
        let body = &self.text[self.text.find("\r\n\r\n")? + 4..];
        let body = &body[body.find('{')?..=body.rfind('}')?];
        serde_json::from_str::<Value>(body).ok()?["error"]["code"].as_i64()
    }
}

impl Raw {
    /// Connects.
    pub async fn connect(port: u16) -> Self {
        Self { stream: TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap(), read: Vec::new() }
    }

    /// Connects and writes.
    pub async fn send(port: u16, bytes: impl AsRef<[u8]>) -> Self {
        let mut raw = Self::connect(port).await;
        raw.write(bytes).await.unwrap();
        raw
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// The other side has closed.
    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.stream.write_all(bytes.as_ref()).await
    }

    /// Says that nothing more is written; what comes back can still be read.
    pub async fn finish(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    /// A POST with these header lines (each ended by CRLF), the usual Host, and a body with its length.
    pub async fn post(port: u16, path: &str, headers: &str, body: impl AsRef<[u8]>) -> Answered {
        let body = body.as_ref();
        let length = body.len();
        let head =
            format!("POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{headers}Content-Length: {length}\r\n\r\n");
        let mut raw = Self::connect(port).await;
        // A refusal may come, and the connection be closed, before all is written.
        let _ = raw.write([head.as_bytes(), body].concat()).await;
        raw.answer().await.expect("an answer")
    }

    /// The next answer, if one comes within [`SOON`]; its body as far as its length tells, or to the end.
    pub async fn answer(&mut self) -> Option<Answered> {
        self.answer_within(SOON).await
    }

    /// As [`Raw::answer`], with a deadline of its own.
    pub async fn answer_within(&mut self, deadline: Duration) -> Option<Answered> {
        tokio::time::timeout(deadline, async {
            loop {
                let text = String::from_utf8_lossy(&self.read).into_owned();
                if let Some(head) = text.find("\r\n\r\n") {
                    let lower = text[..head].to_ascii_lowercase();
                    let length = lower.split("content-length: ").nth(1).and_then(|rest| {
                        rest.split("\r\n").next().and_then(|number| number.trim().parse::<usize>().ok())
                    });
                    let whole = length.is_some_and(|length| text.len() >= head + 4 + length)
                        || lower.contains("transfer-encoding: chunked") && text.ends_with("0\r\n\r\n");
                    if whole || !self.more().await {
                        let status = text.split(' ').nth(1)?.parse().ok()?;
                        return Some(Answered { status, text });
                    }
                } else if !self.more().await {
                    return None;
                }
            }
        })
        .await
        .ok()
        .flatten()
    }

    /// Waits until what was read contains `text`.
    pub async fn reads(&mut self, text: &str) {
        let read = async {
            while !String::from_utf8_lossy(&self.read).contains(text) {
                assert!(self.more().await, "closed before {text:?} came");
            }
        };
        crate::wait::soon(&format!("{text:?} is read"), read).await;
    }

    /// Waits until the other side closes: all it sent; `None` if it does not close in time.
    pub async fn closed_within(&mut self, deadline: Duration) -> Option<String> {
        let all = tokio::time::timeout(deadline, async { while self.more().await {} }).await;
        all.ok().map(|()| String::from_utf8_lossy(&self.read).into_owned())
    }

    /// Reads once; `false` at the end.
    async fn more(&mut self) -> bool {
        let mut buffer = vec![0; 64 << 10];
        match self.stream.read(&mut buffer).await {
            Ok(0) | Err(_) => false,
            Ok(count) => {
                self.read.extend_from_slice(&buffer[..count]);
                true
            }
        }
    }
}
