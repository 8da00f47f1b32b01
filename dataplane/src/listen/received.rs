//! The body of a client's request, however it comes.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::Body as _;
use hyper::body::Incoming;
use sluice_http1::BadBody;

/// A body.
pub(super) enum Received {
    /// It came along with its head.
    Whole(Bytes),
    /// It comes on its HTTP/1.1 connection.
    Coming(Rc<RefCell<dyn Source>>),
    /// It comes on a stream of HTTP/2.
    Stream(Incoming),
}

/// A connection that is read for the body of its current request.
pub(super) trait Source {
    /// The next bytes; `None` at the end.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>>;

    /// Whether the end was reached.
    fn is_end(&self) -> bool;
}

/// Why a body broke off.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error(transparent)]
    Http1(#[from] BadBody),
    #[error(transparent)]
    Http2(#[from] hyper::Error),
    #[error(transparent)]
    Socket(#[from] std::io::Error),
}

impl Received {
    /// The next bytes; `None` at the end.
    pub(super) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        match self {
            Self::Whole(whole) if whole.is_empty() => Poll::Ready(None),
            Self::Whole(whole) => Poll::Ready(Some(Ok(std::mem::take(whole)))),
            Self::Coming(source) => source.borrow_mut().poll_body(cx),
            Self::Stream(incoming) => loop {
                let frame = match ready!(Pin::new(&mut *incoming).poll_frame(cx)) {
                    Some(Ok(frame)) => frame,
                    Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                    None => return Poll::Ready(None),
                };
                if let Ok(data) = frame.into_data() {
                    return Poll::Ready(Some(Ok(data)));
                }
            },
        }
    }

    /// The next bytes; `None` at the end.
    pub(super) async fn data(&mut self) -> Option<Result<Bytes, Broken>> {
        std::future::poll_fn(|cx| self.poll_data(cx)).await
    }

    /// Whether the end was reached.
    pub(super) fn is_end(&self) -> bool {
        match self {
            Self::Whole(whole) => whole.is_empty(),
            Self::Coming(source) => source.borrow().is_end(),
            Self::Stream(incoming) => incoming.is_end_stream(),
        }
    }
}
