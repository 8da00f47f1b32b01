//! People on other machines than the control plane: TLS by nothing but their token, plain text refused, and nobody else shown the
//! token. All of it over an address of this machine that is not loopback.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

#[path = "people_elsewhere/certified.rs"]
mod certified;
#[path = "people_elsewhere/impostor.rs"]
mod impostor;
#[path = "people_elsewhere/plane.rs"]
mod plane;
#[path = "people_elsewhere/strangers.rs"]
mod strangers;

use std::time::Duration;

use certified::Issuer;
use impostor::Impostor;
use plane::{Plane, https};
use serde_json::Value;
use sluice_tests::wait;
use strangers::Stranger;

/// Longer than files are left unread, and than anything here takes on a busy machine.
const SOON: Duration = Duration::from_secs(30);

/// A token with the fingerprint of something else.
fn misled(token: &str) -> String {
    format!("{}.{}", token.split('.').next().unwrap(), "0".repeat(64))
}

#[tokio::test]
async fn a_token_is_all_that_people_elsewhere_need() {
    let plane = Plane::start(&[]).await;
    let token = plane.token();
    for address in [plane.url(), plane.url().replace("https://", "")] {
        let (code, data, talk) = plane.sluice(&address, &token, &["get", "-o", "json"]);
        assert_eq!((code, data.trim()), (0, "{}"), "{talk}");
    }
    let (code, bob, talk) = plane.sluice(&plane.url(), &token, &["token", "create", "bob", "--role", "viewer"]);
    assert_eq!(code, 0, "{talk}");
    assert_eq!(bob.trim().split('.').nth(1), token.split('.').nth(1), "it names the same authority");
    let (code, _, talk) = plane.sluice(&plane.url(), bob.trim(), &["status"]);
    assert_eq!(code, 0, "{talk}");
    let (code, _, talk) = plane.sluice(&plane.url(), bob.trim(), &["token", "create", "eve"]);
    assert!(code == 1 && talk.contains("takes the role `admin`"), "{talk}");
}

#[tokio::test]
async fn rest_is_served_over_https_by_the_authority_that_tokens_name() {
    let plane = Plane::start(&[]).await;
    let authority = plane.authority().await;
    let fingerprint = plane.token().split('.').nth(1).unwrap().to_owned();
    assert_eq!(plane::sha256(&authority), fingerprint, "what is fetched unchecked is checked by the token");
    let name = plane.ip.to_string();
    let (status, body) = https(plane.http(), &name, &authority, "/api/v1/summary", &plane.token()).await.unwrap();
    let summary: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &summary["revision"]), (200, &0.into()));
    let bare = plane.token().split('.').next().unwrap().to_owned();
    assert_eq!(https(plane.http(), &name, &authority, "/api/v1/summary", &bare).await.unwrap().0, 200);
    assert_eq!(https(plane.http(), &name, &authority, "/api/v1/summary", "nobody").await.unwrap().0, 401);
    for path in ["/metrics", "/api/v1/metrics"] {
        assert_eq!(https(plane.http(), &name, &authority, path, &plane.token()).await.unwrap().0, 200, "{path}");
        assert_eq!(https(plane.http(), &name, &authority, path, "nobody").await.unwrap().0, 401, "{path}");
    }
    let other = Issuer::new().certificate;
    assert!(https(plane.http(), &name, &other, "/api/v1/summary", &plane.token()).await.is_err());
}

#[tokio::test]
async fn plain_text_from_elsewhere_is_refused_with_a_way_out() {
    let plane = Plane::start(&[]).await;
    let plain = plane.url().replace("https", "http");
    let (code, _, talk) = plane.sluice(&plain, &plane.token(), &["get"]);
    assert!(code == 2 && talk.contains(&format!("= write {}", plane.url())), "{talk}");
    for port in [plane.grpc(), plane.http()] {
        let answer = plane::plain(port, &plane.token()).await;
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("write https://"), "{answer}");
    }
    assert!(!plane.program.log().contains(&plane.token()[..40]));
}

