//! What people wrote for a fleet: a file, or the files of a folder, in the parts that a control plane keeps.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use sluice_contract::v1::{ApplyRequest, ApplyResponse, Object, SecretPlaces};
use sluice_controlplane::language::{self, Config, Fault, Kind, Source, Split};

use crate::client::Connection;
use crate::configuration;
use crate::edit;
use crate::output::{Failure, talk};

/// How the names of configurations in a folder end; whatever else is there belongs to somebody else.
const ENDS: [&str; 3] = ["yaml", "yml", "json"];

/// What is to be applied or compared.
#[derive(Debug, clap::Args)]
pub(crate) struct What {
    /// The file, YAML or JSON, or a folder of such files; `-` for stdin
    #[arg(short, long, visible_alias = "config", value_name = "FILE")]
    file: PathBuf,

    /// Remove what the file does not have
    #[arg(long)]
    pub(crate) prune: bool,
}

/// A file, and the objects that are in it.
pub(crate) struct File {
    pub(crate) source: Source,
    pub(crate) split: Split,
}

/// All that was read.
pub(crate) struct Written(Vec<File>);

impl Written {
    /// Reads it, with its variables expanded.
    pub(crate) fn read(what: &What) -> Result<Self, Failure> {
        Self::of(&what.file)
    }

    /// Reads a file, or the files of a folder.
    pub(crate) fn of(path: &Path) -> Result<Self, Failure> {
        let files = if path.is_dir() { of_folder(path)? } else { vec![path.to_owned()] };
        let (mut read, mut refused) = (Vec::with_capacity(files.len()), String::new());
        for file in &files {
            match File::read(file) {
                Ok(file) => read.push(file),
                // what is wrong with the others is told as well
                Err(Failure::Input(reason)) => refused.push_str(&reason),
                Err(failure) => return Err(failure),
            }
        }
        refused.push_str(&twice(&read));
        if refused.is_empty() { Ok(Self(read)) } else { Err(Failure::Input(refused)) }
    }

    /// All of it as one configuration.
    pub(crate) fn config(&self) -> Result<Config, Vec<Fault>> {
        language::join(self.0.iter().flat_map(|file| &file.split.parts).map(|part| &part.object))
    }

    /// What asks for it.
    pub(crate) fn request(&self, what: &What) -> ApplyRequest {
        let objects = self.0.iter().flat_map(|file| &file.split.parts).map(|part| object(&part.object));
        let secrets = self.0.iter().flat_map(|file| &file.split.parts).filter_map(|part| secrets(&part.object));
        ApplyRequest {
            objects: objects.collect(),
            secrets: secrets.collect(),
            prune: what.prune,
            ..ApplyRequest::default()
        }
    }

    /// Asks what it would change.
    pub(crate) fn compare(&self, connection: &mut Connection, request: ApplyRequest) -> Result<ApplyResponse, Failure> {
        let base = request.base_revision;
        let request = ApplyRequest { dry_run: true, ..request };
        let asked = connection.try_ask(async |admin| admin.apply(request).await);
        edit::accepted(connection, asked, base, self.files())
    }

    /// Where what the control plane finds wrong is shown.
    pub(crate) fn files(&self) -> &[File] {
        &self.0
    }
}

impl File {
    fn read(path: &Path) -> Result<Self, Failure> {
        let document = configuration::read(path)?;
        let split = language::split(&document.source, &document.config)
            .map_err(|faults| configuration::refused(&document.source, faults))?;
        let mut warnings = [&document.warnings[..], &split.warnings].concat();
        warnings.sort_by_key(|warning| document.source.position(warning));
        talk(&document.source.show("warning", &warnings).to_string());
        Ok(Self { source: document.source, split })
    }
}

/// The configurations in a folder, by name: the order of servers means something.
fn of_folder(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let shown = folder.display();
    let unreadable = |error: std::io::Error| Failure::input(format_args!("{shown} cannot be read: {error}"));
    let entries = std::fs::read_dir(folder).map_err(unreadable)?.collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
    let is_one = |path: &PathBuf| {
        let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        let ends = path.extension().is_some_and(|end| ENDS.iter().any(|one| end == *one));
        ends && !is_hidden && path.is_file()
    };
    let mut files: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).filter(is_one).collect();
    files.sort();
    if files.is_empty() {
        return Err(Failure::input(format_args!("{shown} holds no configuration: no *.yaml, *.yml or *.json")));
    }
    Ok(files)
}

/// An object has one place.
fn twice(files: &[File]) -> String {
    let (mut first, mut told): (HashMap<(Kind, &str), &str>, _) = (HashMap::new(), String::new());
    for file in files {
        for object in file.split.parts.iter().map(|part| &part.object) {
            let (kind, name) = (object.kind, object.name.as_str());
            if let Some(before) = first.insert((kind, name), file.source.name()) {
                let now = file.source.name();
                told.push_str(&format!(
                    "error: {kind}/{name} is in {before} and in {now}\n = leave it in one of them\n"
                ));
            }
        }
    }
    told
}

/// What in an object is secret because of where it came from.
fn secrets(object: &language::Object) -> Option<SecretPlaces> {
    let paths = object.spec.hidden();
    let (kind, name) = (object.kind.as_str().to_owned(), object.name.clone());
    (!paths.is_empty()).then_some(SecretPlaces { kind, name, paths })
}

/// An object as it is sent.
fn object(object: &language::Object) -> Object {
    Object {
        kind: object.kind.as_str().to_owned(),
        name: object.name.clone(),
        spec_json: object.spec.canonical(),
        revision: 0,
    }
}
