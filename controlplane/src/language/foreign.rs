//! Files of clients (Claude Desktop, Cursor, VS Code and others): recognised by their top level, and turned into our words.
//! What has no meaning here is warned about and ignored. Places stay those of the text, and messages say what was written.

pub(super) mod found;
pub(super) mod inputs;
mod server;

use super::fault::{Fault, Place};
use super::path::Path;
use super::tree::{Content, Entry, Node};
use inputs::Inputs;

/// Where clients keep their servers, by the keys that lead there.
const SHAPES: [&[&str]; 5] =
    [&["mcpServers"], &["mcp", "servers"], &["mcp.servers"], &["context_servers"], &["servers"]];

/// Sections of our own language, which tell it from VS Code's: both call servers `servers`.
const OURS: [&str; 3] = ["proxy", "clients", "features"];

/// Keys of a server that only VS Code writes below `servers`.
const VS_CODE: [&str; 4] = ["type", "envFile", "gallery", "dev"];

/// Turns the tree of such a file into one in our words. `None`: it is in our language already.
pub(super) fn translate(root: &mut Node, warnings: &mut Vec<Fault>) -> Option<Inputs> {
    let shape = *SHAPES.iter().find(|shape| is_shaped(root, shape))?;
    let way = shape.iter().fold(Path::default(), |way, key| way.key(key));
    let (span, _) = root.locate(&way);
    let (_, around) = shape.split_last()?;
    let inputs = around.iter().try_fold(&*root, |node, key| node.get(key)).and_then(|node| node.get("inputs"));
    let inputs = inputs.map(Inputs::read).unwrap_or_default();
    ignored(root, shape, warnings);
    let mut servers = shape.iter().try_fold(&*root, |node, key| node.get(key))?.clone();
    name_listed(&mut servers, warnings, &way);
    for server in servers.entries_mut().into_iter().flatten() {
        server::translate(server, &way, warnings);
    }
    root.content = Content::Map(vec![Entry { written: Some(way), ..Entry::new("servers", span, servers) }]);
    Some(inputs)
}

/// That a file has servers for one project or another (Claude Code's own file): which of them are meant, it cannot say.
pub(super) fn of_projects(root: &Node) -> Option<Fault> {
    let projects = root.get("projects")?.entries();
    let servers = |project: &Entry| project.value.get("mcpServers").map_or(0, |servers| servers.entries().len());
    let count: usize = projects.iter().map(servers).sum();
    let span = root.entries().iter().find(|entry| entry.key == "projects")?.key_span;
    (count > 0).then(|| {
        let number = if count == 1 { "a server".to_owned() } else { format!("{count} servers") };
        let message = format!("has {number} of projects, which are not taken from here");
        let fault = Fault::key(Path::of(["projects"]), message);
        let fault = Fault { place: Place::Exactly(span), ..fault };
        fault.advise("`sluice discover --import mcp.yaml` writes the servers of all projects into a configuration")
    })
}

fn is_shaped(root: &Node, shape: &[&str]) -> bool {
    let Some(servers) = shape.iter().try_fold(root, |node, key| node.get(key)) else { return false };
    if shape != ["servers"] {
        return matches!(servers.content, Content::Map(_) | Content::List(_) | Content::Null);
    }
    let is_vs_code_s = |server: &Entry| VS_CODE.iter().any(|key| server.value.get(key).is_some());
    let is_vs_code_s = root.get("inputs").is_some() || servers.entries().iter().any(is_vs_code_s);
    is_vs_code_s && !OURS.iter().any(|section| root.get(section).is_some())
}

/// One warning about everything beside the servers.
fn ignored(root: &Node, shape: &[&str], warnings: &mut Vec<Fault>) {
    let mut beside = Vec::new();
    let (mut node, mut way) = (root, Path::default());
    for (depth, key) in shape.iter().enumerate() {
        let last = depth + 1 == shape.len();
        let known = |entry: &&Entry| entry.key == *key || entry.key == "$schema" || (last && entry.key == "inputs");
        let stranger = node.entries().iter().filter(|entry| !known(entry));
        beside.extend(stranger.map(|entry| (way.key(&entry.key), entry.key_span)));
        let Some(next) = node.get(key) else { return };
        (node, way) = (next, way.key(key));
    }
    let Some((path, span)) = beside.first().cloned() else { return };
    let ours = beside.iter().find(|(path, _)| OURS.iter().any(|section| *path == Path::of([section])));
    let (path, span) = ours.cloned().unwrap_or((path, span));
    let message = match beside.len() {
        1 => "is ignored: this is the file of a client, of which only the servers are read".to_owned(),
        count => format!(
            "and {} more are ignored: this is the file of a client, of which only the servers are read",
            count - 1
        ),
    };
    let warning = Fault { place: Place::Exactly(span), ..Fault::key(path, message) };
    warnings.push(if ours.is_some() {
        warning.advise("to set more than servers, write them under `servers:`")
    } else {
        warning
    });
}

/// A list of servers that say their names becomes a map by name.
fn name_listed(servers: &mut Node, warnings: &mut Vec<Fault>, way: &Path) {
    let Content::List(items) = &servers.content else { return };
    let mut named: Vec<Entry> = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let written = Path::default().index(index);
        let name = item.get("name").and_then(Node::text).map_or_else(|| format!("server-{}", index + 1), str::to_owned);
        let mut server = item.clone();
        if let Some(entries) = server.entries_mut() {
            entries.retain(|entry| entry.key != "name");
        }
        if named.iter().any(|other| other.key == name) {
            let warning =
                Fault::value(way.index(index), format!("is ignored: `{name}` is the name of another one already"));
            warnings.push(Fault { place: Place::Exactly(item.span), ..warning });
            continue;
        }
        named.push(Entry { written: Some(written), ..Entry::new(name, item.span, server) });
    }
    servers.content = Content::Map(named);
}
