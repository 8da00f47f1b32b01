//! Brings servers into a configuration of ours.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use indexmap::IndexMap;
use serde_json::{Map, Value as Json};
use sluice_controlplane::language::{Addition, merge, servers, slug};

use super::machine::Listed;
use crate::output::{Failure, talk};

/// Longest name of a server.
const MAX_NAME: usize = 32;

/// Adds what is listed to a file, and says what became of each.
pub(super) fn import(file: &Path, listed: &[Listed], dry_run: bool) -> Result<(), Failure> {
    let shown = file.display();
    let wrong = |reason: String| Failure::input(format_args!("{shown} {reason}"));
    let old = match fs::read_to_string(file) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(wrong(format!("cannot be read: {error}"))),
    };
    let mut known = old.as_deref().map_or_else(|| Ok(IndexMap::new()), servers).map_err(wrong)?;
    let additions = additions(listed, &mut known);
    let count = match additions.len() {
        1 => "1 server".to_owned(),
        count => format!("{count} servers"),
    };
    if additions.is_empty() {
        talk(&format!("nothing to add to {shown}\n"));
        return Ok(());
    }
    let text = merge(old.as_deref(), &additions).map_err(wrong)?;
    if old.is_some() && additions.iter().any(|new| may_be_secret(&new.words)) {
        let mode = fs::metadata(file).map_err(Failure::other)?.mode() & 0o777;
        if mode & 0o077 != 0 {
            let reason =
                format!("has mode {mode:04o}, and what is imported may be secret; run `chmod 600 {shown}` first");
            return Err(wrong(reason));
        }
    }
    if dry_run {
        talk(&format!("{count} would be added to {shown}\n"));
        return Ok(());
    }
    replace(file, &text).map_err(|error| Failure::other(format_args!("{shown} cannot be written: {error}")))?;
    talk(&format!("added {count} to {shown}\n"));
    Ok(())
}

/// The servers that are not known yet, under names nobody has.
fn additions(listed: &[Listed], known: &mut IndexMap<String, Json>) -> Vec<Addition> {
    let mut additions: Vec<Addition> = Vec::new();
    for listed in listed {
        let (name, origin) = (&listed.server.name, format!("from {}, {}", listed.client, listed.place()));
        let words = Json::Object(listed.server.words.clone());
        if is_sluice(&listed.server.words) {
            talk(&format!("{name}: left out, it is this gateway itself ({origin})\n"));
            continue;
        }
        if let Some((same, _)) = known.iter().find(|(_, other)| **other == words) {
            talk(&format!("{name}: left out, `{same}` is the same ({origin})\n"));
            continue;
        }
        let own = slug(name);
        let own = if own.is_empty() { "server".to_owned() } else { own };
        let new = free(&own, &slug(&listed.client.to_ascii_lowercase()), known);
        let called = if new == *name { String::new() } else { format!(" as `{new}`") };
        talk(&format!("{name}: added{called} ({origin})\n"));
        known.insert(new.clone(), words);
        additions.push(Addition { name: new, origin, words: listed.server.words.clone() });
    }
    additions
}

/// The name, or with the client's, or with a number as well, that is not taken.
fn free(name: &str, client: &str, known: &IndexMap<String, Json>) -> String {
    let with = |suffix: String| {
        let cut = &name[..name.len().min(MAX_NAME - suffix.len() - 1)];
        format!("{}-{suffix}", cut.trim_end_matches('-'))
    };
    let names = [name.to_owned(), with(client.to_owned())].into_iter();
    let mut names = names.chain((2u32..).map(|number| with(format!("{client}-{number}"))));
    // The numbers do not end, and the file does.
    names.find(|name| !known.contains_key(name)).unwrap_or_else(|| name.to_owned())
}

/// A gateway that a client starts, or finds where it usually listens.
fn is_sluice(words: &Map<String, Json>) -> bool {
    let text = |key: &str| words.get(key).and_then(Json::as_str).unwrap_or_default();
    let program = Path::new(text("command")).file_stem().is_some_and(|name| name == "sluice");
    let verb = words.get("args").and_then(|args| args.get(0)).and_then(Json::as_str);
    let usual = ["http://localhost:8000/", "http://127.0.0.1:8000/"];
    (program && verb == Some("run")) || usual.iter().any(|address| text("url").starts_with(address))
}

/// Anything that a person may have written a credential into. References to variables are none.
fn may_be_secret(words: &Map<String, Json>) -> bool {
    let literal = |value: &Json| value.as_str().is_none_or(|text| !text.is_empty() && !text.contains("${"));
    let values = ["env", "headers", "auth"].iter().filter_map(|key| words.get(*key)).filter_map(Json::as_object);
    let args = words.get("args").and_then(Json::as_array).into_iter().flatten();
    let url = words.get("url").and_then(Json::as_str).unwrap_or_default();
    values.flat_map(Map::values).chain(args).any(literal) || url.contains(['?', '@'])
}

/// Replaces a file whole, mode 0600 or what it has beyond; a link stays one.
fn replace(file: &Path, text: &str) -> io::Result<()> {
    let target = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let mode = fs::metadata(&target).map_or(0o600, |found| found.mode() & 0o777);
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let temporary = target.with_file_name(format!(".{name}.{}", std::process::id()));
    let written = (|| {
        let mut new = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        new.write_all(text.as_bytes())?;
        new.set_permissions(fs::Permissions::from_mode(mode))?;
        new.sync_all()?;
        fs::rename(&temporary, &target)
    })();
    if written.is_err() {
        // The first failure is told.
        let _ = fs::remove_file(&temporary);
    }
    written
}
