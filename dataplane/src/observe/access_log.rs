//! The access log: one JSON line per request on stderr. Each worker writes its lines, as text, on a page of its own; a thread
//! takes the pages away and puts them out in the order of time. When that is behind, lines are lost and counted, and traffic
//! goes on.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::metrics::Metrics;
use crate::limit;

mod gathered;
mod line;

use gathered::Gathered;
pub(crate) use line::{Line, RequestName, shortened};

/// Lines one after the other, and when and where each ends.
#[derive(Default)]
struct Lines {
    text: Vec<u8>,
    ends: Vec<(Instant, usize)>,
}

/// Lines that were not taken away yet. The lock is asked for by their worker, and once in a while by the thread that takes them.
type Shared = Arc<Mutex<Lines>>;

/// What the writer is told.
enum Bell {
    /// There are lines on a page that had none.
    Lines,
    /// Everything before is to be put out now.
    Flush(SyncSender<()>),
}

/// The log, as a node has it.
#[derive(Clone)]
pub(crate) struct AccessLog {
    pages: Arc<Mutex<Vec<Shared>>>,
    bell: SyncSender<Bell>,
    metrics: Arc<Metrics>,
}

/// Where a worker writes its lines.
pub(crate) struct Page {
    lines: Shared,
    bell: SyncSender<Bell>,
    metrics: Arc<Metrics>,
}

impl AccessLog {
    /// Starts the writer thread; it ends when the log and all its pages are gone.
    pub(crate) fn start(metrics: Arc<Metrics>) -> std::io::Result<Self> {
        let (bell, bells) = sync_channel(limit::LOG_BELLS);
        let pages = Arc::default();
        let all = Arc::clone(&pages);
        std::thread::Builder::new().name("access-log".into()).spawn(move || write(&bells, &all))?;
        Ok(Self { pages, bell, metrics })
    }

    /// A page for one more worker.
    pub(crate) fn page(&self) -> Page {
        let lines = Shared::default();
        locked(&self.pages).push(Arc::clone(&lines));
        Page { lines, bell: self.bell.clone(), metrics: Arc::clone(&self.metrics) }
    }

    /// Waits, for a bounded time, until what was recorded so far is written.
    pub(crate) fn flush(&self) {
        let (done, wait) = sync_channel(1);
        if self.bell.try_send(Bell::Flush(done)).is_ok() {
            let _ = wait.recv_timeout(limit::LOG_FLUSH);
        }
    }
}

impl Page {
    /// Notes a request that ended at this moment.
    pub(crate) fn record(&self, at: Instant, line: &Line<'_>) {
        let mut lines = locked(&self.lines);
        if lines.text.len() >= limit::LOG_PAGE_BYTES {
            self.metrics.log_lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let first = lines.text.is_empty();
        line.write(&mut lines.text);
        let end = lines.text.len();
        lines.ends.push((at, end));
        drop(lines);
        if first {
            // where there is no room, the writer is about to look at all pages anyway
            let _ = self.bell.try_send(Bell::Lines);
        }
    }
}

fn write(bells: &Receiver<Bell>, pages: &Mutex<Vec<Shared>>) {
    let mut gathered = Gathered::default();
    loop {
        let bell =
            if gathered.is_empty() { bells.recv().map_err(|_| TryRecvError::Disconnected) } else { bells.try_recv() };
        gathered.take(&locked(pages));
        match bell {
            // waking this thread costs the path more than writing a line: a lone one goes out at once, many go together
            Ok(Bell::Lines) | Err(TryRecvError::Empty) => {
                gathered.put(&mut std::io::stderr().lock());
                std::thread::sleep(limit::LOG_PAUSE);
            }
            Ok(Bell::Flush(done)) => {
                gathered.put_all(&mut std::io::stderr().lock());
                let _ = done.send(());
            }
            Err(TryRecvError::Disconnected) => return gathered.put_all(&mut std::io::stderr().lock()),
        }
    }
}

fn locked<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
