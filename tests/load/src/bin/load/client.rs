//! The clients: their connections, sessions and streams, and what they do when told.

use std::time::Instant;

use crate::ask::Asks;
use crate::command::Load;
use crate::drive::Driving;
use crate::lanes::{Flight, Lanes, Next, Work, failed};
use crate::multiplexed::Multiplexed;
use crate::options::Options;
use crate::session::{Session, Turns};
use crate::socket::{Dialer, Socket};
use crate::wire::Head;
use crate::{report, stream};

/// The first id: all have as many digits.
const FIRST_ID: u64 = 1_000_000_000;

/// All clients of the process.
pub(crate) struct Clients<'o> {
    pub options: &'o Options,
    pub asks: Asks,
    pub turns: Turns,
    pub streams: Vec<Socket>,
    carrier: Carrier,
    next_id: u64,
}

impl<'o> Clients<'o> {
    /// Opens the connections.
    ///
    /// # Errors
    /// A sentence that says what went wrong.
    pub(crate) fn connect(options: &'o Options) -> Result<Self, String> {
        let carrier = match options.h2 {
            Some(streams) => Carrier::Multiplexed(Multiplexed::connect(options, streams)?),
            None => {
                let dialer = Dialer::new(options.connect, options.trust.as_deref())?;
                let lanes = Lanes::connect(dialer, options.connections, options.patience).map_err(failed)?;
                Carrier::Lanes(lanes)
            }
        };
        let asks = Asks::new(options);
        Ok(Self { options, asks, turns: Turns::default(), streams: Vec::new(), carrier, next_id: FIRST_ID })
    }

    /// Sends a load; what came of it, as JSON.
    ///
    /// # Errors
    /// A sentence that says which answer was wrong.
    pub(crate) fn run(&mut self, load: Load) -> Result<String, String> {
        let mut driving = Driving::new(load, &self.asks.asks, &mut self.turns, self.next_id);
        self.carrier.work(&mut driving)?;
        self.next_id = driving.next_id();
        Ok(driving.report())
    }

    /// Looks whether all streams are still open; how many, as JSON.
    ///
    /// # Errors
    /// A sentence that says how many are not.
    pub(crate) fn check_streams(&mut self) -> Result<String, String> {
        stream::check(&mut self.streams).map(|()| report::streams(self.streams.len()))
    }

    /// Sends each of `count` requests once, over all connections.
    pub(crate) fn each(
        &mut self,
        count: usize,
        request: impl FnMut(usize) -> Vec<u8>,
        take: impl FnMut(usize, &Head) -> Result<(), String>,
    ) -> Result<(), String> {
        self.carrier.work(&mut Each { count, next: 0, request, take })
    }

    /// A connection of its own.
    pub(crate) fn dial(&self) -> Result<Socket, String> {
        match &self.carrier {
            Carrier::Lanes(lanes) => lanes.dial().map_err(failed),
            Carrier::Multiplexed(_) => Err("--streams does not go with --h2".to_owned()),
        }
    }

    pub(crate) fn keep(&mut self, sessions: Vec<Session>) {
        self.turns = Turns::new(sessions, self.asks.paths.len());
    }
}

/// What carries requests.
enum Carrier {
    Lanes(Lanes),
    Multiplexed(Multiplexed),
}

impl Carrier {
    fn work(&mut self, work: &mut impl Work) -> Result<(), String> {
        match self {
            Self::Lanes(lanes) => lanes.work(work),
            Self::Multiplexed(connections) => connections.work(work),
        }
    }
}

/// Numbered requests, each once.
struct Each<R, T> {
    count: usize,
    next: usize,
    request: R,
    take: T,
}

impl<R: FnMut(usize) -> Vec<u8>, T: FnMut(usize, &Head) -> Result<(), String>> Work for Each<R, T> {
    fn next(&mut self, now: Instant, out: &mut Vec<u8>) -> Next {
        if self.next == self.count {
            return Next::Nothing;
        }
        let number = self.next;
        self.next += 1;
        out.extend_from_slice(&(self.request)(number));
        Next::Sent(Flight { id: number as u64, ask: 0, since: now })
    }

    fn answered(&mut self, flight: Flight, head: &Head, _body: &[u8], _bytes: usize) -> Result<(), String> {
        (self.take)(flight.id as usize, head)
    }
}
