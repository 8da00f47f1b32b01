//! Servers that close connections whenever they like: a call is answered or told to be lost, and never run twice.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use sluice_tests::message;
use sluice_tests::{Call, Gateway};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const PATH: &str = "/servers/one/mcp";

/// Reads one request; its body.
async fn request(stream: &mut TcpStream) -> Option<serde_json::Value> {
    let mut read = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.to_ascii_lowercase().split("content-length: ").nth(1)?.lines().next()?.trim().parse().ok()?;
            if body.len() >= length {
                return serde_json::from_str(&body[..length]).ok();
            }
        }
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return None,
            Ok(count) => read.extend_from_slice(&buffer[..count]),
        }
    }
}

/// A modern server that treats each call as `behave` says, and how many calls it ran.
async fn server<F>(
    behave: impl Fn(TcpStream, String) -> F + Send + Sync + 'static,
) -> (serde_json::Value, Arc<AtomicUsize>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let ran = Arc::new(AtomicUsize::new(0));
    let (count, behave) = (Arc::clone(&ran), Arc::new(behave));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (count, behave) = (Arc::clone(&count), Arc::clone(&behave));
            tokio::spawn(async move {
                let Some(message) = request(&mut stream).await else { return };
                count.fetch_add(1, Ordering::SeqCst);
                let body = message::response(&message["id"], message::text("ran")).to_string();
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                );
                behave(stream, format!("{head}{body}")).await;
            });
        }
    });
    (json!({ "url": url, "protocol": "modern" }), ran)
}

fn call() -> Call {
    Call::modern(PATH, "tools/call", 1, json!({ "name": "any", "arguments": {} }))
}

#[tokio::test]
async fn a_server_that_closes_after_each_answer_loses_no_call() {
    let (config, ran) = server(|mut stream, answer| async move {
        stream.write_all(answer.as_bytes()).await.unwrap();
    })
    .await;
    let gateway = Gateway::with(json!({ "one": config })).await;
    for n in 1..=50 {
        let reply = call().send(gateway.port).await;
        assert_eq!(reply.status, 200, "call {n}: {reply:?}");
        assert_eq!(ran.load(Ordering::SeqCst), n, "each call runs once");
    }
}

#[tokio::test]
async fn a_server_that_closes_without_an_answer_runs_the_call_once() {
    let (config, ran) = server(|stream, _| async move { drop(stream) }).await;
    let gateway = Gateway::with(json!({ "one": config })).await;
    for n in 1..=5 {
        let reply = call().send(gateway.port).await;
        assert_eq!(reply.verdict(), (502, Some(-32603)), "{reply:?}");
        assert!(reply.text().contains("may have run"), "{reply:?}");
        assert_eq!(ran.load(Ordering::SeqCst), n);
    }
}

#[tokio::test]
async fn a_server_that_says_more_than_it_was_asked_confuses_nobody() {
    let (config, _) = server(|mut stream, answer| async move {
        let stray = answer.replace("ran", "xxx");
        let _ = stream.write_all(format!("{answer}{stray}").as_bytes()).await;
        let mut rest = [0; 1024];
        while stream.read(&mut rest).await.is_ok_and(|count| count > 0) {}
    })
    .await;
    let gateway = Gateway::with(json!({ "one": config })).await;
    for _ in 0..10 {
        let reply = call().send(gateway.port).await;
        assert_eq!(reply.result()["content"][0]["text"], "ran", "an answer nobody asked for is given to nobody");
    }
}
