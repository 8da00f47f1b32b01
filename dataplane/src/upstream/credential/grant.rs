//! The token of one server: obtained when it is first needed, by one request however many wait for it, and again before it
//! expires, as long as it is used. Requests read the ready header line without a lock.
//!
//! A task on the control runtime keeps it. Where the token cannot be had it goes on asking, ever more seldom, so that what is told of
//! that is true, and the token there when it can; it ends when the token is not used any more, and the next request that needs one
//! starts it again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use sluice_snapshot::model::{ClientCredentials, Secret};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use zeroize::Zeroizing;

use super::Trouble;
use super::token::{Token, obtain};
use crate::clock::epoch_ms;
use crate::limit;

/// A token of one server, and how it is had.
pub(in crate::upstream) struct Grant {
    /// What the credential is called, for messages.
    name: Arc<str>,
    config: Arc<ClientCredentials>,
    /// The client's secret or key.
    proof: ArcSwap<Secret>,
    line: ArcSwapOption<Line>,
    /// It was used since it was last asked for.
    used: AtomicBool,
    state: Mutex<State>,
    /// Told whenever there is a token, or none to be had.
    settled: watch::Sender<u64>,
    /// Another token is wanted at once.
    again: Arc<Notify>,
    control: Handle,
}

/// A token, ready to be written.
struct Line {
    /// Tells tokens apart.
    number: u64,
    text: Zeroizing<Vec<u8>>,
}

#[derive(Default)]
struct State {
    /// A task sees to it.
    kept: bool,
    /// Tokens so far.
    number: u64,
    /// Failures in a row.
    failures: u32,
    /// The last of them, and when the first was.
    failing: Option<Trouble>,
    /// Why there is none, and until when nobody is asked again.
    trouble: Option<(Arc<str>, Instant)>,
    /// When a server's refusal last made us ask for another.
    refused: Option<Instant>,
}

/// Why a server is not shown a token.
#[derive(Debug, Clone)]
pub(crate) struct Unavailable {
    /// What the credential is called.
    pub name: Arc<str>,
    /// For the log.
    pub cause: Arc<str>,
}

impl Grant {
    pub(super) fn new(name: Arc<str>, config: Arc<ClientCredentials>, proof: Secret, control: Handle) -> Arc<Self> {
        Arc::new(Self {
            name,
            config,
            proof: ArcSwap::from_pointee(proof),
            line: ArcSwapOption::empty(),
            used: AtomicBool::new(false),
            state: Mutex::default(),
            settled: watch::Sender::new(0),
            again: Arc::default(),
            control,
        })
    }

    /// The client proves itself otherwise from now on: with the next token, which is had now.
    pub(super) fn prove(&self, proof: &Secret) {
        if **self.proof.load() == *proof {
            return;
        }
        self.proof.store(Arc::new(proof.clone()));
        let mut state = self.state();
        (state.trouble, state.failures, state.failing) = (None, 0, None);
        self.again.notify_one();
    }

