//! The same operations over HTTP.

use serde_json::{Value, json};
use sluice_tests::{Call, ControlPlane};

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
    assert_eq!(plane.rest("DELETE", "/nodes/edge", Value::Null).await.0, 404);
    let (_, verdict) = plane.rest("GET", "/audit/verify", Value::Null).await;
    assert_eq!((&verdict["intact"], &verdict["entries"]), (&json!(true), &json!(5)));
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
        ("POST", "/apply", "{", 400, "EOF"),
        ("POST", "/apply", r#"{"objects":[],"prun":true}"#, 422, "unknown field `prun`"),
        ("POST", "/tokens", r#"{"kind":"person","name":"x","role":"king"}"#, 400, "`king` is no role"),
        ("GET", "/objects?kind=sever", "", 400, "did you mean `server`?"),
        ("GET", "/objects?revision=x", "", 400, "revision"),
        ("GET", "/objects/server/none", "", 404, "there is no server `none`"),
        ("POST", "/revisions/x/rollback", "", 400, "a revision is a whole number"),
        ("POST", "/revisions/9/rollback", "", 404, "there is no revision 9"),
    ] {
        let call = Call::post(&format!("/api/v1{path}"), body).method(method).key(&plane.token());
        let reply = call.send(plane.http).await;
        assert_eq!(reply.status, status, "{method} {path}: {}", reply.text());
        assert!(reply.text().contains(told), "{method} {path}: {}", reply.text());
    }
    let strange = Call::get("/api/v1/openapi.json").bare().send(plane.http).await;
    assert!(strange.status == 200 && strange.text().contains("\"operationId\":\"Apply\""));
}
