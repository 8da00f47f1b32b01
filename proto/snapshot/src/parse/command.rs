//! The command line of a stdio server.

use std::collections::HashSet;

use sluice_contract::v1;

use super::sensitive::{self, Taken};
use super::{Faults, text};
use crate::model::Command;

pub(super) fn parse(wire: &v1::Command, path: &str, faults: &mut Faults) -> Option<Command> {
    let before = faults.0.len();
    if wire.program.trim().is_empty() {
        faults.note::<()>(format!("{path}.program"), "is empty; give the program to start");
    }
    text::without_nul(&wire.program, format!("{path}.program"), faults);
    for (index, arg) in wire.args.iter().enumerate() {
        text::without_nul(arg, format!("{path}.args[{index}]"), faults);
    }
    text::without_nul(&wire.cwd, format!("{path}.cwd"), faults);
    let mut seen = HashSet::new();
    let mut env = Vec::with_capacity(wire.env.len());
    for (index, variable) in wire.env.iter().enumerate() {
        let path = format!("{path}.env[{index}]");
        if variable.name.is_empty() || variable.name.contains(['=', '\0']) {
            faults.note::<()>(format!("{path}.name"), "is not the name of an environment variable");
        } else if !seen.insert(variable.name.as_str()) {
            faults.note::<()>(format!("{path}.name"), format!("`{}` is given twice", variable.name));
        }
        let value = sensitive::parse(variable.value.as_ref(), Taken::AsText, format!("{path}.value"), faults);
        env.extend(value.map(|value| (variable.name.clone(), value)));
    }
    (faults.0.len() == before).then(|| Command {
        program: wire.program.clone(),
        args: wire.args.clone(),
        env,
        cwd: (!wire.cwd.is_empty()).then(|| wire.cwd.clone().into()),
    })
}
