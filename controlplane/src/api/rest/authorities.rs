//! The authorities by which nodes and control plane know each other.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::asked::Body;
use super::caller::Caller;
use super::problem::Problem;
use crate::authority::About;
use crate::publish::Publisher;
use crate::service::{self, Service};

/// The authorities, in order of their making.
#[derive(Serialize, ToSchema)]
pub(super) struct Authorities {
    authorities: Vec<Authority>,
    /// Nodes that are not known to have a certificate of the one that signs.
    behind: Vec<String>,
}

/// An authority.
#[derive(Serialize, ToSchema)]
struct Authority {
    name: String,
    /// SHA-256 of its certificate, as at the end of tokens.
    fingerprint: String,
    /// RFC 3339.
    made: String,
    expires: String,
    /// Certificates are made by this one.
    signs: bool,
    /// Connected nodes that have a certificate of this one.
    nodes: Vec<String>,
}

/// How to withdraw.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Withdrawal {
    /// Also if nodes would have to join again.
    #[serde(default)]
    force: bool,
}

/// The authorities of nodes and of the control plane itself. viewer.
#[utoipa::path(get, path = "/authorities", operation_id = "ListAuthorities", tag = "nodes",
    responses((status = 200, body = Authorities)))]
pub(super) async fn list(
    State(service): State<Service>,
    State(publisher): State<Arc<Publisher>>,
    Caller(caller): Caller,
) -> Result<Json<Authorities>, Problem> {
    Ok(Json(service.authorities(&caller, publisher.nodes()).await?.into()))
}

/// Makes a new authority, which signs from now on; those before it are trusted until they are withdrawn. admin.
#[utoipa::path(post, path = "/authorities/rotate", operation_id = "RotateAuthority", tag = "nodes",
    responses((status = 200, body = Authorities)))]
pub(super) async fn rotate(
    State(service): State<Service>,
    State(publisher): State<Arc<Publisher>>,
    Caller(caller): Caller,
) -> Result<Json<Authorities>, Problem> {
    Ok(Json(service.rotate_authority(&caller, publisher.nodes()).await?.into()))
}

/// Ends the trust in all authorities before the one that signs. admin.
#[utoipa::path(post, path = "/authorities/withdraw", operation_id = "WithdrawAuthorities", tag = "nodes",
    request_body = Withdrawal, responses((status = 200, body = Authorities), (status = 409, body = Problem)))]
pub(super) async fn withdraw(
    State(service): State<Service>,
    State(publisher): State<Arc<Publisher>>,
    Caller(caller): Caller,
    Body(Withdrawal { force }): Body<Withdrawal>,
) -> Result<Json<Authorities>, Problem> {
    Ok(Json(service.withdraw_authorities(&caller, publisher.nodes(), force).await?.into()))
}

impl From<service::Authorities> for Authorities {
    fn from(service::Authorities { all, behind }: service::Authorities) -> Self {
        let authority = |(about, nodes): (About, Vec<String>)| {
            let About { name, fingerprint, made, ends, signs } = about;
            Authority { name, fingerprint, made: made.to_string(), expires: ends.to_string(), signs, nodes }
        };
        Self { authorities: all.into_iter().map(authority).collect(), behind }
    }
}
