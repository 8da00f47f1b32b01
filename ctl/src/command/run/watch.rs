//! Watches what snapshots are made of, and hands each new one to the data plane.

use std::sync::Arc;
use std::time::Duration;

use sluice_controlplane::publish::{PublishError, Published, Publisher};
use sluice_snapshot::model::Snapshot;
use tokio::sync::watch::{Receiver, Sender, channel};

/// How often sources are looked at. A revoked key is refused within a second; half of it is for the rest of the way.
const INTERVAL: Duration = Duration::from_millis(500);

/// Hands over the first snapshot, and the next ones from a thread of its own until nobody listens any more.
pub(super) fn start(first: &Published, mut publisher: Publisher) -> Receiver<Arc<Snapshot>> {
    let (sender, receiver) = channel(parse(first));
    let watcher = std::thread::Builder::new().name("sluice-watch".to_owned());
    if let Err(error) = watcher.spawn(move || watch(&mut publisher, &sender)) {
        tracing::error!(%error, "changes of keys will not be noticed: no thread to watch them");
    }
    receiver
}

fn watch(publisher: &mut Publisher, sender: &Sender<Arc<Snapshot>>) {
    while !sender.is_closed() {
        std::thread::sleep(INTERVAL);
        if !publisher.is_stale() {
            continue;
        }
        match publisher.publish().map(|published| parse(&published)) {
            Ok(snapshot) => {
                tracing::info!(revision = snapshot.revision, "configuration changed");
                // Fails only when nobody listens any more, which ends the loop.
                let _ = sender.send(snapshot);
            }
            Err(error) => tracing::error!(reason = %reason(&error), "the last good configuration stays"),
        }
    }
}

fn parse(published: &Published) -> Arc<Snapshot> {
    let parsed = sluice_snapshot::parse(&published.snapshot);
    Arc::new(parsed.expect("compile proved the snapshot with this parser"))
}

fn reason(error: &PublishError) -> String {
    match error {
        PublishError::Faults(faults) => {
            let faults: Vec<_> = faults.iter().map(|fault| format!("{}: {}", fault.path, fault.message)).collect();
            faults.join("; ")
        }
        PublishError::Keys(error) => error.to_string(),
    }
}
