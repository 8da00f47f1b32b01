//! Large bodies both ways, through TLS and past clients that read slowly: whole, in order, and with little memory.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::json;
use sluice_tests::gateway::Start;
use sluice_tests::upstream::{Answer, Modern};
use sluice_tests::{Call, Reply, message, process, wait};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

const PATH: &str = "/servers/one/mcp";

/// Puts TLS in front of a server.
async fn encrypted(server: u16, chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> u16 {
    let config = rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((inside, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut inside) = acceptor.accept(inside).await else { return };
                let mut outside = TcpStream::connect((Ipv4Addr::LOCALHOST, server)).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut inside, &mut outside).await;
            });
        }
    });
    port
}

#[tokio::test]
async fn bodies_of_any_size_pass_tls_on_both_sides() {
    let server = Modern::start();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (pem, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let behind = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let port = encrypted(server.port, vec![certificate.clone()], behind).await;
    let start = Start::new(json!({
        "proxy": { "tls": [{ "certificate": "own.pem", "key": "own.key" }], "allowed_hosts": ["localhost"] },
        "servers": { "one": { "url": format!("https://localhost:{port}/mcp"), "protocol": "modern" } },
    }));
    let trusted = start.folder().join("own.pem");
    std::fs::write(&trusted, pem).unwrap();
    std::fs::write(start.folder().join("own.key"), key).unwrap();
    let gateway = start.env("SSL_CERT_FILE", trusted.to_str().unwrap()).ready().await;

    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, gateway.port)).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    // about the sizes of a record, of what is copied, held and read at a time, and of what a socket takes
    for size in [1, 8_000, 8_192, 16_384, 32_768, 65_000, 65_536, 70_000, 300_000, 3_000_000] {
        let arguments = json!({ "text": "y".repeat(size) });
        let call = Call::modern(PATH, "tools/call", 1, json!({ "name": "echo", "arguments": arguments }));
        let host = format!("localhost:{}", gateway.port);
        let answering = async { Reply::read(sender.send_request(call.request(&host)).await.unwrap()).await };
        let reply = wait::soon(&format!("{size} bytes come back"), answering).await.unwrap();
        assert_eq!(reply.result()["content"][0]["text"], arguments.to_string(), "{size}");
        sender.ready().await.expect("the connection goes on");
    }
}

#[tokio::test]
async fn a_client_that_reads_slowly_gets_a_flood_whole_and_in_little_memory() {
    const PIECE: usize = 100_000;
    const PIECES: usize = 600;
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    let server = Modern::scripted(move |received| {
        let id = received.message()["id"].clone();
        let (pipe, answer) = Answer::stream("application/json");
        let count = Arc::clone(&count);
        tokio::spawn(async move {
            let whole = message::response(&id, message::text("@")).to_string();
            let (begin, end) = whole.split_once('@').unwrap();
            pipe.send(begin.to_owned()).await;
            for n in 0..PIECES {
                let digits = format!("{n:010}").repeat(PIECE / 10);
                if !pipe.send(digits).await {
                    return;
                }
                count.fetch_add(PIECE, Ordering::SeqCst);
            }
            pipe.send(end.to_owned()).await;
        });
        (received.tool() == "flood").then_some(answer)
    });
    let servers = json!({ "one": { "url": server.url(), "protocol": "modern" } });
    let gateway = Start::new(json!({ "servers": servers })).ready().await;
    let before = process::peak_kib(gateway.pid());
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(8192).unwrap();
    let mut stream = socket.connect((Ipv4Addr::LOCALHOST, gateway.port).into()).await.unwrap();
    let body = message::modern("tools/call", 1, json!({ "name": "flood", "arguments": {} })).to_string();
    let head = format!(
        "POST {PATH} HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\nMcp-Method: tools/call\r\n\
         Mcp-Name: flood\r\nMCP-Protocol-Version: {}\r\nAccept: application/json, text/event-stream\r\n\
         Content-Length: {}\r\n\r\n{body}",
        message::MODERN,
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // it comes to a halt once the kernel's buffers on the way are full
    let mut last = (0, Instant::now());
    wait::within(Duration::from_secs(30), "the server is held back", || {
        let now = sent.load(Ordering::SeqCst);
        if now != last.0 {
            last = (now, Instant::now());
        }
        (now > 0 && last.1.elapsed() > Duration::from_millis(800)).then_some(())
    })
    .await;
    assert!(last.0 < PIECE * PIECES / 2, "held back at {} bytes", last.0);
    let mut text = Vec::new();
    let reading = stream.read_to_end(&mut text);
    tokio::time::timeout(Duration::from_secs(60), reading).await.expect("it ends").unwrap();
    let text = String::from_utf8(text).unwrap();
    let expected: String = (0..PIECES).map(|n| format!("{n:010}").repeat(PIECE / 10)).collect();
    assert!(text.contains(&expected), "all of it, in order: {} bytes of {}", text.len(), expected.len());
    let growth = process::peak_kib(gateway.pid()) - before;
    assert!(growth < 16 << 10, "{growth} KiB");
}

#[tokio::test]
async fn a_server_that_reads_nothing_is_given_up_after_its_timeout() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let listener = socket.listen(16).unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let servers = json!({ "one": { "url": url, "protocol": "modern", "timeout": 1 } });
    let gateway = Start::new(json!({ "servers": servers })).ready().await;
    let large = json!({ "name": "any", "arguments": { "text": "z".repeat(3 << 20) } });
    let start = Instant::now();
    let reply = Call::modern(PATH, "tools/call", 1, large).send_patiently(gateway.port).await;
    assert_eq!(reply.status, 504, "{reply:?}");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert!(gateway.metric("sluice_upstream_connections", &[]).await < 0.5, "its connection is closed");
}

/// Processor time of a process in seconds, in user space and beyond.
fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<f64> =
        stat.rsplit(") ").next().unwrap().split(' ').map(|word| word.parse().unwrap_or(0.0)).collect();
    (fields[11] + fields[12]) / 100.0
}

#[tokio::test]
async fn clients_that_stop_in_the_preface_of_http2_cost_next_to_nothing() {
    let server = Modern::start();
    let servers = json!({ "one": { "url": server.url(), "protocol": "modern" } });
    let gateway = Start::new(json!({ "servers": servers })).ready().await;
    let mut stuck = Vec::new();
    for _ in 0..400 {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, gateway.port)).await.unwrap();
        stream.write_all(b"P").await.unwrap();
        stuck.push(stream);
    }
    let (before, start) = (cpu_seconds(gateway.pid()), Instant::now());
    wait::pass(Duration::from_secs(3)).await;
    let share = (cpu_seconds(gateway.pid()) - before) / start.elapsed().as_secs_f64();
    assert!(share < 0.1, "{share:.2} of a core");
    for stream in &mut stuck[..10] {
        let rest = format!("OST {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Length: 0\r\n\r\n", gateway.port);
        stream.write_all(rest.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        wait::soon("an answer", stream.read_exact(&mut answer)).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 415", "P may still become POST");
    }
}
