//! Connections, with at most one request in flight on each.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use sluice_load::connection::{Connection, Flushed};
use sluice_load::readiness::{Interest, Readiness};

use crate::socket::{Dialer, Socket};
use crate::wire::{Head, Reader};

/// How often it is looked whether answers still come.
const WATCH: Duration = Duration::from_millis(500);

/// What is to be sent, and what becomes of the answers.
pub(crate) trait Work {
    /// Writes the next request, if it is time.
    fn next(&mut self, now: Instant, out: &mut Vec<u8>) -> Next;

    /// Takes an answer; `bytes` are those on the wire.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    fn answered(&mut self, flight: Flight, head: &Head, body: &[u8], bytes: usize) -> Result<(), String>;
}

/// What comes next.
pub(crate) enum Next {
    Sent(Flight),
    /// Nothing before this moment.
    At(Instant),
    /// Nothing any more.
    Nothing,
}

/// A request that is under way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flight {
    /// Its id or number.
    pub id: u64,
    /// What was asked.
    pub ask: usize,
    /// From when its latency counts.
    pub since: Instant,
}

struct Lane {
    connection: Connection<Socket>,
    reader: Reader,
    flight: Option<Flight>,
    is_full: bool,
}

/// All of them.
pub(crate) struct Lanes {
    dialer: Dialer,
    patience: Duration,
    readiness: Readiness,
    lanes: Vec<Lane>,
    idle: VecDeque<usize>,
    /// When the timer will be told.
    alarm: Option<Instant>,
}

impl Lanes {
    pub(crate) fn connect(dialer: Dialer, count: usize, patience: Duration) -> io::Result<Self> {
        let readiness = Readiness::new()?;
        let mut lanes = Vec::with_capacity(count);
        for token in 0..count {
            let connection = Connection::new(connect(&dialer, patience)?);
            readiness.add(connection.socket(), token as u64, Interest::Read)?;
            lanes.push(Lane { connection, reader: Reader::default(), flight: None, is_full: false });
        }
        Ok(Self { dialer, patience, readiness, lanes, idle: (0..count).collect(), alarm: None })
    }

    /// Works until there is nothing to do, and everything was answered.
    ///
    /// # Errors
    /// A sentence that says what went wrong.
    pub(crate) fn work(&mut self, work: &mut impl Work) -> Result<(), String> {
        let mut ready = Vec::new();
        let mut last = Instant::now();
        loop {
            let next = self.begin(work)?;
            let busy = self.lanes.len() - self.idle.len();
            if busy == 0 && next.is_none() {
                return Ok(());
            }
            self.wake(next).map_err(failed)?;
            self.readiness.wait(&mut ready).map_err(failed)?;
            for token in &ready {
                if *token == Readiness::TIMER {
                    self.alarm = None;
                } else if self.go_on(*token as usize, work)? {
                    last = Instant::now();
                    // at once: the others' answers are not waited for
                    self.begin(work)?;
                }
            }
            if busy > 0 && ready.contains(&Readiness::TIMER) && last.elapsed() > self.patience {
                return Err(format!("{busy} requests were not answered within {:?}", self.patience));
            }
        }
    }

    /// One more connection, that nobody looks after.
    ///
    /// # Errors
    /// As `connect(2)`, and those of TLS.
    pub(crate) fn dial(&self) -> io::Result<Socket> {
        self.dialer.connect(self.patience)
    }

    /// Sends what is due on connections that are idle; when there will be more.
    fn begin(&mut self, work: &mut impl Work) -> Result<Option<Instant>, String> {
        let now = Instant::now();
        while let Some(number) = self.idle.front() {
            let lane = &mut self.lanes[*number];
            match work.next(now, lane.connection.output()) {
                Next::Sent(flight) => lane.flight = Some(flight),
                Next::At(when) => return Ok(Some(when)),
                Next::Nothing => return Ok(None),
            }
            lane.flush(&self.readiness, *number).map_err(failed)?;
            self.idle.pop_front();
        }
        Ok(None)
    }

    /// Sets the timer, if it is not set to an earlier moment already.
    fn wake(&mut self, next: Option<Instant>) -> io::Result<()> {
        if next.is_none() && self.alarm.is_some() {
            return Ok(());
        }
        let now = Instant::now();
        let when = next.unwrap_or(now + WATCH).min(now + WATCH);
        if self.alarm.is_none_or(|alarm| when < alarm) {
            self.alarm = Some(when);
            self.readiness.wake_in(when.saturating_duration_since(now))?;
        }
        Ok(())
    }

    /// Reads and writes what can be; whether an answer was whole.
    fn go_on(&mut self, number: usize, work: &mut impl Work) -> Result<bool, String> {
        let lane = &mut self.lanes[number];
        let is_open = lane.connection.fill().map_err(failed)?;
        lane.flush(&self.readiness, number).map_err(failed)?;
        let Some(flight) = lane.flight else {
            if !lane.connection.input().is_empty() {
                return Err("an answer came that was not asked for".to_owned());
            }
            if !is_open {
                // nobody waits: clients connect again
                lane.connection = Connection::new(connect(&self.dialer, self.patience).map_err(failed)?);
                self.readiness.add(lane.connection.socket(), number as u64, Interest::Read).map_err(failed)?;
            }
            return Ok(false);
        };
        let (used, whole) = lane.reader.read(lane.connection.input())?;
        let Some(whole) = whole else {
            lane.connection.used(used);
            return if is_open { Ok(false) } else { Err("the connection was closed instead of an answer".to_owned()) };
        };
        let body = lane.reader.body(lane.connection.input(), &whole);
        work.answered(flight, &whole.head, body, whole.used)?;
        lane.connection.used(whole.used);
        if !lane.connection.input().is_empty() {
            return Err("more came behind an answer".to_owned());
        }
        lane.flight = None;
        self.idle.push_back(number);
        Ok(true)
    }
}

impl Lane {
    fn flush(&mut self, readiness: &Readiness, number: usize) -> io::Result<()> {
        let is_full = self.connection.flush()? == Flushed::Part;
        if is_full != self.is_full {
            self.is_full = is_full;
            let interest = if is_full { Interest::ReadWrite } else { Interest::Read };
            readiness.change(self.connection.socket(), number as u64, interest)?;
        }
        Ok(())
    }
}

/// A connection that does not block.
fn connect(dialer: &Dialer, patience: Duration) -> io::Result<Socket> {
    let socket = dialer.connect(patience)?;
    socket.set_nonblocking()?;
    Ok(socket)
}

/// What to say of the system's errors.
pub(crate) fn failed(error: io::Error) -> String {
    format!("connection: {error}")
}
