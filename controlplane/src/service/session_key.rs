//! The keys that seal the ids of sessions on every node of the fleet. A new one is told long before it seals, and an old one opens
//! long after: what was handed out by one node is good at all of them, before, while and after keys are exchanged.

use std::time::Duration;

use aws_lc_rs::rand;
use jiff::{SignedDuration, Timestamp};
use rusqlite::Connection;
use sluice_contract::v1;
use zeroize::Zeroizing;

use super::secret::decoded;
use super::{Caller, Operation, Service, ServiceError};
use crate::audit::{self, Event};
use crate::secrets::Ring;
use crate::store::session_keys::{self, StoredKey};

/// How long a key seals before the next one is made: nobody has to mind, and what a stolen one opens is bounded.
const LIFE: SignedDuration = SignedDuration::from_hours(90 * 24);
/// How long nodes know a key before it seals: one that is away for less knows what the others seal when it is back.
const ANNOUNCED: SignedDuration = SignedDuration::from_hours(7 * 24);
/// The same where somebody asks for another key: connected nodes know it within a second.
const ANNOUNCED_NOW: SignedDuration = SignedDuration::from_secs(60);
/// How long a key opens after the next one seals: longer than sessions idle, and than a task is waited for.
const KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Keys at a time: each handle that comes back is tried with all of them.
const MOST: usize = 8;
/// Longest pause until it is looked again whether something is due: clocks are set, and machines sleep.
const LOOK: Duration = Duration::from_secs(3600);

/// The keys nodes are to have, and when to look again.
pub(crate) struct SessionKeys {
    pub keys: Vec<v1::SessionKey>,
    pub again: Duration,
}

impl Service {
    /// The keys there are to be now; makes and forgets what is due.
    ///
    /// # Errors
    ///
    /// The store fails, or a key does not open.
    pub(crate) async fn session_keys(&self) -> Result<SessionKeys, ServiceError> {
        let ring = self.ring();
        self.store().write(move |tx| keep_up(tx, &ring, Timestamp::now())).await
    }

    /// Waits until somebody made another key.
    pub(crate) async fn session_keys_exchanged(&self) {
        self.0.session_keys.notified().await;
    }

    /// Makes another key, which seals in a minute: its number.
    ///
    /// # Errors
    ///
    /// Not allowed, or the store fails.
    pub async fn rotate_session_keys(&self, caller: &Caller) -> Result<u8, ServiceError> {
        self.allow(caller, Operation::RotateKey).await?;
        let (author, ring) = (caller.name.clone(), self.ring());
        let number = self.store().write(move |tx| rotate(tx, &ring, &author, Timestamp::now())).await?;
        self.0.session_keys.notify_one();
        Ok(number)
    }
}

/// What a key is sealed for.
pub(super) fn context(number: u8) -> String {
    format!("session key {number}")
}

fn keep_up(tx: &Connection, ring: &Ring, now: Timestamp) -> Result<SessionKeys, ServiceError> {
    let kept = session_keys::all(tx)?;
    let due = match kept.last() {
        None => Some(now),
        Some(newest) => (now.duration_since(newest.seals) >= LIFE).then(|| now + ANNOUNCED),
    };
    if let Some(seals) = due {
        make(tx, ring, &kept, now, seals)?;
    }
    let kept = session_keys::all(tx)?;
    // one that was followed for long opens nothing that anybody still has
    let is_over = |pair: &[StoredKey]| now.duration_since(pair[1].seals) >= KEPT;
    for pair in kept.windows(2).filter(|pair| is_over(pair)) {
        session_keys::forget(tx, pair[0].number)?;
    }
    let kept = session_keys::all(tx)?;
    let sealing = kept.iter().rev().find(|key| key.seals <= now).or(kept.first()).map(|key| key.number);
    let open = |key: &StoredKey| {
        let context = context(key.number);
        let value = ring.open(&context, &decoded(&context, &key.sealed)?)?;
        let seals = sealing == Some(key.number);
        Ok(v1::SessionKey { number: key.number.into(), key: value.to_vec(), seals })
    };
    let next = kept.iter().map(|key| key.seals).filter(|seals| *seals > now).min();
    let again = next.map_or(LOOK, |next| next.duration_since(now).unsigned_abs().min(LOOK));
    Ok(SessionKeys { keys: kept.iter().map(open).collect::<Result<_, ServiceError>>()?, again })
}

