//! The last good keys of each issuer, in the state folder: a node that starts while an issuer is down goes on with them.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;
use serde_json::{Value, json};
use sluice_snapshot::model::Issuer;

/// The folder of kept keys.
#[derive(Debug, Clone)]
pub(crate) struct Kept(PathBuf);

/// Where the keys of one issuer are kept.
pub(super) struct Place(PathBuf);

impl Kept {
    pub(crate) fn new(state_dir: &Path) -> Self {
        Self(state_dir.join("issuers"))
    }

    /// An issuer whose keys are to be found elsewhere from now on is another one.
    pub(super) fn of(&self, issuer: &Issuer) -> Place {
        let hash = digest::digest(&digest::SHA256, format!("{}\0{:?}", issuer.url, issuer.keys).as_bytes());
        let name: String = hash.as_ref()[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        Place(self.0.join(format!("{name}.json")))
    }
}

impl Place {
    /// The set of keys and when it was had, in seconds since 1970.
    pub(super) fn load(&self) -> Option<(Vec<u8>, u64)> {
        let kept: Value = serde_json::from_slice(&std::fs::read(&self.0).ok()?).ok()?;
        Some((kept.get("jwks")?.as_str()?.as_bytes().to_vec(), kept.get("fetched")?.as_u64()?))
    }

    /// Keeps a set. Beside the old file and over it: a crash leaves one of both, whole.
    ///
    /// # Errors
    /// The state folder's.
    pub(super) fn save(&self, issuer: &Issuer, jwks: &[u8], fetched: u64) -> std::io::Result<()> {
        let jwks = std::str::from_utf8(jwks).map_err(std::io::Error::other)?;
        let text = json!({ "issuer": &*issuer.url, "fetched": fetched, "jwks": jwks }).to_string();
        if let Some(folder) = self.0.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let fresh = self.0.with_extension("json.new");
        let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&fresh, &self.0)
    }
}
