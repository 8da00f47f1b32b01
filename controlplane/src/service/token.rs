//! Tokens: made here, shown once, kept as digests.

use std::collections::BTreeMap;

use aws_lc_rs::rand;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use rusqlite::Connection;
use sluice_contract::FINGERPRINT_MARK;
use zeroize::Zeroizing;

use super::change::{Change, ChangeKind};
use super::{Caller, Operation, Role, Service, ServiceError};
use crate::audit::{self, Event};
use crate::hex;
use crate::store::tokens::{self, StoredToken, TokenKind};
use crate::store::{StoreError, digest, nodes, revisions};

/// How long a join token counts, in seconds: long enough to start a node, too short to lie around.
pub const JOIN_SECONDS: u64 = 600;
/// Longest life of other tokens that have an end: ten years; who wants more wants none.
const MAX_SECONDS: u64 = 315_360_000;
/// Most tokens that are kept: every check of an authorization looks among them.
const MAX_TOKENS: usize = 10_000;
/// How long a join token is kept that was used or has ended, in seconds: for a day, whoever wonders why a node did not join finds one that
/// has ended in the list. One that was used is of no use to anybody, also if the answer was lost on the way, and is not listed.
const ENDED_SECONDS: i64 = 86_400;
/// Most labels of a join token.
const MAX_LABELS: usize = 32;
/// Random bytes in a token.
const TOKEN_BYTES: usize = 32;
/// Random bytes in its id, which is no secret.
const ID_BYTES: usize = 6;

/// A token to make.
pub struct CreateToken {
    /// What for.
    pub kind: TokenKind,
    /// Whose.
    pub name: String,
    /// Of a person.
    pub role: Option<Role>,
    /// Seconds until it ends; `None`: never, or for join tokens [`JOIN_SECONDS`].
    pub expires_in: Option<u64>,
    /// Of a join token; none: those the node was given last.
    pub labels: BTreeMap<String, String>,
    /// Of a join token: the node has the labels it says, whatever it was given last.
    pub own_labels: bool,
}

/// A token just made. This is the only time it can be seen.
pub struct CreatedToken {
    /// The token itself.
    pub token: Zeroizing<String>,
    /// What is kept of it.
    pub about: StoredToken,
}

impl Service {
    /// Makes a token.
    ///
    /// # Errors
    ///
    /// Not allowed, not understood, or the store fails.
    pub async fn create_token(&self, caller: &Caller, create: CreateToken) -> Result<CreatedToken, ServiceError> {
        self.allow(caller, Operation::CreateToken).await?;
        let keeps_labels = create.kind == TokenKind::Join && create.labels.is_empty() && !create.own_labels;
        let mut made = make(create, &caller.name, Timestamp::now())?;
        let mut about = made.about.clone();
        made.about = self
            .store()
            .write(move |tx| {
                if keeps_labels {
                    about.labels = nodes::granted(tx, &about.name)?;
                }
                add(tx, &about).map(|()| about)
            })
            .await?;
        if matches!(made.about.kind, TokenKind::Join | TokenKind::Person) {
            made.token = self.marked(made.token);
        }
        Ok(made)
    }

    /// A token with the fingerprint of the authority behind it. By that its bearer knows whom to show it to: nobody is trusted on
    /// first use.
    pub(super) fn marked(&self, token: Zeroizing<String>) -> Zeroizing<String> {
        match self.0.authority.get() {
            Some(authority) => Zeroizing::new(format!("{}{FINGERPRINT_MARK}{}", &*token, authority.fingerprint())),
            None => token,
        }
    }

    /// Every token, those that have ended included, but for join tokens that were used.
    ///
    /// # Errors
    ///
    /// Not allowed, or the store fails.
    pub async fn list_tokens(&self, caller: &Caller) -> Result<Vec<StoredToken>, ServiceError> {
        self.allow(caller, Operation::ListTokens).await?;
        let mut listed = self.store().read(tokens::all).await?;
        listed.retain(|token| token.used.is_none());
        Ok(listed)
    }

