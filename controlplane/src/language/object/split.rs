//! From a document to objects. It was read before: what is cut here is known to be a configuration.

use std::collections::HashSet;

use super::super::config::Config;
use super::super::fault::{Fault, Source};
use super::super::path::Path;
use super::super::sensitive::Sensitive;
use super::super::tree::{Content, Entry, Node, Scalar, Span};
use super::{Kind, Object, Spec, name, slug, unlike};

/// The objects of a document.
pub struct Split {
    /// In the order of the document.
    pub parts: Vec<Part>,
    /// Accepted, but perhaps not what was meant; places are those of the document.
    pub warnings: Vec<Fault>,
}

/// An object, and where it was.
pub struct Part {
    /// The object.
    pub object: Object,
    /// Where it is in the document: its name may be another there.
    pub written: Path,
}

impl Split {
    /// A fault of the objects as one of the document, so that its [`Source`] can show where.
    #[must_use]
    pub fn locate(&self, fault: Fault) -> Fault {
        let of = |part: &&Part| fault.path.is_within(&part.object.path());
        let Some(part) = self.parts.iter().find(of) else { return fault };
        let depth = part.object.path().segments().len();
        let path = fault.path.segments().iter().skip(depth).cloned().fold(part.written.clone(), Path::then);
        Fault { path, ..fault }
    }
}

/// Cuts a document that was read into objects. Files of variables become part of the servers that name them.
///
/// # Errors
///
/// Every name that cannot be one, and every section that is about one gateway rather than a fleet.
pub fn split(source: &Source, config: &Config) -> Result<Split, Vec<Fault>> {
    let mut cut = Cut { config, parts: Vec::new(), warnings: Vec::new(), faults: Vec::new(), taken: HashSet::new() };
    for section in source.tree.as_ref().map_or(&[][..], Node::entries) {
        let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.map() == section.key) else {
            let fault = Fault::key(Path::of([&section.key]), "is not kept by a control plane");
            cut.faults.push(fault.advise("leave it out, or use the file with `sluice run`"));
            continue;
        };
        if kind.is_single() {
            cut.add(kind, kind.as_str().to_owned(), &section.value, kind.path(kind.as_str()));
        } else {
            section.value.entries().iter().for_each(|entry| cut.named(kind, entry));
        }
    }
    let Cut { parts, warnings, faults, .. } = cut;
    if faults.is_empty() { Ok(Split { parts, warnings }) } else { Err(faults) }
}

struct Cut<'a> {
    config: &'a Config,
    parts: Vec<Part>,
    warnings: Vec<Fault>,
    faults: Vec<Fault>,
    taken: HashSet<(Kind, String)>,
}

impl Cut<'_> {
    fn named(&mut self, kind: Kind, entry: &Entry) {
        let written = kind.path(&entry.key);
        let mut name = entry.key.clone();
        if kind == Kind::Server {
            name = slug(&name);
            if self.config.foreign && !name.is_empty() {
                name = unlike(name, |other| self.taken.contains(&(kind, other.to_owned())));
            }
        }
        if let Err(fault) = name::check(kind, &name) {
            self.faults.push(Fault { path: written, ..fault });
            return;
        }
        if name != entry.key {
            let warning = Fault::key(written.clone(), format!("is called `{name}` in paths and tool names"));
            self.warnings.push(warning.advise("names have letters, digits and hyphens, at most 32"));
        }
        if !self.taken.insert((kind, name.clone())) {
            let fault = Fault::key(written, format!("becomes `{name}`, and so does another"));
            self.faults.push(fault.advise("rename one of them"));
            return;
        }
        let mut node = entry.value.clone();
        if kind == Kind::Server {
            self.add_env_file(&entry.key, &mut node);
        }
        self.add(kind, name, &node, written);
    }

    fn add(&mut self, kind: Kind, name: String, node: &Node, written: Path) {
        let mut node = node.clone();
        if matches!(node.content, Content::Null) {
            node.content = Content::Map(Vec::new());
        }
        let spec = Spec::settled(kind, &name, node);
        self.parts.push(Part { object: Object { kind, name, spec }, written });
    }

    /// What a file of variables held when the document was read takes the place of its name.
    fn add_env_file(&mut self, key: &str, node: &mut Node) {
        let (Some(server), Some(entries)) = (self.config.servers.get(key), node.entries_mut()) else { return };
        if server.env_file.is_none() {
            return;
        }
        if !server.takes_part() {
            let path = Path::of(["servers", key, "env_file"]);
            self.warnings.push(Fault::key(path, "was not read, because the server is switched off"));
        }
        entries.retain(|entry| entry.key != "env_file" && (entry.key != "env" || !server.takes_part()));
        if server.takes_part() {
            let entry =
                |name: &str, content| Entry::new(name, Span::default(), Node { span: Span::default(), content });
            let text = |text: &str| {
                Content::Scalar(Scalar { text: text.to_owned(), expanded: false, secret: false, plain: false })
            };
            let elsewhere = |word: &str, place: &str| Content::Map(vec![entry(word, text(place))]);
            let variables = server.env.iter().map(|(name, value)| match value {
                Sensitive::Value(value) => entry(name, text(value.expose())),
                Sensitive::Secret(secret) => entry(name, elsewhere("secret", secret)),
                Sensitive::Environment(variable) => entry(name, elsewhere("env", variable)),
                Sensitive::File(file) => entry(name, elsewhere("file", &file.to_string_lossy())),
            });
            entries.push(entry("env", Content::Map(variables.collect())));
        }
    }
}
