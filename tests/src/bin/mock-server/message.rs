//! A client's message, as far as the mock looks at it: pieces of the body, nothing decoded that is not asked for.

use std::collections::HashMap;

use serde_json::value::RawValue;

type Members<'b> = HashMap<&'b str, &'b RawValue>;

/// One message.
pub(crate) struct Message<'b> {
    /// The raw id; `None` for notifications.
    pub id: Option<&'b str>,
    pub method: &'b str,
    params: Members<'b>,
}

impl<'b> Message<'b> {
    /// Reads a body; `None` for what is no message, or has escapes in its keys or method, as no client writes them.
    pub(crate) fn read(body: &'b [u8]) -> Option<Self> {
        let members: Members = serde_json::from_slice(body).ok()?;
        let params = members.get("params").map(|params| serde_json::from_str(params.get()));
        Some(Self {
            id: members.get("id").map(|id| id.get()),
            method: members.get("method").map_or(Ok(""), |method| serde_json::from_str(method.get())).ok()?,
            params: params.transpose().ok()?.unwrap_or_default(),
        })
    }

    /// A text among the parameters.
    pub(crate) fn text(&self, name: &str) -> Option<&'b str> {
        serde_json::from_str(self.params.get(name)?.get()).ok()
    }

    /// Whether `_meta` has a member of that name.
    pub(crate) fn meta_has(&self, name: &str) -> bool {
        let meta = self.params.get("_meta").and_then(|meta| serde_json::from_str::<Members>(meta.get()).ok());
        meta.is_some_and(|meta| meta.contains_key(name))
    }
}
