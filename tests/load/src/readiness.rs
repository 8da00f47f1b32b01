//! Waiting until one of many sockets can be read or written, or a moment has come.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

/// Events taken at once: more than there are busy connections.
const EVENTS: usize = 1024;

/// What a descriptor is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// Bytes to read.
    Read,
    /// Bytes to read, or room to write.
    ReadWrite,
}

impl Interest {
    fn flags(self) -> EventFlags {
        match self {
            Self::Read => EventFlags::IN,
            Self::ReadWrite => EventFlags::IN | EventFlags::OUT,
        }
    }
}

/// Level-triggered epoll with a timer: what was not read to its end is told again.
pub struct Readiness {
    epoll: OwnedFd,
    /// A timerfd, because timeouts of epoll are rounded up to the timer slack, 50 µs.
    timer: OwnedFd,
    events: Vec<Event>,
}

impl Readiness {
    /// The token of [`Readiness::wake_in`].
    pub const TIMER: u64 = u64::MAX;

    /// Waits for nothing yet.
    ///
    /// # Errors
    /// When the process may open no more descriptors.
    pub fn new() -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        epoll::add(&epoll, &timer, EventData::new_u64(Self::TIMER), EventFlags::IN)?;
        Ok(Self { epoll, timer, events: Vec::with_capacity(EVENTS) })
    }

    /// Waits for a descriptor, too, until it is closed.
    ///
    /// # Errors
    /// As `epoll_ctl(2)`.
    pub fn add(&self, descriptor: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, descriptor, EventData::new_u64(token), interest.flags())?)
    }

    /// Waits for something else of a descriptor.
    ///
    /// # Errors
    /// As `epoll_ctl(2)`.
    pub fn change(&self, descriptor: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        Ok(epoll::modify(&self.epoll, descriptor, EventData::new_u64(token), interest.flags())?)
    }

    /// Makes [`Self::TIMER`] ready after so long, once; replaces what was set before. Zero is at once.
    ///
    /// # Errors
    /// As `timerfd_settime(2)`.
    pub fn wake_in(&self, after: Duration) -> io::Result<()> {
        // all zeros would switch the timer off
        let nanos = i64::try_from(after.as_nanos()).unwrap_or(i64::MAX).max(1);
        let value = Timespec { tv_sec: nanos / 1_000_000_000, tv_nsec: nanos % 1_000_000_000 };
        let never = Timespec { tv_sec: 0, tv_nsec: 0 };
        let when = Itimerspec { it_interval: never, it_value: value };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &when)?;
        Ok(())
    }

    /// The tokens that became ready; waits until there are any. The timer is acknowledged here.
    ///
    /// # Errors
    /// As `epoll_wait(2)`, but for interruptions.
    pub fn wait(&mut self, ready: &mut Vec<u64>) -> io::Result<()> {
        self.events.clear();
        ready.clear();
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), None) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        for event in &self.events {
            let token = event.data.u64();
            if token == Self::TIMER {
                // set again meanwhile: nothing to read, and it is told later
                let _ = rustix::io::read(&self.timer, &mut [0; 8]);
            }
            ready.push(token);
        }
        Ok(())
    }
}
