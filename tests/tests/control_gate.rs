//! Calls of a control plane are judged by their heads: strangers send no bodies, bodies are bounded in size and time, and a client's own
//! deadline is kept.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::convert::Infallible;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream::poll_fn;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper_util::rt::{TokioExecutor, TokioIo};
use sluice_contract::v1;
use sluice_tests::{ControlPlane, wait};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tonic::Code;

type Said = mpsc::Sender<Result<Frame<Bytes>, Infallible>>;

/// Begins a call; what is said of its body is sent.
async fn call(port: u16, path: &str, headers: &[(&str, &str)]) -> (Said, tokio::task::JoinHandle<HeaderMap>) {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut send, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    let (say, mut said) = mpsc::channel(4);
    let request = Request::post(format!("http://control{path}")).header("content-type", "application/grpc");
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let request = request.body(StreamBody::new(poll_fn(move |cx| said.poll_recv(cx)))).unwrap();
    let answer = tokio::spawn(async move {
        let answered = send.send_request(request).await.unwrap();
        let head = answered.headers().clone();
        match answered.into_body().collect().await.ok().and_then(|body| body.trailers().cloned()) {
            Some(trailers) => trailers,
            None => head,
        }
    });
    (say, answer)
}

async fn code(answer: tokio::task::JoinHandle<HeaderMap>) -> Code {
    let told = wait::soon("an answer", answer).await.unwrap();
    Code::from_bytes(told.get("grpc-status").unwrap_or_else(|| panic!("no status: {told:?}")).as_bytes())
}

/// The frame of a message of so many bytes, of which these come first.
fn message(length: u32, first: usize) -> Frame<Bytes> {
    let mut bytes = vec![0];
    bytes.extend(length.to_be_bytes());
    bytes.resize(5 + first, b'x');
    Frame::data(bytes.into())
}

#[tokio::test]
async fn who_shows_nothing_is_refused_before_a_byte_of_the_body() {
    let control = ControlPlane::empty().await;
    for path in ["/sluice.v1.Sync/Connect", "/sluice.v1.Admin/Apply", "/sluice.v1.Admin/Status"] {
        let (_held, answer) = call(control.grpc, path, &[]).await;
        assert_eq!(code(answer).await, Code::Unauthenticated, "{path}");
    }
    let (_held, answer) = call(control.grpc, "/sluice.v1.Admin/Apply", &[("authorization", "Bearer nonsense")]).await;
    assert_eq!(code(answer).await, Code::Unauthenticated);
    let (_held, answer) = call(control.grpc, "/sluice.v1.Admin/Nothing", &[]).await;
    assert_eq!(code(answer).await, Code::Unauthenticated, "what there is, is not told to strangers");
    // with a token, a body is waited for
    let bearer = format!("Bearer {}", control.token());
    let (say, answer) = call(control.grpc, "/sluice.v1.Admin/Status", &[("authorization", &bearer)]).await;
    say.send(Ok(message(0, 0))).await.unwrap();
    drop(say);
    assert_eq!(code(answer).await, Code::Ok);
}

#[tokio::test]
async fn requests_to_join_are_small_and_come_soon() {
    let control = ControlPlane::empty().await;
    let (say, answer) = call(control.grpc, "/sluice.v1.Sync/Join", &[]).await;
    for _ in 0..3 {
        let _ = say.send(Ok(message(60 << 20, 12 << 10))).await;
    }
    assert_ne!(code(answer).await, Code::Ok, "60 MiB are not waited for");
    let (say, answer) = call(control.grpc, "/sluice.v1.Sync/Renew", &[]).await;
    say.send(Ok(message(100, 10))).await.unwrap();
    let since = Instant::now();
    let told = tokio::time::timeout(Duration::from_secs(25), answer).await.expect("a place is not held for ever");
    let told = told.unwrap();
    assert_eq!(Code::from_bytes(told["grpc-status"].as_bytes()), Code::DeadlineExceeded, "{told:?}");
    assert!(since.elapsed() > Duration::from_secs(5), "who is slow has time");
    drop(say);
}

#[tokio::test]
async fn the_time_a_client_gives_is_kept() {
    let control = ControlPlane::empty().await;
    let admin = control.admin().await;
    // waits for ever: nobody has that revision
    let mut request = admin.with(v1::WatchRequest { revision: 1_000 });
    request.metadata_mut().insert("grpc-timeout", "300m".parse().unwrap());
    let since = Instant::now();
    let mut watch = admin.client().watch(request).await.unwrap().into_inner();
    let ended = loop {
        match wait::soon("the end", watch.message()).await {
            Ok(Some(_)) => {}
            Ok(None) => break Code::Ok,
            Err(status) => break status.code(),
        }
    };
    assert_eq!(ended, Code::DeadlineExceeded);
    assert!(since.elapsed() < Duration::from_secs(5));
    let bearer = format!("Bearer {}", control.token());
    let headers = [("authorization", bearer.as_str()), ("grpc-timeout", "300m")];
    let (_held, answer) = call(control.grpc, "/sluice.v1.Admin/Status", &headers).await;
    assert_eq!(code(answer).await, Code::DeadlineExceeded, "also while the body is waited for");
}