    /// Removes join tokens that were used or have ended a day ago.
    ///
    /// # Errors
    ///
    /// The store fails.
    pub async fn forget_ended_tokens(&self, now: Timestamp) -> Result<(), ServiceError> {
        self.store().write(move |tx| Ok(forget_ended(tx, now)?)).await
    }

    /// Ends a token, by its id, or all of a name: how many, and the revision without those of clients; 0: there were none of clients.
    ///
    /// # Errors
    ///
    /// Not allowed, there is none, it is the last one that can make others, or the store fails.
    pub async fn revoke_token(&self, caller: &Caller, id_or_name: &str) -> Result<(u32, u64), ServiceError> {
        self.allow(caller, Operation::RevokeToken).await?;
        let (wanted, author) = (id_or_name.to_owned(), caller.name.clone());
        self.store().write(move |tx| revoke(tx, &wanted, &author, Timestamp::now())).await
    }
}

/// A token that is not kept yet.
pub(super) fn make(create: CreateToken, author: &str, now: Timestamp) -> Result<CreatedToken, ServiceError> {
    let CreateToken { kind, name, role, expires_in, labels, own_labels } = create;
    check(kind, &name, role, &labels)?;
    if own_labels && (kind != TokenKind::Join || !labels.is_empty()) {
        let reason = "a node has the labels it says, or those that its join token gives it";
        return Err(ServiceError::Invalid(reason.to_owned()));
    }
    let seconds = match (kind, expires_in) {
        (TokenKind::Join, seconds) => Some(seconds.unwrap_or(JOIN_SECONDS)).filter(|seconds| *seconds <= JOIN_SECONDS),
        (_, Some(seconds)) => Some(seconds).filter(|seconds| *seconds <= MAX_SECONDS),
        (_, None) => None,
    };
    if seconds.is_none() && (kind == TokenKind::Join || expires_in.is_some()) {
        let most = if kind == TokenKind::Join { JOIN_SECONDS } else { MAX_SECONDS };
        return Err(ServiceError::Invalid(format!("a {} token lasts at most {most} seconds", kind.as_str())));
    }
    let expires = seconds.map(|seconds| now + SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(0)));
    // People and scanners for leaked credentials recognise them by their beginning.
    let prefix = match kind {
        TokenKind::Client => "sluice_",
        TokenKind::Person => "sluice_person_",
        TokenKind::Join => "sluice_join_",
    };
    let secret = Zeroizing::new(BASE64_URL_SAFE_NO_PAD.encode(*random::<TOKEN_BYTES>()?));
    let token = Zeroizing::new(format!("{prefix}{}", &*secret));
    let about = StoredToken {
        id: hex::encode(&*random::<ID_BYTES>()?),
        kind,
        name,
        role: role.map(|role| role.as_str().to_owned()),
        sha256: digest(&token),
        created: now,
        expires,
        author: author.to_owned(),
        labels,
        used: None,
    };
    Ok(CreatedToken { token, about })
}

