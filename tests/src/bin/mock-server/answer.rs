//! What goes back to a client.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::stream::{Pending, pending};
use http::{Response, StatusCode, header};
use http_body_util::{Either, Full, StreamBody};
use hyper::body::Frame;

/// A whole body, or one that never comes.
pub(crate) type Body = Either<Full<Bytes>, StreamBody<Pending<Result<Frame<Bytes>, Infallible>>>>;
pub(crate) type Answer = Response<Body>;

/// A status without a body.
pub(crate) fn empty(status: StatusCode) -> Answer {
    written(status, Bytes::new())
}

/// An event stream on which nothing comes.
pub(crate) fn silence() -> Answer {
    let mut answer = Response::new(Either::Right(StreamBody::new(pending())));
    answer.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/event-stream"));
    answer
}

/// A result: `members` without braces.
pub(crate) fn result(id: &str, members: &[&str]) -> Answer {
    let mut body = String::with_capacity(48 + id.len() + members.iter().map(|m| m.len()).sum::<usize>());
    body.push_str(r#"{"jsonrpc":"2.0","id":"#);
    body.push_str(id);
    body.push_str(r#","result":{"#);
    members.iter().for_each(|member| body.push_str(member));
    body.push_str("}}");
    written(StatusCode::OK, body.into())
}

/// An error.
pub(crate) fn error(status: StatusCode, id: Option<&str>, code: i32, text: &str) -> Answer {
    let id = id.unwrap_or("null");
    let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":"{text}"}}}}"#);
    written(status, body.into())
}

fn written(status: StatusCode, body: Bytes) -> Answer {
    let is_json = !body.is_empty();
    let mut answer = Response::new(Either::Left(Full::new(body)));
    *answer.status_mut() = status;
    if is_json {
        answer.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    }
    answer
}
