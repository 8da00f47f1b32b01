//! A scripted MCP server on stdin and stdout, with every bad habit the tests need.
//!
//! `stdio-peer FOLDER ERA [MODE…]`: writes each line it is sent to `FOLDER/<start>-<pid>.in`. Eras: `legacy`, `modern`,
//! `both`. Modes at start: `crash` (exits at once), `crash-once` (exits at once the first time), `mute` (reads, never
//! answers), `late` (takes 6 s to start, as what is downloaded first does), `stubborn` (starts a process that ignores SIGTERM and the end of input), `chatty` (a line on stderr). Everything else is asked for
//! by the name of the tool that is called; see `tool`.
#![allow(clippy::unwrap_used, reason = "test code; a panic is one more way to misbehave")]
#![allow(clippy::print_stdout, reason = "stdout is the wire")]

use std::fs::File;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio, exit};
use std::time::Duration;

use serde_json::{Value, json};

const MODERN: &str = "2026-07-28";

struct Server {
    folder: PathBuf,
    era: String,
    modes: Vec<String>,
    /// Requests that wait for the client's answer to a question of ours, which has the id `ask-<n>`.
    asked: Vec<Value>,
    parked: Vec<Value>,
    /// What the tasks that were started hold, by their number.
    tasks: Vec<Value>,
}

fn main() {
    let mut args = std::env::args().skip(1);
    let folder = PathBuf::from(args.next().unwrap());
    let era = args.next().unwrap();
    let modes: Vec<String> = args.collect();
    let starts = std::fs::read_dir(&folder).unwrap().count();
    let mut record = File::create(folder.join(format!("{starts:04}-{}.in", std::process::id()))).unwrap();
    let mut server = Server { folder, era, modes, asked: Vec::new(), parked: Vec::new(), tasks: Vec::new() };
    if server.is("crash") || server.is("crash-once") && starts == 0 {
        exit(3);
    }
    if server.is("late") {
        std::thread::sleep(Duration::from_secs(6));
    }
    if server.is("chatty") {
        eprintln!("chatty: hello from stderr");
    }
    if server.is("stubborn") {
        server.stay();
    }
    for line in std::io::stdin().lock().split(b'\n').map_while(Result::ok) {
        record.write_all(&line).unwrap();
        record.write_all(b"\n").unwrap();
        if let Ok(message) = serde_json::from_slice::<Value>(&line)
            && !server.is("mute")
        {
            server.take(&message);
        }
    }
}

fn say(message: &Value) {
    write(message.to_string().as_bytes());
}

fn write(line: &[u8]) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(line).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
}

fn reply(request: &Value, result: &Value) {
    say(&json!({ "jsonrpc": "2.0", "id": request["id"], "result": result }));
}

fn refuse(request: &Value, code: i64, text: &str) {
    say(&json!({ "jsonrpc": "2.0", "id": request["id"], "error": { "code": code, "message": text } }));
}

fn text(request: &Value, text: &str) {
    reply(request, &json!({ "content": [{ "type": "text", "text": text }], "resultType": "complete" }));
}

impl Server {
    fn is(&self, mode: &str) -> bool {
        self.modes.iter().any(|given| given == mode)
    }

    /// A child that outlives us unless somebody looks after it: ignores SIGTERM, in our process group.
    fn stay(&self) -> u32 {
        let mark = self.folder.to_str().unwrap();
        let script = "trap '' TERM HUP INT; while :; do sleep 1; done";
        let mut shell = Command::new("sh");
        shell.args(["-c", script, mark]).stdin(Stdio::null()).stdout(Stdio::null());
        shell.spawn().unwrap().id()
    }

