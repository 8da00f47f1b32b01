//! HTTP/1.1 towards clients (RFC 9112): one request after another on a connection, each answered before the next is taken up.
//! A client that goes away while its request is answered takes the answer with it.

use std::cell::RefCell;
use std::io::{Error, ErrorKind};
use std::rc::Rc;
use std::task::{Poll, ready};

use bytes::Bytes;
use http::{Method as Verb, StatusCode};
use sluice_http1::{Framing, HeadError};

use super::connection::Connection;
use super::door::{self, House, Peer};
use super::received::{Received, Source};
use super::request::{Head, Request};
use super::response::Response;
use super::websocket::Upgrade;
use crate::limit;
use crate::reason::Reason;
use crate::wire::Socket;

mod outflow;
mod wire;

use outflow::Outflow;
use wire::{Next, Wire};

/// A socket that goes on as something else, and what was read of it already.
pub(super) struct Upgraded<I> {
    pub upgrade: Box<Upgrade>,
    pub io: I,
    pub read: Bytes,
}

/// Serves a connection to its end, or until it goes on as something else.
pub(super) async fn serve<I>(
    house: &Rc<House>,
    io: I,
    connection: &Rc<Connection>,
    peer: &Peer,
) -> std::io::Result<Option<Upgraded<I>>>
where
    I: Socket + 'static,
{
    let wire = Rc::new(RefCell::new(Wire::new(io, Rc::clone(connection))));
    loop {
        match std::future::poll_fn(|cx| wire.borrow_mut().poll_request(cx)).await? {
            Next::Request => {}
            Next::End => break,
            Next::Refused(error) => {
                let reason = match error {
                    HeadError::Malformed => Reason::HeadMalformed,
                    HeadError::TooLarge => Reason::HeadTooLarge,
                    HeadError::Version => Reason::HttpVersion,
                    HeadError::Tls => Reason::TlsUnexpected,
                };
                let asked = Asked { http_11: true, persists: false, is_head: false };
                respond(&wire, connection, door::turn_away(house, peer, reason), asked).await?;
                linger(&wire).await;
                break;
            }
        }
        let Some(head) = wire.borrow_mut().take_head() else { break };
        let busy = connection.begin();
        let mut asked = Asked { http_11: head.http_11, persists: head.keep_alive, is_head: head.verb == Verb::HEAD };
        let body = match wire.borrow_mut().take_whole() {
            Some(whole) => Received::Whole(whole),
            None => Received::Coming(Rc::clone(&wire) as Rc<RefCell<dyn Source>>),
        };
        let head = Head { verb: head.verb, target: head.target, headers: head.fields, http_11: head.http_11 };
        let answer = {
            // a future of some KB: a connection that idles keeps no room for it
            let mut request = Request { head, body };
            let answering = Box::write(Box::new_uninit(), door::answer(house, peer, &mut request));
            let mut answering = Box::into_pin(answering);
            std::future::poll_fn(|cx| match answering.as_mut().poll(cx) {
                Poll::Ready(answer) => Poll::Ready(Some(answer)),
                Poll::Pending => wire.borrow_mut().poll_gone(cx).map(|()| None),
            })
            .await
        };
        let Some(answer) = answer else { break };
        asked.persists &= !connection.is_leaving()
            && answer.upgrade.is_none()
            // a body that was waited for in vain is not waited for again
            && answer.response.status != StatusCode::REQUEST_TIMEOUT
            && wire.borrow().can_go_on();
        let persists = respond(&wire, connection, answer.response, asked).await?;
        if let Some(upgrade) = answer.upgrade {
            drop(busy);
            // nobody else holds it: the request was answered
            let parts = Rc::into_inner(wire).map(|wire| wire.into_inner().into_parts());
            return Ok(parts.map(|(io, read)| Upgraded { upgrade, io, read }));
        }
        // what was refused unread is read on for a moment, so that the client can read why: closing at once could reset
        // the connection under the answer
        let is_read = discard(&wire).await;
        drop(busy);
        if !is_read {
            linger(&wire).await;
            return Ok(None);
        }
        if !persists {
            break;
        }
    }
    // whoever is gone needs no goodbye, and whoever reads nothing hears none
    let goodbye = std::future::poll_fn(|cx| wire.borrow_mut().poll_shutdown(cx));
    let _ = tokio::time::timeout(limit::DISCARD, goodbye).await;
    Ok(None)
}

