//! Watches what is desired, and hands each change to the publisher.
//!
//! The system tells when something happens in the folders of the files (`notify`); because it does not do so everywhere
//! (network folders, containers, a full table of watches), the files are looked at twice a second all the same. Both only
//! wake the watcher: what counts is whether the files are others than before.

mod folders;
mod terminal;

use std::sync::Arc;
use std::time::Duration;

use sluice_controlplane::publish::{Changes, Desired};
use sluice_controlplane::source::{Feed, FeedError, News, Reason};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::sync::watch::{Receiver, Sender, channel};
use tokio::time::sleep;

use super::log;
use folders::Folders;
use terminal::Terminal;

/// How often sources are looked at when nobody tells that they changed. A revoked key is refused within a second; half
/// of it is for the rest of the way.
const INTERVAL: Duration = Duration::from_millis(500);
/// Files are read when they have not changed for so long: whoever writes in several steps is let finish.
const QUIET: Duration = Duration::from_millis(50);
/// Steps of [`QUIET`] after which files are read even though they still change.
const PATIENCE: usize = 8;

/// Hands over what is desired first, and what is next from a thread of its own until nobody listens any more.
pub(super) fn start(first: &News, feed: Feed) -> Receiver<Arc<Desired>> {
    let (sender, receiver) = channel(Arc::clone(&first.desired));
    let watcher = std::thread::Builder::new().name("sluice-watch".to_owned());
    if let Err(error) = watcher.spawn(move || run(feed, &sender)) {
        tracing::error!(%error, "changes will not be noticed: no thread to watch files");
    }
    receiver
}

fn run(feed: Feed, sender: &Sender<Arc<Desired>>) {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(watch(feed, sender)),
        Err(error) => tracing::error!(%error, "changes will not be noticed: files cannot be watched"),
    }
}

async fn watch(mut feed: Feed, sender: &Sender<Arc<Desired>>) {
    // One place: a wake-up that waits stands for all that come while it does.
    let (wake, mut woken) = mpsc::channel(1);
    let mut folders = Folders::new(wake);
    let terminal = Terminal::of_process();
    let mut hangup = signal(SignalKind::hangup()).ok();
    loop {
        folders.follow(feed.files().paths());
        let mut is_asked = false;
        tokio::select! {
            () = sender.closed() => return,
            // Much may happen in a folder; one look is enough for all of it.
            _ = woken.recv() => sleep(QUIET).await,
            () = sleep(INTERVAL) => {}
            () = asked(&mut hangup) => {
                // The signal may be faster than what it is about.
                sleep(QUIET).await;
                if terminal.is_gone() {
                    tracing::info!("the terminal is gone, and so the process ends");
                    terminal::end();
                    hangup = None;
                } else {
                    tracing::info!("asked to read the configuration again");
                    feed.read_again();
                    is_asked = true;
                }
            }
        }
        if feed.is_stale() {
            settle(&feed).await;
            let is_new = publish(&mut feed, sender);
            if is_asked && !is_new {
                tracing::info!("the configuration is the same as before");
            }
        }
    }
}

/// Waits for SIGHUP.
async fn asked(hangup: &mut Option<Signal>) {
    if let Some(hangup) = hangup
        && hangup.recv().await.is_some()
    {
        return;
    }
    std::future::pending().await
}

/// Waits until nobody writes any more, for a while.
async fn settle(feed: &Feed) {
    let mut seen = feed.files().now();
    for _ in 0..PATIENCE {
        sleep(QUIET).await;
        if !seen.changed() {
            return;
        }
        seen = seen.now();
    }
}

/// `true` when there is something new, for the data plane or to be repaired.
fn publish(feed: &mut Feed, sender: &Sender<Arc<Desired>>) -> bool {
    match feed.look() {
        Ok(Some(news)) => {
            let document = feed.document();
            log::faults(&document.source, &news.warnings, log::Weight::Warning);
            let [added, removed, changed, also] = listed(&news.changes);
            tracing::info!(revision = news.snapshot.revision, added, removed, changed, also, "configuration changed");
            // Fails only when nobody listens any more, which ends the loop.
            let _ = sender.send(news.desired);
            true
        }
        // Clients keep more than servers in their files, and write them often.
        Ok(None) => false,
        Err(error) => {
            refused(&error);
            tracing::error!("the last good configuration stays, until its files change again");
            true
        }
    }
}

/// The lists that are not empty: servers added, removed and changed, and what else changed.
fn listed(changes: &Changes) -> [Option<String>; 4] {
    let lists =
        [changes.added.join(", "), changes.removed.join(", "), changes.changed.join(", "), changes.also.join(", ")];
    lists.map(|list| (!list.is_empty()).then_some(list))
}

/// One line for each mistake.
fn refused(error: &FeedError) {
    match error {
        FeedError::Unreadable(Reason::Rejected(rejected)) => {
            log::faults(&rejected.source, &rejected.faults, log::Weight::Error);
        }
        FeedError::Unreadable(Reason::File(reason)) => tracing::error!("{reason}"),
        FeedError::Faults(source, faults) => log::faults(source, faults, log::Weight::Error),
        FeedError::Keys(error) => tracing::error!("{error}"),
    }
}
