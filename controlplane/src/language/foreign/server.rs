//! One server of a client's file, in our words.

use crate::language::fault::{Fault, Place};
use crate::language::path::Path;
use crate::language::shorthand;
use crate::language::tree::{Content, Entry, Node, Scalar};

/// From here on, a `timeout` is one in milliseconds: some clients count so, others in seconds, and nobody waits for
/// a quarter of an hour or for a second that is none.
const MILLISECONDS_FROM: f64 = 1000.0;
/// Longest timeout in seconds; longer ones are cut.
const MAX_TIMEOUT: f64 = 3600.0;

/// What a key of a client becomes.
enum Word {
    /// The same thing under this key.
    As(&'static str),
    /// A list of tools: this key below `tools`.
    Tools(&'static str),
    Transport,
    Command,
    Timeout,
    /// A map of which only `headers` counts.
    Request,
    /// The name of a variable with a bearer token.
    BearerVariable,
    Unknown,
}

fn word(key: &str) -> Word {
    match key {
        "args" | "arguments" => Word::As("args"),
        "env" | "environment" => Word::As("env"),
        "cwd" | "workingDirectory" => Word::As("cwd"),
        "envFile" => Word::As("env_file"),
        "url" | "serverUrl" | "httpUrl" => Word::As("url"),
        "headers" | "http_headers" => Word::As("headers"),
        "disabled" => Word::As("disabled"),
        "enabled" => Word::As("enabled"),
        "tools" | "includeTools" | "enabledTools" | "enabled_tools" => Word::Tools("allow"),
        "disabledTools" | "excludeTools" | "disabled_tools" => Word::Tools("deny"),
        "type" | "transport" | "transportType" => Word::Transport,
        "command" => Word::Command,
        "timeout" => Word::Timeout,
        "requestOptions" | "requestInit" => Word::Request,
        "bearer_token_env_var" => Word::BearerVariable,
        _ => Word::Unknown,
    }
}

/// Translates one server. `way` leads to the map it is in.
pub(super) fn translate(server: &mut Entry, way: &Path, warnings: &mut Vec<Fault>) {
    let name = server.key.clone();
    let Some(entries) = server.value.entries_mut() else { return };
    let mut translation = Translation { way: way.key(&name), entries: Vec::new(), ignored: Vec::new(), warnings };
    for entry in std::mem::take(entries) {
        translation.add(entry);
    }
    translation.finish(entries);
}

struct Translation<'a> {
    way: Path,
    entries: Vec<Entry>,
    ignored: Vec<Entry>,
    warnings: &'a mut Vec<Fault>,
}

impl Translation<'_> {
    fn add(&mut self, entry: Entry) {
        let written = Path::of([&entry.key]);
        match word(&entry.key) {
            Word::As("env") => self.put("env", written, Entry { value: without_nulls(entry.value), ..entry }),
            Word::As(key) => self.put(key, written, entry),
            Word::Tools(key) if matches!(entry.value.content, Content::List(_)) => self.tools(key, written, entry),
            Word::Transport => self.transport(written, entry),
            Word::Command => self.command(written, entry),
            Word::Timeout => self.timeout(written, entry),
            Word::Request if entry.value.get("headers").is_some() => {
                let inside = entry.value.entries().iter().filter(|inside| inside.key == "headers").cloned();
                inside.for_each(|inside| self.put("headers", written.key("headers"), inside));
            }
            Word::BearerVariable if entry.value.text().is_some() => self.bearer(written, entry),
            Word::Tools(_) | Word::Request | Word::BearerVariable | Word::Unknown => self.ignored.push(entry),
        }
    }

    /// The first that says something wins.
    fn put(&mut self, key: &str, written: Path, entry: Entry) {
        if matches!(entry.value.content, Content::Null) {
            return;
        }
        if self.entries.iter().any(|other| other.key == key) {
            self.ignored.push(entry);
            return;
        }
        self.entries.push(Entry { key: key.to_owned(), written: Some(written), ..entry });
    }

    fn tools(&mut self, key: &str, written: Path, entry: Entry) {
        let span = entry.key_span;
        if !self.entries.iter().any(|other| other.key == "tools") {
            let map = Node { span: entry.value.span, content: Content::Map(Vec::new()) };
            self.entries.push(Entry { written: Some(Path::default()), ..Entry::new("tools", span, map) });
        }
        let tools =
            self.entries.iter_mut().find(|other| other.key == "tools").and_then(|tools| tools.value.entries_mut());
        let Some(tools) = tools else { return };
        if tools.iter().any(|other| other.key == key) {
            self.ignored.push(entry);
        } else {
            tools.push(Entry { key: key.to_owned(), written: Some(written), ..entry });
        }
    }

