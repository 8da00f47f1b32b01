//! A scripted HTTP server of either era that serves a [`Catalogue`], tells its listeners of changes, asks its clients
//! questions, and remembers every request it got.

use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::catalogue::Catalogue;
use crate::client::Era;
use crate::message::{self, MODERN, SUBSCRIPTION_KEY};
use crate::upstream::{Answer, Pipe, Received, Upstream};

/// The server; dereferences to what it received.
#[derive(Clone)]
pub struct Server {
    upstream: Upstream,
    state: Arc<State>,
}

struct State {
    era: Era,
    catalogue: Catalogue,
    opened: AtomicUsize,
    sessions: Mutex<Vec<String>>,
    listeners: Mutex<Vec<Listener>>,
    asking: Mutex<Vec<Asking>>,
}

/// A GET stream of a legacy session, or a modern `subscriptions/listen`.
#[derive(Clone)]
pub struct Listener {
    /// The session, or nothing.
    pub session: String,
    /// The id of the subscription, or null.
    pub id: Value,
    /// What the subscription wants.
    pub filter: Value,
    /// Where messages are written to.
    pub pipe: Pipe,
}

/// A call that has asked its client something and waits.
struct Asking {
    session: String,
    question: Value,
    request: Value,
    pipe: Pipe,
}

type Script = dyn Fn(&Received) -> Option<Answer> + Send + Sync;

impl Deref for Server {
    type Target = Upstream;

    fn deref(&self) -> &Upstream {
        &self.upstream
    }
}

impl Server {
    /// A server that serves this catalogue. Its tool `ask` sends the question in its arguments (`id`, `method`, `params`)
    /// on the stream of the call, and ends with what was answered; its tool `hang` never ends.
    #[must_use]
    pub fn start(era: Era, catalogue: &Catalogue) -> Self {
        Self::scripted(era, catalogue, |_| None)
    }

    /// The same, but asking `script` first.
    pub fn scripted(
        era: Era,
        catalogue: &Catalogue,
        script: impl Fn(&Received) -> Option<Answer> + Send + Sync + 'static,
    ) -> Self {
        let state = Arc::new(State {
            era,
            catalogue: catalogue.clone(),
            opened: AtomicUsize::new(0),
            sessions: Mutex::default(),
            listeners: Mutex::default(),
            asking: Mutex::default(),
        });
        let (own, script): (_, Box<Script>) = (Arc::clone(&state), Box::new(script));
        let upstream = Upstream::start(move |received| {
            let answer = own.answer(&received, &*script);
            async move { if let Some(answer) = answer { answer } else { Answer::never().await } }
        });
        Self { upstream, state }
    }

    /// The sessions that were opened and not ended.
    #[must_use]
    pub fn sessions(&self) -> Vec<String> {
        self.state.sessions.lock().unwrap().clone()
    }

    /// The streams that are open.
    #[must_use]
    pub fn listeners(&self) -> Vec<Listener> {
        let mut listeners = self.state.listeners.lock().unwrap();
        listeners.retain(|listener| !listener.pipe.is_closed());
        listeners.clone()
    }

    /// Waits until somebody listens.
    pub async fn listened(&self) {
        crate::until("a stream at the server", || (!self.listeners().is_empty()).then_some(())).await;
    }

    /// Tells all who listen, and want to hear it, that a list changed: `tools`, `prompts` or `resources`.
    pub async fn announce(&self, list: &str) {
        self.tell(&format!("notifications/{list}/list_changed"), json!({}), |listener| {
            listener.id.is_null() || listener.filter[format!("{list}ListChanged")] == true
        })
        .await;
    }

    /// Tells all who listen, and want to hear it, that a resource was updated.
    pub async fn updated(&self, uri: &str) {
        self.tell("notifications/resources/updated", json!({ "uri": uri }), |listener| {
            let wanted = listener.filter["resourceSubscriptions"].as_array();
            listener.id.is_null() || wanted.is_some_and(|wanted| wanted.iter().any(|wanted| wanted == uri))
        })
        .await;
    }

