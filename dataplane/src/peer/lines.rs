//! One worker's connections to other nodes: made when they are needed, few to each, and given up when they idle.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Mutex;

use super::line::{Line, Undialled};
use super::roster::Peer;
use super::{Home, Peers};
use crate::limit;

/// A worker's connections to other nodes.
pub(crate) struct Lines {
    peers: Arc<Peers>,
    to: RefCell<HashMap<Arc<str>, Rc<Slot>, foldhash::fast::RandomState>>,
}

/// Those to one node. Who waits for the lock waits for somebody who dials.
type Slot = Mutex<Open>;

#[derive(Default)]
struct Open {
    lines: Vec<Rc<Line>>,
    /// When it could not be dialled, and what that meant.
    failed: Option<(Instant, Away)>,
}

/// Why what is held elsewhere cannot be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Away {
    /// The node is none of the fleet any more, or has not been heard of by anybody for a while.
    Gone,
    /// Nobody listens there: what was in the node's memory is nowhere any more.
    Ended,
    /// Whether it is still there is not known.
    Unreachable,
    /// As much goes to that node as may at a time.
    Busy,
}

impl Lines {
    pub(crate) fn new(peers: Arc<Peers>) -> Self {
        Self { peers, to: RefCell::default() }
    }

    /// A connection to a node.
    ///
    /// # Errors
    /// There is none to be had, within [`limit::LINK_CONNECT`].
    pub(crate) async fn to(&self, home: Home) -> Result<Rc<Line>, Away> {
        let roster = self.peers.roster();
        let Some(peer) = roster.of_home(home) else {
            // one that was sent away, or never was; or one that came while nobody told, or has just come
            return Err(if self.peers.may_be_unheard(home) { Away::Unreachable } else { Away::Gone });
        };
        let slot = Rc::clone(self.to.borrow_mut().entry(Arc::clone(&peer.name)).or_default());
        slot.lock().await.line(&self.peers, peer, roster.is_current).await
    }

    /// Gives up what is not used any more.
    pub(crate) fn sweep(&self) {
        let is_used = |line: &Rc<Line>| {
            !line.is_closed() && (Rc::strong_count(line) > 1 || line.used.get().elapsed() < limit::LINK_IDLE)
        };
        self.to.borrow_mut().retain(|_, slot| match slot.try_lock() {
            Ok(mut open) => {
                open.lines.retain(is_used);
                !open.lines.is_empty()
            }
            // somebody dials
            Err(_) => true,
        });
    }
}

impl Open {
    /// A connection with room for one more exchange.
    async fn line(&mut self, peers: &Arc<Peers>, peer: &Peer, is_current: bool) -> Result<Rc<Line>, Away> {
        self.lines.retain(|line| !line.is_closed());
        // each exchange under way holds its line
        let has_room = |line: &&Rc<Line>| Rc::strong_count(line) <= limit::LINK_STREAMS as usize;
        if let Some(line) = self.lines.iter().find(has_room) {
            return Ok(Rc::clone(line));
        }
        if self.lines.len() >= limit::LINKS_PER_NODE {
            return Err(Away::Busy);
        }
        if let Some((at, away)) = self.failed
            && at.elapsed() < limit::LINK_RETRY
        {
            return Err(away);
        }
        match Line::dial(peers, peer).await {
            Ok(line) => {
                self.failed = None;
                self.lines.push(Rc::clone(&line));
                Ok(line)
            }
            Err(error) => {
                let away = match error {
                    // neither the control plane nor this node hears of it
                    _ if peer.is_absent && is_current => Away::Gone,
                    Undialled::Refused(_) => Away::Ended,
                    Undialled::Unreachable(_) | Undialled::Unwelcome => Away::Unreachable,
                };
                tracing::warn!(peer = %peer.name, address = %peer.address, %error, ?away, "no link to another node");
                self.failed = Some((Instant::now(), away));
                Err(away)
            }
        }
    }
}
