//! The end of a relay: what the client is told last, by why it ends.

use sluice_mcp::{Method, error_body};

use super::standing::End;
use super::{Item, Relay, Source};
use crate::catalog::exposure::Naming;
use crate::reason::Reason;

impl Relay {
    /// The server's stream is over. What was not answered gets an error, unless the client can resume.
    pub(super) fn end_of_source(&mut self) {
        self.ended = true;
        if self.answered {
            return;
        }
        let Some(expected) = &self.expected else {
            self.record.outcome = "ok";
            return;
        };
        if self.resumable || expected.method == Method::SubscriptionsListen {
            self.record.outcome = "stream_ended";
            if let Some(in_use) = &mut self.in_use {
                in_use.answered_elsewhere();
            }
            return;
        }
        let reason = match &self.source {
            Source::Child { child, .. } => child.gone(),
            _ => Reason::ServerClosed,
        };
        self.give_up(&reason);
    }

    /// Ends the stream with an error in place of the answer.
    pub(super) fn give_up(&mut self, reason: &Reason) {
        self.ended = true;
        self.record.outcome = reason.row().outcome;
        self.failed = Some(reason.row().status);
        if let (Some(expected), false) = (&self.expected, self.answered) {
            let of_many = self.handles.as_ref().filter(|handles| handles.naming != Naming::Own);
            let text = reason.text_of(of_many.map(|handles| &**handles.server()));
            let body = error_body(Some(&expected.id), reason.row().code, &text, None);
            self.before.push_back(Item::message(body.into()));
        }
    }

    pub(super) fn timed_out(&mut self) {
        if let Source::Child { child, ticket: Some(ticket), .. } = &self.source {
            child.abandon(*ticket);
        }
        if let Some(tell) = self.on_timeout.take() {
            tell();
        }
        self.give_up(&Reason::ServerTimeout);
    }

    /// Ends a stream in order: a listen stream gets its result, a standalone stream its reconnection time.
    pub(super) fn leave(&mut self, end: End) {
        self.ending = None;
        self.aside = None;
        self.ended = true;
        self.left = Some(end);
        self.record.outcome = match end {
            End::Leaving => "drained",
            End::SessionOver => "ok",
            End::Cancelled => "cancelled",
            End::NotAllowed => "no_longer_allowed",
            End::Expired => "credential_expired",
            End::Overtaken => "overtaken",
        };
        if matches!(end, End::SessionOver | End::Cancelled) {
            self.answered = true;
            return;
        }
        if self.expected.is_none() {
            let primed = self.primed_at_last();
            self.before.extend(primed);
        }
        let item = match &self.expected {
            Some(expected) => {
                self.answered = true;
                let id = String::from_utf8_lossy(&expected.id);
                let result = format!(
                    r#"{{"jsonrpc":"2.0","id":{id},"result":{{"resultType":"complete","_meta":{{"io.modelcontextprotocol/subscriptionId":{id}}}}}}}"#
                );
                Item::message(result.into())
            }
            None => Item {
                id: None,
                event: None,
                data: None,
                // spread out, so that a thousand clients do not come back in one millisecond
                retry: Some(500 + u64::from(crate::seal::random::<1>()[0]) * 8),
                raw: None,
                at: None,
            },
        };
        self.before.push_back(item);
    }

    /// A newer stream of the session has what comes from here on. The client is told how to come back, should it have to.
    pub(super) fn stand_aside(&mut self) {
        let Some(holding) = self.holding.take() else { return };
        // the newer one waits for the server to be let go, and this client may read no more
        self.let_go();
        let primed = self.primed_at_last();
        self.before.extend(primed);
        if let Some(ring) = self.keeping.ring() {
            ring.end(true);
        }
        let aside = holding.stand_aside();
        self.aside = Some(Box::pin(async move { aside.over().await }));
    }

    /// Lets go of whatever messages come from.
    fn let_go(&mut self) {
        if let Source::Gathered { gathering, .. } = &self.source {
            gathering.abort();
        }
        self.source = Source::Aside;
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let unfinished = self.expected.as_ref().is_some_and(|e| e.modern) && !self.answered;
        if let (true, Source::Child { child, ticket: Some(ticket), .. }) = (unfinished, &self.source) {
            child.abandon(*ticket);
        }
        self.let_go();
        if unfinished && !self.ended {
            self.record.outcome = "cancelled";
        }
    }
}
