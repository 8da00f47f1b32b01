//! What of a server's offer is shown, and how.

use indexmap::IndexMap;
use sluice_contract::v1;
use sluice_snapshot::model::{Pattern, Selection};

use super::Notes;
use crate::language::{Fault, Path, PromptEdit, Server, ToolEdit, Value, suggestion};

/// The annotations of tools the specification knows (schema `ToolAnnotations`).
const ANNOTATIONS: [&str; 5] = ["title", "readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"];

pub(super) fn compile(server: &Server, path: &Path, wire: &str, notes: &mut Notes) -> Option<v1::Curation> {
    let wire = format!("{wire}.curation");
    let (tools, prompts, resources) = (&server.tools, &server.prompts, &server.resources);
    let mut select = |word: &str, allow: &Option<Vec<String>>, deny: &[String]| {
        selection(word, allow.as_deref(), deny, &path.key(word), &format!("{wire}.{word}"), notes)
    };
    let shown_tools = select("tools", &tools.allow, &tools.deny);
    let shown_prompts = select("prompts", &prompts.allow, &prompts.deny);
    let shown_resources = select("resources", &resources.allow, &resources.deny);
    warn_of_hidden(&shown_tools, tools.edit.keys(), &path.key("tools"), notes);
    warn_of_hidden(&shown_prompts, prompts.edit.keys(), &path.key("prompts"), notes);
    let curation = v1::Curation {
        tools: shown_tools,
        prompts: shown_prompts,
        resources: shown_resources,
        tool_edits: tool_edits(&tools.edit, &path.key("tools").key("edit"), &format!("{wire}.tool_edits"), notes),
        prompt_edits: prompt_edits(
            &prompts.edit,
            &path.key("prompts").key("edit"),
            &format!("{wire}.prompt_edits"),
            notes,
        ),
    };
    (curation != v1::Curation::default()).then_some(curation)
}

fn selection(
    word: &str,
    allow: Option<&[String]>,
    deny: &[String],
    path: &Path,
    wire: &str,
    notes: &mut Notes,
) -> Option<v1::Selection> {
    notes.origins.value(format!("{wire}.allow"), path.key("allow"));
    notes.origins.value(format!("{wire}.deny"), path.key("deny"));
    let mut denied = deny.to_vec();
    if allow.is_some_and(<[String]>::is_empty) {
        let warning = Fault::value(path.key("allow"), format!("is empty, so that no {word} are shown"));
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
    notes: &mut Notes,
) {
    let Some(shown) = shown else { return };
    let patterns = |texts: &[String]| texts.iter().map(|text| Pattern::new(text.as_str())).collect();
    let shown = Selection { allow: patterns(&shown.allow), deny: patterns(&shown.deny) };
    for name in edited.filter(|name| !shown.shows(name)) {
        let warning = Fault::key(path.key("edit").key(name), "has no effect: `allow` and `deny` hide it");
        notes.warnings.push(warning.advise("patterns stand for the server's own names"));
    }
}

fn tool_edits(edits: &IndexMap<String, ToolEdit>, path: &Path, wire: &str, notes: &mut Notes) -> Vec<v1::ToolEdit> {
    let mut compiled = Vec::with_capacity(edits.len());
    for (index, (tool, edit)) in edits.iter().enumerate() {
        let (wire, path) = (format!("{wire}[{index}]"), path.key(tool));
        notes.origins.key(wire.clone(), path.clone());
        for (field, key) in [("name", "name"), ("annotations_json", "annotations")] {
            notes.origins.value(format!("{wire}.{field}"), path.key(key));
        }
        warn_of_unknown(edit, &path, notes);
        compiled.push(v1::ToolEdit {
            tool: tool.clone(),
            name: edit.name.clone(),
            title: edit.title.clone(),
            description: edit.description.clone(),
            annotations_json: (!edit.annotations.is_empty()).then(|| object(&edit.annotations)),
            defaults: arguments(&edit.defaults, &path.key("defaults"), &format!("{wire}.defaults"), notes),
            forced: arguments(&edit.forced, &path.key("forced"), &format!("{wire}.forced"), notes),
        });
    }
    compiled
}

fn prompt_edits(
    edits: &IndexMap<String, PromptEdit>,
    path: &Path,
    wire: &str,
    notes: &mut Notes,
) -> Vec<v1::PromptEdit> {
    let mut compiled = Vec::with_capacity(edits.len());
    for (index, (prompt, edit)) in edits.iter().enumerate() {
        let (wire, path) = (format!("{wire}[{index}]"), path.key(prompt));
        notes.origins.key(wire.clone(), path.clone());
        notes.origins.value(format!("{wire}.name"), path.key("name"));
        compiled.push(v1::PromptEdit {
            prompt: prompt.clone(),
            name: edit.name.clone(),
            title: edit.title.clone(),
            description: edit.description.clone(),
        });
    }
    compiled
}

fn arguments(values: &IndexMap<String, Value>, path: &Path, wire: &str, notes: &mut Notes) -> Vec<v1::Argument> {
    let mut compiled = Vec::with_capacity(values.len());
    for (index, (name, value)) in values.iter().enumerate() {
        notes.origins.key(format!("{wire}[{index}].name"), path.key(name));
        notes.origins.value(format!("{wire}[{index}].value_json"), path.key(name));
        compiled.push(v1::Argument { name: name.clone(), value_json: value.expose().to_owned() });
    }
    compiled
}

fn object(members: &IndexMap<String, Value>) -> String {
    let name = |name: &str| serde_json::Value::from(name).to_string();
    let members: Vec<_> = members.iter().map(|(key, value)| format!("{}:{}", name(key), value.expose())).collect();
    format!("{{{}}}", members.join(","))
}

/// Servers and clients may agree on annotations of their own; a slip in one of the usual names is likelier.
fn warn_of_unknown(edit: &ToolEdit, path: &Path, notes: &mut Notes) {
    for name in edit.annotations.keys().filter(|name| !ANNOTATIONS.contains(&name.as_str())) {
        let warning = Fault::key(path.key("annotations").key(name), "is not an annotation of the specification");
        notes.warnings.push(warning.advise(suggestion(name, &ANNOTATIONS, "annotation")));
    }
}
