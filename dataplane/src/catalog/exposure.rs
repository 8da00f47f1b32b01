//! How one server's offer looks on a door: which of it, under which names and URIs, and the way back from a name.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use sluice_mcp::curate::{ItemEdit, edit_item};
use sluice_mcp::names::exposed_name;
use sluice_mcp::uri::expose_uri;
use sluice_snapshot::model::{Curation, Prefix, Server};

use super::Kind;
use super::list::List;

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
    pub(super) const COUNT: usize = 3;

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
            Kind::Tools => curation.tool_edits.iter().find(|(_, edit)| edit.name.as_deref() == Some(renamed))?.0,
            Kind::Prompts => curation.prompt_edits.iter().find(|(_, edit)| edit.name.as_deref() == Some(renamed))?.0,
            Kind::Resources | Kind::Templates => return None,
        };
        self.shows(kind, found).then(|| found.clone())
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
pub(crate) struct Exposed {
    /// In the server's order, without what is not shown.
    pub items: Vec<Shown>,
    by_name: HashMap<Box<str>, u32, foldhash::fast::RandomState>,
    /// The items, one after the other.
    bytes: Bytes,
}

/// One item of it.
pub(crate) struct Shown {
    /// The name, URI or template clients know.
    pub exposed: Box<str>,
    /// The server's own.
    pub original: Box<str>,
    start: u32,
    end: u32,
}

impl Exposed {
    pub(super) fn new(list: &List, exposure: &Exposure, naming: Naming) -> Self {
        let mut bytes = BytesMut::new();
        let mut items = Vec::with_capacity(list.items.len());
        let mut by_name = HashMap::with_capacity_and_hasher(list.items.len(), Default::default());
        for item in list.items.iter().filter(|item| exposure.shows(list.kind, &item.name)) {
            let exposed: Box<str> = exposure.name(list.kind, &item.name, naming).into();
            // the first of a name has it: clients refuse lists that name something twice
            if by_name.contains_key(&exposed) {
                continue;
            }
            let json = exposure.item(list.kind, &item.name, &item.json, &exposed, naming);
            let start = bytes.len() as u32;
            bytes.extend_from_slice(&json);
            by_name.insert(exposed.clone(), items.len() as u32);
            items.push(Shown { exposed, original: item.name.clone(), start, end: bytes.len() as u32 });
        }
        Self { items, by_name, bytes: bytes.freeze() }
    }

    /// The item of that exposed name.
    pub(crate) fn find(&self, exposed: &str) -> Option<&Shown> {
        self.items.get(*self.by_name.get(exposed)? as usize)
    }

    /// An item as JSON.
    pub(crate) fn json(&self, item: &Shown) -> &[u8] {
        &self.bytes[item.start as usize..item.end as usize]
    }
}
