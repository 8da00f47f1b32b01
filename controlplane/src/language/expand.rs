//! `${NAME}` and `${NAME:-default}` in the scalars of a document; in files of clients also their own names, such as
//! `${env:NAME}` and `${input:ID}`. Whatever a variable holds stays one scalar: it is never parsed as YAML, nor searched
//! for further variables.

use super::fault::Fault;
use super::foreign::inputs::{Inputs, variable};
use super::path::Path;
use super::tree::{Content, Node};
use super::variables::{Found, Variables};

/// What names stand for.
pub(super) struct Names<'a> {
    pub(super) variables: &'a Variables,
    /// In the file of a client: what it would ask its user for.
    pub(super) inputs: Option<&'a Inputs>,
}

/// Expands every scalar below a node; those that cannot be are marked as broken.
pub(super) fn expand(node: &mut Node, path: &Path, names: &Names<'_>, faults: &mut Vec<Fault>) {
    match &mut node.content {
        Content::Scalar(scalar) if scalar.text.contains("${") => match text(&scalar.text, names, &mut scalar.secret) {
            Ok(expanded) => {
                scalar.expanded = scalar.text.replace("$${", "").contains("${");
                scalar.text = expanded;
            }
            Err((message, advice)) => {
                faults.push(Fault::value(path.clone(), message).advise(advice));
                node.content = Content::Broken;
            }
        },
        Content::List(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                expand(item, &path.index(index), names, faults);
            }
        }
        Content::Map(entries) => {
            for entry in entries {
                expand(&mut entry.value, &path.key(&entry.key), names, faults);
            }
        }
        _ => {}
    }
}

type Complaint = (String, String);

/// Expands one text. `secret` is set where something in it is from a file of credentials.
fn text(input: &str, names: &Names<'_>, secret: &mut bool) -> Result<String, Complaint> {
    let mut output = String::with_capacity(input.len());
    let mut rest = input;
    while let Some(at) = rest.find("${") {
        if rest[..at].ends_with('$') {
            output.push_str(&rest[..at - 1]);
            output.push_str("${");
            rest = &rest[at + 2..];
            continue;
        }
        output.push_str(&rest[..at]);
        let inside = &rest[at + 2..];
        let end = closing(inside).ok_or_else(|| malformed("has a `${` that is never closed"))?;
        output.push_str(&value(&inside[..end], names, secret)?);
        rest = &inside[end + 1..];
    }
    output.push_str(rest);
    Ok(output)
}

/// The value of what stands between the braces.
fn value(inside: &str, names: &Names<'_>, secret: &mut bool) -> Result<String, Complaint> {
    let variables = names.variables;
    let inside = match names.inputs {
        Some(inputs) => match client_s(inside, variables, inputs, secret) {
            ClientName::Value(value) => return value,
            ClientName::Variable(name) => name,
        },
        None if inside.starts_with("env:") => {
            let advice = format!("write `${{{}}}`", &inside["env:".len()..]);
            return Err((format!("`${{{inside}}}` is the way clients write variables"), advice));
        }
        None => inside,
    };
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    let well_formed = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !well_formed {
        return Err(malformed(&format!("`${{{name}}}` does not name a variable")));
    }
    match (variables.found(name), default) {
        // As in a shell, `:-` stands in for an empty variable as well.
        (Ok(Some(found)), default) if default.is_none() || !found.value.is_empty() => Ok(told(found, secret)),
        (Ok(_), Some(default)) => text(default, names, secret),
        (Ok(_), None) => Err((
            format!("variable `{name}` is not set"),
            format!("set it, give a default as `${{{name}:-…}}`, or add it to {}", variables.file_to_write()),
        )),
        (Err(refused), _) => Err((format!("variable `{name}` could not be looked up"), refused)),
    }
}

fn told(found: Found, secret: &mut bool) -> String {
    *secret |= found.is_credential;
    found.value
}

/// A name in the file of a client.
enum ClientName<'a> {
    Value(Result<String, Complaint>),
    Variable(&'a str),
}

