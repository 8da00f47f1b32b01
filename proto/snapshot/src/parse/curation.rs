//! What of a server's offer clients see, and how.

use std::collections::{HashMap, HashSet};

use sluice_contract::v1;

use super::{Faults, json};
use crate::model::{Curation, Pattern, PromptEdit, Secret, Selection, ToolEdit};

/// Longest name a tool or prompt may be given: beyond it common clients refuse a tool.
const MAX_EXPOSED: usize = 64;
/// Longest pattern in characters: every name of a server is held against it. URIs are the longest things it stands for.
const MAX_PATTERN: usize = 2048;

pub(super) fn parse(wire: &v1::Curation, path: &str, faults: &mut Faults) -> Curation {
    Curation {
        tools: selection(wire.tools.as_ref(), &format!("{path}.tools"), faults),
        prompts: selection(wire.prompts.as_ref(), &format!("{path}.prompts"), faults),
        resources: selection(wire.resources.as_ref(), &format!("{path}.resources"), faults),
        tool_edits: tool_edits(&wire.tool_edits, &format!("{path}.tool_edits"), faults),
        prompt_edits: prompt_edits(&wire.prompt_edits, &format!("{path}.prompt_edits"), faults),
    }
}

fn selection(wire: Option<&v1::Selection>, path: &str, faults: &mut Faults) -> Selection {
    let Some(wire) = wire else { return Selection::default() };
    Selection {
        allow: patterns(&wire.allow, &format!("{path}.allow"), faults),
        deny: patterns(&wire.deny, &format!("{path}.deny"), faults),
    }
}

/// Patterns of names, each of which can match something.
pub(super) fn patterns(texts: &[String], path: &str, faults: &mut Faults) -> Vec<Pattern> {
    for (index, text) in texts.iter().enumerate() {
        let path = format!("{path}[{index}]");
        if text.is_empty() {
            faults.note::<()>(path, "is empty and matches nothing; `*` matches everything");
        } else if text.chars().count() > MAX_PATTERN {
            faults.note::<()>(path, format!("is longer than {MAX_PATTERN} characters"));
        } else if text.chars().any(char::is_control) {
            faults.note::<()>(path, "contains a control character, which no name has");
        }
    }
    texts.iter().map(|text| Pattern::new(text.as_str())).collect()
}

fn tool_edits(wire: &[v1::ToolEdit], path: &str, faults: &mut Faults) -> HashMap<String, ToolEdit> {
    let mut names = Names::default();
    let mut edits = HashMap::with_capacity(wire.len());
    for (index, edit) in wire.iter().enumerate() {
        let path = format!("{path}[{index}]");
        names.claim("tool", &edit.tool, edit.name.as_deref(), &path, faults);
        let forced = arguments(&edit.forced, &format!("{path}.forced"), faults);
        for (place, default) in edit.defaults.iter().enumerate() {
            if edit.forced.iter().any(|forced| forced.name == default.name) {
                let path = format!("{path}.defaults[{place}].name");
                faults
                    .note::<()>(path, format!("`{}` is forced already, so that a default has no effect", default.name));
            }
        }
        edits.insert(
            edit.tool.clone(),
            ToolEdit {
                name: edit.name.clone(),
                title: edit.title.clone(),
                description: edit.description.clone(),
                annotations: annotations(edit.annotations_json.as_deref(), &path, faults),
                defaults: arguments(&edit.defaults, &format!("{path}.defaults"), faults),
                forced,
            },
        );
    }
    names.check(faults);
    edits
}

fn prompt_edits(wire: &[v1::PromptEdit], path: &str, faults: &mut Faults) -> HashMap<String, PromptEdit> {
    let mut names = Names::default();
    let mut edits = HashMap::with_capacity(wire.len());
    for (index, edit) in wire.iter().enumerate() {
        names.claim("prompt", &edit.prompt, edit.name.as_deref(), &format!("{path}[{index}]"), faults);
        let (name, title, description) = (edit.name.clone(), edit.title.clone(), edit.description.clone());
        edits.insert(edit.prompt.clone(), PromptEdit { name, title, description });
    }
    names.check(faults);
    edits
}

/// Argument values are never quoted: they may be credentials.
fn arguments(wire: &[v1::Argument], path: &str, faults: &mut Faults) -> Vec<(String, Secret)> {
    let mut seen = HashSet::new();
    let mut arguments = Vec::with_capacity(wire.len());
    for (index, argument) in wire.iter().enumerate() {
        let path = format!("{path}[{index}]");
        if argument.name.is_empty() {
            faults.note::<()>(format!("{path}.name"), "is empty; give the name of an argument");
        } else if !seen.insert(argument.name.as_str()) {
            faults.note::<()>(format!("{path}.name"), format!("`{}` is given twice", argument.name));
        }
        match json::value(&argument.value_json) {
            Ok(value) => arguments.push((argument.name.clone(), Secret::new(value))),
            Err(reason) => drop(faults.note::<()>(format!("{path}.value_json"), reason)),
        }
    }
    arguments
}

fn annotations(wire: Option<&str>, path: &str, faults: &mut Faults) -> Vec<(String, String)> {
    let Some(text) = wire else { return Vec::new() };
    let path = format!("{path}.annotations_json");
    let members = match json::object(text) {
        Ok(members) => members,
        Err(reason) => faults.note(path.as_str(), reason).unwrap_or_default(),
    };
    for (name, value) in &members {
        // MCP schema, `ToolAnnotations`: hints are truth values; clients drop a tool over anything else.
        let fits = match name.as_str() {
            "title" => value.starts_with('"'),
            hint if hint.ends_with("Hint") => matches!(value.as_str(), "true" | "false"),
            _ => true,
        };
        if !fits {
            let kind = if name == "title" { "a text" } else { "`true` or `false`" };
            faults.note::<()>(path.as_str(), format!("`{name}` must be {kind}"));
        }
    }
    members
}

/// The names a list of edits uses: whose edit each is, and what is shown.
#[derive(Default)]
struct Names<'a> {
    edited: HashSet<&'a str>,
    renamed: Vec<(&'a str, &'a str, String)>,
}

impl<'a> Names<'a> {
    fn claim(&mut self, noun: &str, own: &'a str, new: Option<&'a str>, path: &str, faults: &mut Faults) {
        if own.is_empty() {
            faults.note::<()>(format!("{path}.{noun}"), format!("is empty; give the server's name of the {noun}"));
        } else if !self.edited.insert(own) {
            faults.note::<()>(format!("{path}.{noun}"), format!("`{own}` is edited twice"));
            return;
        }
        let Some(name) = new else { return };
        if !is_exposable(name) {
            let reason = format!("is not 1 to {MAX_EXPOSED} letters, digits, `_`, `-` and `.`");
            faults.note::<()>(format!("{path}.name"), reason);
        }
        self.renamed.push((own, name, format!("{path}.name")));
    }

    /// Two edits that show the same name would leave it to chance whom a call reaches.
    fn check(mut self, faults: &mut Faults) {
        for (own, _, _) in &self.renamed {
            self.edited.remove(own);
        }
        let mut shown = self.edited;
        for (_, name, path) in self.renamed {
            if !shown.insert(name) {
                faults.note::<()>(path, format!("`{name}` is the name of another one of this server already"));
            }
        }
    }
}

/// What the specification lets a tool be called (2025-11-25 Server Tools, Tool Names), within what clients accept.
fn is_exposable(name: &str) -> bool {
    (1..=MAX_EXPOSED).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
}