    /// Sends a notification to all listeners that fit.
    pub async fn tell(&self, method: &str, params: Value, fits: impl Fn(&Listener) -> bool) {
        for listener in self.listeners().into_iter().filter(fits) {
            let mut params = params.clone();
            if !listener.id.is_null() {
                params["_meta"] = json!({ SUBSCRIPTION_KEY: listener.id });
            }
            listener.pipe.event(&message::notification(method, params)).await;
        }
    }

    /// Forgets every session and closes every stream, as a restart would.
    pub fn forget(&self) {
        self.state.sessions.lock().unwrap().clear();
        self.state.listeners.lock().unwrap().clear();
    }
}

impl State {
    fn answer(&self, received: &Received, script: &Script) -> Option<Answer> {
        match self.era {
            Era::Legacy => self.legacy(received, script),
            Era::Modern => self.modern(received, script),
        }
    }

    fn legacy(&self, received: &Received, script: &Script) -> Option<Answer> {
        let message = received.message();
        let session = received.header("mcp-session-id").unwrap_or_default().to_owned();
        if message["method"] == "initialize" {
            return script(received).or_else(|| Some(self.initialize(&message)));
        }
        if session.is_empty() {
            let refusal = message::error(&Value::Null, -32000, "Bad Request: Server not initialized");
            return Some(Answer::new(400, "application/json", refusal.to_string()));
        }
        if !self.sessions.lock().unwrap().contains(&session) {
            let refusal = message::error(&Value::Null, -32001, "Session not found");
            return Some(Answer::new(404, "application/json", refusal.to_string()));
        }
        if let Some(answer) = script(received) {
            return Some(answer);
        }
        match received.verb.as_str() {
            "GET" => {
                let (pipe, answer) = Answer::stream("text/event-stream");
                self.listen(Listener { session, id: Value::Null, filter: json!({}), pipe });
                Some(answer)
            }
            "DELETE" => {
                self.sessions.lock().unwrap().retain(|known| *known != session);
                self.listeners.lock().unwrap().retain(|listener| listener.session != session);
                Some(Answer::empty(200))
            }
            _ if message.get("method").is_none() => {
                self.answered(&session, &message);
                Some(Answer::accepted())
            }
            _ if received.tool() == "ask" => Some(self.ask(session, message)),
            _ => self.usual(received, &message),
        }
    }

    fn modern(&self, received: &Received, script: &Script) -> Option<Answer> {
        let message = received.message();
        if received.verb != "POST" {
            return Some(Answer::empty(405).header("allow", "POST"));
        }
        if received.header("mcp-protocol-version") != Some(MODERN) {
            let data = json!({ "supported": [MODERN] });
            let error = json!({ "code": -32022, "message": "Unsupported protocol version", "data": data });
            let body = json!({ "jsonrpc": "2.0", "id": message["id"], "error": error });
            return Some(Answer::new(400, "application/json", body.to_string()));
        }
        if let Some(refusal) = mismatch(received, &message) {
            return Some(refusal);
        }
        if let Some(answer) = script(received) {
            return Some(answer);
        }
        match message["method"].as_str() {
            Some("server/discover") => {
                let result = self.catalogue.introduced(json!({
                    "resultType": "complete", "supportedVersions": [MODERN],
                    "capabilities": self.catalogue.capabilities(), "ttlMs": 0, "cacheScope": "public",
                    "_meta": { "io.modelcontextprotocol/serverInfo": { "name": self.catalogue.name, "version": "1" } },
                }));
                Some(Answer::message(&message::response(&message["id"], result)))
            }
            Some("subscriptions/listen") => {
                let (pipe, answer) = Answer::stream("text/event-stream");
                let (filter, id) = (message["params"]["notifications"].clone(), message["id"].clone());
                let (first, listener) = (pipe.clone(), Listener { session: String::new(), id, filter, pipe });
                self.listen(listener);
                tokio::spawn(async move { first.event(&message::acknowledged(&message)).await });
                Some(answer)
            }
            _ => self.usual(received, &message),
        }
    }