/// What a client's own name stands for; other names are variables.
fn client_s<'a>(name: &'a str, variables: &Variables, inputs: &Inputs, secret: &mut bool) -> ClientName<'a> {
    let folder = |folder: Option<&std::path::Path>, what: &str| {
        let known = folder.map(|folder| folder.to_string_lossy().into_owned());
        ClientName::Value(known.ok_or_else(|| (format!("`${{{name}}}`: {what} is not known"), "write the path".into())))
    };
    match name.split_once(':') {
        Some(("env", variable)) => ClientName::Variable(variable),
        Some(("input", id)) => ClientName::Value(input(id, variables, inputs, secret)),
        Some(("workspaceFolder", _)) => folder(variables.workspace(), "the project"),
        Some((_, default)) if default.starts_with('-') => ClientName::Variable(name),
        Some(_) => {
            let message = format!("`${{{name}}}` stands for something that only its client knows");
            ClientName::Value(Err((message, "write the value itself, or a variable as `${NAME}`".to_owned())))
        }
        None => match name {
            "workspaceFolder" | "workspaceRoot" | "cwd" => folder(variables.workspace(), "the project"),
            "workspaceFolderBasename" => {
                let name = variables.workspace().and_then(std::path::Path::file_name);
                folder(name.map(std::path::Path::new), "the project")
            }
            "userHome" => folder(variables.home(), "the home folder"),
            "pathSeparator" | "/" => ClientName::Value(Ok("/".to_owned())),
            _ => ClientName::Variable(name),
        },
    }
}

/// What the user would be asked for: a variable called like the input, or in the way environment variables are.
fn input(id: &str, variables: &Variables, inputs: &Inputs, secret: &mut bool) -> Result<String, Complaint> {
    let name = variable(id);
    let input = inputs.get(id);
    for candidate in [id, &name] {
        match variables.found(candidate) {
            Ok(Some(found)) => return Ok(told(found, secret)),
            Ok(None) => {}
            Err(refused) => return Err((format!("input `{id}` could not be looked up"), refused)),
        }
    }
    if let Some(default) = input.and_then(|input| input.default.clone()) {
        return Ok(default);
    }
    let asked = input.and_then(|input| input.description.as_deref());
    let asked = asked.map(|asked| format!(" ({})", asked.trim())).unwrap_or_default();
    let advice = format!("a client asks its user for it; set `{name}`, or add `{id}` to {}", variables.file_to_write());
    Err((format!("input `{id}`{asked} has no value"), advice))
}

/// The brace that closes an expression; defaults may hold expressions of their own.
fn closing(inside: &str) -> Option<usize> {
    let mut depth = 0usize;
    let mut before = ' ';
    for (at, c) in inside.char_indices() {
        match c {
            '{' if before == '$' => depth += 1,
            '}' if depth == 0 => return Some(at),
            '}' => depth -= 1,
            _ => {}
        }
        before = c;
    }
    None
}

fn malformed(message: &str) -> Complaint {
    (message.to_owned(), "write `${NAME}` or `${NAME:-default}`; `$${` stands for a literal `${`".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(input: &str) -> Result<String, String> {
        let variables = Variables::of([("HOST", "example.com"), ("EMPTY", ""), ("ODD", "${HOST}: {")]);
        text(input, &Names { variables: &variables, inputs: None }, &mut false).map_err(|(message, _)| message)
    }

    #[test]
    fn variables_and_defaults() {
        for (input, output) in [
            ("https://${HOST}/mcp", "https://example.com/mcp"),
            ("${HOST}${HOST}", "example.comexample.com"),
            ("${NONE:-30}", "30"),
            ("${NONE:-}", ""),
            ("${HOST:-x}", "example.com"),
            ("${EMPTY}", ""),
            ("${EMPTY:-full}", "full"),
            ("${NONE:-${HOST}!}", "example.com!"),
            ("${NONE:-${ALSO:-deep}}", "deep"),
            ("$${HOST} $$${HOST}", "${HOST} $${HOST}"),
            ("$HOST 5$ {x} $", "$HOST 5$ {x} $"),
            ("${ODD}", "${HOST}: {"),
        ] {
            assert_eq!(expanded(input).as_deref(), Ok(output), "{input}");
        }
    }

    #[test]
    fn what_cannot_be_expanded_is_said() {
        for (input, message) in [
            ("${NONE}", "variable `NONE` is not set"),
            ("${NONE:-${ALSO}}", "variable `ALSO` is not set"),
            ("${HOST", "has a `${` that is never closed"),
            ("${}", "`${}` does not name a variable"),
            ("${1A}", "`${1A}` does not name a variable"),
            ("${A B:-x}", "`${A B}` does not name a variable"),
            ("${env:HOST}", "`${env:HOST}` is the way clients write variables"),
        ] {
            assert_eq!(expanded(input), Err(message.to_owned()), "{input}");
        }
    }
}
