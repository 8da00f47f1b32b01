//! Named secrets: set, listed, deleted, never shown; sealed anew when the key ring has a newer key.

use std::sync::Arc;

use aws_lc_rs::rand;
use jiff::Timestamp;
use rusqlite::Connection;
use sluice_snapshot::chunk;
use sluice_snapshot::sensitive::{MAX_SENSITIVE, is_secret_name};
use zeroize::Zeroizing;

use super::change::{Change, ChangeKind};
use super::{Caller, Operation, Service, ServiceError, held, session_key, source};
use crate::audit::{self, Event};
use crate::language::Config;
use crate::secrets::{Ring, Sealed, SecretValue, Secrets};
use crate::store::secrets::{self, StoredSecret};
use crate::store::{Store, StoreError, objects, revisions, session_keys};

/// Most secrets that are kept.
const MAX_SECRETS: usize = 10_000;
/// What the key ring of a database opens, and no other does.
const RING: (&str, &[u8]) = ("the database", b"sluice");

/// What may be told of a secret.
pub struct SecretAbout {
    /// Its name.
    pub name: String,
    /// Rises with each value.
    pub version: u64,
    /// When it was set.
    pub at: Timestamp,
    /// Who set it.
    pub author: String,
    /// Objects that refer to it: `server/github`.
    pub used_by: Vec<String>,
    /// Which key of the ring seals it.
    pub key: String,
}

impl Service {
    /// Gives a secret a value: its version, and the head.
    ///
    /// # Errors
    ///
    /// Not allowed, not a name or a value, or the store fails.
    pub async fn set_secret(
        &self,
        caller: &Caller,
        name: &str,
        value: Zeroizing<Vec<u8>>,
    ) -> Result<(u64, u64), ServiceError> {
        self.allow(caller, Operation::SetSecret).await?;
        let (name, author, ring) = (name.to_owned(), caller.name.clone(), self.ring());
        check(&name, &value)?;
        self.store().write(move |tx| set(tx, &ring, &name, line(&value), &author, Timestamp::now())).await
    }

    /// Every secret, without its value.
    ///
    /// # Errors
    ///
    /// Not allowed, or the store fails.
    pub async fn list_secrets(&self, caller: &Caller) -> Result<Vec<SecretAbout>, ServiceError> {
        self.allow(caller, Operation::ListSecrets).await?;
        let ring = self.ring();
        self.store().read(move |db| list(db, &ring)).await
    }

    /// Deletes a secret that nothing refers to: the head.
    ///
    /// # Errors
    ///
    /// Not allowed, there is none, something refers to it, or the store fails.
    pub async fn delete_secret(&self, caller: &Caller, name: &str) -> Result<u64, ServiceError> {
        self.allow(caller, Operation::DeleteSecret).await?;
        let (name, author, ring) = (name.to_owned(), caller.name.clone(), self.ring());
        self.store().write(move |tx| delete(tx, &ring, &name, &author, Timestamp::now())).await
    }

    /// Reads the key ring again and seals everything with its newest key, or nothing: that key, and how much was sealed by another
    /// before.
    ///
    /// # Errors
    ///
    /// Not allowed, the ring cannot be used, something does not open with it, or the store fails.
    pub async fn rotate_key(&self, caller: &Caller) -> Result<(String, u32), ServiceError> {
        self.allow(caller, Operation::RotateKey).await?;
        let ring = match self.0.ring_source.get() {
            Some(source) => Arc::new(source.load().map_err(|error| ServiceError::Impossible(error.to_string()))?),
            None => self.ring(),
        };
        let (author, sealing) = (caller.name.clone(), Arc::clone(&ring));
        let rotated = self.store().write(move |tx| rotate(tx, &sealing, &author, Timestamp::now())).await;
        let rotated = rotated.map_err(|error| match error {
            ServiceError::Sealed(error) => ServiceError::Impossible(format!("nothing has changed: {error}")),
            error => error,
        })?;
        self.0.ring.store(Arc::clone(&ring));
        if let Some(authority) = self.0.authority.get() {
            let kept = authority.seal_by(Arc::clone(&ring));
            kept.map_err(|error| ServiceError::Impossible(format!("the key of the authority: {error}")))?;
        }
        // what was under way meanwhile was sealed by the ring of before
        let service = self.clone();
        let late = self.store().write_then(move |tx| reseal(tx, &ring), move |_| service.forget_made()).await;
        let unwritten = "the keys were exchanged, but for what was written meanwhile";
        let late = late.map_err(|error: ServiceError| error.after(unwritten))?;
        Ok((rotated.0, rotated.1 + late))
    }

