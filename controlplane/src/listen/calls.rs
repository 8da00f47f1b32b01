//! What is under way on a connection: a call is, from its head to the end of its answer.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use http_body::{Frame, SizeHint};
use tokio::sync::watch;

/// The calls of a connection.
#[derive(Clone, Default)]
pub(super) struct Calls(watch::Sender<usize>);

impl Calls {
    /// One more.
    pub(super) fn begin(&self) -> Call {
        self.0.send_modify(|calls| *calls += 1);
        Call(self.clone())
    }

    /// Ends when nothing has been under way for that long.
    pub(super) async fn idle(&self, pause: Duration) {
        let mut calls = self.0.subscribe();
        loop {
            // an error is that there is nobody left who could call
            let _ = calls.wait_for(|calls| *calls == 0).await;
            tokio::select! {
                () = tokio::time::sleep(pause) => return,
                _ = calls.changed() => {}
            }
        }
    }
}

/// One that is under way until it is dropped.
pub(super) struct Call(Calls);

impl Call {
    /// An answer with which it ends.
    pub(super) fn answer(self, body: Body) -> Answer {
        Answer { body, _call: self }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.0.0.send_modify(|calls| *calls = calls.saturating_sub(1));
    }
}

/// The body of an answer.
pub(super) struct Answer {
    body: Body,
    _call: Call,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_connection_is_idle_when_its_last_answer_has_been_read() {
        const PAUSE: Duration = Duration::from_millis(20);
        let calls = Calls::default();
        let answer = calls.begin().answer(Body::from("text"));
        assert_eq!(answer.size_hint().exact(), Some(4), "its length is told as without");
        assert!(tokio::time::timeout(10 * PAUSE, calls.idle(PAUSE)).await.is_err());
        drop(answer);
        calls.idle(PAUSE).await;
    }
}
