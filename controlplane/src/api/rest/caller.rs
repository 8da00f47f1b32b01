//! Who calls: the bearer of the token in the request.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;

use super::problem::Problem;
use crate::service::{self, Service};

/// Somebody who may do what their role may.
pub(super) struct Caller(pub(super) service::Caller);

impl FromRequestParts<Service> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, service: &Service) -> Result<Self, Problem> {
        let from = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let peer = from.map_or_else(|| "here".to_owned(), |ConnectInfo(address)| address.ip().to_string());
        let said = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        Ok(Self(service.authenticate(said.and_then(service::bearer), &peer).await?))
    }
}
