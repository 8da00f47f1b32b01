//! Answers as HTTP/1.1 allows them to servers, and as bad servers write them: what they mean is found out or told to be
//! unknown, and no connection is used again that may hold something else.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sluice_tests::gateway::Start;
use sluice_tests::{Call, Gateway, Reply, message, process};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

const PATH: &str = "/servers/one/mcp";

/// A server that is written for one test: what its connections were asked, in order, and by how many.
#[derive(Clone)]
struct Server {
    port: u16,
    opened: Arc<AtomicUsize>,
    asked: Arc<Mutex<Vec<String>>>,
}

/// One connection to it.
struct Asked {
    stream: TcpStream,
    read: Vec<u8>,
    server: Server,
}

impl Server {
    /// `serve` has each connection to itself.
    fn start<F>(serve: impl Fn(Asked) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let socket = TcpSocket::new_v4().unwrap();
        // little waits in the kernel, so that a body that is not read is not written either
        socket.set_recv_buffer_size(4096).unwrap();
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let listener = socket.listen(64).unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = Self { port, opened: Arc::default(), asked: Arc::default() };
        let own = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                own.opened.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(Asked { stream, read: Vec::new(), server: own.clone() }));
            }
        });
        server
    }

    async fn gateway(&self, timeout: u64) -> Gateway {
        let url = format!("http://127.0.0.1:{}/mcp", self.port);
        let servers = json!({ "one": { "url": url, "protocol": "modern", "timeout": timeout } });
        // one worker has all connections to the server
        Start::new(json!({ "servers": servers })).arg("--workers").arg("1").ready().await
    }

    fn opened(&self) -> usize {
        self.opened.load(Ordering::SeqCst)
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

impl Asked {
    /// Reads up to the end of a head; `false` when the gateway has closed.
    async fn head(&mut self) -> bool {
        while !self.read.windows(4).any(|end| end == b"\r\n\r\n") {
            if !self.more().await {
                return false;
            }
        }
        true
    }

    async fn more(&mut self) -> bool {
        let mut buffer = [0; 4096];
        let count = self.stream.read(&mut buffer).await.unwrap_or(0);
        self.read.extend_from_slice(&buffer[..count]);
        count > 0
    }

    /// Reads a whole request; the name of the tool.
    async fn call(&mut self) -> Option<String> {
        if !self.head().await {
            return None;
        }
        let end = self.read.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
        let head = String::from_utf8_lossy(&self.read[..end]).to_ascii_lowercase();
        let length: usize = head.split("content-length: ").nth(1)?.lines().next()?.parse().ok()?;
        while self.read.len() < end + length {
            if !self.more().await {
                return None;
            }
        }
        let rest = self.read.split_off(end + length);
        let body: Value = serde_json::from_slice(&std::mem::replace(&mut self.read, rest)[end..]).unwrap();
        let tool = body["params"]["name"].as_str().unwrap().to_owned();
        self.server.asked.lock().unwrap().push(tool.clone());
        Some(tool)
    }

    async fn say(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).await.is_ok()
    }

    /// Says it byte by byte.
    async fn drip(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.set_nodelay(true).unwrap();
        for byte in bytes.as_ref() {
            self.say([*byte]).await;
            tokio::task::yield_now().await;
        }
    }
}

fn json_answer() -> String {
    message::response(&json!(1), message::text("ran")).to_string()
}

fn head(more: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{more}\r\n")
}

fn with_length(more: &str) -> String {
    let body = json_answer();
    format!("{}{body}", head(&format!("{more}Content-Length: {}\r\n", body.len())))
}

fn in_chunks(more: &str, trailer: &str) -> String {
    let chunks: String = json_answer()
        .as_bytes()
        .chunks(9)
        .map(|c| format!("{:X};e\r\n{}\r\n", c.len(), String::from_utf8_lossy(c)))
        .collect();
    format!("{}{chunks}0\r\n{trailer}\r\n", head(&format!("{more}Transfer-Encoding: chunked\r\n")))
}

