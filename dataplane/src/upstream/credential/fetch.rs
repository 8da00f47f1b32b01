//! One request to an authorization server, and its answer, whole and small.

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use sluice_snapshot::model::HttpEndpoint;
use zeroize::Zeroizing;

use crate::connection;
use crate::fetch;
use crate::limit;

/// What is sent beside the address.
#[derive(Default)]
pub(super) struct Form {
    /// `Authorization`.
    pub authorization: Option<Zeroizing<String>>,
    /// `application/x-www-form-urlencoded`.
    pub body: Zeroizing<String>,
}

/// Gets a document.
///
/// # Errors
/// What happened, without addresses.
pub(super) async fn get(endpoint: &HttpEndpoint) -> Result<(StatusCode, Bytes), String> {
    send(endpoint, Method::GET, None).await
}

/// Posts a form.
///
/// # Errors
/// As [`get`].
pub(super) async fn post(endpoint: &HttpEndpoint, form: Form) -> Result<(StatusCode, Bytes), String> {
    send(endpoint, Method::POST, Some(form)).await
}

async fn send(endpoint: &HttpEndpoint, verb: Method, form: Option<Form>) -> Result<(StatusCode, Bytes), String> {
    let exchange = exchange(endpoint, verb, form);
    tokio::time::timeout(limit::TOKEN_REQUEST, exchange).await.map_err(|_| "no answer in time".to_owned())?
}

async fn exchange(endpoint: &HttpEndpoint, verb: Method, form: Option<Form>) -> Result<(StatusCode, Bytes), String> {
    let form = form.unwrap_or_default();
    let mut request = Request::new(Full::new(Bytes::copy_from_slice(form.body.as_bytes())));
    *request.method_mut() = verb;
    if let Some(authorization) = &form.authorization {
        let mut value = HeaderValue::from_str(authorization).map_err(|_| "the client cannot be named in a header")?;
        value.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, value);
    }
    if !form.body.is_empty() {
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    }
    let socket = connection::open(endpoint).await.map_err(|error| format!("cannot be reached ({error})"))?;
    let answer = fetch::exchange(socket, endpoint, request, limit::TOKEN_ANSWER_BYTES).await?;
    Ok((answer.status, answer.body))
}
