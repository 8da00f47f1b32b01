//! What a scripted server offers: tools, prompts, resources and templates, in pages, which a test changes while the server
//! runs. Not how it is served; see [`crate::server`].

use std::sync::{Arc, Mutex};

use serde_json::{Map, Value, json};

/// The offer of one server. Clones share it.
#[derive(Clone)]
pub struct Catalogue {
    /// What every answer of this server says about who gave it.
    pub name: String,
    lists: Arc<Mutex<Lists>>,
}

/// The lists, as they are right now.
#[derive(Default)]
pub struct Lists {
    /// `tools/list`.
    pub tools: Vec<Value>,
    /// `prompts/list`.
    pub prompts: Vec<Value>,
    /// `resources/list`.
    pub resources: Vec<Value>,
    /// `resources/templates/list`.
    pub templates: Vec<Value>,
    /// Entries on a page; 0: all on one.
    pub page: usize,
    /// `ttlMs` of the modern era.
    pub ttl: u64,
    /// Whether the modern era says `private`.
    pub private: bool,
    /// `instructions`, if any.
    pub instructions: Option<String>,
    /// Capabilities beyond those that follow from the lists, or in their place.
    pub capabilities: Map<String, Value>,
}

/// The kinds of lists: method, key of the result, key that names an entry.
pub const KINDS: [(&str, &str, &str); 4] = [
    ("tools/list", "tools", "name"),
    ("prompts/list", "prompts", "name"),
    ("resources/list", "resources", "uri"),
    ("resources/templates/list", "resourceTemplates", "uriTemplate"),
];

/// A tool without parameters.
#[must_use]
pub fn tool(name: &str) -> Value {
    json!({ "name": name, "description": format!("does {name}"), "inputSchema": { "type": "object" } })
}