    fn usual(&self, received: &Received, message: &Value) -> Option<Answer> {
        let id = &message["id"];
        if id.is_null() {
            return Some(Answer::accepted());
        }
        if received.tool() == "hang" {
            return None;
        }
        let method = message["method"].as_str().unwrap_or_default();
        let status = if self.era == Era::Modern { 404 } else { 200 };
        Some(match self.catalogue.result(method, &message["params"]) {
            Some(Ok(mut result)) => {
                if self.era == Era::Modern {
                    result["resultType"] = json!("complete");
                } else if let Some(members) = result.as_object_mut() {
                    members.retain(|key, _| key != "ttlMs" && key != "cacheScope");
                }
                Answer::message(&message::response(id, result))
            }
            Some(Err(text)) => Answer::message(&message::error(id, -32602, &text)),
            None => {
                let error = message::error(id, -32601, "Method not found");
                Answer::new(status, "application/json", error.to_string())
            }
        })
    }

    fn initialize(&self, message: &Value) -> Answer {
        let number = self.opened.fetch_add(1, Ordering::SeqCst);
        let session = format!("{}-session-{number}", self.catalogue.name);
        self.sessions.lock().unwrap().push(session.clone());
        let asked = message["params"]["protocolVersion"].as_str().unwrap_or_default();
        let known = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"].contains(&asked);
        let result = self.catalogue.introduced(json!({
            "protocolVersion": if known { asked } else { "2025-11-25" },
            "capabilities": self.catalogue.capabilities(),
            "serverInfo": { "name": self.catalogue.name, "version": "1" },
        }));
        Answer::message(&message::response(&message["id"], result)).header("mcp-session-id", &session)
    }

    fn listen(&self, listener: Listener) {
        self.listeners.lock().unwrap().push(listener);
    }

    fn ask(&self, session: String, request: Value) -> Answer {
        let (pipe, answer) = Answer::stream("text/event-stream");
        let arguments = &request["params"]["arguments"];
        let question = json!({ "jsonrpc": "2.0", "id": arguments["id"], "method": arguments["method"], "params": arguments["params"] });
        let asking = Asking { session, question: arguments["id"].clone(), request, pipe: pipe.clone() };
        self.asking.lock().unwrap().push(asking);
        tokio::spawn(async move { pipe.event(&question).await });
        answer
    }

    /// An answer to a question: the call that asked ends with it.
    fn answered(&self, session: &str, answer: &Value) {
        let mut asking = self.asking.lock().unwrap();
        let Some(at) = asking.iter().position(|asking| asking.session == session && asking.question == answer["id"])
        else {
            return;
        };
        let Asking { request, pipe, .. } = asking.remove(at);
        let told = answer.get("result").or(answer.get("error")).cloned().unwrap_or_default();
        let said = json!({ "server": self.catalogue.name, "answer": told });
        let ended = message::response(&request["id"], message::text(&said.to_string()));
        tokio::spawn(async move { pipe.event(&ended).await });
    }
}

/// Modern headers say what the body says.
fn mismatch(received: &Received, message: &Value) -> Option<Answer> {
    let method = message["method"].as_str()?;
    let name = match method {
        "tools/call" | "prompts/get" => message["params"]["name"].as_str(),
        "resources/read" => message["params"]["uri"].as_str(),
        "tasks/get" | "tasks/update" | "tasks/cancel" => message["params"]["taskId"].as_str(),
        _ => None,
    };
    let told = message::header_name(received.header("mcp-name").unwrap_or_default());
    let fits = received.header("mcp-method") == Some(method) && name.is_none_or(|name| told.as_deref() == Some(name));
    let error = message::error(&message["id"], -32020, "Header mismatch");
    (!fits && !message["id"].is_null()).then(|| Answer::new(400, "application/json", error.to_string()))
}