fn call(tool: &str, arguments: Value) -> Call {
    Call::modern(PATH, "tools/call", 1, json!({ "name": tool, "arguments": arguments }))
}

fn ran(reply: &Reply) -> bool {
    reply.status == 200 && reply.text().contains("ran")
}

#[tokio::test]
async fn every_framing_is_understood_and_only_clear_ones_keep_the_connection() {
    let server = Server::start(|mut asked| async move {
        while let Some(tool) = asked.call().await {
            let body = json_answer();
            let length = body.len();
            match &*tool {
                "length" => asked.say(with_length("")).await,
                "same-lengths" => asked.say(with_length(&format!("Content-Length: {length}\r\n"))).await,
                "chunks" => asked.say(in_chunks("", "")).await,
                "trailers" => asked.say(in_chunks("", "X-Trailer: a\r\n")).await,
                "interim" => {
                    let early = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n";
                    asked.say(format!("{early}{}", with_length(""))).await
                }
                "drip" => {
                    asked.drip(format!("HTTP/1.1 103 Early Hints\r\n\r\n{}", in_chunks("", "A: b\r\n"))).await;
                    true
                }
                "both" => asked.say(in_chunks("Content-Length: 5\r\n", "")).await,
                "says-close" => asked.say(with_length("Connection: close\r\n")).await,
                "old" => asked.say(with_length("").replace("HTTP/1.1", "HTTP/1.0")).await,
                "no-time" => asked.say(with_length("Keep-Alive: timeout=0\r\n")).await,
                "stray-line" => asked.say(format!("{}\r\n", with_length(""))).await,
                "until-close" => {
                    asked.say(format!("{}{body}", head(""))).await;
                    return;
                }
                other => panic!("{other}"),
            };
        }
    });
    let gateway = server.gateway(5).await;
    let keep = ["length", "same-lengths", "chunks", "trailers", "interim", "drip"];
    for (count, tool) in keep.iter().cycle().take(12).enumerate() {
        let reply = call(tool, json!({})).send(gateway.port).await;
        assert!(ran(&reply), "{tool}: {reply:?}");
        assert_eq!((server.opened(), server.asked()), (1, count + 1), "{tool}");
    }
    for (count, tool) in ["both", "says-close", "old", "no-time", "stray-line", "until-close"].iter().enumerate() {
        let reply = call(tool, json!({})).send(gateway.port).await;
        assert!(ran(&reply), "{tool}: {reply:?}");
        let reply = call("length", json!({})).send(gateway.port).await;
        assert!(ran(&reply), "after {tool}: {reply:?}");
        assert_eq!((server.opened(), server.asked()), (count + 2, 12 + 2 * (count + 1)), "{tool}");
    }
}

