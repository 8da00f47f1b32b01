//! The same operations over HTTP.

use serde_json::{Value, json};
use sluice_tests::control::{Admin, Start};
use sluice_tests::raw::Raw;
use sluice_tests::{Answer, Call, ControlPlane, Upstream, node};

#[tokio::test]
async fn a_server_lives_its_life_over_rest() {
    let plane = ControlPlane::empty().await;
    let spec = json!({"url": "http://127.0.0.1:1/mcp", "auth": {"type": "bearer", "token": "s3cret-t0ken"}});
    let objects = json!({"objects": [{"kind": "server", "name": "a", "spec": spec}], "message": "first"});
    let (status, applied) = plane.rest("POST", "/apply", objects).await;
    assert_eq!((status, &applied["revision"], &applied["changes"][0]["change"]), (200, &json!(1), &json!("added")));
    let (status, shown) = plane.rest("GET", "/objects/server/a", Value::Null).await;
    let masked = json!({"url": "http://127.0.0.1:1/mcp", "auth": {"type": "bearer", "token": "***"}});
    assert_eq!((status, &shown["spec"], &shown["revision"]), (200, &masked, &json!(1)));
    let mut edited = masked.clone();
    edited["timeout"] = json!(7);
    let (status, put) = plane.rest("PUT", "/objects/server/a?base_revision=1&message=slower", edited.clone()).await;
    assert_eq!(status, 200, "{put}");
    assert_eq!(put["changes"][0]["fields"], json!([{"path": "timeout", "after": 7}]));
    let (status, lost) = plane.rest("PUT", "/objects/server/a?base_revision=1", masked).await;
    assert_eq!((status, &lost["title"]), (409, &json!("Conflict")), "{lost}");
    let (status, dry) = plane.rest("PUT", "/integrations/a?dry_run=true", json!({"url": "ftp://x"})).await;
    assert_eq!((status, &dry["faults"][0]["path"]), (422, &json!("servers.a.url")), "{dry}");
    let (status, _) = plane.rest("POST", "/integrations", json!({"name": "a", "spec": {}})).await;
    assert_eq!(status, 409, "it exists");
    let (status, _) = plane.rest("DELETE", "/integrations/a", Value::Null).await;
    assert_eq!((status, plane.rest("DELETE", "/integrations/a", Value::Null).await.0), (200, 404));
    let (status, back) = plane.rest("POST", "/revisions/2/rollback", Value::Null).await;
    assert_eq!((status, &back["revision"]), (200, &json!(4)), "{back}");
    let (_, history) = plane.rest("GET", "/revisions?limit=2", Value::Null).await;
    assert_eq!(history["revisions"][0]["message"], "rollback to revision 2");
    let (_, summary) = plane.rest("GET", "/summary", Value::Null).await;
    assert_eq!((&summary["revision"], &summary["objects"]), (&json!(4), &json!({"server": 1})));
    let (status, nodes) = plane.rest("GET", "/nodes", Value::Null).await;
    assert_eq!((status, &nodes), (200, &json!({"revision": 4, "nodes": []})));
    // nobody knows it, and its certificates are refused from now on: that is remembered, too
    assert_eq!(plane.rest("DELETE", "/nodes/edge", Value::Null).await.0, 404);
    let (_, verdict) = plane.rest("GET", "/audit/verify", Value::Null).await;
    assert_eq!((&verdict["intact"], &verdict["entries"]), (&json!(true), &json!(6)));
}

#[tokio::test]
async fn secrets_go_in_over_rest_and_do_not_come_out() {
    let plane = ControlPlane::empty().await;
    let (status, set) = plane.rest("PUT", "/secrets/github", json!({"value": "s3cret-v4lue"})).await;
    assert_eq!((status, &set), (200, &json!({"version": 1, "revision": 1})));
    let (status, listed) = plane.rest("GET", "/secrets", Value::Null).await;
    assert_eq!((status, &listed["secrets"][0]["name"]), (200, &json!("github")));
    assert!(!listed.to_string().contains("s3cret-v4lue"), "{listed}");
    assert_eq!(plane.rest("POST", "/keys/rotate", Value::Null).await, (200, json!({"key": "k1", "resealed": 0})));
    assert_eq!(plane.rest("DELETE", "/secrets/github", Value::Null).await.0, 200);
    assert_eq!(plane.rest("DELETE", "/secrets/github", Value::Null).await.0, 404);
}