impl Catalogue {
    /// An offer without any entry.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self { name: name.into(), lists: Arc::default() }
    }

    /// With so many tools, `tool-000`, `tool-001`, …
    #[must_use]
    pub fn tools(self, count: usize) -> Self {
        self.change(|lists| lists.tools = (0..count).map(|n| tool(&format!("tool-{n:03}"))).collect());
        self
    }

    /// With one more tool.
    #[must_use]
    pub fn tool(self, name: &str) -> Self {
        self.change(|lists| lists.tools.push(tool(name)));
        self
    }

    /// With so many prompts, `prompt-000`, …, each with one argument.
    #[must_use]
    pub fn prompts(self, count: usize) -> Self {
        let prompt =
            |n| json!({ "name": format!("prompt-{n:03}"), "arguments": [{ "name": "who", "required": true }] });
        self.change(|lists| lists.prompts = (0..count).map(prompt).collect());
        self
    }

    /// With so many resources, `file:///r000`, …
    #[must_use]
    pub fn resources(self, count: usize) -> Self {
        let resource = |n| json!({ "uri": format!("file:///r{n:03}"), "name": format!("r{n:03}") });
        self.change(|lists| lists.resources = (0..count).map(resource).collect());
        self
    }

    /// With so many templates, `file:///t000/{path}`, …
    #[must_use]
    pub fn templates(self, count: usize) -> Self {
        let template = |n| json!({ "uriTemplate": format!("file:///t{n:03}/{{path}}"), "name": format!("t{n:03}") });
        self.change(|lists| lists.templates = (0..count).map(template).collect());
        self
    }

    /// With so many entries on a page.
    #[must_use]
    pub fn page(self, entries: usize) -> Self {
        self.change(|lists| lists.page = entries);
        self
    }

    /// With a `ttlMs`.
    #[must_use]
    pub fn ttl(self, milliseconds: u64) -> Self {
        self.change(|lists| lists.ttl = milliseconds);
        self
    }

    /// With one more capability.
    #[must_use]
    pub fn capability(self, name: &str, value: Value) -> Self {
        self.change(|lists| {
            lists.capabilities.insert(name.into(), value);
        });
        self
    }

    /// Changes it. Nobody is told; see [`crate::server::Server::announce`].
    pub fn change(&self, edit: impl FnOnce(&mut Lists)) {
        edit(&mut self.lists.lock().unwrap());
    }

    /// The result of a request, or `None` for what it has nothing to say about.
    #[must_use]
    pub fn result(&self, method: &str, params: &Value) -> Option<Result<Value, String>> {
        if let Some(&(_, key, _)) = KINDS.iter().find(|(list, ..)| *list == method) {
            return Some(self.list(key, params));
        }
        let name = &self.name;
        let result = match method {
            "tools/call" if !self.has("tools", &params["name"]) => return Some(Err("Unknown tool".into())),
            "prompts/get" if !self.has("prompts", &params["name"]) => return Some(Err("Unknown prompt".into())),
            "completion/complete"
                if params["ref"]["name"].is_string() && !self.has("prompts", &params["ref"]["name"]) =>
            {
                return Some(Err("Unknown prompt".into()));
            }
            "tools/call" => {
                let said = json!({ "server": name, "tool": params["name"], "arguments": params["arguments"] });
                json!({ "content": [{ "type": "text", "text": said.to_string() }] })
            }
            "prompts/get" => {
                let said = json!({ "server": name, "prompt": params["name"], "arguments": params["arguments"] });
                json!({ "messages": [{ "role": "user", "content": { "type": "text", "text": said.to_string() } }] })
            }
            "resources/read" => {
                let said = json!({ "server": name, "uri": params["uri"] });
                let content = json!({ "uri": params["uri"], "mimeType": "text/plain", "text": said.to_string() });
                json!({ "contents": [content], "ttlMs": 0, "cacheScope": "public" })
            }
            "completion/complete" => {
                let (about, given) = (&params["ref"], &params["argument"]["value"]);
                let subject = about["name"].as_str().or(about["uri"].as_str()).unwrap_or_default();
                let value = format!("{name} {subject} {}", given.as_str().unwrap_or_default());
                json!({ "completion": { "values": [value] } })
            }
            "ping" | "logging/setLevel" | "resources/subscribe" | "resources/unsubscribe" => json!({}),
            _ => return None,
        };
        Some(Ok(result))
    }

    fn entries<'a>(lists: &'a Lists, key: &str) -> &'a [Value] {
        match key {
            "tools" => &lists.tools,
            "prompts" => &lists.prompts,
            "resources" => &lists.resources,
            _ => &lists.templates,
        }
    }

    fn has(&self, key: &str, name: &Value) -> bool {
        Self::entries(&self.lists.lock().unwrap(), key).iter().any(|entry| entry["name"] == *name)
    }

    /// One page of a list; its cursors work only here.
    fn list(&self, key: &str, params: &Value) -> Result<Value, String> {
        let lists = self.lists.lock().unwrap();
        let entries = Self::entries(&lists, key);
        let mark = format!("{}/{key}/", self.name);
        let start = match params.get("cursor") {
            None => 0,
            Some(cursor) => {
                let own = cursor.as_str().and_then(|cursor| cursor.strip_prefix(&mark)?.parse::<usize>().ok());
                own.ok_or_else(|| format!("not a cursor of {mark}: {cursor}"))?
            }
        };
        let rest = entries.get(start..).unwrap_or_default();
        let count = if lists.page == 0 { rest.len() } else { lists.page.min(rest.len()) };
        let scope = if lists.private { "private" } else { "public" };
        let mut page = json!({ key: rest[..count], "ttlMs": lists.ttl, "cacheScope": scope });
        if count < rest.len() {
            page["nextCursor"] = json!(format!("{mark}{}", start + count));
        }
        Ok(page)
    }

    /// The capabilities that fit the lists, with everything that goes with them.
    #[must_use]
    pub fn capabilities(&self) -> Value {
        let lists = self.lists.lock().unwrap();
        let mut capabilities = Map::new();
        capabilities.insert("tools".into(), json!({ "listChanged": true }));
        if !lists.prompts.is_empty() {
            capabilities.insert("prompts".into(), json!({ "listChanged": true }));
            capabilities.insert("completions".into(), json!({}));
        }
        if !lists.resources.is_empty() || !lists.templates.is_empty() {
            capabilities.insert("resources".into(), json!({ "listChanged": true, "subscribe": true }));
        }
        capabilities.insert("logging".into(), json!({}));
        capabilities.extend(lists.capabilities.clone());
        Value::Object(capabilities)
    }

    /// Adds `instructions` to the result of `initialize` or `server/discover`.
    #[must_use]
    pub fn introduced(&self, mut result: Value) -> Value {
        if let Some(instructions) = &self.lists.lock().unwrap().instructions {
            result["instructions"] = json!(instructions);
        }
        result
    }
}