#[tokio::test]
async fn what_is_no_answer_is_told_and_asked_once() {
    let server = Server::start(|mut asked| async move {
        while let Some(tool) = asked.call().await {
            match &*tool {
                "two-lengths" => asked.say(with_length("Content-Length: 5\r\n")).await,
                "coding" => asked.say(in_chunks("", "").replace("chunked", "gzip, chunked")).await,
                "bad-chunks" => asked.say(format!("{}zz\r\n", head("Transfer-Encoding: chunked\r\n"))).await,
                "cut-chunks" => {
                    asked.say(format!("{}5\r\n{{\"json", head("Transfer-Encoding: chunked\r\n"))).await;
                    return;
                }
                "large-head" => asked.say(with_length(&format!("X: {}\r\n", "x".repeat(70_000)))).await,
                "many-fields" => asked.say(with_length(&"X: y\r\n".repeat(200))).await,
                "endless-interim" => {
                    while asked.say("HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n").await {}
                    true
                }
                "dripping-head" => {
                    while asked.say("HTTP/1.1 200 OK\r\n".get(..1).unwrap()).await {
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                    true
                }
                "another-protocol" => asked.say("SSH-2.0-OpenSSH_9.9\r\n").await,
                "switches" => asked.say("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n").await,
                "too-long-204" => asked.say(with_length("").replace("200 OK", "204 No Content")).await,
                "length" => asked.say(with_length("")).await,
                other => panic!("{other}"),
            };
        }
    });
    let gateway = server.gateway(1).await;
    let tools = [
        ("two-lengths", 502),
        ("coding", 502),
        ("bad-chunks", 502),
        ("cut-chunks", 502),
        ("large-head", 502),
        ("many-fields", 502),
        ("dripping-head", 504),
        ("another-protocol", 502),
        ("switches", 502),
        ("too-long-204", 502),
        ("endless-interim", 502),
    ];
    for (count, (tool, status)) in tools.iter().enumerate() {
        let start = Instant::now();
        let reply = call(tool, json!({})).send(gateway.port).await;
        assert_eq!(reply.status, *status, "{tool}: {reply:?}");
        let names_limit = reply.text().contains(" KiB or has more than ");
        assert_eq!(names_limit, ["large-head", "many-fields"].contains(tool), "{tool}: {reply:?}");
        assert!(start.elapsed() < Duration::from_secs(4), "{tool}: {:?}", start.elapsed());
        let reply = call("length", json!({})).send(gateway.port).await;
        assert!(ran(&reply), "after {tool}: {reply:?}");
        assert_eq!(server.asked(), 2 * (count + 1), "{tool}");
    }
    assert_eq!(server.opened(), tools.len() + 1, "none of these connections was used again");
}

#[tokio::test]
async fn a_body_of_an_answer_without_one_is_never_the_next_answer() {
    let server = Server::start(|mut asked| async move {
        while let Some(tool) = asked.call().await {
            if tool == "empty" {
                // it comes late: with the next answer, if there is one on this connection
                asked.say("HTTP/1.1 204 No Content\r\nContent-Length: 71\r\n\r\n").await;
                if asked.call().await.is_some() {
                    let smuggled = message::response(&json!(1), message::text("smuggled")).to_string();
                    asked.say(with_length("").replace(&json_answer(), &smuggled)).await;
                }
                return;
            }
            asked.say(with_length("")).await;
        }
    });
    let gateway = server.gateway(5).await;
    assert_eq!(call("empty", json!({})).send(gateway.port).await.status, 502);
    let reply = call("any", json!({})).send(gateway.port).await;
    assert!(ran(&reply), "{reply:?}");
    assert_eq!((server.opened(), server.asked()), (2, 2));
}

#[tokio::test]
async fn a_server_that_refuses_before_it_has_read_all_is_heard() {
    let server = Server::start(|mut asked| async move {
        if !asked.head().await {
            return;
        }
        asked.server.asked.lock().unwrap().push(String::new());
        let body = message::error(&json!(1), -32050, "too much for me").to_string();
        let close = if asked.server.asked() % 2 == 0 { "Connection: close\r\n" } else { "" };
        let length = body.len();
        let head = "HTTP/1.1 413 Content Too Large\r\nContent-Type: application/json\r\n";
        asked.say(format!("{head}{close}Content-Length: {length}\r\n\r\n{body}")).await;
        if close.is_empty() {
            // it leaves it to the gateway to close
            while asked.stream.readable().await.is_ok() && asked.server.asked() == 1 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    });
    let gateway = server.gateway(5).await;
    for count in 1..=6 {
        let large = json!({ "text": "x".repeat(3 << 20) });
        let reply = call("large", large).send_patiently(gateway.port).await;
        assert_eq!(reply.verdict(), (413, Some(-32050)), "{count}: {reply:?}");
        assert_eq!((server.opened(), server.asked()), (count, count), "not used again, and not asked again");
    }
}

#[tokio::test]
async fn a_server_that_answers_while_it_still_reads_gets_the_rest() {
    let server = Server::start(|mut asked| async move {
        loop {
            if !asked.head().await {
                return;
            }
            let begin = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
            asked.say(format!("{begin}4\r\n: a\n\r\n")).await;
            if asked.call().await.is_none() {
                return;
            }
            let event = format!("\ndata: {}\n\n", json_answer());
            asked.say(format!("{:x}\r\n{event}\r\n0\r\n\r\n", event.len())).await;
        }
    });
    let gateway = server.gateway(5).await;
    for count in 1..=3 {
        let large = json!({ "text": "x".repeat(3 << 20) });
        let reply = call("large", large).send_patiently(gateway.port).await;
        assert!(ran(&reply), "{reply:?}");
        assert_eq!(server.asked(), count);
    }
}

#[tokio::test]
async fn a_large_answer_in_small_pieces_takes_no_more_memory_than_in_large_ones() {
    const BYTES: usize = 63 << 10;
    let server = Server::start(|mut asked| async move {
        while asked.call().await.is_some() {
            let body = message::response(&json!(1), message::text(&format!("ran{}", "x".repeat(BYTES)))).to_string();
            asked.say(head(&format!("Content-Length: {}\r\n", body.len()))).await;
            asked.stream.set_nodelay(true).unwrap();
            for piece in body.as_bytes().chunks(64) {
                asked.say(piece).await;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    });
    let gateway = server.gateway(60).await;
    let before = process::peak_kib(gateway.pid());
    let calls: Vec<_> = (0..4).map(|_| call("any", json!({}))).collect();
    let replies = calls.iter().map(|call| call.send_patiently(gateway.port));
    for reply in futures_util::future::join_all(replies).await {
        assert!(ran(&reply));
    }
    let growth = process::peak_kib(gateway.pid()) - before;
    assert!(growth < 24 << 10, "{growth} KiB for four answers of {BYTES} bytes");
}

#[tokio::test]
async fn what_a_server_says_between_requests_is_no_answer() {
    let smuggled = message::response(&json!(1), message::text("smuggled")).to_string();
    let smuggled = with_length("").replace(&json_answer(), &smuggled);
    let idle: Arc<Mutex<Option<TcpStream>>> = Arc::default();
    let own = Arc::clone(&idle);
    let server = Server::start(move |mut asked| {
        let idle = Arc::clone(&own);
        async move {
            if asked.call().await.is_some() {
                asked.say(with_length("")).await;
                *idle.lock().unwrap() = Some(asked.stream);
            }
        }
    });
    let gateway = server.gateway(5).await;
    for stray in [smuggled.as_bytes(), b"x", b""] {
        let before = server.opened();
        assert!(ran(&call("any", json!({})).send(gateway.port).await));
        let mut stream = idle.lock().unwrap().take().expect("a connection that idles");
        stream.write_all(stray).await.unwrap();
        if stray.is_empty() {
            drop(stream);
        } else {
            *idle.lock().unwrap() = Some(stream);
        }
        let reply = call("any", json!({})).send(gateway.port).await;
        assert!(ran(&reply) && !reply.text().contains("smuggled"), "{reply:?}");
        assert_eq!(server.opened(), before + 2, "another connection");
        assert_eq!(server.opened(), server.asked(), "asked once each");
        // the one that was just used is closed for the next round
        drop(idle.lock().unwrap().take());
    }
}

#[tokio::test]
async fn a_server_that_gives_one_answer_too_many_mixes_up_nobody() {
    let server = Server::start(|mut asked| async move {
        let answer = |text: &str| {
            let body = message::response(&json!(1), message::text(text)).to_string();
            format!("{}{body}", head(&format!("Content-Length: {}\r\n", body.len())))
        };
        let mut owed = None;
        while let Some(tool) = asked.call().await {
            let stray = head("Content-Length: 2\r\n") + "{}";
            // it is one answer behind from the first call of `mixed` on
            let now = if tool == "mixed" { stray } else { answer(&tool) };
            asked.say(owed.take().unwrap_or(now)).await;
            owed = (tool == "mixed").then(|| answer(&tool));
        }
    });
    let gateway = server.gateway(5).await;
    for tool in ["one", "two"] {
        assert_eq!(call(tool, json!({})).send(gateway.port).await.result()["content"][0]["text"], tool);
        assert_eq!(call("mixed", json!({})).send(gateway.port).await.status, 502);
        let reply = call("after", json!({})).send(gateway.port).await;
        assert_eq!(reply.result()["content"][0]["text"], "after", "the answer to another call: {reply:?}");
    }
}
