//! Limits per principal: requests per minute (GCRA, one atomic word), requests and streams in flight, and sessions.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use papaya::HashMap;
use sluice_mcp::code;
use sluice_snapshot::model::Limits;

use super::meter::Rate;
use super::meters::Places;
use super::shares::{Portion, Shares, Via};
use super::{Principal, PrincipalId};
use crate::limit;
use crate::reason::Reason;

/// The limits' state of all principals of a node.
pub(crate) struct Quotas {
    epoch: Instant,
    accounts: HashMap<PrincipalId, Arc<Account>, foldhash::fast::RandomState>,
    /// What of limits of the fleet is this node's.
    portion: Arc<Portion>,
    /// Who is at this machine, and so at no other node.
    local: PrincipalId,
}

/// What one principal uses now.
#[derive(Default)]
pub(crate) struct Account {
    by_door: Count,
    by_link: Count,
    streams: AtomicU32,
    sessions: AtomicU32,
    is_local: bool,
}

/// Its requests that came in one way.
#[derive(Default)]
struct Count {
    rate: Rate,
    calls: AtomicU32,
}

/// A request in flight; gives its place back when dropped.
pub(crate) struct Ticket {
    account: Arc<Account>,
    /// By what the request came in.
    pub via: Via,
    stream: bool,
    /// Those that limits of policies count.
    places: Option<Box<Places>>,
}

impl Quotas {
    pub(crate) fn new(shares: &Shares) -> Self {
        let portion = Arc::clone(&shares.all);
        Self { epoch: Instant::now(), accounts: HashMap::default(), portion, local: Principal::local().id }
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
        let account = || Arc::new(Account { is_local: principal == self.local, ..Account::default() });
        Arc::clone(accounts.get_or_insert_with(principal, account))
    }

    /// Takes one request, which came in by that, from the principal's budget.
    ///
    /// # Errors
    /// [`Reason::RateLimited`] with the time to wait, [`Reason::TooManyInFlight`].
    #[inline]
    pub(crate) fn admit(
        &self,
        account: &Arc<Account>,
        limits: &Limits,
        via: Via,
        now: Instant,
    ) -> Result<Ticket, Reason> {
        self.take(account, limits, via, now, 1)?;
        Ok(Ticket::of(account, via))
    }

    /// The same for requests that came together: all of them, or none.
    ///
    /// # Errors
    /// As [`admit`](Self::admit); [`Reason::Message`] for more than there can be in a minute.
    pub(crate) fn admit_all(
        &self,
        account: &Arc<Account>,
        limits: &Limits,
        via: Via,
        now: Instant,
        count: usize,
    ) -> Result<Vec<Ticket>, Reason> {
        self.take(account, limits, via, now, count as u32)?;
        Ok((0..count).map(|_| Ticket::of(account, via)).collect())
    }

    #[inline]
    fn take(&self, account: &Account, limits: &Limits, via: Via, now: Instant, many: u32) -> Result<(), Reason> {
        let count = account.count(via);
        let held = |of_fleet: bool, limit: u32| match of_fleet && !account.is_local {
            true => self.portion.of(limit, via),
            false => limit,
        };
        let per_minute = limits.requests_per_minute.map(|limit| held(limits.of_fleet.requests_per_minute, limit));
        if let Some(per_minute) = per_minute {
            if many > per_minute.max(1) {
                let text = format!(
                    "{many} requests at once are more than the {per_minute} a minute that are allowed; send fewer"
                );
                return Err(Reason::Message { code: code::INVALID_REQUEST, text });
            }
            let now = now.duration_since(self.epoch).as_nanos() as u64;
            let retry = |wait: u64| Reason::RateLimited { retry_after_ms: wait.div_ceil(1_000_000) };
            count.rate.take_all(now, per_minute, many).map_err(retry)?;
        }
        let most = held(limits.of_fleet.concurrent_requests, limits.concurrent_requests);
        if count.calls.fetch_add(many, Ordering::Relaxed).saturating_add(many) > most {
            count.calls.fetch_sub(many, Ordering::Relaxed);
            if let Some(per_minute) = per_minute.filter(|_| many > 1) {
                count.rate.give_back(per_minute, many);
            }
            return Err(Reason::TooManyInFlight);
        }
        Ok(())
    }

    /// How many sessions a principal may have at this node. `anywhere`: each is counted at every node that has it at hand, so that
    /// all of them are known here already.
    pub(crate) fn sessions(&self, account: &Account, limits: &Limits, anywhere: bool) -> u32 {
        let limit = limits.sessions_per_principal;
        match limits.of_fleet.sessions_per_principal && !anywhere && !account.is_local {
            true => self.portion.of(limit, Via::Door),
            false => limit,
        }
    }
}

