//! The keys of `sluice run`, in its state folder. A running one notices within a second.

use jiff::Timestamp;
use serde_json::json;
use sluice_controlplane::store::{Keys, StoredKey};

use super::Create;
use crate::output::{self, Failure, Field, Format, talk, time};
use crate::state::StateDir;

pub(super) fn create(asked: &Create) -> Result<(), Failure> {
    let state = &asked.control_plane.state;
    let now = Timestamp::now();
    let expires = asked.expires.map(|span| now.checked_add(span).map_err(Failure::input)).transpose()?;
    let made = keys(state)?.create_until(&asked.name, now, expires).map_err(Failure::other)?;
    let folder = state.folder()?;
    talk(&format!(
        "made a key for `{}`, for `sluice run` with {}; it is shown only now\n",
        asked.name,
        folder.path().display()
    ));
    output::data(made.key)
}

pub(super) fn list(format: Format, state: &StateDir) -> Result<(), Failure> {
    let keys = keys(state)?.list().map_err(Failure::other)?;
    let now = time::now();
    let row = |key: &StoredKey| {
        let ends = key.expires.map_or_else(String::new, |end| time::relative(ms(end), now));
        [key.name.clone(), time::relative(ms(key.created), now), ends].map(Field::from)
    };
    let iso = |time: Timestamp| time::iso(ms(time));
    let value =
        |key: &StoredKey| json!({"name": key.name, "created": iso(key.created), "expires": key.expires.and_then(iso)});
    let none = format!("no client has a key in {}", state.folder()?.path().display());
    output::list(format, &keys, &none, ["NAME", "CREATED", "ENDS"], row, value)
}

pub(super) fn revoke(name: &str, state: &StateDir) -> Result<(), Failure> {
    keys(state)?.revoke(name).map_err(Failure::other)?;
    talk(&format!("revoked the key of `{name}`\n"));
    Ok(())
}

fn keys(state: &StateDir) -> Result<Keys, Failure> {
    state.folder().map(Keys::new)
}

fn ms(time: Timestamp) -> u64 {
    u64::try_from(time.as_millisecond()).unwrap_or_default()
}
