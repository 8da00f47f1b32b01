//! A load: requests one after the other, or at a rate.

use std::time::{Duration, Instant};

use crate::answer::message;
use crate::ask::{Ask, Expected};
use crate::check::Checker;
use crate::command::{Load, Until};
use crate::histogram::Histogram;
use crate::lanes::{Flight, Next, Work};
use crate::report;
use crate::session::Turns;
use crate::wire::Head;

/// A load that is being sent.
pub(crate) struct Driving<'c> {
    load: Load,
    asks: &'c [Ask],
    turns: &'c mut Turns,
    checker: Checker,
    latencies: Histogram,
    begin: Instant,
    end: Instant,
    /// Requests begun.
    begun: u64,
    first_id: u64,
    sent: u64,
    received: u64,
}

impl<'c> Driving<'c> {
    pub(crate) fn new(load: Load, asks: &'c [Ask], turns: &'c mut Turns, first_id: u64) -> Self {
        let (checker, latencies, begin) = (Checker::default(), Histogram::new(), Instant::now());
        Self { load, asks, turns, checker, latencies, begin, end: begin, begun: 0, first_id, sent: 0, received: 0 }
    }

    /// An id that was not used yet.
    pub(crate) fn next_id(&self) -> u64 {
        self.first_id + self.begun
    }

    pub(crate) fn report(&self) -> String {
        let is_call = |ask: &Ask| matches!(ask.expected, Expected::Text { .. });
        let calls = if self.asks.iter().all(is_call) { self.latencies.total() } else { 0 };
        report::ended(&self.latencies, self.end - self.begin, calls, self.sent, self.received)
    }

    /// When the next request is due, `None` if there is none.
    fn due(&self, now: Instant) -> Option<Instant> {
        let due = match self.load.rate {
            Some(rate) => self.begin + Duration::from_secs_f64(self.begun as f64 / rate),
            None => now,
        };
        let is_over = match self.load.until {
            Until::Passed(time) => due >= self.begin + time,
            Until::Sent(count) => self.begun >= count,
        };
        (!is_over).then_some(due)
    }
}

impl Work for Driving<'_> {
    fn next(&mut self, now: Instant, out: &mut Vec<u8>) -> Next {
        let Some(due) = self.due(now) else { return Next::Nothing };
        if due > now {
            return Next::At(due);
        }
        let at = (self.first_id + self.begun) as usize % self.asks.len();
        let (ask, id) = (&self.asks[at], self.next_id());
        ask.write(self.turns.next(ask.path), id, out);
        self.begun += 1;
        self.sent += out.len() as u64;
        Next::Sent(Flight { id, ask: at, since: due })
    }

    fn answered(&mut self, flight: Flight, head: &Head, body: &[u8], bytes: usize) -> Result<(), String> {
        self.end = Instant::now();
        self.latencies.record(u64::try_from((self.end - flight.since).as_nanos()).unwrap_or(u64::MAX));
        self.received += bytes as u64;
        if head.status != 200 {
            let said = String::from_utf8_lossy(&body[..body.len().min(500)]);
            return Err(format!("request {} is answered {}: {said}", flight.id, head.status));
        }
        self.checker.check(message(body, head.is_events), flight.id, &self.asks[flight.ask].expected)
    }
}
