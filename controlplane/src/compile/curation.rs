//! What of a server's offer is shown, and how.

use indexmap::IndexMap;
use sluice_contract::v1;
use sluice_snapshot::model::{Pattern, Selection};

use super::{Notes, Origins};
use crate::language::{Fault, Path, PromptEdit, Server, ToolEdit, Value, suggestion};

/// The annotations of tools the specification knows (schema `ToolAnnotations`).
const ANNOTATIONS: [&str; 5] = ["title", "readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"];

pub(super) fn compile(server: &Server, path: &Path, wire: &str, notes: &mut Notes) -> Option<v1::Curation> {
    let (tools, prompts, resources) = (&server.tools, &server.prompts, &server.resources);
    notes.origins.note(|origins| note(server, path, &format!("{wire}.curation"), origins));
    let mut select =
        |word: &str, allow: &Option<Vec<String>>, deny: &[String]| selection(word, allow.as_deref(), deny, path, notes);
    let shown_tools = select("tools", &tools.allow, &tools.deny);
    let shown_prompts = select("prompts", &prompts.allow, &prompts.deny);
    let shown_resources = select("resources", &resources.allow, &resources.deny);
    warn_of_hidden(&shown_tools, tools.edit.keys(), path, "tools", notes);
    warn_of_hidden(&shown_prompts, prompts.edit.keys(), path, "prompts", notes);
    warn_of_unknown(&tools.edit, path, notes);
    let curation = v1::Curation {
        tools: shown_tools,
        prompts: shown_prompts,
        resources: shown_resources,
        tool_edits: tools.edit.iter().map(tool_edit).collect(),
        prompt_edits: prompts.edit.iter().map(prompt_edit).collect(),
    };
    (curation != v1::Curation::default()).then_some(curation)
}

/// Where the parts come from.
fn note(server: &Server, path: &Path, wire: &str, origins: &mut Origins) {
    for word in ["tools", "prompts", "resources"] {
        for list in ["allow", "deny"] {
            origins.value(format!("{wire}.{word}.{list}"), path.key(word).key(list));
        }
    }
    let (tools, prompts) = (path.key("tools").key("edit"), path.key("prompts").key("edit"));
    for (index, (tool, edit)) in server.tools.edit.iter().enumerate() {
        let (wire, path) = (format!("{wire}.tool_edits[{index}]"), tools.key(tool));
        origins.key(wire.clone(), path.clone());
        for (field, key) in [("name", "name"), ("annotations_json", "annotations")] {
            origins.value(format!("{wire}.{field}"), path.key(key));
        }
        note_arguments(&edit.defaults, &path.key("defaults"), &format!("{wire}.defaults"), origins);
        note_arguments(&edit.forced, &path.key("forced"), &format!("{wire}.forced"), origins);
    }
    for (index, prompt) in server.prompts.edit.keys().enumerate() {
        let (wire, path) = (format!("{wire}.prompt_edits[{index}]"), prompts.key(prompt));
        origins.key(wire.clone(), path.clone());
        origins.value(format!("{wire}.name"), path.key("name"));
    }
}

fn note_arguments(values: &IndexMap<String, Value>, path: &Path, wire: &str, origins: &mut Origins) {
    for (index, name) in values.keys().enumerate() {
        origins.key(format!("{wire}[{index}].name"), path.key(name));
        origins.value(format!("{wire}[{index}].value_json"), path.key(name));
    }
}

fn selection(
    word: &str,
    allow: Option<&[String]>,
    deny: &[String],
    path: &Path,
    notes: &mut Notes,
) -> Option<v1::Selection> {
    let mut denied = deny.to_vec();
    if allow.is_some_and(<[String]>::is_empty) {
        let path = path.key(word).key("allow");
        let warning = Fault::value(path, format!("is empty, so that no {word} are shown"));
        notes.warnings.push(warning.advise("leave it out to show all, or list patterns such as `get_*`"));
        // In the contract, an empty list shows all.
        denied = vec!["*".to_owned()];
    }
    let allow = allow.unwrap_or_default().to_vec();
    (!allow.is_empty() || !denied.is_empty()).then_some(v1::Selection { allow, deny: denied })
}

/// An edit of what is not shown has no effect, and is perhaps a slip in a pattern.
fn warn_of_hidden<'a>(
    shown: &Option<v1::Selection>,
    edited: impl Iterator<Item = &'a String>,
    path: &Path,
    word: &str,
    notes: &mut Notes,
) {
    let Some(shown) = shown else { return };
    let patterns = |texts: &[String]| texts.iter().map(|text| Pattern::new(text.as_str())).collect();
    let shown = Selection { allow: patterns(&shown.allow), deny: patterns(&shown.deny) };
    for name in edited.filter(|name| !shown.shows(name)) {
        let warning = Fault::key(path.key(word).key("edit").key(name), "has no effect: `allow` and `deny` hide it");
        notes.warnings.push(warning.advise("patterns stand for the server's own names"));
    }
}

fn tool_edit((tool, edit): (&String, &ToolEdit)) -> v1::ToolEdit {
    v1::ToolEdit {
        tool: tool.clone(),
        name: edit.name.clone(),
        title: edit.title.clone(),
        description: edit.description.clone(),
        annotations_json: (!edit.annotations.is_empty()).then(|| object(&edit.annotations)),
        defaults: arguments(&edit.defaults),
        forced: arguments(&edit.forced),
    }
}

fn prompt_edit((prompt, edit): (&String, &PromptEdit)) -> v1::PromptEdit {
    v1::PromptEdit {
        prompt: prompt.clone(),
        name: edit.name.clone(),
        title: edit.title.clone(),
        description: edit.description.clone(),
    }
}

fn arguments(values: &IndexMap<String, Value>) -> Vec<v1::Argument> {
    let argument =
        |(name, value): (&String, &Value)| v1::Argument { name: name.clone(), value_json: value.expose().to_owned() };
    values.iter().map(argument).collect()
}

fn object(members: &IndexMap<String, Value>) -> String {
    let name = |name: &str| serde_json::Value::from(name).to_string();
    let members: Vec<_> = members.iter().map(|(key, value)| format!("{}:{}", name(key), value.expose())).collect();
    format!("{{{}}}", members.join(","))
}

/// Servers and clients may agree on annotations of their own; a slip in one of the usual names is likelier.
fn warn_of_unknown(edits: &IndexMap<String, ToolEdit>, path: &Path, notes: &mut Notes) {
    for (tool, edit) in edits {
        for name in edit.annotations.keys().filter(|name| !ANNOTATIONS.contains(&name.as_str())) {
            let path = path.key("tools").key("edit").key(tool).key("annotations").key(name);
            let warning = Fault::key(path, "is not an annotation of the specification");
            notes.warnings.push(warning.advise(suggestion(name, &ANNOTATIONS, "annotation")));
        }
    }
}
