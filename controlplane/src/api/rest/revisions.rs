//! Revisions.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::asked::{Parameters, Path};
use super::caller::Caller;
use super::problem::Problem;
use super::words::{Change, How, Outcome, Page};
use crate::service::{RevisionAbout, Rollback, Service};

/// Revisions, newest first.
#[derive(Serialize, ToSchema)]
pub(super) struct History {
    revisions: Vec<Revision>,
}

/// A change of what nodes get.
#[derive(Serialize, ToSchema)]
pub(super) struct Revision {
    revision: u64,
    /// RFC 3339.
    at: String,
    author: String,
    message: String,
    /// The one it was based on.
    base: u64,
    changes: Vec<Change>,
}

/// Revisions, newest first. viewer.
#[utoipa::path(get, path = "/revisions", operation_id = "History", tag = "revisions", params(Page),
    responses((status = 200, body = History)))]
pub(super) async fn history(
    State(service): State<Service>,
    Caller(caller): Caller,
    Parameters(page): Parameters<Page>,
) -> Result<Json<History>, Problem> {
    let revisions = service.history(&caller, page.limit, page.before).await?;
    Ok(Json(History { revisions: revisions.into_iter().map(Revision::from).collect() }))
}

/// Makes a new revision with the objects of an old one. editor; with `dry_run` viewer.
#[utoipa::path(post, path = "/revisions/{revision}/rollback", operation_id = "Rollback", tag = "revisions",
    params(("revision" = u64, Path, description = "The revision to go back to.", minimum = 1), How),
    responses((status = 200, body = Outcome), (status = 422, body = Outcome), (status = 404, body = Problem),
    (status = 409, body = Problem)))]
pub(super) async fn rollback(
    State(service): State<Service>,
    Caller(caller): Caller,
    Path(revision): Path<String>,
    Parameters(how): Parameters<How>,
) -> Result<Outcome, Problem> {
    let revision = revision.parse().map_err(|_| Problem::bad_request("a revision is a whole number"))?;
    let How { base_revision: base, dry_run, message } = how;
    Ok(service.roll_back(&caller, Rollback { revision, base, dry_run, message }).await?.into())
}

impl From<RevisionAbout> for Revision {
    fn from(about: RevisionAbout) -> Self {
        Self {
            revision: about.revision,
            at: about.at.to_string(),
            author: about.author,
            message: about.message,
            base: about.base,
            changes: about.changes.into_iter().map(Change::from).collect(),
        }
    }
}
