//! Limits per principal: requests per minute (GCRA, one atomic word) and requests and streams in flight.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use papaya::HashMap;
use sluice_snapshot::model::Limits;

use super::PrincipalId;
use super::meter::Rate;
use super::meters::Places;
use crate::limit;
use crate::reason::Reason;

/// The limits' state of all principals of a node.
pub(crate) struct Quotas {
    epoch: Instant,
    accounts: HashMap<PrincipalId, Arc<Account>, foldhash::fast::RandomState>,
}

/// What one principal uses now.
#[derive(Default)]
pub(crate) struct Account {
    rate: Rate,
    calls: AtomicU32,
    streams: AtomicU32,
    sessions: AtomicU32,
}

/// A request in flight; gives its place back when dropped.
pub(crate) struct Ticket {
    account: Arc<Account>,
    stream: bool,
    /// Those that limits of policies count.
    places: Option<Box<Places>>,
}

impl Quotas {
    pub(crate) fn new() -> Self {
        Self { epoch: Instant::now(), accounts: HashMap::default() }
    }

    /// The account of a principal, made at first use.
    pub(crate) fn account(&self, principal: PrincipalId) -> Arc<Account> {
        let accounts = self.accounts.pin();
        if let Some(account) = accounts.get(&principal) {
            return Arc::clone(account);
        }
        if accounts.len() >= limit::PRINCIPALS {
            accounts.retain(|_, account| Arc::strong_count(account) > 1);
        }
        Arc::clone(accounts.get_or_insert_with(principal, Arc::default))
    }

    /// Takes one request from the principal's budget.
    ///
    /// # Errors
    /// [`Reason::RateLimited`] with the time to wait, [`Reason::TooManyInFlight`].
    pub(crate) fn admit(&self, account: &Arc<Account>, limits: &Limits, now: Instant) -> Result<Ticket, Reason> {
        if let Some(per_minute) = limits.requests_per_minute {
            let now = now.duration_since(self.epoch).as_nanos() as u64;
            let retry = |wait: u64| Reason::RateLimited { retry_after_ms: wait.div_ceil(1_000_000) };
            account.rate.take(now, per_minute).map_err(retry)?;
        }
        if account.calls.fetch_add(1, Ordering::Relaxed) >= limits.concurrent_requests {
            account.calls.fetch_sub(1, Ordering::Relaxed);
            return Err(Reason::TooManyInFlight);
        }
        Ok(Ticket { account: Arc::clone(account), stream: false, places: None })
    }
}

impl Account {
    /// Counts a session in.
    ///
    /// # Errors
    /// [`Reason::TooManySessions`].
    pub(crate) fn open_session(&self, limit: u32) -> Result<(), Reason> {
        if self.sessions.fetch_add(1, Ordering::Relaxed) >= limit {
            self.sessions.fetch_sub(1, Ordering::Relaxed);
            return Err(Reason::TooManySessions);
        }
        Ok(())
    }

    /// Counts a session out.
    pub(crate) fn close_session(&self) {
        self.sessions.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Ticket {
    /// For what the gateway does as a part of something that has a ticket.
    pub(crate) fn uncounted() -> Self {
        let account = Account::default();
        account.calls.store(1, Ordering::Relaxed);
        Self { account: Arc::new(account), stream: false, places: None }
    }

    /// Takes in what it holds by the limits of policies: given back with it.
    pub(crate) fn hold(&mut self, places: Places) {
        if !places.is_empty() {
            self.places = Some(Box::new(places));
        }
    }

    /// Turns a call into a stream: it no longer counts as a request in flight.
    ///
    /// # Errors
    /// [`Reason::TooManyStreams`].
    pub(crate) fn into_stream(mut self) -> Result<Self, Reason> {
        if self.account.streams.fetch_add(1, Ordering::Relaxed) >= limit::STREAMS_PER_PRINCIPAL {
            self.account.streams.fetch_sub(1, Ordering::Relaxed);
            return Err(Reason::TooManyStreams);
        }
        self.account.calls.fetch_sub(1, Ordering::Relaxed);
        self.stream = true;
        Ok(self)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let counter = if self.stream { &self.account.streams } else { &self.account.calls };
        counter.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_rate_holds_over_a_minute_and_says_when_to_come_back() {
        let quotas = Quotas::new();
        let account = quotas.account(PrincipalId([1; 16]));
        let limits = Limits { requests_per_minute: Some(60), ..Limits::default() };
        let start = quotas.epoch + Duration::from_secs(10);
        let burst = (0..).take_while(|_| quotas.admit(&account, &limits, start).is_ok()).count();
        assert_eq!(burst, 60, "a minute's requests at once");
        assert_eq!(quotas.admit(&account, &limits, start).err(), Some(Reason::RateLimited { retry_after_ms: 1_000 }));
        let passed =
            (1..=60).filter(|s| quotas.admit(&account, &limits, start + Duration::from_secs(*s)).is_ok()).count();
        assert_eq!(passed, 60);
    }

    #[test]
    fn places_are_given_back() {
        let quotas = Quotas::new();
        let account = quotas.account(PrincipalId([1; 16]));
        let limits = Limits { concurrent_requests: 2, ..Limits::default() };
        let now = Instant::now();
        let first = quotas.admit(&account, &limits, now).unwrap();
        let second = quotas.admit(&account, &limits, now).unwrap();
        assert_eq!(quotas.admit(&account, &limits, now).err(), Some(Reason::TooManyInFlight));
        let stream = second.into_stream().unwrap();
        let third = quotas.admit(&account, &limits, now).unwrap();
        drop((first, third, stream));
        assert_eq!(account.calls.load(Ordering::Relaxed), 0);
        assert_eq!(account.streams.load(Ordering::Relaxed), 0);
    }
}