impl Account {
    fn count(&self, via: Via) -> &Count {
        match via {
            Via::Door => &self.by_door,
            Via::Link => &self.by_link,
        }
    }

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
    fn of(account: &Arc<Account>, via: Via) -> Self {
        Self { account: Arc::clone(account), via, stream: false, places: None }
    }

    /// For what the gateway does as a part of something that has a ticket.
    pub(crate) fn uncounted() -> Self {
        let account = Account::default();
        account.by_door.calls.store(1, Ordering::Relaxed);
        Self { account: Arc::new(account), via: Via::Door, stream: false, places: None }
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
        self.account.count(self.via).calls.fetch_sub(1, Ordering::Relaxed);
        self.stream = true;
        Ok(self)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let counter = if self.stream { &self.account.streams } else { &self.account.count(self.via).calls };
        counter.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sluice_contract::v1;
    use sluice_snapshot::model::OfFleet;

    use super::*;

    #[test]
    fn the_rate_holds_over_a_minute_and_says_when_to_come_back() {
        let quotas = Quotas::new(&Shares::default());
        let account = quotas.account(PrincipalId([1; 16]));
        let limits = Limits { requests_per_minute: Some(60), ..Limits::default() };
        let start = quotas.epoch + Duration::from_secs(10);
        let burst = (0..).take_while(|_| quotas.admit(&account, &limits, Via::Door, start).is_ok()).count();
        assert_eq!(burst, 60, "a minute's requests at once");
        assert_eq!(
            quotas.admit(&account, &limits, Via::Door, start).err(),
            Some(Reason::RateLimited { retry_after_ms: 1_000 })
        );
        let passed = (1..=60)
            .filter(|s| quotas.admit(&account, &limits, Via::Door, start + Duration::from_secs(*s)).is_ok())
            .count();
        assert_eq!(passed, 60);
    }

    #[test]
    fn places_are_given_back() {
        let quotas = Quotas::new(&Shares::default());
        let account = quotas.account(PrincipalId([1; 16]));
        let limits = Limits { concurrent_requests: 2, ..Limits::default() };
        let now = Instant::now();
        let first = quotas.admit(&account, &limits, Via::Door, now).unwrap();
        let second = quotas.admit(&account, &limits, Via::Door, now).unwrap();
        assert_eq!(quotas.admit(&account, &limits, Via::Door, now).err(), Some(Reason::TooManyInFlight));
        let stream = second.into_stream().unwrap();
        let third = quotas.admit(&account, &limits, Via::Door, now).unwrap();
        drop((first, third, stream));
        assert_eq!(account.by_door.calls.load(Ordering::Relaxed), 0);
        assert_eq!(account.streams.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn of_what_is_limited_for_the_fleet_a_node_has_its_share() {
        let shares = Shares::default();
        let quotas = Quotas::new(&shares);
        let (alice, local) = (quotas.account(PrincipalId([1; 16])), quotas.account(Principal::local().id));
        let mut limits = Limits { concurrent_requests: 6, sessions_per_principal: 9, ..Limits::default() };
        shares.adopt(&v1::Fleet { share: Some(v1::FleetShare { nodes: 3, place: 2 }), ..v1::Fleet::default() });
        let most = |account: &Arc<Account>, limits: &Limits, via| {
            let admit = || quotas.admit(account, limits, via, Instant::now()).ok();
            std::iter::from_fn(admit).take(100).collect::<Vec<_>>().len()
        };
        assert_eq!(most(&alice, &limits, Via::Door), 6, "it is each node's own");
        limits.of_fleet =
            OfFleet { concurrent_requests: true, sessions_per_principal: true, requests_per_minute: true };
        assert_eq!([most(&alice, &limits, Via::Door), most(&alice, &limits, Via::Link)], [2, 4]);
        assert_eq!(most(&local, &limits, Via::Door), 6);
        let sessions = |account: &Account, anywhere| quotas.sessions(account, &limits, anywhere);
        assert_eq!([sessions(&alice, false), sessions(&alice, true), sessions(&local, false)], [3, 9, 9]);
        limits.requests_per_minute = Some(30);
        assert_eq!(quotas.admit(&alice, &limits, Via::Door, Instant::now()).err(), None);
        let wait = (0..20).find_map(|_| quotas.admit(&alice, &limits, Via::Door, Instant::now()).err());
        assert!(matches!(wait, Some(Reason::RateLimited { retry_after_ms: 4_000..=6_000 })), "{wait:?}: ten a minute");
    }
}
