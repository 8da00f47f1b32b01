//! A client with many streams on one connection (HTTP/2, by prior knowledge), each with a window of the usual 64 KiB.

use std::net::Ipv4Addr;

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use crate::events::Events;
use crate::wait::soon;
use crate::{Call, Reply};

/// See RFC 9113 section 6.9.2.
const WINDOW: u32 = 65_535;

/// The client.
pub struct Http2 {
    sender: SendRequest<Full<Bytes>>,
    host: String,
}

impl Http2 {
    /// Connects.
    pub async fn connect(port: u16) -> Self {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        let mut builder = Builder::new(TokioExecutor::new());
        // a stream that is not read leaves the others their room
        builder.initial_stream_window_size(WINDOW).initial_connection_window_size(16 * WINDOW);
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self { sender, host: format!("127.0.0.1:{port}") }
    }

    async fn response(&self, call: &Call) -> hyper::Result<Response<Incoming>> {
        let mut request = call.request(&self.host);
        *request.uri_mut() = format!("http://{}{}", self.host, request.uri()).parse().unwrap();
        request.headers_mut().remove("host");
        soon("an answer", self.sender.clone().send_request(request)).await
    }

    /// Sends it and hands over the answer as it arrives.
    pub async fn open(&self, call: &Call) -> Events {
        Events::new(self.response(call).await.unwrap())
    }

    /// Sends it and reads the whole answer.
    pub async fn send(&self, call: &Call) -> Reply {
        let response = self.response(call).await.unwrap();
        soon("the whole answer", Reply::read(response)).await.unwrap()
    }
}