    /// Whether something is sealed already, so that the key ring has to be the one it was sealed with.
    ///
    /// # Errors
    ///
    /// The database fails.
    pub fn has_ring(store: &Store) -> Result<bool, ServiceError> {
        store.read_now(|db| Ok(secrets::ring(db)?.is_some()))
    }

    /// Finds out whether the key ring is that of the database. Nothing works with another one, so nothing starts with it.
    ///
    /// # Errors
    ///
    /// It is not, or the store fails.
    pub fn check_ring(&self) -> Result<(), ServiceError> {
        let (ring, (context, known)) = (self.ring(), RING);
        self.store().write_now(|tx| match secrets::ring(tx)? {
            Some(sealed) => Ok(ring.open(context, &decoded(context, &sealed)?).map(drop)?),
            None => Ok(secrets::keep_ring(tx, &ring.seal(context, known).encode())?),
        })
    }
}

/// Every secret with its value, for what is desired.
pub(super) fn opened(db: &Connection, ring: &Ring) -> Result<Secrets, ServiceError> {
    let open = |secret: StoredSecret| {
        let context = context(&secret.name, secret.version);
        let value = ring.open(&context, &decoded(&context, &secret.sealed)?)?;
        let broken = || StoreError::Broken(context.clone());
        let chunk = chunk::Name::from_wire(&secret.chunk).ok_or_else(broken)?;
        Ok((secret.name, SecretValue { version: secret.version, chunk, value }))
    };
    secrets::all(db)?.into_iter().map(open).collect()
}

/// What a value is sealed for.
fn context(name: &str, version: u64) -> String {
    format!("secret {name} version {version}")
}

pub(super) fn decoded(context: &str, sealed: &[u8]) -> Result<Sealed, StoreError> {
    Sealed::decode(sealed).map_err(|_| StoreError::Broken(context.to_owned()))
}

fn check(name: &str, value: &[u8]) -> Result<(), ServiceError> {
    let invalid = |reason: String| Err(ServiceError::Invalid(reason));
    if !is_secret_name(name) {
        let shown = name.escape_debug();
        return invalid(format!("`{shown}` is no name for a secret: use 1 to 64 letters, digits and `.-_`"));
    }
    match std::str::from_utf8(line(value)) {
        Ok("") => invalid("the value is empty".to_owned()),
        Ok(text) if text.len() > MAX_SENSITIVE => invalid("the value is longer than 64 KiB".to_owned()),
        Ok(text) if text.contains('\0') => invalid("the value contains a NUL character".to_owned()),
        Ok(_) => Ok(()),
        Err(_) => invalid("the value is not UTF-8 text; encode it, as base64 for example".to_owned()),
    }
}

/// A value without the line break that `echo` puts at its end.
fn line(value: &[u8]) -> &[u8] {
    value.strip_suffix(b"\n").map_or(value, |line| line.strip_suffix(b"\r").unwrap_or(line))
}

fn set(
    tx: &Connection,
    ring: &Ring,
    name: &str,
    value: &[u8],
    author: &str,
    at: Timestamp,
) -> Result<(u64, u64), ServiceError> {
    let kept = secrets::all(tx)?;
    let is_new = !kept.iter().any(|secret| secret.name == name);
    if is_new && kept.len() >= MAX_SECRETS {
        return Err(ServiceError::Impossible(format!("there are {MAX_SECRETS} secrets already; delete one first")));
    }
    let version = secrets::last_version(tx, name)? + 1;
    let sealed = ring.seal(&context(name, version), value).encode();
    let mut chunk = [0; 32];
    rand::fill(&mut chunk).map_err(|_| ServiceError::Impossible("the system gives no random numbers".to_owned()))?;
    secrets::add(tx, &StoredSecret { name: name.to_owned(), version, at, author: author.to_owned(), chunk, sealed })?;
    let kind = if is_new { ChangeKind::Added } else { ChangeKind::Changed };
    let revision = revise(tx, at, author, "secret set", Change::new(kind, "secret", name))?;
    remember(tx, at, author, "secret.set", name, format!("version {version}"))?;
    Ok((version, revision))
}

