//! Where the messages of a client on a pipe are taken: judged as they come, on whichever worker its connection is.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use sluice_mcp::{Kind, Message, ScanLimits, error_body, scan};

use crate::auth::quota::Account;
use crate::auth::shares::Via;
use crate::exchange::call::{Refusal, Scope};
use crate::exchange::record::Record;
use crate::listen::mailbox::Mail;
use crate::listen::outbox::Outbox;
use crate::node::Worker;
use crate::plane::Plane;
use crate::reason::Reason;

/// The desk of one pipe.
#[derive(Clone)]
pub(crate) struct Desk {
    pub(super) scope: Scope,
    /// What logs call the client.
    pub(super) name: Arc<str>,
    pub(super) account: Arc<Account>,
    pub(super) outbox: Outbox,
}

impl Desk {
    /// Judges what came as one message: admitted, it is mail; else the client is told why.
    pub(crate) async fn accept(&self, worker: &Rc<Worker>, body: Bytes) -> Option<Mail> {
        let plane = worker.plane();
        let limits = &plane.snapshot.limits;
        let message = match scan(&body, ScanLimits { depth: limits.json_depth }) {
            Ok(message) => message,
            Err(error) => {
                let id = error.id.map(|s| body.slice(s.range()));
                self.refuse(&Refusal { reason: Reason::Message { code: error.code(), text: error.to_string() }, id })
                    .await;
                return None;
            }
        };
        let admitted = worker.node.hold(body.len()).and_then(|held| {
            let ticket = worker.node.quotas.admit(&self.account, limits, Via::Door, Instant::now())?;
            Ok((held, ticket))
        });
        match admitted {
            Ok((held, ticket)) => Some(Mail { body, message, held, ticket, principal: None }),
            Err(reason) => {
                self.record(worker, &plane).fail(&reason);
                let id = message.id.map(|s| body.slice(s.range()));
                self.turn_down(&message, Refusal { reason, id }).await;
                None
            }
        }
    }

    /// Tells the client that something it sent is refused.
    pub(crate) async fn refuse(&self, refusal: &Refusal) {
        let row = refusal.reason.row();
        let data = refusal.reason.data();
        let body = error_body(refusal.id.as_deref(), row.code, &refusal.reason.text(), data.as_deref());
        self.outbox.send(body.into()).await;
    }

    /// A message that cannot go on. Only a request has an answer that could say so.
    pub(super) async fn turn_down(&self, message: &Message, refusal: Refusal) {
        if message.kind == Kind::Request {
            self.refuse(&refusal).await;
        } else {
            tracing::warn!(reason = %refusal.reason.text(), "a notification was refused");
        }
    }

    pub(super) fn record(&self, worker: &Rc<Worker>, plane: &Plane) -> Record {
        let mut record = Record::begin(worker, plane);
        record.principal = Some(Arc::clone(&self.name));
        if let Scope::Server(upstream) = &self.scope {
            record.upstream = Some(Arc::clone(upstream));
        }
        record
    }
}
