//! The servers of a client's file in our words, to be shown or written into a file of ours. Nothing is expanded: variables
//! stay variables, under our names for them.

use serde_json::{Map, Value as Json};

use super::inputs::variable;
use crate::language::path::Path;
use crate::language::tree::{self, Content, Node};
use crate::language::variables::Variables;
use crate::language::{Transport, jsonc, shorthand, value};

/// A server that a client's file has. It may hold credentials and has no `Debug`.
#[derive(Clone)]
pub struct Found {
    /// What the client calls it.
    pub name: String,
    /// The project it is for, where one file has servers for several.
    pub project: Option<String>,
    /// How it is reached; `http` also where either HTTP transport may be meant.
    pub transport: Transport,
    /// The client starts it.
    pub enabled: bool,
    /// What the language says for it.
    pub words: Map<String, Json>,
}

/// The servers of a client's file, JSON or YAML.
///
/// # Errors
///
/// The text is neither; the message begins with line and column.
pub fn found(text: &str, variables: &Variables) -> Result<Vec<Found>, String> {
    let root = tree::parse(&jsonc::plain(text))
        .map_err(|error| format!("{}:{}: {}", error.span.line, error.span.column, error.message))?;
    let mut found = Vec::new();
    add(root.clone(), None, variables, &mut found);
    for project in root.get("projects").map_or(&[][..], Node::entries) {
        add(project.value.clone(), Some(&project.key), variables, &mut found);
    }
    Ok(found)
}

fn add(mut root: Node, project: Option<&str>, variables: &Variables, found: &mut Vec<Found>) {
    // What is ignored does not matter to whoever looks for servers.
    let mut warnings = Vec::new();
    if super::translate(&mut root, &mut warnings).is_none() {
        for server in root.get_mut("servers").and_then(Node::entries_mut).into_iter().flatten() {
            super::server::translate(server, &Path::default(), &mut warnings);
        }
    }
    shorthand::unfold(&mut root);
    shorthand::rename_transports(&mut root);
    rename_variables(&mut root, variables);
    for server in root.get("servers").map_or(&[][..], Node::entries) {
        let Ok(Json::Object(mut words)) = serde_json::from_str(&value::json(&server.value)) else { continue };
        let Some(transport) = transport(&words) else { continue };
        let off = is(words.remove("disabled"), "true") || is(words.remove("enabled"), "false");
        if off {
            words.insert("enabled".to_owned(), Json::Bool(false));
        }
        let (name, project) = (server.key.clone(), project.map(str::to_owned));
        found.push(Found { name, project, transport, enabled: !off, words });
    }
}

fn is(value: Option<Json>, word: &str) -> bool {
    value.is_some_and(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned) == word)
}

/// `None` for what is no server.
fn transport(words: &Map<String, Json>) -> Option<Transport> {
    let url = words.get("url").and_then(Json::as_str);
    match words.get("transport").and_then(Json::as_str) {
        Some("stdio") => Some(Transport::Stdio),
        Some("http") => Some(Transport::Http),
        Some("sse") => Some(Transport::Sse),
        Some("websocket") => Some(Transport::WebSocket),
        Some(_) => None,
        None if words.contains_key("command") => Some(Transport::Stdio),
        None if url.is_some_and(|url| url.starts_with("ws")) => Some(Transport::WebSocket),
        None => url.map(|_| Transport::Http),
    }
}

/// Says variables by the names they have in our language, and folders by where they are.
fn rename_variables(node: &mut Node, variables: &Variables) {
    match &mut node.content {
        Content::Scalar(scalar) if scalar.text.contains("${") => scalar.text = renamed(&scalar.text, variables),
        Content::List(items) => items.iter_mut().for_each(|item| rename_variables(item, variables)),
        Content::Map(entries) => entries.iter_mut().for_each(|entry| rename_variables(&mut entry.value, variables)),
        _ => {}
    }
}

fn renamed(text: &str, variables: &Variables) -> String {
    let mut output = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, inside) = (&rest[..at], &rest[at + 2..]);
        output.push_str(before);
        let Some(end) = inside.find('}') else {
            output.push_str("${");
            rest = inside;
            continue;
        };
        let folder = |folder: Option<&std::path::Path>| folder.map(|folder| folder.to_string_lossy().into_owned());
        let name = &inside[..end];
        let ours = match name.split_once(':') {
            Some(("env", name)) => Some(format!("${{{name}}}")),
            Some(("input", id)) => Some(format!("${{{}}}", variable(id))),
            _ => match name {
                "workspaceFolder" | "workspaceRoot" | "cwd" => folder(variables.workspace()),
                "userHome" => folder(variables.home()),
                "pathSeparator" | "/" => Some("/".to_owned()),
                _ => None,
            },
        };
        output.push_str(&ours.unwrap_or_else(|| format!("${{{name}}}")));
        rest = &inside[end + 1..];
    }
    output.push_str(rest);
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<String> {
        let variables = Variables::of([]).beside(std::path::Path::new("/p/.vscode/mcp.json"));
        let found = found(text, &variables).unwrap();
        let line = |found: &Found| {
            let project = found.project.as_deref().map(|project| format!("{project} ")).unwrap_or_default();
            let words = Json::Object(found.words.clone());
            format!("{project}{} {} {} {words}", found.name, found.transport.as_str(), found.enabled)
        };
        found.iter().map(line).collect()
    }

    #[test]
    fn servers_are_found_wherever_clients_keep_them() {
        assert_eq!(
            shown(
                r#"{"numStartups": 1, "mcpServers": {"a": {"command": "x", "env": {"K": "${env:KEY}"}}},
                "projects": {"/one": {"mcpServers": {"b": {"type": "sse", "url": "http://h/sse"}}}, "/two": {"x": 1}}}"#
            ),
            [
                r#"a stdio true {"command":"x","env":{"K":"${KEY}"}}"#,
                r#"/one b sse true {"transport":"sse","url":"http://h/sse"}"#,
            ]
        );
        assert_eq!(
            shown(
                "{\"servers\": {\"a\": {\"command\": \"${workspaceFolder}/x\", \"args\": [\"${input:my-key}\", 5]}}}"
            ),
            [r#"a stdio true {"args":["${MY_KEY}",5],"command":"/p/x"}"#]
        );
        assert_eq!(
            shown("mcpServers:\n  - name: a\n    url: wss://h\n    disabled: true\n"),
            [r#"a websocket false {"enabled":false,"url":"wss://h"}"#]
        );
        assert_eq!(shown(""), [""; 0]);
        assert_eq!(shown("{\"editor.fontSize\": 12, \"servers\": {\"x\": 1}}"), [""; 0]);
        let broken = found("{\"mcpServers\": {\"a\" 1}}", &Variables::of([])).err().unwrap();
        assert!(broken.starts_with("1:21: expected `:`"), "{broken}");
    }
}