    /// Writes the header line, if there is a token.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        if let Some(line) = &*self.line.load() {
            if !self.used.load(Ordering::Relaxed) {
                self.used.store(true, Ordering::Relaxed);
            }
            out.extend_from_slice(&line.text);
        }
    }

    /// Which token there is; `None`: none.
    pub(in crate::upstream) fn number(&self) -> Option<u64> {
        self.line.load().as_ref().map(|line| line.number)
    }

    /// Waits until there is a token.
    ///
    /// # Errors
    /// There is none to be had.
    pub(in crate::upstream) async fn ready(self: &Arc<Self>) -> Result<(), Unavailable> {
        loop {
            let mut settled = self.settled.subscribe();
            if self.number().is_some() {
                return Ok(());
            }
            self.keep()?;
            // the sender is in `self`
            let _ = settled.changed().await;
            if let Some((cause, _)) = self.state().trouble.clone().filter(|_| self.number().is_none()) {
                return Err(Unavailable { name: Arc::clone(&self.name), cause });
            }
        }
    }

    /// None came while a request could wait.
    pub(in crate::upstream) fn late(&self) -> Unavailable {
        Unavailable { name: Arc::clone(&self.name), cause: "no token in time".into() }
    }

    /// A server refused the token of this number. `true`: there is another, or may be one: see [`Grant::ready`]. A server
    /// that refuses every token does not make us ask for one each time.
    pub(in crate::upstream) fn refused(&self, number: u64) -> bool {
        let mut state = self.state();
        if self.number() != Some(number) {
            return true;
        }
        let now = Instant::now();
        if state.refused.is_some_and(|at| now < at + limit::TOKEN_REFUSED_PAUSE) {
            return false;
        }
        state.refused = Some(now);
        self.line.store(None);
        self.again.notify_one();
        true
    }

    /// Why the last attempt to have one failed, and since when attempts do; `None`: it did not.
    pub(super) fn failing(&self) -> Option<Trouble> {
        self.state().failing.clone()
    }

    /// Sees to it that somebody sees to it.
    fn keep(self: &Arc<Self>) -> Result<(), Unavailable> {
        let mut state = self.state();
        if let Some((cause, _)) = state.trouble.as_ref().filter(|(_, until)| Instant::now() < *until) {
            return Err(Unavailable { name: Arc::clone(&self.name), cause: Arc::clone(cause) });
        }
        if !state.kept {
            (state.kept, state.trouble) = (true, None);
            self.control.spawn(keep(Arc::downgrade(self), Arc::clone(&self.again)));
        }
        Ok(())
    }

    /// There is a new token.
    fn show(&self, token: &Secret) {
        let mut text = Zeroizing::new(b"authorization: Bearer ".to_vec());
        text.extend_from_slice(token.expose().as_bytes());
        text.extend_from_slice(b"\r\n");
        let mut state = self.state();
        state.number += 1;
        (state.failures, state.trouble, state.failing) = (0, None, None);
        self.used.store(false, Ordering::Relaxed);
        self.line.store(Some(Arc::new(Line { number: state.number, text })));
        drop(state);
        self.settled.send_modify(|count| *count += 1);
    }

    /// None was to be had; how long to wait before the next try.
    fn fail(&self, cause: &str) -> Duration {
        let mut state = self.state();
        state.failures = state.failures.saturating_add(1);
        let pause = limit::TOKEN_BACKOFF_FIRST * 2u32.saturating_pow(state.failures.min(16) - 1);
        let pause = pause.min(limit::TOKEN_BACKOFF_MAX);
        tracing::warn!(credential = %self.name, cause, retry_ms = pause.as_millis() as u64, "no token for a server");
        let since_ms = state.failing.as_ref().map_or_else(epoch_ms, |failing| failing.since_ms);
        state.failing = Some(Trouble { cause: format!("credential `{}`: {cause}", self.name), since_ms });
        if self.number().is_none() {
            state.trouble = Some((cause.into(), Instant::now() + pause));
        }
        drop(state);
        self.settled.send_modify(|count| *count += 1);
        pause
    }

    /// Nobody sees to it any more; requests that come from now on start anew.
    fn leave(&self) {
        let mut state = self.state();
        self.line.store(None);
        (state.kept, state.failing) = (false, None);
        drop(state);
        // whoever came in between looks again
        self.settled.send_modify(|count| *count += 1);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps a token good until nobody needs it.
async fn keep(grant: Weak<Grant>, again: Arc<Notify>) {
    // a token that still counts: until when
    let mut good: Option<Instant> = None;
    loop {
        let Some(asking) = grant.upgrade() else { return };
        let outcome = obtain(&asking.config, &asking.proof.load_full()).await;
        let next = match outcome {
            Ok(Token { value, lifetime }) => {
                asking.show(&value);
                let (refresh, until) = times(lifetime, Instant::now());
                good = Some(until);
                refresh
            }
            Err(cause) => {
                let pause = asking.fail(&cause);
                if asking.number().is_none() {
                    good = None;
                }
                Instant::now() + pause
            }
        };
        let until = good.unwrap_or(next);
        drop(asking);
        tokio::select! {
            () = again.notified() => continue,
            () = tokio::time::sleep_until(next.min(until).into()) => {}
        }
        let Some(looking) = grant.upgrade() else { return };
        if good.is_none() {
            // there is none: on with it
        } else if Instant::now() >= until {
            // it could not be had anew in time
            looking.line.store(None);
        } else if !looking.used.load(Ordering::Relaxed) {
            drop(looking);
            if !is_missed(&grant, &again, until).await {
                return grant.upgrade().map_or((), |grant| grant.leave());
            }
        }
    }
}

/// Waits with a token that nobody used for a while; `true`: it was used after all, or another one is wanted.
async fn is_missed(grant: &Weak<Grant>, again: &Notify, until: Instant) -> bool {
    while Instant::now() < until {
        tokio::select! {
            () = again.notified() => return true,
            () = tokio::time::sleep_until(until.min(Instant::now() + limit::SWEEP).into()) => {}
        }
        if grant.upgrade().is_some_and(|grant| grant.used.load(Ordering::Relaxed)) {
            return true;
        }
    }
    false
}

/// When to ask for the next token, and until when this one is shown.
fn times(lifetime: Option<Duration>, now: Instant) -> (Instant, Instant) {
    let lifetime = lifetime.unwrap_or(limit::TOKEN_LIFETIME).min(limit::TOKEN_LIFETIME_MAX);
    let refresh = lifetime - limit::TOKEN_LEEWAY.min(lifetime / 4);
    let until = lifetime - limit::TOKEN_MARGIN.min(lifetime / 10);
    // a token that is over when it comes is shown once, and asked for again after a moment
    (now + refresh.max(limit::TOKEN_BACKOFF_FIRST), now + until.max(limit::TOKEN_BACKOFF_FIRST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_asked_for_before_they_expire() {
        let now = Instant::now();
        for (seconds, refresh, until) in
            [(3600, 3_540_000, 3_595_000), (60, 45_000, 55_000), (8, 6_000, 7_200), (0, 500, 500)]
        {
            let (next, last) = times(Some(Duration::from_secs(seconds)), now);
            assert_eq!(((next - now).as_millis(), (last - now).as_millis()), (refresh, until), "{seconds} s");
        }
        assert!(times(None, now).0 > now);
    }
}