    fn take(&mut self, message: &Value) {
        let (legacy, modern) = (self.era != "modern", self.era != "legacy");
        let is_modern = message["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"].is_string();
        match message["method"].as_str() {
            None => self.answered(message),
            Some("initialize") if legacy => {
                let asked = &message["params"]["protocolVersion"];
                let version = if asked == MODERN { json!("2025-11-25") } else { asked.clone() };
                let capabilities =
                    json!({ "tools": { "listChanged": true }, "logging": {}, "resources": { "subscribe": true } });
                let info = json!({ "name": "stdio-peer", "version": "1" });
                reply(
                    message,
                    &json!({ "protocolVersion": version, "capabilities": capabilities, "serverInfo": info }),
                );
            }
            Some("server/discover") if modern => {
                let result = json!({ "resultType": "complete", "supportedVersions": [MODERN], "capabilities": { "tools": {} },
                    "ttlMs": 0, "cacheScope": "public" });
                reply(message, &result);
            }
            Some(_) if message.get("id").is_none() => self.noticed(message),
            Some(_) if is_modern && !modern || !is_modern && !legacy => refuse(message, -32601, "Method not found"),
            Some("tools/call") if message["params"]["task"].is_object() => {
                self.tasks.push(message["params"]["arguments"].clone());
                let task = json!({ "taskId": format!("task-{}", self.tasks.len() - 1), "status": "working" });
                reply(message, &json!({ "task": task }));
            }
            Some("tasks/list") => {
                let task = |n: usize| json!({ "taskId": format!("task-{n}"), "status": "working" });
                reply(message, &json!({ "tasks": (0..self.tasks.len()).map(task).collect::<Vec<_>>() }));
            }
            Some("tasks/result") => {
                let id = message["params"]["taskId"].as_str().unwrap_or_default();
                let number = id.strip_prefix("task-").and_then(|n| n.parse::<usize>().ok());
                match number.and_then(|n| self.tasks.get(n)) {
                    Some(held) => text(message, &held.to_string()),
                    None => refuse(message, -32602, "no such task"),
                }
            }
            Some("tools/call") => self.tool(message),
            Some("tools/list") => {
                let tools = json!([{ "name": "echo", "inputSchema": { "type": "object" } }]);
                reply(
                    message,
                    &json!({ "resultType": "complete", "tools": tools, "ttlMs": 0, "cacheScope": "public" }),
                );
            }
            Some("subscriptions/listen") => say(&sluice_tests::message::acknowledged(message)),
            Some("ping" | "logging/setLevel" | "resources/subscribe") => reply(message, &json!({})),
            Some(_) => refuse(message, -32601, "Method not found"),
        }
    }

    fn tool(&mut self, request: &Value) {
        let arguments = &request["params"]["arguments"];
        match request["params"]["name"].as_str().unwrap_or_default() {
            "pid" => text(request, &std::process::id().to_string()),
            "env" => text(request, &serde_json::to_string(&std::env::vars().collect::<Vec<_>>()).unwrap()),
            "crash" => exit(7),
            "hang" => self.parked.push(request.clone()),
            "until" => {
                let (request, file) = (request.clone(), arguments["file"].as_str().unwrap().to_owned());
                std::thread::spawn(move || {
                    while !Path::new(&file).exists() {
                        std::thread::sleep(Duration::from_millis(10));
                    }
                    text(&request, &std::process::id().to_string());
                });
            }
            "release" => {
                for waiting in std::mem::take(&mut self.parked) {
                    text(&waiting, "released");
                }
                text(request, "done");
            }
            "garbage" => {
                write(b"this is not JSON-RPC");
                write(b"{\"jsonrpc\":\"2.0\",");
                text(request, "after garbage");
            }
            "huge" => text(request, &"x".repeat(usize::try_from(arguments["bytes"].as_u64().unwrap()).unwrap())),
            "grandchild" => text(request, &self.stay().to_string()),
            "stderr" => {
                eprintln!("{}", arguments["line"].as_str().unwrap());
                text(request, "said");
            }
            "progress" => {
                let token = &request["params"]["_meta"]["progressToken"];
                for step in 1..=3 {
                    let params =
                        json!({ "progressToken": token, "progress": step, "total": 3, "mark": arguments["mark"] });
                    say(&json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": params }));
                }
                text(request, &arguments.to_string());
            }
            "ask" => {
                let id = format!("ask-{}", self.asked.len());
                self.asked.push(request.clone());
                say(
                    &json!({ "jsonrpc": "2.0", "id": id, "method": arguments["method"], "params": arguments["params"] }),
                );
            }
            "input" if request["params"].get("inputResponses").is_none() => {
                let asked =
                    json!({ "q": { "method": "elicitation/create", "params": { "mode": "form", "message": "?" } } });
                let state = "state-of-the-peer";
                reply(
                    request,
                    &json!({ "resultType": "input_required", "inputRequests": asked, "requestState": state }),
                );
            }
            "input" => text(request, &request["params"].to_string()),
            "unknown" => refuse(request, -32602, "Unknown tool: unknown"),
            "changed" => {
                say(&json!({ "jsonrpc": "2.0", "method": "notifications/tools/list_changed" }));
                text(request, "changed");
            }
            _ => text(request, &arguments.to_string()),
        }
    }

    /// An answer to a question: the call that asked ends with it.
    fn answered(&mut self, message: &Value) {
        let number = message["id"].as_str().and_then(|id| id.strip_prefix("ask-")?.parse::<usize>().ok());
        if let Some(request) = number.and_then(|number| self.asked.get(number)) {
            let answer = message.get("result").or(message.get("error")).unwrap_or(&Value::Null);
            text(request, &answer.to_string());
        }
    }

    /// A cancelled request is never answered.
    fn noticed(&mut self, message: &Value) {
        if message["method"] == "notifications/cancelled" {
            self.parked.retain(|waiting| waiting["id"] != message["params"]["requestId"]);
        }
    }
}
