//! Who calls: the bearer of the token in the request.

use axum::extract::{FromRef, FromRequestParts};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;

use super::problem::Problem;
use crate::listen::Peer;
use crate::service::{self, Service};

/// Somebody who may do what their role may.
pub(in crate::api) struct Caller(pub(in crate::api) service::Caller);

impl<S: Send + Sync> FromRequestParts<S> for Caller
where
    Service: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let service = Service::from_ref(state);
        let from = parts.extensions.get::<Peer>();
        let peer = from.map_or_else(|| "here".to_owned(), |peer| peer.address.ip().to_string());
        let said = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        Ok(Self(service.authenticate(said.and_then(service::bearer), &peer).await?))
    }
}