/// What an answer must mind of its request.
#[derive(Clone, Copy)]
struct Asked {
    http_11: bool,
    persists: bool,
    is_head: bool,
}

/// Writes an answer; whether the connection persists.
async fn respond<I>(
    wire: &RefCell<Wire<I>>,
    connection: &Connection,
    response: Response,
    mut asked: Asked,
) -> std::io::Result<bool>
where
    I: Socket,
{
    let Response { status, headers, mut body } = response;
    let whole = body.whole();
    let without = asked.is_head || status.is_informational() || status == StatusCode::NO_CONTENT;
    let framing = match whole {
        Some(length) => Framing::Length(length),
        None if asked.http_11 => Framing::Chunked,
        None => Framing::UntilClose,
    };
    asked.persists &= framing != Framing::UntilClose;
    let mut out = Outflow::new(framing);
    out.write_head(status, &headers, asked, &connection.date());
    if without || whole.is_some() {
        match whole.filter(|_| !without) {
            Some(length) => {
                let file = body.file();
                out.add_whole(length, std::iter::from_fn(|| body.next_piece()), file);
            }
            None => out.add_whole(0, std::iter::empty(), None),
        }
        std::future::poll_fn(|cx| wire.borrow_mut().poll_out(cx, &mut out)).await?;
        return Ok(asked.persists);
    }
    std::future::poll_fn(|cx| {
        loop {
            while !out.is_full() {
                match body.poll_data(cx) {
                    Poll::Ready(Some(Ok(data))) => out.add(data),
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                    Poll::Ready(None) => out.end(),
                    Poll::Pending => break,
                }
            }
            let mut wire = wire.borrow_mut();
            match wire.poll_out(cx, &mut out) {
                Poll::Ready(written) => written?,
                Poll::Pending => {
                    body.poll_aside(cx);
                    return Poll::Pending;
                }
            }
            if out.is_ended() {
                return Poll::Ready(Ok(asked.persists));
            }
            if !out.was_full() {
                ready!(wire.poll_gone(cx));
                return Poll::Ready(Err(Error::from(ErrorKind::ConnectionAborted)));
            }
        }
    })
    .await
}

/// Reads what is left of a body and throws it away, within bounds; whether that was all of it.
async fn discard<I>(wire: &RefCell<Wire<I>>) -> bool
where
    I: Socket,
{
    if wire.borrow().is_exhausted() {
        return true;
    }
    if !wire.borrow().can_go_on() {
        return false;
    }
    let mut left = limit::DISCARD_BYTES;
    let reading = std::future::poll_fn(|cx| {
        loop {
            let Some(data) = ready!(wire.borrow_mut().poll_body(cx)) else { return Poll::Ready(true) };
            match data.ok().and_then(|data| left.checked_sub(data.len())) {
                Some(rest) => left = rest,
                None => return Poll::Ready(false),
            }
        }
    });
    tokio::time::timeout(limit::DISCARD, reading).await.unwrap_or(false)
}

/// The same where it is not known what comes, for the time it takes to read an answer.
async fn linger<I>(wire: &RefCell<Wire<I>>)
where
    I: Socket,
{
    let reading = std::future::poll_fn(|cx| {
        let mut wire = wire.borrow_mut();
        if ready!(wire.poll_shutdown(cx)).is_err() {
            return Poll::Ready(());
        }
        wire.poll_drained(cx, limit::DISCARD_BYTES)
    });
    let _ = tokio::time::timeout(limit::DISCARD, reading).await;
}
