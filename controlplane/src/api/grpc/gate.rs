//! What of a call is judged by its head, before anything of its body is read: who makes it, how much may come, and by when it is over.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Response};
use axum::middleware::Next;
use http_body::Frame;
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};
use tonic::{Code, Status};

use super::MAX_REQUEST;
use super::status::status;
use crate::listen::Peer;
use crate::service::{self, Service};

/// Bytes of a request to join or to renew: a token, a certificate and a request for one take 2 KiB.
const CREDENTIALS: usize = 16 << 10;
/// How long the body of a request may take that is one message: the largest configuration over a slow line. Whoever sends it more
/// slowly has a place that others wait for.
const BODY: Duration = Duration::from_secs(60);
/// The same for a request to join or to renew, which is one packet or two.
const CREDENTIALS_BODY: Duration = Duration::from_secs(10);
/// Digits of a timeout (gRPC over HTTP/2, *Requests*).
const TIMEOUT_DIGITS: usize = 8;

/// Lets a call in, or answers it at once.
pub(super) async fn judge(State(service): State<Service>, mut request: Request, next: Next) -> Response<Body> {
    let deadline = request.headers().get("grpc-timeout").and_then(timeout).map(|timeout| Instant::now() + timeout);
    let room = match admit(&service, &mut request).await {
        Ok(room) => room,
        Err(refused) => return refused.into_http(),
    };
    let (head, body) = request.into_parts();
    let body = match room {
        Some(room) => Body::new(room.around(body)),
        None => body,
    };
    let request = Request::from_parts(head, body);
    let Some(deadline) = deadline else { return next.run(request).await };
    match timeout_at(deadline, next.run(request)).await {
        Ok(response) => {
            response.map(|body| Body::new(Until { body, over: Box::pin(sleep_until(deadline)), told: false }))
        }
        Err(_) => late().into_http(),
    }
}

/// Who may go on, and how much of a body is read; `None`: it is a stream, whose messages are bounded one by one.
async fn admit(service: &Service, request: &mut Request) -> Result<Option<Room>, Status> {
    let peer = request.extensions().get::<Peer>().cloned();
    match request.uri().path().rsplit_once('/') {
        Some(("/sluice.v1.Sync", "Connect")) => match peer.is_some_and(|peer| peer.credential.is_some()) {
            true => Ok(None),
            false => Err(Status::unauthenticated("nodes show a certificate, which they get by joining")),
        },
        Some(("/sluice.v1.Sync", _)) => Ok(Some(Room { bytes: CREDENTIALS, time: CREDENTIALS_BODY })),
        // whoever asks for something that does not exist is told so unread
        Some(("/sluice.v1.Admin", _)) => {
            let peer = peer.map_or_else(|| "here".to_owned(), |peer| peer.address.ip().to_string());
            let said = request.headers().get("authorization").and_then(|value| value.to_str().ok());
            let token = said.and_then(service::bearer).map(str::to_owned);
            let caller = service.authenticate(token.as_deref(), &peer).await.map_err(status)?;
            request.extensions_mut().insert(caller);
            Ok(Some(Room { bytes: MAX_REQUEST + ENVELOPE, time: BODY }))
        }
        _ => Ok(Some(Room { bytes: 0, time: CREDENTIALS_BODY })),
    }
}

/// Bytes that frame a message.
const ENVELOPE: usize = 5;

/// By when a client is not interested any more.
fn timeout(value: &HeaderValue) -> Option<Duration> {
    let (digits, unit) = value.to_str().ok()?.split_at_checked(value.len().checked_sub(1)?)?;
    let is_number = (1..=TIMEOUT_DIGITS).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    let number: u64 = digits.parse().ok().filter(|_| is_number)?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

fn late() -> Status {
    Status::deadline_exceeded("the time the client gave is over")
}

/// How much of a body is read, and for how long.
struct Room {
    bytes: usize,
    time: Duration,
}

impl Room {
    fn around(self, body: Body) -> Bounded {
        Bounded { body, left: self.bytes, over: Box::pin(sleep_until(Instant::now() + self.time)) }
    }
}

/// A body of which no more is read than there is room for.
struct Bounded {
    body: Body,
    left: usize,
    over: Pin<Box<Sleep>>,
}

impl HttpBody for Bounded {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(frame)) => frame,
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Pending => {
                let over = self.over.as_mut().poll(cx);
                return over.map(|()| Some(Err(Status::deadline_exceeded("the request did not come in time"))));
            }
        };
        let frame = frame.map_err(|error| Status::unavailable(error.to_string()));
        if let Ok(frame) = &frame {
            let length = frame.data_ref().map_or(0, Bytes::len);
            match self.left.checked_sub(length) {
                Some(left) => self.left = left,
                None => return Poll::Ready(Some(Err(Status::resource_exhausted("the request is too large")))),
            }
        }
        Poll::Ready(Some(frame))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

/// An answer that ends when its client's time is over.
struct Until {
    body: Body,
    over: Pin<Box<Sleep>>,
    told: bool,
}

impl HttpBody for Until {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.told {
            return Poll::Ready(None);
        }
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            return Poll::Ready(frame);
        }
        self.over.as_mut().poll(cx).map(|()| {
            self.told = true;
            self.body = Body::empty();
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from(Code::DeadlineExceeded as i32));
            Some(Ok(Frame::trailers(trailers)))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.told || self.body.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_the_protocol_writes_them() {
        let read = |text: &str| timeout(&HeaderValue::from_str(text).unwrap());
        assert_eq!(read("2H"), Some(Duration::from_secs(7200)));
        assert_eq!(read("10S"), Some(Duration::from_secs(10)));
        assert_eq!(read("99999999n"), Some(Duration::from_nanos(99_999_999)));
        for bad in ["", "S", "1", "1s", "-1S", "+1S", "100000000S", "1.5S", " 1S"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
