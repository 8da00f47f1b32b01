//! Tools, prompts and resources, as the nodes of a fleet last heard servers offer them.

use clap::ValueEnum;
use serde_json::{Value, json};
use sluice_contract::v1::{CatalogueItem, CatalogueRequest, CatalogueResponse};

use crate::client::Connection;
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
}

/// Shows all of a kind, or one: of all servers, or of one.
pub(super) fn show(
    mut connection: Connection,
    kind: Offered,
    name: Option<&str>,
    server: Option<&str>,
    format: Format,
) -> Result<(), Failure> {
    let text = |said: Option<&str>| said.unwrap_or_default().to_owned();
    let asked = CatalogueRequest {
        kind: kind.word().to_owned(),
        server: text(server),
        name: text(name),
        limit: PAGE,
        offset: 0,
    };
    let (items, left_out) = all(&mut connection, &asked)?;
    let word = kind.word();
    if let (Some(name), true) = (name, items.is_empty()) {
        return Err(Failure::other(format_args!(
            "no node has heard of a {word} `{name}`; `sluice get {word}s` lists them"
        )));
    }
    let none =
        format!("no node has heard of any {word} yet: servers are asked when the first client lists what they offer");
    let (now, header) = (time::now(), ["NAME", "SERVER", "NODES", "HEARD", "WHAT IT IS"]);
    output::list(format, &items, &none, header, |item| row(item, now), value)?;
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
