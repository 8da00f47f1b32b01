//! Tools, prompts and resources, as the nodes of a fleet, or a gateway, last heard servers offer them.

use std::net::SocketAddr;

use clap::ValueEnum;
use serde_json::{Value, json};
use sluice_contract::v1::{CatalogueItem, CatalogueRequest, CatalogueResponse, GetRequest};
use sluice_controlplane::language::Kind;

use super::servers;
use crate::client::Connection;
use crate::gateway::ask;
use crate::output::{self, Failure, Field, Format, Tone, talk, time};

/// Items asked for at a time.
const PAGE: u32 = 10_000;
/// Characters of what an item is for: `-o json` has it whole.
const SAYS: usize = 60;

/// What servers offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Offered {
    /// Tools, as the nodes last heard of them
    #[value(alias = "tools")]
    Tool,
    /// Prompts, as the nodes last heard of them
    #[value(alias = "prompts")]
    Prompt,
    /// Resources and templates, as the nodes last heard of them
    #[value(alias = "resources")]
    Resource,
}

impl Offered {
    fn word(self) -> &'static str {
        match self {
            Self::Tool => "tool",
            Self::Prompt => "prompt",
            Self::Resource => "resource",
        }
    }

    /// What a gateway calls its lists of them; `true`: of templates.
    fn lists(self) -> &'static [(&'static str, bool)] {
        match self {
            Self::Tool => &[("tools", false)],
            Self::Prompt => &[("prompts", false)],
            Self::Resource => &[("resources", false), ("templates", true)],
        }
    }
}

/// What is to be shown: all of a kind, or one; of all servers, or of one.
pub(super) struct Which<'a> {
    pub(super) kind: Offered,
    pub(super) name: Option<&'a str>,
    pub(super) server: Option<&'a str>,
}

/// Shows what the nodes of a fleet heard.
pub(super) fn of_fleet(mut connection: Connection, which: &Which<'_>, format: Format) -> Result<(), Failure> {
    let text = |said: Option<&str>| said.unwrap_or_default().to_owned();
    let asked = CatalogueRequest {
        kind: which.kind.word().to_owned(),
        server: text(which.server),
        name: text(which.name),
        limit: PAGE,
        offset: 0,
    };
    let (items, left_out) = all(&mut connection, &asked)?;
    if let (Some(server), true) = (which.server, items.is_empty()) {
        // of a server that there is not, nothing is heard either: that would read like an answer
        let server = GetRequest { kind: Kind::Server.as_str().to_owned(), name: server.to_owned(), revision: 0 };
        connection.ask(async |admin| admin.get(server).await)?;
    }
    show(which, &items, left_out, "no node has", format)
}

/// Shows what a gateway heard.
pub(super) fn of_gateway(admin: SocketAddr, which: &Which<'_>, format: Format) -> Result<(), Failure> {
    let mut known = ask(admin, "/offered", None)?;
    let Some(Value::Array(servers)) = known.get_mut("servers").map(Value::take) else {
        return Err(Failure::other(format_args!("what answers at {admin} is no gateway of this version")));
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (mut items, mut left_out) = (Vec::new(), 0);
    for told in servers.iter().filter(|told| which.server.is_none_or(|server| told["server"] == server)) {
        left_out += told["left_out"].as_u64().unwrap_or_default() as u32;
        for (list, template) in which.kind.lists() {
            for item in told[*list].as_array().into_iter().flatten() {
                let own = if item["own"] == "" { text(&item["name"]) } else { text(&item["own"]) };
                items.push(CatalogueItem {
                    name: text(&item["name"]),
                    own,
                    server: text(&told["server"]),
                    title: text(&item["title"]),
                    description: text(&item["description"]),
                    template: *template,
                    nodes: 1,
                    heard_ms: 0,
                });
            }
        }
    }
    if let (Some(server), true) = (which.server, items.is_empty()) {
        servers::one(admin, server)?;
    }
    items.retain(|item| which.name.is_none_or(|name| item.name == name || item.own == name));
    show(which, &items, left_out, "the gateway has not", format)
}

fn show(
    which: &Which<'_>,
    items: &[CatalogueItem],
    left_out: u32,
    nobody: &str,
    format: Format,
) -> Result<(), Failure> {
    let word = which.kind.word();
    if let (Some(name), true) = (which.name, items.is_empty()) {
        return Err(Failure::other(format_args!(
            "{nobody} heard of a {word} `{name}`; `sluice get {word}s` lists them"
        )));
    }
    let none =
        format!("{nobody} heard of any {word} yet: servers are asked when the first client lists what they offer");
    let (now, header) = (time::now(), ["NAME", "SERVER", "NODES", "HEARD", "WHAT IT IS"]);
    output::list(format, items, &none, header, |item| row(item, now), value)?;
    if left_out > 0 {
        let more = if left_out == 1 {
            "1 more of any kind is".to_owned()
        } else {
            format!("{left_out} more of all kinds are")
        };
        talk(&format!("{more} not listed: nodes report at most 10,000 of a server\n"));
    }
    Ok(())
}

fn all(connection: &mut Connection, asked: &CatalogueRequest) -> Result<(Vec<CatalogueItem>, u32), Failure> {
    let mut items = Vec::new();
    loop {
        let offset = u32::try_from(items.len()).map_err(Failure::other)?;
        let page = CatalogueRequest { offset, ..asked.clone() };
        let CatalogueResponse { items: next, total, left_out } =
            connection.ask(async |admin| admin.catalogue(page).await)?;
        let is_last = next.is_empty();
        items.extend(next);
        if is_last || items.len() >= total as usize {
            return Ok((items, left_out));
        }
    }
}

/// What a connected node says is so now; of the rest it is told when a node last said so.
fn row(item: &CatalogueItem, now: u64) -> [Field; 5] {
    let heard = if item.nodes > 0 { String::new() } else { time::relative(item.heard_ms, now) };
    let said = if item.title.is_empty() { &item.description } else { &item.title };
    [
        Field::from(item.name.clone()),
        Field::from(item.server.clone()),
        Field::new(item.nodes.to_string(), Tone::Quiet),
        Field::new(heard, Tone::Notice),
        Field::from(output::cut(said.split_whitespace().collect::<Vec<_>>().join(" "), SAYS)),
    ]
}

fn value(item: &CatalogueItem) -> Value {
    let CatalogueItem { name, own, server, title, description, template, nodes, heard_ms } = item;
    json!({"name": name, "own": own, "server": server, "title": title, "description": description,
        "template": template, "nodes": nodes, "heard": time::iso(*heard_ms)})
}
