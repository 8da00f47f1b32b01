//! An issuer of tokens and its keys: what is known of them, and how whoever needs others asks for them.
//!
//! Keys come to be known by the issuer's keeper (`keeper`), one task on the control runtime. Requests only read; one that finds
//! no key to judge its token by asks the keeper, and waits for what it is about to learn.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use arc_swap::ArcSwapOption;
use sluice_snapshot::model::{Algorithm, Issuer};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

mod fetch;
mod keeper;
mod kept;
pub(super) mod keys;
mod reach;

pub(crate) use kept::Kept;

use crate::limit;
use keys::{Key, KeySet};

/// An issuer and what is known of its keys.
pub(crate) struct Authority {
    pub config: Arc<Issuer>,
    known: Arc<Known>,
    waiting: AtomicUsize,
    keeper: OnceLock<Keeper>,
}

/// What requests and the keeper share.
struct Known {
    keys: ArcSwapOption<KeySet>,
    /// Counts sets of keys.
    generation: AtomicU64,
    /// What the keeper is at.
    state: watch::Sender<State>,
    /// Somebody needs a key that is not known.
    wanted: Notify,
}

/// What a keeper is at.
#[derive(Debug, Clone, Copy)]
enum State {
    /// Keys are on their way, or not here and not.
    Fetching,
    /// The last attempt is over; the next is not before then.
    Until(Instant),
}

/// A task that ends with its issuer.
struct Keeper(AbortHandle);

impl Drop for Keeper {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What the keys there are say of a signature.
pub(super) enum Found {
    Signed,
    Forged,
    /// None of them could have made it, or there are none.
    Unknown,
}

impl Authority {
    pub(crate) fn new(config: &Arc<Issuer>) -> Arc<Self> {
        Arc::new(Self {
            config: Arc::clone(config),
            known: Arc::new(Known {
                keys: ArcSwapOption::empty(),
                generation: AtomicU64::new(0),
                state: watch::Sender::new(State::Fetching),
                wanted: Notify::new(),
            }),
            waiting: AtomicUsize::new(0),
            keeper: OnceLock::new(),
        })
    }

    /// Sees to its keys from now on, unless somebody does already. In a runtime that lives as long as the node.
    pub(crate) fn keep(&self, kept: &Kept) {
        self.keeper.get_or_init(|| {
            let keeping = keeper::keep(Arc::clone(&self.config), Arc::clone(&self.known), kept.of(&self.config));
            Keeper(tokio::spawn(keeping).abort_handle())
        });
    }

    /// Changes with every set of keys.
    pub(super) fn generation(&self) -> u64 {
        self.known.generation.load(Ordering::Acquire)
    }

    /// Looks for the key that made a signature.
    pub(super) fn find(&self, kid: Option<&str>, algorithm: Algorithm, signed: impl Fn(&Key) -> bool) -> Found {
        let keys = self.known.keys.load();
        let Some(keys) = keys.as_deref() else { return Found::Unknown };
        let mut forged = false;
        for key in keys.fitting(kid, algorithm).take(limit::KEYS_TRIED) {
            if signed(key) {
                return Found::Signed;
            }
            // a signature that names no key may be another's, which is not known yet
            forged = kid.is_some();
        }
        if forged { Found::Forged } else { Found::Unknown }
    }

    /// Asks for keys that are not known, and judges whenever there is something new, until judging leads to something. `None`:
    /// it will not for now. However many ask, keys are fetched once in [`limit::KEYS_PAUSE`].
    pub(super) async fn ask<T>(&self, judge: impl Fn() -> Option<T>) -> Option<T> {
        let mut state = self.known.state.subscribe();
        let waiting = Waiting::enter(&self.waiting)?;
        let deadline = tokio::time::Instant::now() + limit::KEYS_WAIT;
        let mut asked = false;
        loop {
            let now = *state.borrow_and_update();
            if let Some(judged) = judge() {
                return Some(judged);
            }
            match now {
                State::Until(_) if asked => return None,
                State::Until(next) => {
                    self.known.wanted.notify_one();
                    if next > Instant::now() {
                        return None;
                    }
                }
                State::Fetching => asked = true,
            }
            match tokio::time::timeout_at(deadline, state.changed()).await {
                Ok(Ok(())) => {}
                _ => break,
            }
        }
        drop(waiting);
        judge()
    }

    /// In how many seconds to try again where there are no keys at all; `None`: there are some.
    pub(super) fn retry_after(&self) -> Option<u32> {
        if self.known.keys.load().is_some() {
            return None;
        }
        let wait = match *self.known.state.borrow() {
            State::Fetching => limit::KEYS_WAIT,
            State::Until(next) => next.saturating_duration_since(Instant::now()),
        };
        Some(wait.as_secs().max(1) as u32)
    }
}

impl Known {
    /// Other keys count from now on.
    fn adopt(&self, keys: Option<KeySet>) {
        self.keys.store(keys.map(Arc::new));
        self.generation.fetch_add(1, Ordering::Release);
    }
}

/// A request that waits for keys, counted.
struct Waiting<'c>(&'c AtomicUsize);

impl<'c> Waiting<'c> {
    /// `None` when enough wait already.
    fn enter(count: &'c AtomicUsize) -> Option<Self> {
        let waiting = Self(count);
        (count.fetch_add(1, Ordering::Relaxed) < limit::TOKENS_WAITING).then_some(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
