//! How one server's offer looks on a door: which of it, under which names and URIs, and the way back from a name.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use sluice_mcp::curate::{ItemEdit, edit_item};
use sluice_mcp::names::exposed_name;
use sluice_mcp::uri::expose_uri;
use sluice_snapshot::model::{Curation, Prefix, Server};

use super::Kind;
use super::list::Item;

/// How names and URIs are changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Naming {
    /// `server_tool`, `server+uri`: the merged door.
    Prefixed,
    /// As the server names things, but for configured renames: the merged door with `prefix: never`.
    Plain,
    /// As the server names things: the server's own door.
    Own,
}

impl Naming {
    /// That of the merged door.
    pub(crate) fn merged(prefix: Prefix) -> Self {
        match prefix {
            Prefix::Always => Self::Prefixed,
            Prefix::Never => Self::Plain,
        }
    }
}

/// What decides how one server's offer is shown.
pub(crate) struct Exposure {
    server: Arc<Server>,
    /// What stands for the server in its URIs.
    pub token: Box<str>,
}

impl Exposure {
    pub(crate) fn new(server: &Arc<Server>) -> Self {
        Self { token: token(&server.name).into(), server: Arc::clone(server) }
    }

    pub(crate) fn server(&self) -> &Arc<str> {
        &self.server.name
    }

    pub(crate) fn curation(&self) -> &Curation {
        &self.server.curation
    }

    /// Whether clients see the item of that name.
    pub(crate) fn shows(&self, kind: Kind, name: &str) -> bool {
        let curation = &self.server.curation;
        match kind {
            Kind::Tools => curation.tools.shows(name),
            Kind::Prompts => curation.prompts.shows(name),
            Kind::Resources | Kind::Templates => curation.resources.shows_uri(name),
        }
    }

    /// The name or URI under which a door shows an item.
    pub(crate) fn name(&self, kind: Kind, original: &str, naming: Naming) -> String {
        let curation = &self.server.curation;
        let renamed = match kind {
            Kind::Tools => curation.tool_edits.get(original).and_then(|edit| edit.name.as_deref()),
            Kind::Prompts => curation.prompt_edits.get(original).and_then(|edit| edit.name.as_deref()),
            Kind::Resources | Kind::Templates => None,
        };
        let name = renamed.filter(|_| naming != Naming::Own).unwrap_or(original);
        match (naming, kind) {
            (Naming::Prefixed, Kind::Tools | Kind::Prompts) => exposed_name(&self.server.name, name),
            (Naming::Prefixed, Kind::Resources | Kind::Templates) => expose_uri(&self.token, name),
            _ => name.to_owned(),
        }
    }

    /// Whether a door shows the item of that name under another one, so that the name itself leads nowhere.
    pub(crate) fn is_renamed(&self, kind: Kind, original: &str, naming: Naming) -> bool {
        let curation = &self.server.curation;
        naming != Naming::Own
            && match kind {
                Kind::Tools => curation.tool_edits.get(original).is_some_and(|edit| edit.name.is_some()),
                Kind::Prompts => curation.prompt_edits.get(original).is_some_and(|edit| edit.name.is_some()),
                Kind::Resources | Kind::Templates => false,
            }
    }

    /// The server's own name of what the configuration calls `renamed`.
    pub(crate) fn original(&self, kind: Kind, renamed: &str) -> Option<String> {
        let curation = &self.server.curation;
        let found = match kind {
            Kind::Tools => curation.tool_named(renamed)?,
            Kind::Prompts => curation.prompt_named(renamed)?,
            Kind::Resources | Kind::Templates => return None,
        };
        self.shows(kind, found).then(|| found.to_owned())
    }

