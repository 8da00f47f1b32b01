//! Curation: what a person changes about the tools, prompts and resources of a server. In lists, so that clients see it;
//! in calls, so that it holds. Edits of single members: everything else stays byte for byte.

mod arguments;
mod object;
mod schema;

use bytes::Bytes;

pub use arguments::{ArgumentError, edit_arguments};
use object::Object;

use crate::{Edit, Method, Span, join, splice, text, uri};

/// What changes about one item of a list. Raw JSON values must be valid, and a name must not occur twice in one slice;
/// whoever fills this has checked both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ItemEdit<'a> {
    /// What the item is called by instead: its `name`, `uri` or `uriTemplate` ([`Method::item_key`]).
    pub name: Option<&'a str>,
    /// Its `title` instead.
    pub title: Option<&'a str>,
    /// Its `description` instead.
    pub description: Option<&'a str>,
    /// Members of `annotations`: name and raw JSON value.
    pub annotations: &'a [(String, String)],
    /// Arguments of a tool that need not be given: name and raw JSON value. **Clients see the values**; what must stay
    /// secret is forced.
    pub defaults: &'a [(&'a str, &'a str)],
    /// Arguments of a tool that cannot be given: name and raw JSON value. The schema no longer shows them, nor their
    /// values. An argument that is forced and has a default is forced.
    pub forced: &'a [(&'a str, &'a str)],
    /// Whose `ui://` URIs are in `_meta.ui.resourceUri` and `_meta["ui/resourceUri"]` (MCP Apps): they become those of the
    /// merged door, see [`uri::expose_uri`].
    pub uri_token: Option<&'a str>,
}

/// The item of a list of `method`, edited; the item itself, not a copy, where nothing changes.
///
/// Members are replaced where they stand, all of them if a key occurs twice, or put at the end of their object. Forced
/// arguments vanish from `inputSchema.properties` and `inputSchema.required`; those with a default from `required`, and
/// their property, if there is one, says `"default"`. Other keywords that name arguments (`dependentRequired`, `oneOf`, …) are left alone.
///
/// `item` must come from a scanned message; what is no object comes back as it is.
#[must_use]
pub fn edit_item(item: &Bytes, method: Method, edit: &ItemEdit<'_>) -> Bytes {
    let mut edits = Vec::new();
    let Some(mut object) = Object::read(item, Span::new(0, item.len())) else { return item.clone() };
    let texts = [(method.item_key(), edit.name), (Some("title"), edit.title), (Some("description"), edit.description)];
    for (key, value) in texts {
        if let (Some(key), Some(value)) = (key, value) {
            object.set(key, &text::encode_string(value), &mut edits);
        }
    }
    annotate(item, &mut object, edit.annotations, &mut edits);
    if method == Method::ToolsList && !(edit.defaults.is_empty() && edit.forced.is_empty()) {
        for schema in object.values("inputSchema") {
            schema::edit(item, schema, edit.defaults, edit.forced, &mut edits);
        }
    }
    if let Some(token) = edit.uri_token {
        for meta in object.values("_meta") {
            expose_ui(item, meta, token, &mut edits);
        }
    }
    if edits.is_empty() {
        return item.clone();
    }
    join(&splice(item, &mut edits))
}

/// Sets members of `annotations`, which is made where there is none.
fn annotate(item: &[u8], object: &mut Object<'_>, annotations: &[(String, String)], edits: &mut Vec<Edit>) {
    if annotations.is_empty() {
        return;
    }
    let members = || annotations.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let mut present = false;
    for span in object.values("annotations") {
        present = true;
        match Object::read(item, span) {
            Some(mut inner) => members().for_each(|(name, value)| inner.set(name, value.as_bytes(), edits)),
            None => edits.push(Edit { span, with: object::write(members()).into() }),
        }
    }
    if !present {
        object.set("annotations", &object::write(members()), edits);
    }
}

/// Rewrites the `ui://` URIs of one `_meta`.
fn expose_ui(item: &[u8], meta: Span, token: &str, edits: &mut Vec<Edit>) {
    let Some(meta) = Object::read(item, meta) else { return };
    let inner = meta.values("ui").filter_map(|ui| Object::read(item, ui));
    let nested = inner.flat_map(|ui| ui.values("resourceUri").collect::<Vec<_>>());
    for span in meta.values("ui/resourceUri").chain(nested) {
        let value = text::decode_string(span.of(item));
        if span.of(item).starts_with(b"\"") && uri::is_ui(&value) {
            edits.push(Edit { span, with: text::encode_string(&uri::expose_uri(token, &value)).into() });
        }
    }
}

#[cfg(test)]
mod tests;
