//! Data goes to stdout, talk to stderr, and the exit code says whether it worked. Nothing in a text is obeyed by a terminal but our
//! own colours.

mod paint;
pub(crate) mod prompt;
mod table;
pub(crate) mod time;
mod visible;

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use serde::Serialize;
use serde_json::Value;

pub(crate) use paint::{Paint, Stream, Tone};
pub(crate) use table::{Field, table};
pub(crate) use visible::visible;

/// How a list is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Columns, for people.
    Table,
    /// JSON, for programs.
    Json,
    /// YAML, for programs and people.
    Yaml,
}

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The configuration or the command line is wrong, and nothing was started: exit code 2.
    Input(String),
    /// Anything else: exit code 1.
    Other(String),
}

impl Failure {
    /// A failure that is not the input's fault.
    pub(crate) fn other(reason: impl fmt::Display) -> Self {
        Self::Other(format!("error: {reason}\n"))
    }

    /// Somebody was asked, and said no.
    pub(crate) fn declined() -> Self {
        Self::Other("nothing was changed, as you wish\n".to_owned())
    }

    /// A failure that something typed or written caused.
    pub(crate) fn input(reason: impl fmt::Display) -> Self {
        Self::Input(format!("error: {reason}\n"))
    }
}

/// Turns the result of a command into its exit code, telling what failed.
pub(crate) fn exit(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Other(reason)) => {
            talk(&reason);
            ExitCode::FAILURE
        }
        Err(Failure::Input(reason)) => {
            talk(&reason);
            ExitCode::from(2)
        }
    }
}

/// Writes text to stdout.
pub(crate) fn data(text: impl fmt::Display) -> Result<(), Failure> {
    exact(visible::lines(&text.to_string()))
}

/// Writes text with colours to stdout: tables, and what [`Paint`] painted.
pub(crate) fn painted_data(text: impl fmt::Display) -> Result<(), Failure> {
    exact(visible::painted(&text.to_string(), Stream::Stdout))
}

/// Writes to stdout what programs read, as it is.
pub(crate) fn exact(text: impl fmt::Display) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        // Whoever reads has seen enough, as `head` does.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(|error| Failure::other(format_args!("stdout: {error}"))),
    }
}

/// Writes values as JSON or YAML to stdout.
pub(crate) fn values(format: Format, values: &impl Serialize) -> Result<(), Failure> {
    let yaml = match format {
        Format::Yaml => Some(serde_saphyr::to_string(values).map_err(Failure::other)?),
        Format::Json | Format::Table => None,
    };
    match yaml {
        Some(yaml) if !visible::reorders(&yaml) => exact(yaml.trim_end()),
        // JSON is YAML, and can say all of it visibly.
        _ => exact(visible::json(&serde_json::to_string_pretty(values).map_err(Failure::other)?)),
    }
}

/// Shows a list on stdout: a table for people, whole values for programs. `none` is told to people where it is empty.
pub(crate) fn list<T, const N: usize>(
    format: Format,
    items: &[T],
    none: &str,
    header: [&str; N],
    row: impl Fn(&T) -> [Field; N],
    value: impl Fn(&T) -> Value,
) -> Result<(), Failure> {
    if format != Format::Table {
        return values(format, &items.iter().map(value).collect::<Vec<_>>());
    }
    if items.is_empty() {
        talk(&format!("{none}\n"));
        return Ok(());
    }
    painted_data(table(header, items.iter().map(row)))
}

/// A text of at most so many characters: a longer one is cut.
pub(crate) fn cut(text: String, most: usize) -> String {
    if text.chars().count() <= most {
        return text;
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

/// Writes talk to stderr. Nobody may be listening, and that stops nothing.
pub(crate) fn talk(text: &str) {
    let _ = io::stderr().lock().write_all(visible::lines(text).as_bytes());
}

/// Talks with colours: those of [`Paint`].
pub(crate) fn painted_talk(text: &str) {
    let _ = io::stderr().lock().write_all(visible::painted(text, Stream::Stderr).as_bytes());
}
