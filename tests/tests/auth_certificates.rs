//! Mutual TLS: who is known by a certificate, over every version of HTTP and WebSocket, and for how long.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, IsCa, KeyIdMethod, KeyPair,
    KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::{Value, json};
use sluice_tests::gateway::Start;
use sluice_tests::upstream::Modern;
use sluice_tests::websocket::Socket;
use sluice_tests::{Call, Gateway, Reply, until, wait};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const PATH: &str = "/servers/one/mcp";
const HOST: &str = "gateway.example";

/// An authority that issues certificates of clients.
struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A client's certificate and key.
struct Shown(CertificateDer<'static>, Vec<u8>);

impl Authority {
    fn new() -> Self {
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Self(CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap())
    }

    /// A certificate with these names, good for so long.
    fn issue(&self, names: &[&str], life: Duration, serial: u64) -> Shown {
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.subject_alt_names = names
            .iter()
            .map(|name| match *name {
                uri if uri.contains("://") => SanType::URI(uri.try_into().unwrap()),
                email if email.contains('@') => SanType::Rfc822Name(email.try_into().unwrap()),
                name => SanType::DnsName(name.try_into().unwrap()),
            })
            .collect();
        parameters.not_before = (SystemTime::now() - Duration::from_secs(3600)).into();
        parameters.not_after = (SystemTime::now() + life).into();
        parameters.serial_number = Some(SerialNumber::from(serial));
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.signed_by(&key, &self.0).unwrap();
        Shown(certificate.der().clone(), key.serialize_der())
    }

    fn revoke(&self, serial: u64) -> String {
        let now = SystemTime::now();
        let revoked = RevokedCertParams {
            serial_number: SerialNumber::from(serial),
            revocation_time: now.into(),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: (now - Duration::from_secs(60)).into(),
            next_update: (now + Duration::from_secs(86_400)).into(),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: vec![revoked],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.0).unwrap().pem().unwrap()
    }
}

/// Writes the gateway's own certificate.
fn certify(folder: &Path) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(vec![HOST.to_owned()]).unwrap();
    std::fs::write(folder.join("own.key"), made.signing_key.serialize_pem()).unwrap();
    std::fs::write(folder.join("own.pem"), made.cert.pem()).unwrap();
    made.cert.der().clone()
}

fn config(server: &Modern, clients: Value) -> Value {
    let tls = json!([{ "certificate": "own.pem", "key": "own.key" }]);
    json!({
        "proxy": { "tls": tls, "tls_clients": clients, "allowed_hosts": [HOST] },
        "servers": { "one": server.config() },
        "clients": { "machine": { "api_key": "machine-key-0123456789" } },
    })
}

async fn ready(server: &Modern, authority: &Authority, clients: Value) -> (Gateway, CertificateDer<'static>) {
    let start = Start::new(config(server, clients));
    let own = certify(start.folder());
    std::fs::write(start.folder().join("ca.pem"), authority.0.pem()).unwrap();
    (start.ready().await, own)
}

async fn connect(
    port: u16,
    own: &CertificateDer<'static>,
    shown: Option<&Shown>,
    alpn: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(own.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots);
    let mut config = match shown {
        None => config.with_no_client_auth(),
        Some(Shown(certificate, key)) => {
            let key = PrivateKeyDer::try_from(key.clone()).unwrap();
            config.with_client_auth_cert(vec![certificate.clone()], key).unwrap()
        }
    };
    config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(HOST).unwrap(), stream).await
}

fn echo() -> Call {
    Call::modern(PATH, "tools/call", 1, json!({ "name": "echo", "arguments": {} }))
}

/// One call on a connection of its own; nothing when there is no connection.
async fn call(gateway: &Gateway, own: &CertificateDer<'static>, shown: Option<&Shown>, call: Call) -> Option<Reply> {
    let stream = connect(gateway.port, own, shown, "http/1.1").await.ok()?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
    tokio::spawn(connection);
    Reply::read(sender.send_request(call.request(HOST)).await.ok()?).await.ok()
}

async fn status(gateway: &Gateway, own: &CertificateDer<'static>, shown: Option<&Shown>) -> Option<u16> {
    call(gateway, own, shown, echo()).await.map(|reply| reply.status)
}

