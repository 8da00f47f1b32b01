//! One request to an authorization server, and its answer, whole and small.

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use sluice_snapshot::model::HttpEndpoint;
use zeroize::Zeroizing;

use crate::connection;
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
    let broken = |error: hyper::Error| format!("the exchange broke ({error})");
    let socket = connection::open(endpoint).await.map_err(|error| format!("cannot be reached ({error})"))?;
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(limit::HEAD_BYTES)
        .handshake(TokioIo::new(socket))
        .await
        .map_err(broken)?;
    // ends with the answer: nobody keeps the sender
    tokio::spawn(connection);
    let mut request = Request::builder()
        .method(verb)
        .uri(&*endpoint.path)
        .header(HOST, &*endpoint.authority)
        .header(ACCEPT, "application/json")
        .header(USER_AGENT, "sluice");
    let form = form.unwrap_or_default();
    if let Some(authorization) = &form.authorization {
        let mut value = HeaderValue::from_str(authorization).map_err(|_| "the client cannot be named in a header")?;
        value.set_sensitive(true);
        request = request.header(AUTHORIZATION, value);
    }
    if !form.body.is_empty() {
        request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    }
    let body = Full::new(Bytes::copy_from_slice(form.body.as_bytes()));
    let request = request.body(body).map_err(|_| "cannot be asked".to_owned())?;
    let answer = sender.send_request(request).await.map_err(broken)?;
    let status = answer.status();
    let mut body = answer.into_body();
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
        if whole.len() + data.len() > limit::TOKEN_ANSWER_BYTES {
            return Err("the answer is too long".to_owned());
        }
        whole.extend_from_slice(&data);
    }
    Ok((status, whole.freeze()))
}
