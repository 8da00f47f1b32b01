//! The description of the REST API is valid OpenAPI, and the server answers as it describes.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use sluice_tests::{Call, ControlPlane, Reply};

/// A validator, which `tests/run setup` installs.
const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/.cache/python-openapi/bin/python");
const VALIDATOR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/python/openapi.py");

/// What a validator says about a description and what was answered.
fn judged(document: &Value, exchanges: &[Value]) -> String {
    let mut command = Command::new(PYTHON);
    let child = command.arg(VALIDATOR).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.unwrap_or_else(|error| panic!("{PYTHON}: {error}; `tests/run setup` installs it"));
    let asked = json!({"document": document, "exchanges": exchanges}).to_string();
    child.stdin.take().unwrap().write_all(asked.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    assert_eq!(output.status.success(), said.trim().is_empty(), "{said}");
    said.trim().to_owned()
}

/// An operation as it is described.
struct Operation<'d> {
    path: &'d str,
    method: &'d str,
    described: &'d Value,
}

impl Operation<'_> {
    /// Asked with the examples of the description.
    fn call(&self) -> Call {
        let mut path = self.path.to_owned();
        for parameter in self.described["parameters"].as_array().into_iter().flatten() {
            let name = parameter["name"].as_str().unwrap();
            path = path.replace(&format!("{{{name}}}"), parameter["example"].as_str().unwrap_or("1"));
        }
        let body = &self.described["requestBody"]["content"]["application/json"]["example"];
        let is_bodied = !self.described["requestBody"].is_null();
        let call = match body {
            Value::Null => Call::post(&path, if is_bodied { "{}" } else { "" }),
            body => Call::post(&path, body.to_string()),
        };
        let call = if is_bodied { call } else { call.bare() };
        call.method(&self.method.to_uppercase())
    }

    fn exchange(&self, reply: &Reply) -> Value {
        let body = if reply.body.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&reply.body).unwrap_or_else(|_| reply.text().into())
        };
        json!({"path": self.path, "method": self.method, "status": reply.status,
            "type": reply.header("content-type"), "body": body})
    }
}

fn operations(document: &Value) -> Vec<Operation<'_>> {
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, described) in item.as_object().unwrap() {
            operations.push(Operation { path, method, described });
        }
    }
    // what is to be found is there until then
    operations.sort_by_key(|operation| operation.method == "delete");
    operations
}

#[tokio::test]
async fn the_description_is_valid_and_every_answer_is_as_it_says() {
    let plane = ControlPlane::empty().await;
    let document = plane.get("/api/v1/openapi.json").await;
    let document: Value = serde_json::from_slice(&document.body).unwrap();
    assert_eq!(judged(&document, &[]), "");
    let viewer = plane.admin().await.person("vi", "viewer").await;
    let mut exchanges = Vec::new();
    for operation in operations(&document) {
        let name = format!("{} {}", operation.method, operation.path);
        let is_open = operation.described["security"].as_array().is_some_and(|needed| needed.contains(&json!({})));
        let stranger = operation.call().send(plane.http).await;
        let refused = [401, 429].contains(&stranger.status);
        assert_eq!(refused, !is_open, "{name}: {} {}", stranger.status, stranger.text());
        let said = format!("{}{}", operation.described["summary"], operation.described["description"]);
        let takes_more = ["editor.", "admin.", "editor; with"].iter().any(|role| said.contains(role));
        let low = operation.call().key(&viewer).send(plane.http).await;
        assert_eq!(low.status == 403, takes_more, "{name}: {} {}", low.status, low.text());
        let high = operation.call().key(&plane.token()).send(plane.http).await;
        assert!(high.status < 500, "{name}: {} {}", high.status, high.text());
        exchanges.extend([&stranger, &low, &high].map(|reply| operation.exchange(reply)));
    }
    exchanges.extend(changed(&plane).await);
    assert_eq!(judged(&document, &exchanges), "");
    let done = exchanges.iter().filter(|exchange| exchange["status"].as_u64().is_some_and(|status| status < 300));
    assert!(done.count() > 40, "examples work");
}

/// Answers to a change of values of every type.
async fn changed(plane: &ControlPlane) -> Vec<Value> {
    let mut exchanges = Vec::new();
    for spec in [
        json!({"url": "http://127.0.0.1:1/mcp", "timeout": 30, "enabled": true}),
        json!({"url": "http://127.0.0.1:2/mcp", "timeout": 60, "enabled": false, "headers": {}}),
    ] {
        let path = "/objects/server/changed";
        let (status, body) = plane.rest("PUT", path, spec).await;
        assert_eq!(status, 200, "{body}");
        let path = "/api/v1/objects/{kind}/{name}";
        exchanges.push(json!({"path": path, "method": "put", "status": 200, "type": "application/json", "body": body}));
    }
    let fields = exchanges[1]["body"]["changes"][0]["fields"].as_array().unwrap();
    assert!(
        fields.iter().any(|field| field["after"].is_u64()) && fields.iter().any(|field| field["after"].is_string())
    );
    exchanges
}

#[tokio::test]
async fn a_description_that_is_wrong_is_found_to_be() {
    let plane = ControlPlane::empty().await;
    let document = plane.get("/api/v1/openapi.json").await;
    let document: Value = serde_json::from_slice(&document.body).unwrap();
    let mut undeclared = document.clone();
    undeclared["paths"]["/api/v1/nodes/{node}"]["delete"]["parameters"] = json!([]);
    assert!(judged(&undeclared, &[]).contains("node"), "a path parameter is missing");
    let exchange = |status: u16, body: Value| json!({"path": "/api/v1/nodes", "method": "get", "status": status, "type": "application/json", "body": body});
    assert!(judged(&document, &[exchange(201, Value::Null)]).contains("is not described"));
    assert!(judged(&document, &[exchange(200, json!({"revision": "1"}))]).contains("$.revision"));
}