/// A connection that stays open.
async fn open(gateway: &Gateway, own: &CertificateDer<'static>, shown: &Shown) -> SendRequest<Full<Bytes>> {
    let stream = connect(gateway.port, own, Some(shown), "http/1.1").await.unwrap();
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

async fn ask(sender: &mut SendRequest<Full<Bytes>>) -> u16 {
    Reply::read(sender.send_request(echo().request(HOST)).await.unwrap()).await.unwrap().status
}

const LONG: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn a_certificate_of_a_known_name_lets_its_holder_in_at_every_door() {
    let (server, authority) = (Modern::start(), Authority::new());
    let names = json!({ "spiffe://example.org/*": ["agent"], "*@example.org": [] });
    let (gateway, own) = ready(&server, &authority, json!({ "authorities": ["ca.pem"], "names": names })).await;
    let agent = authority.issue(&["spiffe://example.org/agent"], LONG, 1);
    assert_eq!(status(&gateway, &own, Some(&agent)).await, Some(200));
    gateway.logged("spiffe://example.org/agent").await;
    let person = authority.issue(&["ann@example.org"], LONG, 2);
    assert_eq!(status(&gateway, &own, Some(&person)).await, Some(200));
    let stream = connect(gateway.port, &own, Some(&agent), "h2").await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut request = echo().request(HOST);
    *request.uri_mut() = format!("https://{HOST}{PATH}").parse().unwrap();
    request.headers_mut().remove("host");
    assert_eq!(sender.send_request(request).await.unwrap().status(), 200, "HTTP/2");
    let stream = connect(gateway.port, &own, Some(&agent), "http/1.1").await.unwrap();
    let socket = Socket::over(Box::new(stream), HOST, "/servers/one/ws", "").await;
    assert!(socket.is_ok(), "WebSocket");
    assert_eq!(status(&gateway, &own, None).await, Some(401), "nobody without one");
    assert_eq!(status(&gateway, &own, Some(&authority.issue(&["other.example"], LONG, 3))).await, Some(401));
    let key = echo().key("machine-key-0123456789");
    assert_eq!(call(&gateway, &own, None, key).await.unwrap().status, 200, "other credentials do as well");
    let stranger = Authority::new().issue(&["spiffe://example.org/agent"], LONG, 1);
    assert_eq!(status(&gateway, &own, Some(&stranger)).await, None, "of another authority");
    let expired = authority.issue(&["spiffe://example.org/agent"], Duration::ZERO, 4);
    let shown = async || status(&gateway, &own, Some(&expired)).await;
    wait::becomes(Duration::from_secs(5), "an ended certificate is refused", shown, Option::is_none).await;
}

#[tokio::test]
async fn where_one_is_required_nobody_gets_a_connection_without() {
    let (server, authority) = (Modern::start(), Authority::new());
    let (gateway, own) = ready(&server, &authority, json!({ "authorities": ["ca.pem"], "required": true })).await;
    assert_eq!(status(&gateway, &own, None).await, None);
    let anybody = authority.issue(&["any.example"], LONG, 1);
    assert_eq!(status(&gateway, &own, Some(&anybody)).await, Some(200));
    let key = echo().key("machine-key-0123456789");
    assert_eq!(call(&gateway, &own, Some(&anybody), key).await.unwrap().status, 200, "a key in it says who calls");
    assert_eq!(call(&gateway, &own, Some(&anybody), echo().key("wrong")).await.unwrap().status, 401);
    for received in server.received() {
        assert!(!format!("{:?}", received.headers).contains("any.example"), "it goes no further");
    }
}

#[tokio::test]
async fn a_certificate_that_expires_or_is_revoked_lets_nobody_in_any_more() {
    let (server, authority) = (Modern::start(), Authority::new());
    let clients = json!({ "authorities": ["ca.pem"], "revocations": ["ca.crl"] });
    let start = Start::new(config(&server, clients));
    let own = certify(start.folder());
    std::fs::write(start.folder().join("ca.pem"), authority.0.pem()).unwrap();
    std::fs::write(start.folder().join("ca.crl"), authority.revoke(99)).unwrap();
    let gateway = start.ready().await;
    let short = authority.issue(&["short.example"], Duration::from_secs(4), 7);
    let mut lived = open(&gateway, &own, &short).await;
    assert_eq!(ask(&mut lived).await, 200);
    let what = "an open connection does not outlive its certificate";
    let status_of = async || ask(&mut lived).await;
    assert_eq!(wait::becomes(Duration::from_secs(15), what, status_of, |status| *status != 200).await, 401);
    let revoked = authority.issue(&["revoked.example"], LONG, 8);
    assert_eq!(status(&gateway, &own, Some(&revoked)).await, Some(200));
    let good = authority.issue(&["good.example"], LONG, 9);
    let (mut open, mut stays) = (open(&gateway, &own, &revoked).await, open(&gateway, &own, &good).await);
    assert_eq!((ask(&mut open).await, ask(&mut stays).await), (200, 200));
    let stream = connect(gateway.port, &own, Some(&revoked), "http/1.1").await.unwrap();
    let mut socket = Socket::over(Box::new(stream), HOST, "/servers/one/ws", "").await.unwrap_or_else(|_| panic!());
    std::fs::write(gateway.folder().join("ca.crl"), authority.revoke(8)).unwrap();
    gateway.logged("authorities of clients read again").await;
    let what = "an open connection of a revoked certificate is refused";
    wait::becomes(Duration::from_secs(1), what, async || ask(&mut open).await, |status| *status == 401).await;
    assert_eq!(socket.closed().await.0, 1008, "its socket is closed");
    assert_eq!(ask(&mut stays).await, 200, "that of another goes on");
    assert_eq!(status(&gateway, &own, Some(&revoked)).await, None);
    assert_eq!(status(&gateway, &own, Some(&authority.issue(&["good.example"], LONG, 9))).await, Some(200));
    std::fs::write(gateway.folder().join("ca.crl"), "garbage").unwrap();
    gateway.logged("not usable").await;
    assert_eq!(status(&gateway, &own, Some(&revoked)).await, None, "the last good list stays");
    until("it goes on", || Some(())).await;
}

#[tokio::test]
async fn where_certificates_are_not_asked_for_any_more_a_key_counts_on_connections_that_are_open() {
    let (server, authority) = (Modern::start(), Authority::new());
    let (gateway, own) = ready(&server, &authority, json!({ "authorities": ["ca.pem"] })).await;
    let mut open = open(&gateway, &own, &authority.issue(&["good.example"], LONG, 1)).await;
    assert_eq!(ask(&mut open).await, 200);
    let mut without = config(&server, json!({}));
    without["proxy"].as_object_mut().unwrap().remove("tls_clients");
    std::fs::write(gateway.file(), without.to_string()).unwrap();
    let adopted = async || gateway.admin("/config").await.text().contains("\"revision\": 2");
    wait::becomes(wait::SOON, "the other configuration runs", adopted, |runs| *runs).await;
    wait::throughout(Duration::from_millis(500), Duration::from_millis(20), async || {
        let call = echo().key("machine-key-0123456789").request(HOST);
        let reply = Reply::read(open.send_request(call).await.unwrap()).await.unwrap();
        assert_eq!(reply.status, 200, "{reply:?}");
    })
    .await;
}
