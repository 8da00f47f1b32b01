//! The audit log.

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::asked::Parameters;
use super::caller::Caller;
use super::problem::Problem;
use crate::hex;
use crate::service::Service;

/// Which entries.
#[derive(Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// At most so many; 0: the usual number.
    limit: u32,
    /// Only those before this one; 0: from the newest.
    before: u64,
    /// Only those of somebody who was refused.
    denials: bool,
}

/// Entries, newest first.
#[derive(Serialize, ToSchema)]
pub(super) struct Entries {
    entries: Vec<Entry>,
}

/// Who did what.
#[derive(Serialize, ToSchema)]
pub(super) struct Entry {
    number: u64,
    /// RFC 3339.
    at: String,
    actor: String,
    action: String,
    object: String,
    /// Digests of what was and what is, in hexadecimal; empty: nothing.
    before: String,
    after: String,
    detail: String,
    /// SHA-256 over the entry and the hash before.
    hash: String,
}

/// Whether the log is as it was written.
#[derive(Serialize, ToSchema)]
pub(super) struct Verdict {
    intact: bool,
    entries: u64,
    /// The first entry that does not fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    broken_at: Option<u64>,
    /// Of the newest entry, to be kept elsewhere.
    head: String,
}

/// Who did what, newest first. admin.
#[utoipa::path(get, path = "/audit", operation_id = "Audit", tag = "audit", params(Which),
    responses((status = 200, body = Entries)))]
pub(super) async fn entries(
    State(service): State<Service>,
    Caller(caller): Caller,
    Parameters(which): Parameters<Which>,
) -> Result<Json<Entries>, Problem> {
    let entries = service.audit(&caller, which.limit, which.before, which.denials).await?;
    Ok(Json(Entries { entries: entries.into_iter().map(Entry::from).collect() }))
}

/// Checks the audit log from its beginning. admin.
#[utoipa::path(get, path = "/audit/verify", operation_id = "VerifyAudit", tag = "audit",
    responses((status = 200, body = Verdict)))]
pub(super) async fn verify(State(service): State<Service>, Caller(caller): Caller) -> Result<Json<Verdict>, Problem> {
    let found = service.verify_audit(&caller).await?;
    Ok(Json(Verdict {
        intact: found.broken_at.is_none(),
        entries: found.entries,
        broken_at: found.broken_at,
        head: hex::encode(&found.head),
    }))
}

impl From<crate::audit::Entry> for Entry {
    fn from(entry: crate::audit::Entry) -> Self {
        let at = Timestamp::from_millisecond(entry.at_ms).unwrap_or(Timestamp::UNIX_EPOCH);
        Self {
            number: entry.number,
            at: at.to_string(),
            actor: entry.actor,
            action: entry.action,
            object: entry.object,
            before: entry.before,
            after: entry.after,
            detail: entry.detail,
            hash: hex::encode(&entry.hash),
        }
    }
}