fn list(db: &Connection, ring: &Ring) -> Result<Vec<SecretAbout>, ServiceError> {
    let config = source::desired(db, ring)?.config;
    let about = |secret: StoredSecret| {
        let key = decoded(&context(&secret.name, secret.version), &secret.sealed)?.key;
        let StoredSecret { name, version, at, author, .. } = secret;
        Ok(SecretAbout { used_by: users(&config, &name), name, version, at, author, key })
    };
    secrets::all(db)?.into_iter().map(about).collect()
}

/// Objects that refer to a secret.
fn users(config: &Config, secret: &str) -> Vec<String> {
    let uses = config.secrets().filter(|(_, name)| *name == secret);
    let mut objects: Vec<String> = uses.map(|(object, _)| object).collect();
    objects.dedup();
    objects
}

fn delete(tx: &Connection, ring: &Ring, name: &str, author: &str, at: Timestamp) -> Result<u64, ServiceError> {
    let users = users(&source::desired(tx, ring)?.config, name);
    if !users.is_empty() {
        let users = users.join(", ");
        return Err(ServiceError::Impossible(format!("secret `{name}` is used by {users}; change those first")));
    }
    if !secrets::clear(tx, name)? {
        let shown = name.escape_debug();
        return Err(ServiceError::NotFound(format!("there is no secret `{shown}`; `sluice secret list` shows them")));
    }
    remember(tx, at, author, "secret.delete", name, String::new())?;
    revise(tx, at, author, "secret deleted", Change::new(ChangeKind::Removed, "secret", name))
}

fn rotate(tx: &Connection, ring: &Ring, author: &str, at: Timestamp) -> Result<(String, u32), ServiceError> {
    let resealed = reseal(tx, ring)?;
    let key = ring.newest().to_owned();
    let detail = format!("{resealed} sealed with key {key}");
    audit::record(tx, at, Event { actor: author.to_owned(), action: "secret.rotate-key", detail, ..Event::default() })?;
    Ok((key, resealed))
}

/// Seals everything with the newest key; how much was sealed by another.
fn reseal(tx: &Connection, ring: &Ring) -> Result<u32, ServiceError> {
    let mut resealed = 0;
    let mut again = |context: &str, sealed: &[u8]| -> Result<Option<Vec<u8>>, ServiceError> {
        let sealed = ring.reseal(context, &decoded(context, sealed)?)?;
        resealed += u32::from(sealed.is_some());
        Ok(sealed.map(|sealed| sealed.encode()))
    };
    for secret in secrets::all(tx)? {
        if let Some(sealed) = again(&context(&secret.name, secret.version), &secret.sealed)? {
            secrets::reseal(tx, &secret.name, secret.version, &sealed)?;
        }
    }
    for object in objects::sealed(tx)? {
        if let Some(sealed) = again(&held::context(&object.kind, &object.name), &object.sealed)? {
            objects::reseal(tx, &object, &sealed)?;
        }
    }
    for key in session_keys::all(tx)? {
        if let Some(sealed) = again(&session_key::context(key.number), &key.sealed)? {
            session_keys::reseal(tx, key.number, &sealed)?;
        }
    }
    let (context, known) = RING;
    secrets::keep_ring(tx, &ring.seal(context, known).encode())?;
    Ok(resealed)
}

fn revise(tx: &Connection, at: Timestamp, author: &str, message: &str, change: Change) -> Result<u64, ServiceError> {
    let changes = serde_json::to_string(&[change]).expect("changes are texts and lists of texts");
    Ok(revisions::add(tx, at, author, message, revisions::head(tx)?, &changes)?)
}

fn remember(
    tx: &Connection,
    at: Timestamp,
    actor: &str,
    action: &'static str,
    name: &str,
    detail: String,
) -> Result<(), ServiceError> {
    let (actor, object) = (actor.to_owned(), format!("secret/{name}"));
    Ok(audit::record(tx, at, Event { actor, action, object, detail, ..Event::default() })?)
}