#[tokio::test]
async fn nobody_else_is_shown_a_token() {
    let plane = Plane::start(&[]).await;
    let told = |url: &str, token: &str| {
        let (code, data, talk) = plane.sluice(url, token, &["get"]);
        assert!(code == 1 && data.is_empty(), "{talk}");
        assert!(talk.contains("and was not shown the token") && !talk.contains(token), "{talk}");
    };
    told(&plane.url(), &misled(&plane.token()));
    told(&plane.url(), plane.token().split('.').next().unwrap());
    // one who has a certificate of that name, and one who shows the genuine authority with it, which is no secret
    let genuine = plane.authority().await;
    for authority in [None, Some(genuine)] {
        let impostor = Impostor::start(plane.ip, authority);
        told(&format!("https://{}", impostor.address), &plane.token());
        assert_eq!(impostor.heard().await, 0, "bytes after the handshake");
    }
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_renewed_while_it_is_served() {
    let (first, second) = (Issuer::new(), Issuer::new());
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
    let ip = plane::own_address();
    first.certify(ip, &certificate, &key);
    let files = [certificate.display().to_string(), key.display().to_string()];
    let plane = Plane::start(&["--tls-certificate", &files[0], "--tls-key", &files[1]]).await;
    let (name, token) = (ip.to_string(), plane.token());
    assert_eq!(https(plane.http(), &name, &first.certificate, "/health", &token).await.unwrap().0, 200);

    // people who are told by a file, people who are told by their token, and nodes
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, &first.pem).unwrap();
    let by_file = ["get", "--ca-file", &ca.display().to_string()];
    let bare = token.split('.').next().unwrap();
    assert_eq!(plane.sluice(&plane.url(), bare, &by_file).0, 0);
    assert_eq!(plane.sluice(&plane.url(), &token, &["get"]).0, 0);
    let (_, join, _) = plane.sluice(&plane.url(), &token, &["token", "create", "edge-1", "--join"]);
    plane.joined_by("edge-1", join.trim()).await;

    std::fs::write(&key, "no key\n").unwrap();
    plane.program.logged("going on with the certificate of before").await;
    assert_eq!(https(plane.http(), &name, &first.certificate, "/health", &token).await.unwrap().0, 200);
    second.certify(ip, &certificate, &key);
    let renewed = async || https(plane.http(), &name, &second.certificate, "/health", &token).await.ok();
    wait::eventually_within(SOON, "the new certificate is served", renewed).await;
    assert!(https(plane.http(), &name, &first.certificate, "/health", &token).await.is_err());
    let refused = plane.sluice(&plane.url(), bare, &by_file);
    assert!(refused.0 == 1 && refused.2.contains("not known by the authorities in"), "{}", refused.2);
    assert_eq!(plane.sluice(&plane.url(), &token, &["get"]).0, 0);
}

#[tokio::test]
async fn a_certificate_that_cannot_be_served_with_is_told_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let [certificate, key, other] = ["c.pem", "k.pem", "other.pem"].map(|name| folder.path().join(name));
    Issuer::new().certify(plane::own_address(), &certificate, &key);
    Issuer::new().certify(plane::own_address(), &folder.path().join("x.pem"), &other);
    let text = |path: &std::path::Path| path.display().to_string();
    for (key, told) in [(text(&other), "cannot be served with"), (text(&certificate), "holds no private key in PEM")] {
        let args = ["--tls-certificate", &text(&certificate), "--tls-key", &key];
        let told_us = plane::refused(folder.path(), &args);
        assert!(told_us.contains(told), "{told_us}");
    }
    let alone = plane::refused(folder.path(), &["--tls-certificate", &text(&certificate)]);
    assert!(alone.contains("--tls-key"), "{alone}");
    assert!(!folder.path().join("state").exists(), "a start that cannot be leaves nothing behind");
}

#[tokio::test]
async fn idle_strangers_keep_neither_people_nor_nodes_out_and_are_closed() {
    let plane = Plane::start(&[]).await;
    let token = plane.token();
    let authority = plane.authority().await;
    let name = plane.ip.to_string();
    let mut silent = Vec::new();
    for (door, alpn) in [(plane.grpc(), "h2"), (plane.http(), "http/1.1")] {
        // after TLS, as many as are let in
        let let_in = strangers::crowd(door, alpn, 200).await;
        assert!((1..200).contains(&let_in.len()), "{} of 200 are let in", let_in.len());
        silent.extend(let_in);
        // and before it
        for _ in 0..200 {
            silent.push(Stranger::before_tls(door).await);
        }
    }
    plane.program.logged("no place is left").await;
    assert_eq!(plane.program.log().matches("no place is left").count(), 2, "it is told once a minute and door");

    assert_eq!(plane.sluice(&plane.url(), &token, &["get"]).0, 0);
    assert_eq!(https(plane.http(), &name, &authority, "/api/v1/summary", &token).await.unwrap().0, 200);
    let (_, join, _) = plane.sluice(&plane.url(), &token, &["token", "create", "edge-1", "--join"]);
    plane.joined_by("edge-1", join.trim()).await;

    for stranger in silent {
        tokio::time::timeout(2 * SOON, stranger.closed()).await.expect("one who says nothing is closed");
    }
}

#[tokio::test]
async fn a_head_without_end_is_refused() {
    let plane = Plane::start(&[]).await;
    let authority = plane.authority().await;
    let name = plane.ip.to_string();
    let asked = async |bytes: usize| https(plane.http(), &name, &authority, "/health", &"x".repeat(bytes)).await;
    assert_eq!(asked(1 << 10).await.unwrap().0, 200);
    // the answer may be lost to the reset of a connection with more to read
    assert!(asked(1 << 20).await.map_or(true, |(status, _)| status == 431));
}
