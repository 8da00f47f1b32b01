//! Where a name leads: to which server, and what the server itself calls it.

use std::sync::Arc;

use sluice_mcp::names::{EXPOSED_NAME_CHARS, split_server};
use sluice_mcp::uri::split_uri;

use super::{Action, Question, Steps};
use crate::model::{Prefix, Server, Snapshot};

/// Where a name leads.
pub(super) struct Route<'s> {
    pub server: &'s Arc<Server>,
    /// As the server names it.
    pub name: String,
    /// It is known there as the configuration names it.
    pub merged: bool,
}

/// Finds where a name leads; notes why it does, or why not.
pub(super) fn find<'s>(snapshot: &'s Snapshot, question: &Question<'_>, steps: &mut Steps) -> Option<Route<'s>> {
    let found = own_door(snapshot, question).map_or_else(|| merged_door(snapshot, question), Ok);
    match found {
        Ok(route) => {
            let is_own = question.name.split_once('/').is_some_and(|(server, _)| *server == *route.server.name);
            let door = if is_own { format!("/servers/{}/mcp", route.server.name) } else { "/mcp".to_owned() };
            let noun = question.action.noun();
            let value = format!("on {door}: the {noun} `{}` of server {}", route.name, route.server.name);
            steps.note("route", value, format!("servers.{}", route.server.name));
            Some(route)
        }
        Err(why) => {
            steps.note("route", why, "");
            None
        }
    }
}

/// `server/tool`.
fn own_door<'s>(snapshot: &'s Snapshot, question: &Question<'_>) -> Option<Route<'s>> {
    let (server, name) = question.name.split_once('/')?;
    Some(Route { server: snapshot.server(server)?, name: name.to_owned(), merged: false })
}

/// `server_tool`, or as the configuration names it.
fn merged_door<'s>(snapshot: &'s Snapshot, question: &Question<'_>) -> Result<Route<'s>, String> {
    let (name, noun) = (question.name, question.action.noun());
    let spelled = |why: &str| format!("`{name}`: {why}; write it as SERVER/{}", noun.to_ascii_uppercase());
    if question.action == Action::Read {
        let split = split_uri(name).and_then(|(token, uri)| {
            let server = snapshot.servers.iter().find(|server| server.name.eq_ignore_ascii_case(&token))?;
            Some(Route { server, name: uri, merged: true })
        });
        return split.ok_or_else(|| spelled("it does not name its server"));
    }
    if snapshot.prefix == Prefix::Never {
        let owner = only(snapshot).map(|server| renamed(server, question.action, name));
        return owner.ok_or_else(|| spelled("with `proxy.prefix: never`, what servers list decides whose it is"));
    }
    let split = split_server(name).and_then(|(server, rest)| Some((snapshot.server(server)?, rest)));
    let Some((server, rest)) = split else {
        let own = only(snapshot).map(|server| Route { server, name: name.to_owned(), merged: false });
        return own.ok_or_else(|| spelled("no server is called by its beginning"));
    };
    if name.chars().count() == EXPOSED_NAME_CHARS {
        return Err(spelled("it may be shortened, and what it stands for only the server's list tells"));
    }
    Ok(renamed(server, question.action, rest))
}

/// What the configuration calls so, or else the server.
fn renamed<'s>(server: &'s Arc<Server>, action: Action, name: &str) -> Route<'s> {
    let original = match action {
        Action::Call => server.curation.tool_named(name),
        Action::Get => server.curation.prompt_named(name),
        Action::Read => None,
    };
    Route { server, name: original.unwrap_or(name).to_owned(), merged: true }
}

/// Where there is one server, its own names lead to it.
fn only(snapshot: &Snapshot) -> Option<&Arc<Server>> {
    match &snapshot.servers[..] {
        [server] => Some(server),
        _ => None,
    }
}