    /// The item as a door shows it.
    pub(crate) fn item(&self, kind: Kind, original: &str, json: &Bytes, exposed: &str, naming: Naming) -> Bytes {
        let curation = &self.server.curation;
        let mut edit = ItemEdit {
            name: (exposed != original).then_some(exposed),
            uri_token: (naming == Naming::Prefixed && kind == Kind::Tools).then_some(&self.token),
            ..ItemEdit::default()
        };
        let (defaults, forced): (Vec<_>, Vec<_>);
        match kind {
            Kind::Tools => {
                if let Some(tool) = curation.tool_edits.get(original) {
                    edit.title = tool.title.as_deref();
                    edit.description = tool.description.as_deref();
                    edit.annotations = &tool.annotations;
                    defaults = tool.defaults.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
                    forced = tool.forced.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
                    edit.defaults = &defaults;
                    edit.forced = &forced;
                }
            }
            Kind::Prompts => {
                if let Some(prompt) = curation.prompt_edits.get(original) {
                    edit.title = prompt.title.as_deref();
                    edit.description = prompt.description.as_deref();
                }
            }
            Kind::Resources | Kind::Templates => {}
        }
        edit_item(json, kind.method(), &edit)
    }
}

/// What stands for a server in URIs: a valid scheme in lower case, because clients lower schemes. A key that is none gets a
/// hash of itself in front, so that no two keys share one.
fn token(key: &str) -> String {
    let plain = key.starts_with(|c: char| c.is_ascii_lowercase())
        && key.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if plain {
        return key.to_owned();
    }
    let hash = key.bytes().fold(0x811c_9dc5_u32, |hash, b| (hash ^ u32::from(b)).wrapping_mul(0x0100_0193));
    format!("x{hash:08x}-{}", key.to_ascii_lowercase())
}

/// One server's list as a door shows it.
#[derive(PartialEq, Eq)]
pub(crate) struct Exposed {
    pub naming: Naming,
    /// In the server's order, without what is not shown.
    pub items: Vec<Shown>,
    /// Places in `items`, ordered by what clients know them by.
    by_name: Box<[u32]>,
    /// The items, one after the other.
    bytes: Bytes,
}

/// One item of it.
#[derive(PartialEq, Eq)]
pub(crate) struct Shown {
    /// The name, URI or template clients know.
    pub exposed: Box<str>,
    /// The server's own, where it is another one.
    own: Option<Box<str>>,
    start: u32,
    end: u32,
}

impl Shown {
    /// The server's own name.
    pub(crate) fn original(&self) -> &str {
        self.own.as_deref().unwrap_or(&self.exposed)
    }
}

impl Exposed {
    pub(super) fn new(kind: Kind, list: &[Item], exposure: &Exposure, naming: Naming) -> Self {
        let mut bytes = Vec::with_capacity(list.iter().map(|item| item.json.len() + 32).sum());
        let mut items: Vec<Shown> = Vec::with_capacity(list.len());
        let mut names = HashSet::with_capacity(list.len());
        for item in list.iter().filter(|item| exposure.shows(kind, &item.name)) {
            let exposed = exposure.name(kind, &item.name, naming);
            // the first of a name has it: clients refuse lists that name something twice
            if !names.insert(exposed.clone()) {
                tracing::warn!(server = %exposure.server.name, name = exposed, "two items of one list have this name; the first has it");
                continue;
            }
            let start = bytes.len() as u32;
            bytes.extend_from_slice(&exposure.item(kind, &item.name, &item.json, &exposed, naming));
            let own = (*item.name != *exposed).then(|| item.name.clone());
            items.push(Shown { exposed: exposed.into(), own, start, end: bytes.len() as u32 });
        }
        items.shrink_to_fit();
        bytes.shrink_to_fit();
        let mut by_name: Box<[u32]> = (0..items.len() as u32).collect();
        by_name.sort_unstable_by(|one, two| items[*one as usize].exposed.cmp(&items[*two as usize].exposed));
        Self { naming, items, by_name, bytes: bytes.into() }
    }

    /// The item of that exposed name.
    pub(crate) fn find(&self, exposed: &str) -> Option<&Shown> {
        let at = self.by_name.binary_search_by(|at| (*self.items[*at as usize].exposed).cmp(exposed)).ok()?;
        self.items.get(self.by_name[at] as usize)
    }

    /// An item as JSON.
    pub(crate) fn json(&self, item: &Shown) -> &[u8] {
        &self.bytes[item.start as usize..item.end as usize]
    }
}
