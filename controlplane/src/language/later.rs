//! Words that this version does not act on yet, and files in the languages of other programs: each gets a sentence
//! of its own instead of "unknown key".

use super::fault::Fault;
use super::path::Path;
use super::tree::{Entry, Node};

/// Keys of the document that come with later versions.
const SECTIONS: [(&str, &str); 5] = [
    ("routes", "routes come"),
    ("policies", "policies come"),
    ("credentials", "named credentials come"),
    ("nodes", "node labels come"),
    ("inputs", "prompts for values come"),
];

/// Keys of a server that come with later versions.
const SERVER_KEYS: [(&str, &str); 2] =
    [("endpoints", "several endpoints of one server come"), ("nodes", "node labels come")];

/// The one fault of a file that is not in this language at all.
pub(super) fn foreign(root: &Node) -> Option<Fault> {
    let advice = "write the servers under `servers:`; a server is `{command, args, env}` or `{url, headers}`, as there";
    let fault = |path: Path| {
        let message = "belongs to the configuration of a client (Claude Desktop, Cursor, VS Code); reading those files \
                       comes with a later version";
        Some(Fault::key(path, message).advise(advice))
    };
    if root.get("mcpServers").is_some() {
        return fault(Path::of(["mcpServers"]));
    }
    if root.get("mcp").and_then(|mcp| mcp.get("servers")).is_some() {
        return fault(Path::of(["mcp", "servers"]));
    }
    None
}

/// Faults of words that are right, but not yet.
pub(super) fn later(root: &Node) -> Vec<Fault> {
    let mut faults = Vec::new();
    not_yet(root.entries(), &Path::default(), &SECTIONS, &mut faults);
    for server in root.get("servers").map_or(&[][..], Node::entries) {
        let path = Path::of(["servers", &server.key]);
        not_yet(server.value.entries(), &path, &SERVER_KEYS, &mut faults);
        transport(&server.value, &path, &mut faults);
        auth(&server.value, &path, &mut faults);
    }
    faults
}

fn not_yet(entries: &[Entry], path: &Path, words: &[(&str, &str)], faults: &mut Vec<Fault>) {
    for entry in entries {
        if let Some((_, what)) = words.iter().find(|(word, _)| *word == entry.key) {
            faults.push(Fault::key(path.key(&entry.key), format!("{what} with a later version")));
        }
    }
}

fn transport(server: &Node, path: &Path, faults: &mut Vec<Fault>) {
    if let Some(name @ ("sse" | "websocket" | "ws")) = server.get("transport").and_then(Node::text) {
        let fault = Fault::value(path.key("transport"), format!("`{name}` comes with a later version"));
        faults.push(fault.advise("this version reaches servers by `http` (streamable HTTP) and `stdio`"));
    }
}

fn auth(server: &Node, path: &Path, faults: &mut Vec<Fault>) {
    let path = path.key("auth");
    let advice = "until then, give a token as `auth: {type: bearer, token: \"${TOKEN}\"}`";
    let Some(auth) = server.get("auth") else { return };
    if auth.get("oauth_client_credentials").is_some()
        || auth.get("type").and_then(Node::text) == Some("oauth_client_credentials")
    {
        let fault = Fault::value(path, "`oauth_client_credentials` comes with a later version");
        faults.push(fault.advise(advice));
    }
}
