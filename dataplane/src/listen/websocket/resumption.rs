//! How a WebSocket goes on with the session of one that broke: what its URL says, and what it takes up.
//!
//! `?session=new` says that the client comes back; the result of `initialize` then names the session. `?session=ID&received=N` comes
//! back, after N messages. What went to the client since goes once more, and first of all a notification says how many of the
//! client's own came in.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use sluice_mcp::header;
use tokio::sync::{mpsc, watch};

use crate::auth::Principal;
use crate::exchange::call::{Arrival, Base, Scope};
use crate::exchange::named_session;
use crate::limit;
use crate::listen::berth::{Berth, Berths, Ends, Held, Sent};
use crate::listen::door::House;
use crate::listen::outbox::outbox;
use crate::listen::pipe::{Anchor, Pipe};
use crate::node::Worker;
use crate::peer::Away;
use crate::reason::Reason;
use crate::session::InUse;

/// What a URL says of the session.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Nothing: it ends with the connection.
    Plain,
    /// One that begins, and to which the client may come back.
    New,
    /// One that began: its id, and how many messages came.
    Again { session: String, received: u64 },
}

/// What a connection goes on with.
pub(super) enum TakenUp {
    /// Nothing was before; whether the client may come back.
    Nothing { resumable: bool },
    /// The end of a pipe of this node.
    Here(Held),
    /// A session whose pipe is no more, or at another node, after so many messages.
    Adrift { id: String, in_use: InUse, received: u64 },
}

impl Wanted {
    /// Reads the query of a URL.
    ///
    /// # Errors
    /// [`Reason::NotResumable`].
    pub(super) fn of(query: &str) -> Result<Self, Reason> {
        let value =
            |wanted: &str| query.split('&').filter_map(|pair| pair.split_once('=')).find(|(name, _)| *name == wanted);
        match (value("session"), value("received")) {
            (None, _) => Ok(Self::Plain),
            (Some((_, "new")), None) => Ok(Self::New),
            (Some((_, session)), Some((_, received))) if !session.is_empty() => {
                let received = received.parse().map_err(|_| Reason::NotResumable("`received` must be a number"))?;
                Ok(Self::Again { session: session.to_owned(), received })
            }
            _ => Err(Reason::NotResumable(
                "`session` must be `new`, or an id beside `received`, the number of messages that came",
            )),
        }
    }

    /// Takes up what is wanted; `base` says who wants it, at which door.
    ///
    /// # Errors
    /// There is no such session of this client, or what it says of it cannot be.
    pub(super) async fn take_up(
        self,
        house: &House,
        scope: &Scope,
        base: Box<Base>,
    ) -> (Box<Base>, Result<TakenUp, Reason>) {
        let (session, received) = match self {
            Self::Plain => return (base, Ok(TakenUp::Nothing { resumable: false })),
            Self::New => return (base, Ok(TakenUp::Nothing { resumable: true })),
            Self::Again { session, received } => (session, received),
        };
        let mut arrival = Arrival { upstream: scope.clone(), base };
        let taken = match arrival.headers.push(header::SESSION_ID.as_bytes(), session.as_bytes()) {
            Ok(()) => again(house, &arrival, session, received).await,
            // no field value, so none of our ids
            Err(_) => Err(Reason::SessionUnknown),
        };
        (arrival.base, taken)
    }
}

async fn again(house: &House, arrival: &Arrival, id: String, received: u64) -> Result<TakenUp, Reason> {
    let in_use = match named_session(&house.worker, arrival).await {
        Ok(in_use) => in_use,
        Err(Reason::SessionElsewhere(at)) => {
            return Err(match house.worker.lines.to(at.home.into()).await {
                Err(Away::Gone | Away::Ended) if at.unseen => Reason::SessionStore,
                Err(Away::Gone | Away::Ended) => Reason::SessionUnknown,
                Ok(_) | Err(_) => Reason::ConnectionElsewhere,
            });
        }
        Err(reason) => return Err(reason),
    };
    let Some(berth) = house.berths.of(&in_use.session.id) else {
        return Ok(TakenUp::Adrift { id, in_use, received });
    };
    let mut held = berth.take().await?;
    let ends = held.ends();
    if !ends.sent.confirm(received) {
        return Err(Reason::NotResumable("so many messages were not sent, or fewer were than came before"));
    }
    ends.principal.send_replace(arrival.principal.clone());
    Ok(TakenUp::Here(held))
}

impl TakenUp {
    /// The end that a connection speaks to, and what it says first.
    pub(super) fn end(self, shore: &Shore, scope: Scope, principal: Principal) -> (Held, Option<Bytes>) {
        match self {
            Self::Here(mut held) => {
                let taken = held.ends().taken;
                (held, Some(resumed(&format!(r#"{{"received":{taken}}}"#))))
            }
            Self::Nothing { resumable } => (shore.begin(scope, principal, resumable, 0).0, None),
            Self::Adrift { id, in_use, received } => {
                let (held, pipe) = shore.begin(scope, principal, true, received);
                pipe.go_on(id, in_use);
                (held, Some(resumed(r#"{"interrupted":true}"#)))
            }
        }
    }
}

/// Where pipes of WebSockets begin.
pub(super) struct Shore {
    pub worker: Rc<Worker>,
    pub berths: Arc<Berths>,
}

impl Shore {
    /// A pipe, and the client's end of it.
    fn begin(&self, scope: Scope, principal: Principal, resumable: bool, received: u64) -> (Held, Rc<Pipe>) {
        let (outbox, waiting) = outbox();
        let (mailbox, mails) = mpsc::channel(limit::MAILBOX_MESSAGES);
        let berth = Berth::new();
        let (known, newest) = watch::channel(principal.clone());
        let pipe = match resumable {
            true => Pipe::anchored(&self.worker, scope, principal, outbox, Anchor::new(&self.berths, &berth)),
            false => {
                berth.close();
                Pipe::new(&self.worker, scope, principal, outbox)
            }
        };
        let desk = pipe.desk().clone();
        tokio::task::spawn_local(Rc::clone(&pipe).run(mails));
        if resumable {
            tokio::task::spawn_local(Rc::clone(&pipe).follow(newest));
        }
        let sent = Sent::new(resumable, received);
        let held = berth.hold(Ends { waiting, sent, mailbox, desk, principal: known, taken: 0 });
        (held, pipe)
    }
}

/// What a client that came back is told first. It counts in neither number.
fn resumed(params: &str) -> Bytes {
    format!(r#"{{"jsonrpc":"2.0","method":"notifications/sluice/resumed","params":{params}}}"#).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_which_session_is_wanted() {
        let again = |session: &str, received| Wanted::Again { session: session.to_owned(), received };
        for (query, wanted) in [
            ("", Wanted::Plain),
            ("key=x", Wanted::Plain),
            ("session=new", Wanted::New),
            ("session=AbC_-1&received=7", again("AbC_-1", 7)),
            ("x=1&received=0&session=a", again("a", 0)),
        ] {
            assert_eq!(Wanted::of(query), Ok(wanted), "{query}");
        }
        for query in ["session=", "session=a", "session=a&received=", "session=a&received=-1", "session=&received=1"] {
            assert!(Wanted::of(query).is_err(), "{query}");
        }
    }
}
