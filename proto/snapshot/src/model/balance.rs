//! The places a server runs in, and how requests are shared among them.

use std::sync::Arc;
use std::time::Duration;

use super::HttpEndpoint;

/// How requests are shared among the places of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Balance {
    /// All of them, in configured order; the first is that of the transport. Never empty, no address twice.
    pub endpoints: Vec<Endpoint>,
    /// Which requests may be sent once more to another.
    pub retries: Retries,
    /// Requests that are sent once more, of a hundred.
    pub retry_percent: u32,
    /// When one gets no requests for a while.
    pub ejection: Ejection,
    /// How they are asked how they are; `None`: they are judged by what becomes of requests alone.
    pub health_check: Option<HealthCheck>,
}

/// A place where a server runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Its address, with the headers and the credential of the server.
    pub at: HttpEndpoint,
    /// How much of the requests it gets beside the others, from 1.
    pub weight: u32,
    /// Used while none of the others is in service.
    pub standby: bool,
}

/// Which requests may be sent once more to another place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Retries {
    /// Those of which nothing was sent.
    #[default]
    Unsent,
    /// Also reads, and calls of tools that are annotated as idempotent or read-only.
    Idempotent,
}

/// When a place gets no requests for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ejection {
    /// After so many failures in a row.
    pub failures: u32,
    /// The first time for so long; twice as long each time after.
    pub pause: Duration,
    /// At most so many of a hundred are out, rounded up, and never all.
    pub percent: u32,
}

impl Ejection {
    /// How many of so many places may be out at a time.
    #[must_use]
    pub fn most(&self, places: usize) -> usize {
        let share = (places * self.percent as usize).div_ceil(100);
        share.min(places.saturating_sub(1))
    }
}

/// How places are asked how they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// GET of this path, beginning with `/`; `None`: MCP itself is asked.
    pub path: Option<Arc<str>>,
    /// Time between two.
    pub interval: Duration,
    /// Time for the answer.
    pub timeout: Duration,
    /// Failures in a row after which a place is out of service.
    pub unhealthy: u32,
    /// Successes in a row after which it is in service again.
    pub healthy: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_are_out_but_never_all() {
        let most = |places, percent| Ejection { failures: 5, pause: Duration::from_secs(1), percent }.most(places);
        assert_eq!(
            [most(1, 100), most(2, 50), most(2, 100), most(3, 50), most(10, 10), most(10, 0)],
            [0, 1, 1, 2, 1, 0]
        );
    }
}
