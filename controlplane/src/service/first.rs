//! The first token: who has the state folder can get in.

use jiff::Timestamp;

use super::authenticate::bare;
use super::token::{CreateToken, add, end, make};
use super::{Role, Service, ServiceError};
use crate::store::tokens::{self, StoredToken, TokenKind};
use crate::store::{StoreError, digest};

/// The file of the state folder that the first token is written to.
pub const ADMIN_TOKEN: &str = "admin.token";
/// Its name.
const NAME: &str = "admin";
/// Who made it, as the audit log shows it.
const FIRST_START: &str = "first start";

impl Service {
    /// Sees to it that somebody can get in: where no token has the role of an admin, takes that of the file `admin.token`, or makes
    /// one and writes it there. `false`: there was one.
    ///
    /// # Errors
    ///
    /// The state folder fails.
    pub fn first_token(&self, now: Timestamp) -> Result<bool, ServiceError> {
        let all = self.store().read_now(tokens::all)?;
        let is_admin = |token: &StoredToken| token.role.as_deref() == Some(Role::Admin.as_str()) && token.is_valid(now);
        if all.iter().any(is_admin) {
            return Ok(false);
        }
        let folder = self.store().folder();
        let io = |error| StoreError::Io(folder.path().to_owned(), error);
        let mut made = make(wanted(), FIRST_START, now)?;
        match folder.read(ADMIN_TOKEN).map_err(io)?.as_deref().map(str::trim).filter(|token| !token.is_empty()) {
            // Written by us before a crash, or put there by whoever installs this machine.
            Some(token) => made.about.sha256 = digest(bare(token)),
            None => {
                let token = self.marked(made.token);
                folder.write(ADMIN_TOKEN, format!("{}\n", &*token).as_bytes()).map_err(io)?;
            }
        }
        self.store().write_now(|tx| {
            // It expired, or was one of something else.
            if let Some(old) = tokens::by_digest(tx, &made.about.sha256)? {
                tokens::remove(tx, &old.id)?;
            }
            add(tx, &made.about)
        })?;
        Ok(true)
    }

    /// Makes another token for an admin and writes it to the file `admin.token`; the one of the first start counts no more: what is
    /// lost may have been found.
    ///
    /// # Errors
    ///
    /// The state folder fails.
    pub fn another_first_token(&self, now: Timestamp) -> Result<(), ServiceError> {
        let folder = self.store().folder();
        let made = make(wanted(), FIRST_START, now)?;
        // before it is written down: a token that counts nowhere does no harm
        let token = self.marked(made.token);
        let written = folder.write(ADMIN_TOKEN, format!("{}\n", &*token).as_bytes());
        written.map_err(|error| StoreError::Io(folder.path().to_owned(), error))?;
        self.store().write_now(|tx| {
            for old in tokens::all(tx)?.iter().filter(|old| old.name == NAME && old.author == FIRST_START) {
                end(tx, old, FIRST_START, now)?;
            }
            add(tx, &made.about)
        })
    }

    /// Whether the file `admin.token` holds a token that counts.
    ///
    /// # Errors
    ///
    /// The state folder fails.
    pub fn has_first_token(&self, now: Timestamp) -> Result<bool, ServiceError> {
        let folder = self.store().folder();
        let written = folder.read(ADMIN_TOKEN).map_err(|error| StoreError::Io(folder.path().to_owned(), error))?;
        let Some(token) = written else { return Ok(false) };
        let known = self.store().read_now(|db| tokens::by_digest(db, &digest(bare(token.trim()))))?;
        Ok(known.is_some_and(|known| known.is_valid(now)))
    }
}

fn wanted() -> CreateToken {
    CreateToken {
        kind: TokenKind::Person,
        name: NAME.to_owned(),
        role: Some(Role::Admin),
        expires_in: None,
        labels: Default::default(),
        own_labels: false,
    }
}
