//! The keys of `sluice run`, in its state folder. A running one notices within a second.

use jiff::Timestamp;
use serde_json::json;
use sluice_controlplane::store::Keys;

use super::Create;
use crate::output::{self, Failure, Format, talk, time};
use crate::state::StateDir;

pub(super) fn create(asked: &Create) -> Result<(), Failure> {
    let state = &asked.control_plane.state;
    let now = Timestamp::now();
    let made = keys(state)?.create(&asked.name, now).map_err(Failure::other)?;
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
    if format == Format::Table {
        if keys.is_empty() {
            talk(&format!("no client has a key in {}\n", state.folder()?.path().display()));
            return Ok(());
        }
        let now = time::now();
        let rows = keys.iter().map(|key| [key.name.clone(), time::relative(ms(key.created), now)]);
        return output::data(output::table(["NAME", "CREATED"], rows));
    }
    let rows = keys.iter().map(|key| json!({"name": key.name, "created": time::iso(ms(key.created))}));
    output::values(format, &rows.collect::<Vec<_>>())
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
