//! What the configuration makes of a server's offer: what is shown, renamed, and set.

use super::route::Route;
use super::{Action, Question, Steps};
use crate::model::{Selection, ToolEdit};

/// Whether clients see it at all; notes what decides that, and what is changed on the way.
pub(super) fn shows(route: &Route<'_>, question: &Question<'_>, steps: &mut Steps) -> bool {
    let curation = &route.server.curation;
    let at = format!("servers.{}", route.server.name);
    let (map, selection) = match question.action {
        Action::Call => ("tools", &curation.tools),
        Action::Get => ("prompts", &curation.prompts),
        Action::Read => ("resources", &curation.resources),
    };
    if !is_shown(selection, question.action, &route.name) {
        steps.note("shown", "the configuration hides it from everybody", format!("{at}.{map}"));
        return false;
    }
    let renamed = match question.action {
        Action::Call => curation.tool_edits.get(&route.name).and_then(|edit| edit.name.as_deref()),
        Action::Get => curation.prompt_edits.get(&route.name).and_then(|edit| edit.name.as_deref()),
        Action::Read => None,
    };
    if let Some(renamed) = renamed.filter(|_| route.merged) {
        let asked = question.name.ends_with(renamed);
        let source = format!("{at}.{map}.{}.name", route.name);
        if !asked {
            steps.note("name", format!("clients know it as `{renamed}`; the server's own name leads nowhere"), source);
            return false;
        }
        steps.note("name", format!("clients know it as `{renamed}`"), source);
    }
    if let (Action::Call, Some(edit)) = (question.action, curation.tool_edits.get(&route.name)) {
        arguments(edit, question.arguments, &format!("{at}.{map}.{}", route.name), steps);
    }
    true
}

fn is_shown(selection: &Selection, action: Action, name: &str) -> bool {
    if action == Action::Read { selection.shows_uri(name) } else { selection.shows(name) }
}

/// Arguments that are set. Their values may be credentials.
fn arguments(edit: &ToolEdit, given: &[String], at: &str, steps: &mut Steps) {
    for (name, _) in &edit.forced {
        let instead = if given.contains(name) { ", whatever the caller says" } else { "" };
        steps.note("argument", format!("`{name}` is set{instead}"), format!("{at}.forced.{name}"));
    }
    for (name, _) in edit.defaults.iter().filter(|(name, _)| !given.contains(name)) {
        steps.note("argument", format!("`{name}` is filled in"), format!("{at}.defaults.{name}"));
    }
}
