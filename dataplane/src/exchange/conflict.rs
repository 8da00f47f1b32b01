//! A server that says that a stream of the session is open already: it has not noticed yet that this client's last one is gone, or the
//! node that had it is about to let go.

use std::time::{Duration, Instant};

use super::holding::Holding;
use crate::limit;
use crate::reason::Reason;

/// A server says that a stream of the session is open already.
#[derive(Default)]
pub(super) struct Conflict {
    since: Option<Instant>,
    pause: Duration,
}

impl Conflict {
    /// Waits before the server is asked again.
    ///
    /// # Errors
    /// It was asked for long enough, or a newer GET is asking.
    pub(super) async fn wait(&mut self, holding: Option<&Holding>) -> Result<(), Reason> {
        let since = *self.since.get_or_insert_with(Instant::now);
        if since.elapsed() >= limit::STREAM_CONFLICT {
            return Err(Reason::StreamHeld);
        }
        self.pause = (self.pause * 2).clamp(limit::STREAM_CONFLICT_FIRST, limit::STREAM_CONFLICT_LAST);
        let pause = tokio::time::sleep(self.pause);
        match holding {
            None => pause.await,
            Some(holding) => tokio::select! {
                () = pause => {}
                () = holding.lost() => return Err(Reason::StreamTaken),
            },
        }
        Ok(())
    }
}
