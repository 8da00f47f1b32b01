//! More servers for a file that people wrote: added as text, so that comments and the order of things stay.

use indexmap::IndexMap;
use serde_json::value::RawValue;
use serde_json::{Map, Value as Json};

use super::tree::{self, Content, Node};
use super::{foreign, jsonc, value};

/// First lines of a new file.
const HEADER: &str =
    "# Servers for Sluice: `sluice run --config` this file. Values may be credentials; keep it to yourself.\n\n";
/// How far things are indented where nothing says otherwise.
const INDENT: usize = 2;

/// A server to add.
pub struct Addition {
    /// Its name.
    pub name: String,
    /// Where it comes from, for a comment.
    pub origin: String,
    /// What the language says for it.
    pub words: Map<String, Json>,
}

/// The servers of a file in our language, by name, as they are written.
///
/// # Errors
///
/// The text is not in our language; the message says why.
pub fn servers(text: &str) -> Result<IndexMap<String, Json>, String> {
    let mut root = parse(text)?;
    if !matches!(root.content, Content::Map(_) | Content::Null) {
        return Err("is not a map of settings".to_owned());
    }
    let servers = root.get("servers").map_or(&[][..], Node::entries);
    let parsed = |node: &Node| serde_json::from_str(&value::json(node)).unwrap_or(Json::Null);
    let servers = servers.iter().map(|server| (server.key.clone(), parsed(&server.value))).collect();
    if foreign::translate(&mut root, &mut Vec::new()).is_some() {
        return Err("is the file of a client; import into a file of its own".to_owned());
    }
    Ok(servers)
}

/// The text with more servers in it; `None` stands for a file that does not exist.
///
/// # Errors
///
/// There is no place for them that keeps the rest as it is; the message says what to do.
pub fn merge(text: Option<&str>, additions: &[Addition]) -> Result<String, String> {
    let Some(text) = text.filter(|text| !text.trim().is_empty()) else {
        return Ok(format!("{HEADER}servers:\n{}", block(additions, INDENT)?));
    };
    let before = servers(text)?;
    let merged = match serde_json::from_str::<IndexMap<String, Box<RawValue>>>(text) {
        Ok(document) => into_json(document, additions)?,
        Err(_) => into_yaml(text, additions)?,
    };
    // The place was found by looking at text: the result must say what both said before.
    let mut wanted = before;
    wanted.extend(additions.iter().map(|new| (new.name.clone(), Json::Object(new.words.clone()))));
    if servers(&merged).ok().as_ref() != Some(&wanted) {
        return Err(
            "has servers in a form that cannot be added to; import into a new file, and copy from there".to_owned()
        );
    }
    Ok(merged)
}

fn parse(text: &str) -> Result<Node, String> {
    tree::parse(&jsonc::plain(text))
        .map_err(|error| format!("{}:{}: {}", error.span.line, error.span.column, error.message))
}

fn into_json(mut document: IndexMap<String, Box<RawValue>>, additions: &[Addition]) -> Result<String, String> {
    let failed = |error: serde_json::Error| format!("cannot be added to: {error}");
    let mut servers: IndexMap<String, Box<RawValue>> = match document.get("servers") {
        Some(servers) => serde_json::from_str(servers.get()).map_err(failed)?,
        None => IndexMap::new(),
    };
    for new in additions {
        servers.insert(new.name.clone(), serde_json::value::to_raw_value(&new.words).map_err(failed)?);
    }
    document.insert("servers".to_owned(), serde_json::value::to_raw_value(&servers).map_err(failed)?);
    serde_json::to_string_pretty(&document).map(|text| text + "\n").map_err(failed)
}

fn into_yaml(text: &str, additions: &[Addition]) -> Result<String, String> {
    let root = parse(text)?;
    let Some(entry) = root.entries().iter().find(|entry| entry.key == "servers") else {
        let line_end = if text.ends_with('\n') { "" } else { "\n" };
        return Ok(format!("{text}{line_end}\nservers:\n{}", block(additions, INDENT)?));
    };
    let (at, indent) = match entry.value.entries().first() {
        Some(first) if first.key_span.line > entry.key_span.line => {
            (end_of_line(text, end(&entry.value)), first.key_span.column - 1)
        }
        None if matches!(entry.value.content, Content::Null) => (end_of_line(text, entry.key_span.end), INDENT),
        None if empty_map(&text[entry.value.span.start..]).is_some() => {
            let (before, map) = text.split_at(entry.value.span.start);
            let after = empty_map(map).unwrap_or_default().trim_start_matches(' ').trim_start_matches('\n');
            return Ok(format!("{}\n{}{after}", before.trim_end(), block(additions, INDENT)?));
        }
        _ => return Err("has its servers in one line; write each on a line of its own, then import again".to_owned()),
    };
    let (before, after) = text.split_at(at);
    let line_end = if before.ends_with('\n') { "" } else { "\n" };
    Ok(format!("{before}{line_end}{}{after}", block(additions, indent)?))
}

