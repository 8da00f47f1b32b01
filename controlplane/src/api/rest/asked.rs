//! Requests as they are read: what cannot be is a problem that says what.

use std::error::Error;

use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::header::CONTENT_LENGTH;
use axum::http::request::Parts;
use axum::http::{StatusCode, Version};
use axum::{Json, extract};
use serde::de::DeserializeOwned;
use serde_path_to_error::Error as Misread;

use super::problem::Problem;
use super::{MAX_REQUEST, misread};

/// The body, as JSON.
pub(super) struct Body<T>(pub(super) T);

/// What the placeholders of the path stand for.
pub(super) struct Path<T>(pub(super) T);

/// The parameters behind the `?`.
pub(super) struct Parameters<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        // in later versions a request ends without its connection
        let is_alone = request.version() <= Version::HTTP_11;
        let length = request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if length.is_some_and(|length| length > MAX_REQUEST as u64) {
            return Err(if is_alone { too_large().closing() } else { too_large() });
        }
        let read = Json::<T>::from_request(request, state).await;
        read.map(|Json(body)| Self(body)).map_err(|rejection| {
            let problem = body_refused(&rejection);
            let is_left = rejection.status() == StatusCode::PAYLOAD_TOO_LARGE;
            if is_alone && is_left { problem.closing() } else { problem }
        })
    }
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match extract::Path::<T>::from_request_parts(parts, state).await {
            Ok(extract::Path(path)) => Ok(Self(path)),
            Err(_) => Err(Problem::bad_request("the path is not UTF-8 in percent-encoding")),
        }
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(parameters)) => Ok(Self(parameters)),
            Err(rejection) => Err(Problem::bad_request(match within::<Misread<serde::de::value::Error>>(&rejection) {
                Some(error) => misread::parameter(error),
                None => "the parameters cannot be read: `NAME=VALUE` each, with `&` in between".to_owned(),
            })),
        }
    }
}

fn body_refused(rejection: &JsonRejection) -> Problem {
    match (rejection.status(), within::<Misread<serde_json::Error>>(rejection)) {
        (StatusCode::UNSUPPORTED_MEDIA_TYPE, _) => Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "the body is to be JSON, and said to be: `Content-Type: application/json`",
        ),
        (StatusCode::PAYLOAD_TOO_LARGE, _) => too_large(),
        (_, Some(error)) => Problem::bad_request(misread::body(error)),
        (_, None) => Problem::bad_request("the body did not come whole"),
    }
}

fn too_large() -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is larger than {} MiB", MAX_REQUEST >> 20))
}

/// The error of a kind that another one is about.
fn within<'e, E: Error + 'static>(error: &'e (dyn Error + 'static)) -> Option<&'e E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}