fn check(
    kind: TokenKind,
    name: &str,
    role: Option<Role>,
    labels: &BTreeMap<String, String>,
) -> Result<(), ServiceError> {
    let invalid = |reason: String| Err(ServiceError::Invalid(reason));
    let is_word = |text: &str| {
        (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_@".contains(&b))
    };
    if !is_word(name) {
        let shown = name.escape_debug();
        return invalid(format!("`{shown}` is no name for a token: use 1 to 64 letters, digits and `.-_@`"));
    }
    match (kind, role) {
        (TokenKind::Person, None) => return invalid("a person's token takes a role: viewer, editor or admin".into()),
        (TokenKind::Client | TokenKind::Join, Some(_)) => {
            return invalid(format!("a {} token has no role", kind.as_str()));
        }
        _ => {}
    }
    if kind != TokenKind::Join && !labels.is_empty() {
        return invalid("labels are for nodes, and so for join tokens".into());
    }
    let usable = labels.iter().all(|(label, value)| is_word(label) && is_word(value));
    if labels.len() > MAX_LABELS || !usable {
        return invalid(format!("labels are at most {MAX_LABELS}, of 1 to 64 letters, digits and `.-_@`"));
    }
    Ok(())
}

/// Keeps a token; what a client may come in with is part of what nodes get.
pub(super) fn add(tx: &Connection, token: &StoredToken) -> Result<(), ServiceError> {
    forget_ended(tx, token.created)?;
    if tokens::all(tx)?.len() >= MAX_TOKENS {
        let advice = "revoke those that nobody uses any more";
        return Err(ServiceError::Impossible(format!("there are {MAX_TOKENS} tokens already; {advice}")));
    }
    tokens::add(tx, token)?;
    if token.kind == TokenKind::Client {
        let change = Change::new(ChangeKind::Added, "key", &token.name);
        revise(tx, token.created, &token.author, "new key", change)?;
    }
    audit::record(tx, token.created, event("token.create", &token.author, token))?;
    Ok(())
}

/// Removes join tokens that were used or have ended long enough ago.
fn forget_ended(tx: &Connection, now: Timestamp) -> Result<(), StoreError> {
    let before = now - SignedDuration::from_secs(ENDED_SECONDS);
    let over = |token: &StoredToken| token.used.or(token.expires).is_some_and(|end| end < before);
    let joins = tokens::all(tx)?.into_iter().filter(|token| token.kind == TokenKind::Join);
    joins.filter(over).try_for_each(|token| tokens::remove(tx, &token.id))
}

fn revoke(tx: &Connection, wanted: &str, author: &str, now: Timestamp) -> Result<(u32, u64), ServiceError> {
    let (ended, kept): (Vec<_>, Vec<_>) =
        tokens::all(tx)?.into_iter().partition(|token| token.id == wanted || token.name == wanted);
    if ended.is_empty() {
        let shown = wanted.escape_debug();
        return Err(ServiceError::NotFound(format!(
            "no token has the id or name `{shown}`; `sluice token list` shows them"
        )));
    }
    let is_admin = |token: &StoredToken| token.role.as_deref() == Some(Role::Admin.as_str()) && token.is_valid(now);
    if ended.iter().any(is_admin) && !kept.iter().any(is_admin) {
        let advice = "make another first: `sluice token create NAME --role admin`";
        return Err(ServiceError::Impossible(format!("nobody could make tokens any more; {advice}")));
    }
    for token in &ended {
        end(tx, token, author, now)?;
    }
    let concerns_nodes = ended.iter().any(|token| token.kind == TokenKind::Client);
    let revision = if concerns_nodes { revisions::head(tx)? } else { 0 };
    Ok((u32::try_from(ended.len()).unwrap_or(u32::MAX), revision))
}

/// Ends a token.
pub(super) fn end(tx: &Connection, token: &StoredToken, author: &str, now: Timestamp) -> Result<(), ServiceError> {
    tokens::remove(tx, &token.id)?;
    if token.kind == TokenKind::Client {
        revise(tx, now, author, "key revoked", Change::new(ChangeKind::Removed, "key", &token.name))?;
    }
    Ok(audit::record(tx, now, event("token.revoke", author, token))?)
}

fn revise(tx: &Connection, at: Timestamp, author: &str, message: &str, change: Change) -> Result<(), ServiceError> {
    let changes = serde_json::to_string(&[change]).expect("changes are texts and lists of texts");
    revisions::add(tx, at, author, message, revisions::head(tx)?, &changes)?;
    Ok(())
}

fn event(action: &'static str, actor: &str, token: &StoredToken) -> Event {
    let role = token.role.as_deref().map(|role| format!(", role {role}")).unwrap_or_default();
    let (object, detail) = (format!("token/{}", token.name), format!("{} {}{role}", token.kind.as_str(), token.id));
    Event { actor: actor.to_owned(), action, object, detail, ..Event::default() }
}

fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, ServiceError> {
    let mut bytes = Zeroizing::new([0; N]);
    rand::fill(&mut *bytes).map_err(|_| ServiceError::Impossible("the system gives no random numbers".to_owned()))?;
    Ok(bytes)
}
