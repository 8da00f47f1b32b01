//! What stands in the way of a start because of the state folder, told so that somebody who meets it at night can go on: what is lost,
//! what still works, and what leads out.

use std::fmt;
use std::path::Path;

use rusqlite::ErrorCode;

use super::{AppError, KEYS_VARIABLE};
use crate::authority::{AUTHORITY, AuthorityError};
use crate::secrets::{OpenError, RING, SourceError};
use crate::service::ServiceError;
use crate::settings::Settings;
use crate::store::{DATABASE, Obstacle, StoreError};

/// Nodes need no control plane to serve.
const NODES: &str = "nodes serve what they have, restarts included";

/// What is wrong with a file of the state folder.
#[derive(Debug)]
pub struct Trouble {
    file: String,
    what: String,
    lost: &'static str,
    works: &'static str,
    ways: Vec<String>,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, what, lost, works, ways } = self;
        write!(f, "{file} {what}\n  lost: {lost}\n  still works: {works}")?;
        ways.iter().try_for_each(|way| write!(f, "\n  = {way}"))
    }
}

impl std::error::Error for Trouble {}

/// An error of a start, told by what it means where it is about the state folder.
pub(super) fn told(error: AppError, settings: &Settings) -> AppError {
    let folder = &settings.state_dir;
    let found = match &error {
        AppError::Store(error) | AppError::Service(ServiceError::Store(error)) => database(error, folder),
        AppError::Ring(SourceError::Io { file, source }) if source.kind() == std::io::ErrorKind::NotFound => {
            let back = format!(
                "put back a backup of `{RING}`, or say where the key ring is: `--secret-keys FILE`, `{KEYS_VARIABLE}`"
            );
            Some(ring(file.clone(), "is not there".to_owned(), back, folder))
        }
        AppError::Service(ServiceError::Sealed(error)) | AppError::Authority(AuthorityError::Sealed(error)) => {
            let what = format!("is not the key ring that this folder was sealed with: {error}");
            Some(ring(place_of_ring(settings), what, line_back(error, settings), folder))
        }
        AppError::Authority(AuthorityError::Broken(why)) => {
            Some(authority(format!("is not what was written: {why}"), folder))
        }
        AppError::Authority(AuthorityError::Io(error)) => Obstacle::of_file(error).map(|it| unwritable(it, folder)),
        _ => None,
    };
    found.map_or(error, AppError::Trouble)
}

fn database(error: &StoreError, folder: &Path) -> Option<Trouble> {
    let (what, may_start_over) = match error {
        StoreError::Newer(step) => (format!("was changed by a newer version of Sluice (`{step}`)"), false),
        StoreError::Foreign => ("is the database of another program".to_owned(), false),
        StoreError::Broken(what) => (format!("holds something that cannot be read: {what}"), true),
        StoreError::Database(rusqlite::Error::SqliteFailure(error, why))
            if matches!(error.code, ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) =>
        {
            let why = why.as_deref().unwrap_or("it is damaged");
            (format!("cannot be read: {why}"), true)
        }
        error => return error.obstacle().map(|obstacle| unwritable(obstacle, folder)),
    };
    let ways = match error {
        StoreError::Newer(_) => vec!["run that version, or put back a backup from before it".to_owned()],
        StoreError::Foreign => {
            vec!["name the folder of the control plane with `--state-dir`, or put back its database".to_owned()]
        }
        _ => Vec::new(),
    };
    let trouble = lost_database(what, folder);
    Some(if may_start_over {
        trouble
    } else {
        Trouble { lost: "nothing: it is left as it is", works: NODES, ways, ..trouble }
    })
}

/// Nothing can be written there.
fn unwritable(obstacle: Obstacle, folder: &Path) -> Trouble {
    Trouble {
        file: folder.display().to_string(),
        what: format!("cannot be written: {}", obstacle.what()),
        lost: "nothing: it is left as it is",
        works: NODES,
        ways: vec![format!("{}, and start again", obstacle.way())],
    }
}

/// The database cannot be used.
pub(super) fn lost_database(what: String, folder: &Path) -> Trouble {
    Trouble {
        file: folder.join(DATABASE).display().to_string(),
        what,
        lost: "the configuration with its history, tokens, secrets and the audit log, but for what a backup has",
        works: NODES,
        ways: vec![
            format!("put back a backup of `{DATABASE}`, without the `-wal` and `-shm` beside it"),
            anew(
                folder,
                DATABASE,
                "starts over with an empty one, and keeps the one that is there under another name: \
                then `sluice apply -f FILE`, `sluice secret set` and `sluice token create` as at first; nodes need not join again",
            ),
        ],
    }
}

/// The authority cannot be used.
pub(super) fn authority(what: String, folder: &Path) -> Trouble {
    Trouble {
        file: folder.join(AUTHORITY).display().to_string(),
        what,
        lost: "by what nodes, people and this control plane know each other",
        works: NODES,
        ways: vec![
            format!("put back a backup of `{AUTHORITY}`: it goes with `{RING}`"),
            anew(
                folder,
                AUTHORITY,
                "makes another authority: every node has to join it with a new token, and everybody on \
                another machine needs a new token",
            ),
        ],
    }
}

/// Where the key ring was read: the file or the variable that said so, or the state folder.
fn place_of_ring(settings: &Settings) -> String {
    let file = |path: &Path| path.display().to_string();
    match &settings.secret_keys {
        Some(given) => file(given),
        None if is_in_variable(settings) => format!("the variable `{KEYS_VARIABLE}`"),
        None => file(&settings.state_dir.join(RING)),
    }
}

fn is_in_variable(settings: &Settings) -> bool {
    settings.secret_keys.is_none() && std::env::var_os(KEYS_VARIABLE).is_some_and(|text| !text.is_empty())
}

/// How a ring that lacks a key becomes whole again.
fn line_back(error: &OpenError, settings: &Settings) -> String {
    let place = place_of_ring(settings);
    let again = if is_in_variable(settings) { " (it is read at the start only)" } else { "" };
    match error {
        OpenError::Key { key, .. } => format!(
            "put the line of the key `{key}` back into {place}, before the newer ones, and start again{again}: it can go when \
             `sluice secret rotate-key` has sealed everything with a newer one"
        ),
        OpenError::Damaged { key, .. } => format!(
            "put back the key `{key}` as it was into {place}, and start again{again}; or a backup of `{DATABASE}` and `{AUTHORITY}` that \
             goes with this ring"
        ),
    }
}

fn ring(file: String, what: String, back: String, folder: &Path) -> Trouble {
    let shown = folder.display();
    Trouble {
        file,
        what,
        lost: "whatever it sealed: secrets, the credentials in the configuration, the keys of the authority and of sessions",
        works: NODES,
        ways: vec![
            back,
            format!(
                "without it nothing that was sealed opens again. Start over with `mv {shown} {shown}.lost` and a first start: then \
                 `sluice apply -f FILE`, `sluice secret set` and `sluice token create` as at first; nodes join again"
            ),
        ],
    }
}

fn anew(folder: &Path, file: &str, does: &str) -> String {
    format!("`sluice-controlplane --state-dir {} --make-anew {file}` {does}", folder.display())
}
