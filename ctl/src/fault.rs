//! Faults that a control plane or a node found, shown like those found here: at their place in the file.

use serde_json::{Value, json};
use sluice_contract::v1::ConfigurationFault;
use sluice_controlplane::language::{Fault, Kind, Path, Segment};

use crate::output::visible;
use crate::written::File;

/// Whether a file has the object that a path leads to or through, or a map that it ends at.
fn mentions(file: &File, path: &Path) -> bool {
    let object = Kind::of_path(path);
    file.split.parts.iter().any(|part| match object {
        Some((kind, name)) => part.object.kind == kind && part.object.name == name,
        None => !path.segments().is_empty() && part.object.path().is_within(path),
    })
}

/// Shows faults: those about what files say at their place in these, the others by their path.
pub(crate) fn show(word: &str, faults: &[ConfigurationFault], files: &[File]) -> String {
    let mut text = String::new();
    for fault in faults {
        let path = path(&fault.path);
        let of_node = if fault.node.is_empty() { String::new() } else { format!("on node {}: ", visible(&fault.node)) };
        let (message, advice) = (visible(&fault.message), visible(&fault.advice));
        match files.iter().find(|file| mentions(file, &path)) {
            Some(File { source, split }) => {
                let message = format!("{of_node}{message}");
                let here = if fault.is_key { Fault::key(path, message) } else { Fault::value(path, message) };
                let here = if fault.advice.is_empty() { here } else { here.advise(advice) };
                text.push_str(&source.show(word, &[split.locate(here)]).to_string());
            }
            None => {
                let place =
                    if fault.path.is_empty() { String::new() } else { format!("{}: ", visible(&path.to_string())) };
                text.push_str(&format!("{word}: {of_node}{place}{message}\n"));
                if !fault.advice.is_empty() {
                    text.push_str(&format!(" = {advice}\n"));
                }
            }
        }
    }
    text
}

/// A fault that was found here, as one that came from elsewhere.
pub(crate) fn carried(fault: &Fault) -> ConfigurationFault {
    let step = |step: &Segment| match step {
        Segment::Key(key) => key.clone(),
        Segment::Index(index) => index.to_string(),
    };
    ConfigurationFault {
        path: fault.path.segments().iter().map(step).collect(),
        is_key: fault.is_key(),
        message: fault.message.clone(),
        advice: fault.advice.clone().unwrap_or_default(),
        ..ConfigurationFault::default()
    }
}

/// Faults for programs.
pub(crate) fn values(faults: &[ConfigurationFault]) -> Value {
    let value = |fault: &ConfigurationFault| {
        json!({
            "path": path(&fault.path).to_string(),
            "message": fault.message,
            "advice": some(&fault.advice),
            "node": some(&fault.node),
        })
    };
    Value::Array(faults.iter().map(value).collect())
}

fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// The first two steps are a map and a name in it; below them a number is a position.
fn path(steps: &[String]) -> Path {
    steps.iter().enumerate().fold(Path::default(), |path, (at, step)| match step.parse() {
        Ok(index) if at >= 2 => path.then(Segment::Index(index)),
        _ => path.key(step),
    })
}
