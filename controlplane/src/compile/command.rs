//! A server started here: its command line and environment.

use sluice_contract::v1;

use super::{Node, Notes, sensitive};
use crate::language::{Fault, Path, Server};

/// The program that stands for the gateway itself where it is not in `PATH`.
const OWN_PROGRAM: &str = "sluice";

pub(super) fn compile(server: &Server, path: &Path, wire: &str, node: &Node, notes: &mut Notes) -> Option<v1::Command> {
    let Some(said) = &server.command else {
        let fault = Fault::key(path.clone(), "has no `command`");
        notes.faults.push(fault.advise("add `command: …`, the program to start"));
        return None;
    };
    notes.origins.value(format!("{wire}.stdio.program"), path.key("command"));
    notes.origins.value(format!("{wire}.stdio.args"), path.key("args"));
    notes.origins.value(format!("{wire}.stdio.cwd"), path.key("cwd"));
    let mut env = Vec::with_capacity(server.env.len());
    for (index, (name, value)) in server.env.iter().enumerate() {
        let said = path.key("env").key(name);
        notes.origins.key(format!("{wire}.stdio.env[{index}].name"), said.clone());
        let wire = format!("{wire}.stdio.env[{index}].value");
        let value = Some(sensitive::compile(value, &said, wire, node, notes));
        env.push(v1::Variable { name: name.clone(), value });
    }
    // a path may have spaces in it: `/opt/my programs/x`
    let is_split = said.trim().split_once(' ').is_some_and(|(first, _)| !first.contains('/'));
    if is_split && server.args.is_empty() {
        let warning = Fault::value(path.key("command"), "has spaces in it, and no shell will split it");
        notes.warnings.push(warning.advise("put everything after the program into `args: […]`"));
    }
    let program = match &node.own_program {
        Some(own) if said == OWN_PROGRAM => own.to_string_lossy().into_owned(),
        _ => said.clone(),
    };
    let cwd = server.cwd.as_ref().map(|cwd| node.folder.join(cwd).to_string_lossy().into_owned());
    Some(v1::Command { program, args: server.args.clone(), env, cwd: cwd.unwrap_or_default() })
}