fn rotate(tx: &Connection, ring: &Ring, author: &str, now: Timestamp) -> Result<u8, ServiceError> {
    let kept = session_keys::all(tx)?;
    let number = make(tx, ring, &kept, now, now + ANNOUNCED_NOW)?;
    let detail = format!("sessions are sealed with key {number} from a minute on");
    audit::record(
        tx,
        now,
        Event { actor: author.to_owned(), action: "session.rotate-key", detail, ..Event::default() },
    )?;
    Ok(number)
}

/// Makes a key, and room for it.
fn make(
    tx: &Connection,
    ring: &Ring,
    kept: &[StoredKey],
    made: Timestamp,
    seals: Timestamp,
) -> Result<u8, ServiceError> {
    let room = (kept.len() + 1).saturating_sub(MOST);
    for oldest in &kept[..room] {
        session_keys::forget(tx, oldest.number)?;
    }
    let last = kept.last().map_or(0, |newest| newest.number);
    let is_free = |number: &u8| !kept.iter().any(|key| key.number == *number);
    let number = (1..=u8::MAX).map(|step| last.checked_add(step).unwrap_or(step)).filter(|number| *number > 0);
    let number = number.into_iter().find(is_free).expect("there are fewer keys than numbers");
    let mut key = Zeroizing::new([0; 32]);
    rand::fill(&mut *key).map_err(|_| ServiceError::Impossible("the system gives no random numbers".to_owned()))?;
    let sealed = ring.seal(&context(number), &*key).encode();
    session_keys::add(tx, &StoredKey { number, made, seals, sealed })?;
    Ok(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Folder, Store};

    fn numbers(keys: &SessionKeys) -> Vec<(u32, bool)> {
        keys.keys.iter().map(|key| (key.number, key.seals)).collect()
    }

    #[test]
    fn keys_follow_each_other_announced_before_and_kept_after() {
        let folder = tempfile::tempdir().unwrap();
        let start: Timestamp = "2026-11-20T10:00:00Z".parse().unwrap();
        let store = Store::open(Folder::new(folder.path()), start).unwrap();
        let ring = Ring::parse(&format!("k1:{}", "A".repeat(43) + "=")).unwrap();
        let at = |now: Timestamp| store.write_now(|tx| keep_up(tx, &ring, now)).unwrap();
        assert_eq!(numbers(&at(start)), [(1, true)]);
        let first = at(start).keys;
        assert!(first == at(start + SignedDuration::from_hours(24)).keys, "it stays");
        let due = start + LIFE;
        assert_eq!(numbers(&at(due)), [(1, true), (2, false)], "told before it seals");
        assert!(at(due).again <= LOOK);
        assert_eq!(numbers(&at(due + ANNOUNCED)), [(1, false), (2, true)], "what the old one sealed opens");
        assert_eq!(numbers(&at(due + ANNOUNCED + KEPT)), [(2, true)]);
        let asked = due + ANNOUNCED + KEPT;
        assert_eq!(store.write_now(|tx| rotate(tx, &ring, "ann", asked)).unwrap(), 3);
        assert_eq!(numbers(&at(asked)), [(2, true), (3, false)]);
        assert!(at(asked).again <= Duration::from_secs(60));
        assert_eq!(numbers(&at(asked + ANNOUNCED_NOW)), [(2, false), (3, true)]);
        for minute in 1..20 {
            let at = asked + SignedDuration::from_mins(2 * minute);
            store.write_now(|tx| rotate(tx, &ring, "ann", at)).unwrap();
        }
        assert_eq!(at(asked).keys.len(), MOST, "the oldest make room");
    }
}