    fn transport(&mut self, written: Path, mut entry: Entry) {
        let Content::Scalar(scalar) = &mut entry.value.content else { return self.ignored.push(entry) };
        match shorthand::transport(&scalar.text).as_str() {
            // Clients mean either HTTP transport by it, and so it is found out.
            "http" if scalar.text.eq_ignore_ascii_case("http") => {}
            "remote" | "builtin" => {}
            name => {
                scalar.text = name.to_owned();
                self.put("transport", written, entry);
            }
        }
    }

    /// A program; or one with its arguments, as a list or as a map.
    fn command(&mut self, written: Path, entry: Entry) {
        match &entry.value.content {
            Content::List(items) => {
                let [program, rest @ ..] = items.as_slice() else { return self.ignored.push(entry) };
                let (program, rest) = (program.clone(), Content::List(rest.to_vec()));
                let args = Node { span: entry.value.span, content: rest };
                self.put("command", written.index(0), Entry::new("command", entry.key_span, program));
                self.put("args", written, Entry::new("args", entry.key_span, args));
            }
            Content::Map(inside) => {
                for inside in inside.clone() {
                    let written = written.key(&inside.key);
                    match inside.key.as_str() {
                        "path" => self.put("command", written, inside),
                        "args" | "env" => self.put(&inside.key.clone(), written, inside),
                        _ => self.ignored.push(inside),
                    }
                }
            }
            _ => self.put("command", written, entry),
        }
    }

    fn timeout(&mut self, written: Path, mut entry: Entry) {
        let number = entry.value.text().and_then(|text| text.trim().parse::<f64>().ok()).filter(|n| n.is_finite());
        let Some(number) = number.filter(|number| *number > 0.0) else { return self.ignored.push(entry) };
        let seconds = if number >= MILLISECONDS_FROM { number / 1000.0 } else { number };
        let cut = seconds.min(MAX_TIMEOUT);
        if cut != number {
            let warning = Fault::value(self.way.key("timeout"), format!("is taken as {cut} seconds"));
            let warning = warning.advise("clients count in seconds or milliseconds; from 1000 on, it is milliseconds");
            self.warnings.push(Fault { place: Place::Exactly(entry.value.span), ..warning });
        }
        entry.value.content =
            Content::Scalar(Scalar { text: cut.to_string(), expanded: false, secret: false, plain: true });
        self.put("timeout", written, entry);
    }

    /// `auth` with the token that a variable holds.
    fn bearer(&mut self, written: Path, entry: Entry) {
        let Some(name) = entry.value.text() else { return };
        let (span, key_span) = (entry.value.span, entry.key_span);
        let scalar = |text: String| Node {
            span,
            content: Content::Scalar(Scalar { text, expanded: false, secret: false, plain: false }),
        };
        let part = |key: &str, text: String| Entry {
            written: Some(Path::default()),
            ..Entry::new(key, key_span, scalar(text))
        };
        let parts = vec![part("type", "bearer".to_owned()), part("token", format!("${{{name}}}"))];
        self.put("auth", written, Entry::new("auth", key_span, Node { span, content: Content::Map(parts) }));
    }

    fn finish(mut self, entries: &mut Vec<Entry>) {
        // Both words: the one that switches off counts.
        let off = |entry: &Entry| (entry.key == "disabled") == (entry.value.text() == Some("true"));
        if ["disabled", "enabled"].iter().all(|key| self.entries.iter().any(|entry| entry.key == *key)) {
            let keep = self.entries.iter().find(|entry| matches!(&*entry.key, "disabled" | "enabled") && off(entry));
            let keep = keep.map_or("enabled", |entry| if entry.key == "disabled" { "disabled" } else { "enabled" });
            self.entries.retain(|entry| !matches!(&*entry.key, "disabled" | "enabled") || entry.key == keep);
        }
        if let Some(first) = self.ignored.first() {
            let names: Vec<_> = self.ignored.iter().map(|entry| format!("`{}`", entry.key)).collect();
            let verb = if names.len() == 1 { "is" } else { "are" };
            let warning =
                Fault::key(self.way.clone(), format!("{} {verb} ignored: only clients act on it", names.join(", ")));
            self.warnings.push(Fault { place: Place::Exactly(first.key_span), ..warning });
        }
        *entries = self.entries;
    }
}

/// `null` takes a variable away in some clients; a child of the gateway does not get it anyway.
fn without_nulls(mut env: Node) -> Node {
    if let Some(entries) = env.entries_mut() {
        entries.retain(|entry| !matches!(entry.value.content, Content::Null));
    }
    env
}
