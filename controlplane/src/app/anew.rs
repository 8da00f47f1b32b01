//! Files of the state folder that are made anew when they are lost: by somebody who says so, while the control plane is stopped, and
//! never by themselves.

use std::sync::Arc;

use jiff::Timestamp;

use super::{AppError, open_ring, trouble};
use crate::authority::{AUTHORITY, Authority, Clock};
use crate::service::{ADMIN_TOKEN, Service};
use crate::settings::Settings;
use crate::store::{DATABASE, Folder, Store, StoreError, lock};

/// A file that can be made anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Lost {
    /// A token of an admin; the one of the first start counts no more
    #[value(name = ADMIN_TOKEN)]
    AdminToken,
    /// The authority, and the token that names it; nodes have to join again
    #[value(name = AUTHORITY)]
    Authority,
    /// An empty database; the token in `admin.token` counts in it
    #[value(name = DATABASE)]
    Database,
}

/// Makes a file anew. The answer says what was made, and what follows from it.
///
/// # Errors
///
/// A control plane runs with that folder, or something else is lost as well.
pub fn make_anew(settings: &Settings, lost: Lost) -> Result<String, AppError> {
    make(settings, lost).map_err(|error| trouble::told(error, settings))
}

fn make(settings: &Settings, lost: Lost) -> Result<String, AppError> {
    let folder = Folder::new(&settings.state_dir);
    let now = Timestamp::now();
    if lost == Lost::Database {
        set_aside(&folder, now)?;
    }
    let store = Store::open(folder.clone(), now)?;
    let (ring, _) = open_ring(settings.secret_keys.clone(), &store)?;
    let service = Service::new(store, Arc::new(ring));
    service.check_ring()?;
    if lost == Lost::Authority {
        keep_aside(&folder, AUTHORITY, now).map_err(|error| StoreError::Io(folder.path().to_owned(), error))?;
    }
    let authority = Authority::open(folder.clone(), service.ring(), Clock::system(), Vec::new())?;
    service.admit_by(&authority);
    match lost {
        Lost::AdminToken | Lost::Authority => service.another_first_token(now)?,
        Lost::Database => drop(service.first_token(now)?),
    }
    let token = folder.file(ADMIN_TOKEN).display().to_string();
    Ok(match lost {
        Lost::AdminToken => format!("{token} has a new token; the one of the first start counts no more"),
        Lost::Authority => format!(
            "there is a new authority, and {token} names it; nodes join again: `sluice token create NODE --join` for each, and \
             another `sluice token create NAME --role ROLE` for everybody on another machine"
        ),
        Lost::Database => format!("there is an empty database, in which the token in {token} counts"),
    })
}

/// Gives a database and what belongs to it another name.
fn set_aside(folder: &Folder, now: Timestamp) -> Result<(), AppError> {
    let _lock = lock(folder)?;
    for end in ["", "-wal", "-shm"] {
        let kept = keep_aside(folder, &format!("{DATABASE}{end}"), now);
        kept.map_err(|error| StoreError::Io(folder.path().to_owned(), error))?;
    }
    Ok(())
}

/// Gives a file another name, if it is there.
fn keep_aside(folder: &Folder, file: &str, now: Timestamp) -> std::io::Result<()> {
    let aside = folder.file(&format!("{file}.{}", now.as_second()));
    match std::fs::rename(folder.file(file), aside) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