/// What follows `{}`.
fn empty_map(text: &str) -> Option<&str> {
    text.strip_prefix('{')?.trim_start().strip_prefix('}')
}

/// The byte after the last one of anything below a node.
fn end(node: &Node) -> usize {
    let inside = match &node.content {
        Content::List(items) => items.iter().map(end).max(),
        Content::Map(entries) => entries.iter().map(|entry| end(&entry.value).max(entry.key_span.end)).max(),
        Content::Scalar(_) => Some(node.span.end),
        _ => None,
    };
    inside.unwrap_or(node.span.start)
}

fn end_of_line(text: &str, at: usize) -> usize {
    // A block scalar ends behind its last line break.
    let at = at.max(1);
    if text[..at].ends_with('\n') { at } else { text[at..].find('\n').map_or(text.len(), |end| at + end + 1) }
}

/// The servers as lines of YAML.
fn block(additions: &[Addition], indent: usize) -> Result<String, String> {
    let margin = " ".repeat(indent);
    let mut block = String::new();
    for new in additions {
        let entry = IndexMap::from([(new.name.as_str(), &new.words)]);
        let yaml = serde_saphyr::to_string(&entry).map_err(|error| format!("cannot be written: {error}"))?;
        let origin: String = new.origin.chars().filter(|c| !c.is_control()).collect();
        block.push_str(&format!("{margin}# {origin}\n"));
        for line in yaml.lines() {
            block.push_str(if line.is_empty() { "" } else { &margin });
            block.push_str(line);
            block.push('\n');
        }
    }
    Ok(block)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn addition(name: &str, words: Json) -> Addition {
        let Json::Object(words) = words else { panic!("not a map") };
        Addition { name: name.into(), origin: "from a client".into(), words }
    }

    fn two() -> Vec<Addition> {
        vec![
            addition(
                "x",
                json!({"command": "npx", "args": ["-y", "true", "a: b", "", "# no", "5"], "env": {"K": "multi\nline\n"}}),
            ),
            addition("y", json!({"url": "http://h/${A}", "timeout": 30})),
        ]
    }

    #[test]
    fn everything_that_was_there_stays() {
        for text in [
            "# top\nservers:\n  # about a\n  a:\n    command: x # why\n    args: [1]\n\n# below\nproxy: {port: 1}\n",
            "proxy: {port: 1}\n",
            "proxy: {port: 1}\nservers:\n# none yet\n",
            "servers: {}\nproxy:\n  port: 1\n",
            "servers:\n    a: {command: x}\n    b:\n        command: |\n            y\n            z\n",
            "servers:\n  a:\n    command: x",
            "servers:\n  a:\n    command: x\n    env:\n",
        ] {
            let merged = merge(Some(text), &two()).unwrap_or_else(|error| panic!("{text}: {error}"));
            for line in text.lines().filter(|line| !line.is_empty() && *line != "servers: {}") {
                assert!(merged.contains(line), "{line} is gone:\n{merged}");
            }
            let names: Vec<_> = servers(&merged).unwrap().into_keys().collect();
            assert_eq!(names[names.len() - 2..], ["x", "y"], "{merged}");
        }
        let json = merge(Some(r#"{"proxy": {"port": 1.50}, "servers": {"b": {"command": "x"}}}"#), &two()).unwrap();
        assert!(json.contains("1.50"), "{json}");
        assert_eq!(servers(&json).unwrap().into_keys().collect::<Vec<_>>(), ["b", "x", "y"]);
        let new = merge(None, &two()).unwrap();
        assert!(new.contains("# from a client\n  x:\n"), "{new}");
        assert_eq!(servers(&new).unwrap()["x"]["args"][1], json!("true"), "{new}");
    }

    #[test]
    fn what_cannot_be_added_to_is_refused() {
        for (text, reason) in [
            ("servers: {a: {command: x}}\n", "in one line"),
            ("{\"mcpServers\": {}}", "is the file of a client"),
            ("- a\n", "is not a map"),
            ("a: b: c\n", "1:5: mapping values are not allowed"),
        ] {
            let refused = merge(Some(text), &two()).unwrap_err();
            assert!(refused.contains(reason), "{text}: {refused}");
        }
    }
}