#[tokio::test]
async fn tokens_are_made_and_ended_over_rest() {
    let plane = ControlPlane::empty().await;
    let (status, made) = plane.rest("POST", "/tokens", json!({"kind": "person", "name": "vi", "role": "viewer"})).await;
    assert_eq!(status, 201, "{made}");
    let viewer = made["token"].as_str().unwrap().to_owned();
    let get = |path: &str| Call::get(path).bare().key(&viewer);
    assert_eq!(get("/api/v1/objects").send(plane.http).await.status, 200);
    let denied = get("/api/v1/tokens").send(plane.http).await;
    assert_eq!((denied.status, denied.header("content-type")), (403, Some("application/problem+json")));
    assert!(denied.text().contains("takes the role `admin`"), "{}", denied.text());
    assert_eq!(plane.rest("DELETE", "/tokens/vi", Value::Null).await, (200, json!({"revoked": 1, "revision": 0})));
    let gone = get("/api/v1/objects").send(plane.http).await;
    assert_eq!((gone.status, gone.header("www-authenticate")), (401, Some("Bearer")));
}

#[tokio::test]
async fn what_rest_cannot_read_is_a_problem_that_says_what() {
    let plane = ControlPlane::empty().await;
    for (method, path, body, status, told) in [
        ("POST", "/apply", "{", 400, "the body is no JSON: it ends too early, at line 1, column 1"),
        (
            "POST",
            "/apply",
            r#"{"objects":[],"prun":true}"#,
            400,
            "`prun` is no field that is known here; did you mean `prune`?",
        ),
        ("POST", "/apply", r#"{"objects":[{"kind":"server"}]}"#, 400, "`objects[0].name` is missing"),
        ("POST", "/tokens", r#"{"kind":"king","name":"x"}"#, 400, "`kind` is to be one of `client`, `person`, `join`"),
        ("POST", "/tokens", r#"{"kind":"person","name":"x","role":"king"}"#, 400, "`king` is no role"),
        ("GET", "/objects?kind=sever", "", 400, "did you mean `server`?"),
        ("GET", "/objects?revision=x", "", 400, "`revision` is to be a whole number, 0 or above"),
        ("GET", "/revisions?limit=1001", "", 400, "at most 1000"),
        ("GET", "/objects/server/none", "", 404, "there is no server `none`"),
        ("POST", "/revisions/x/rollback", "", 400, "a revision is a whole number"),
        ("POST", "/revisions/9/rollback", "", 404, "there is no revision 9"),
    ] {
        let call = Call::post(&format!("/api/v1{path}"), body).method(method).key(&plane.token());
        let reply = call.send(plane.http).await;
        assert_eq!(reply.status, status, "{method} {path}: {}", reply.text());
        let problem: Value = serde_json::from_slice(&reply.body).unwrap();
        assert!(problem["detail"].as_str().unwrap().contains(told), "{method} {path}: {problem}");
    }
    let call = Call::post("/api/v1/apply", "{}").key(&plane.token()).header("content-type", "text/plain");
    let untyped = call.send(plane.http).await;
    assert!(untyped.status == 415 && untyped.text().contains("Content-Type: application/json"), "{}", untyped.text());
    let strange = Call::get("/api/v1/openapi.json").bare().send(plane.http).await;
    assert!(strange.status == 200 && strange.text().contains("\"operationId\":\"Apply\""));
}

#[tokio::test]
async fn whatever_is_refused_is_a_problem_in_the_same_form() {
    let plane = ControlPlane::empty().await;
    for (method, path, status) in [
        ("GET", "/nothing", 404),
        ("GET", "/", 404),
        ("GET", "/api/v1/nothing", 404),
        ("GET", "/api/v1/objects/server/%ff", 400),
        ("PATCH", "/api/v1/objects", 405),
        ("DELETE", "/health", 405),
        ("POST", "/api/v1/openapi.json", 405),
    ] {
        let reply = Call::get(path).bare().method(method).key(&plane.token()).send(plane.http).await;
        assert_eq!((reply.status, reply.header("content-type")), (status, Some("application/problem+json")), "{path}");
        let problem: Value = serde_json::from_slice(&reply.body).unwrap();
        assert!(problem["status"] == status && problem["detail"].as_str().is_some_and(|detail| detail.len() > 20));
        assert_eq!(reply.header("allow").is_some(), status == 405, "{path}: {:?}", reply.headers);
    }
}

#[tokio::test]
async fn a_page_that_reaches_the_port_by_a_name_of_its_own_is_refused() {
    let plane = Start::default().arg("--name").arg("control.example.com").ready().await;
    let port = plane.http;
    let ask = async |path: &str, host: &str, origin: &str| {
        let call = Call::get(path).bare().key(&plane.token()).header("host", host);
        let call = if origin.is_empty() { call } else { call.header("origin", origin) };
        let reply = call.send(port).await;
        if reply.status != 200 {
            assert_eq!(reply.header("content-type"), Some("application/problem+json"), "{}", reply.text());
        }
        reply.status
    };
    for path in ["/api/v1/objects", "/health", "/metrics", "/api/v1/openapi.json", "/authority.pem"] {
        assert_eq!(ask(path, &format!("evil.example:{port}"), "").await, 403, "{path}");
        assert_eq!(ask(path, &format!("127.0.0.1:{port}"), "http://evil.example").await, 403, "{path}");
        assert_eq!(ask(path, &format!("localhost:{port}"), "null").await, 403, "{path}");
        for host in [format!("localhost:{port}"), format!("[::1]:{port}"), "control.example.com".to_owned()] {
            assert_eq!(ask(path, &host, "").await, 200, "{path} of {host}");
            assert_eq!(ask(path, &host, &format!("http://{host}")).await, 200, "its own pages are welcome");
        }
    }
}

#[tokio::test]
async fn who_stands_before_the_wrong_door_is_told_where_the_other_is() {
    let plane = ControlPlane::empty().await;
    let (grpc, http) = (plane.grpc, plane.http);
    let reply = Call::get("/api/v1/objects").bare().key(&plane.token()).send(grpc).await;
    assert_eq!(reply.status, 421);
    assert!(reply.text().contains(&format!("HTTP is served at 127.0.0.1:{http}")), "{}", reply.text());
    let asked = Admin::at(http, &plane.token()).await.get("", "", 0).await.err().unwrap();
    assert!(asked.message().contains(&format!("served by gRPC at 127.0.0.1:{grpc}")), "{asked:?}");
    let address = format!("http://127.0.0.1:{http}");
    let typed = plane.sluice(&["status", "--control-plane", &address]);
    let talk = String::from_utf8(typed.stderr).unwrap();
    assert_eq!(typed.status.code(), Some(1));
    assert!(talk.contains("this is the port for HTTP") && talk.contains(&grpc.to_string()), "{talk}");
    let token = plane.sluice(&["token", "create", "edge", "--join"]);
    let token = String::from_utf8(token.stdout).unwrap();
    let node = node::Start::new("edge", http, token.trim()).start();
    node.logged(&format!("this is the port for HTTP; `sluice` and nodes are served by gRPC at 127.0.0.1:{grpc}")).await;
    let stranger = Upstream::always(|| Answer::empty(404));
    let node = node::Start::new("edge", stranger.port, token.trim()).start();
    node.logged("does not speak TLS").await;
}

#[tokio::test]
async fn logs_are_what_the_control_plane_logged() {
    let plane = ControlPlane::empty().await;
    plane.admin().await.servers(&[("a", r#"{"url":"http://127.0.0.1:1/mcp"}"#)]).await;
    let (status, logs) = plane.rest("GET", "/logs", Value::Null).await;
    let lines = logs["lines"].as_array().unwrap();
    assert!(
        status == 200 && lines.iter().any(|line| line["message"] == "serving" && line["level"] == "INFO"),
        "{logs}"
    );
    let (_, one) = plane.rest("GET", "/logs?limit=1", Value::Null).await;
    assert_eq!(one["lines"].as_array().unwrap().len(), 1);
    let viewer = plane.admin().await.person("eve", "viewer").await;
    assert_eq!(Call::get("/api/v1/logs").bare().key(&viewer).send(plane.http).await.status, 403);
}

#[tokio::test]
async fn a_body_that_is_too_large_ends_the_connection_and_says_so() {
    let plane = ControlPlane::empty().await;
    let length = 20 << 20;
    let head = format!(
        "POST /api/v1/apply HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n",
        plane.http,
        plane.token()
    );
    let answered = Raw::send(plane.http, head).await.answer().await.unwrap();
    assert_eq!(answered.status, 413, "{answered:?}");
    assert!(answered.text.to_ascii_lowercase().contains("\r\nconnection: close\r\n"), "{answered:?}");
}
