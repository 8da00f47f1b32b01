//! Watching a server: a session of our own, and the stream on which the server tells that its lists changed. One per server
//! and node, while lists are asked for.

use std::rc::Rc;
use std::sync::Arc;

use sluice_mcp::{Kind, Method, ScanLimits, SseDecoder, scan};

use crate::catalog::Kind as Kinds;
use crate::catalog::answers::Watch;
use crate::drain::Phase;
use crate::exchange::sessions::OwnSession;
use crate::limit;
use crate::node::Worker;
use crate::upstream::Upstream;
use crate::upstream::http::Answer;

/// Begins to watch; it ends with the stream, or when nobody lists any more.
pub(super) fn begin(worker: &Rc<Worker>, upstream: &Arc<Upstream>, watch: Watch) {
    let (worker, upstream) = (Rc::clone(worker), Arc::clone(upstream));
    tokio::task::spawn_local(async move {
        let session = OwnSession::open(&worker, &upstream).await.ok();
        if let Some(session) = &session
            && let Some(stream) = session.listen(&worker, &upstream).await
        {
            tracing::debug!(server = %upstream.name(), "its lists are watched");
            watch.is_open();
            tokio::select! {
                () = hear(&worker, &upstream, session, stream) => {}
                () = unneeded(&worker, &upstream) => {}
            }
            tracing::debug!(server = %upstream.name(), "its lists are no longer watched");
        }
        watch.rests(limit::WATCH_AGAIN);
        drop(watch);
        if let Some(session) = session {
            session.end(&worker, &upstream).await;
        }
    });
}

/// Hears what the server says, to the end of the stream.
async fn hear(worker: &Rc<Worker>, upstream: &Arc<Upstream>, session: &OwnSession, mut stream: Answer) {
    let mut decoder = SseDecoder::new(limit::EVENT_BYTES);
    loop {
        while let Ok(Some(event)) = decoder.next() {
            let Some(data) = event.data.filter(|data| !data.is_empty()) else { continue };
            let Ok(message) = scan(&data, ScanLimits { depth: u16::MAX }) else { continue };
            match (message.kind, message.id) {
                (Kind::Notification, _) => upstream.catalogue.changed(Kinds::changed_by(message.method)),
                (Kind::Request, Some(id)) => {
                    session.reply(worker, upstream, id.of(&data), message.method == Method::Ping).await;
                }
                _ => {}
            }
        }
        match stream.data().await {
            Some(Ok(data)) => decoder.push(data),
            Some(Err(_)) | None => return,
        }
    }
}

/// Waits until nobody has listed for a while, the server is configured otherwise, or the node stops.
async fn unneeded(worker: &Rc<Worker>, upstream: &Arc<Upstream>) {
    let mut planes = worker.node.planes.clone();
    let mut look = tokio::time::interval(limit::WATCH_IDLE);
    // the first tick is at once
    look.tick().await;
    loop {
        tokio::select! {
            () = worker.node.drain.reached(Phase::Closing) => return,
            _ = look.tick() => {
                if !upstream.catalogue.answers.was_asked() {
                    return;
                }
            }
            changed = planes.changed() => {
                let plane = planes.borrow_and_update();
                if changed.is_err() || !plane.server(upstream.name()).is_some_and(|now| now.shows_as(upstream)) {
                    return;
                }
            }
        }
    }
}
