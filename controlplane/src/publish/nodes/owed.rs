//! Nodes that were away when somebody ended sessions: what they hold alone is ended when they come back.

use std::sync::Arc;
use std::time::Duration;

use sluice_contract::v1;
use sluice_contract::v1::sessions_asked::What as Asked;
use sluice_contract::v1::sessions_told::What as Told;
use tokio::sync::{mpsc, oneshot};

use super::sessions::{PATIENCE, Question};
use super::{Nodes, now_ms};
use crate::store::owed;

/// No session is older than that: what was not told until then concerns none that lives.
const KEPT: Duration = Duration::from_secs(30 * 86_400);

impl Nodes {
    /// Keeps an end for a node that is away, and says what became of it.
    pub(super) async fn owe(self: &Arc<Self>, node: &str, which: &v1::EndSessionsRequest) -> &'static str {
        let Some(store) = &self.store else { return "a session there may go on" };
        let (name, now) = (node.to_owned(), now_ms());
        // not of sessions that begin later
        let request = v1::EndSessionsRequest { begun_by_ms: now, ..which.clone() };
        let kept = store.write(move |db| owed::keep(db, &name, now, since(now), &request)).await;
        match kept {
            Ok(true) => {
                // it may have come back meanwhile
                let back = self.known().get(node).and_then(|node| node.visitor.as_ref()).map(|v| v.questions.clone());
                if let Some(questions) = back {
                    tokio::spawn(Arc::clone(self).tell_owed(node.to_owned(), questions));
                }
                "it is told when it comes back"
            }
            Ok(false) => "too much waits to be told to it: a session there may go on",
            Err(error) => {
                tracing::error!(node, %error, "the end of sessions cannot be kept for a node that is away");
                "a session there may go on"
            }
        }
    }

    /// Tells a node that came what it was not told, one after the other; what it does not answer, it is told the next time.
    pub(super) async fn tell_owed(self: Arc<Self>, node: String, questions: mpsc::Sender<Question>) {
        let Some(store) = self.store.clone() else { return };
        let (name, now) = (node.clone(), now_ms());
        let owed = match store.read(move |db| owed::of(db, &name, since(now))).await {
            Ok(owed) => owed,
            Err(error) => {
                tracing::error!(node, %error, "what a node is to be told of ended sessions cannot be read");
                return;
            }
        };
        for (number, request) in owed {
            let (answer, told) = oneshot::channel();
            let question = Question { what: Asked::End(request), shared: false, answer };
            if questions.send(question).await.is_err() {
                return;
            }
            match tokio::time::timeout(PATIENCE, told).await {
                Ok(Ok(Told::End(v1::EndSessionsResponse { ended, trouble }))) if trouble.is_empty() => {
                    tracing::info!(
                        node,
                        ended,
                        "sessions were ended at a node that was away when somebody asked for it"
                    );
                    if let Err(error) = store.write(move |db| owed::settle(db, number)).await {
                        tracing::error!(node, %error, "a node will be told once more to end the same sessions");
                    }
                }
                _ => return,
            }
        }
    }
}

/// Since when what was asked for still counts.
fn since(now_ms: u64) -> u64 {
    now_ms.saturating_sub(u64::try_from(KEPT.as_millis()).unwrap_or(u64::MAX))
}
