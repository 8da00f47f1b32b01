//! What the service says, as JSON.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sluice_contract::v1;
use utoipa::{IntoParams, ToSchema};

use crate::language::Fault;
use crate::service;

/// What came of a change.
#[derive(Serialize, ToSchema)]
pub(super) struct Outcome {
    /// The head after it.
    revision: u64,
    /// What changed, or would.
    changes: Vec<Change>,
    /// Accepted, but perhaps not what was meant.
    warnings: Vec<ConfigurationFault>,
    /// Any of them: nothing was changed, and the status is 422.
    faults: Vec<ConfigurationFault>,
}

/// What became of an object.
#[derive(Serialize, ToSchema)]
pub(super) struct Change {
    /// `added`, `changed` or `removed`.
    change: &'static str,
    kind: String,
    name: String,
    fields: Vec<FieldChange>,
}

/// A value that changed.
#[derive(Serialize, ToSchema)]
pub(super) struct FieldChange {
    /// `args[0]`, `auth.token`.
    path: String,
    /// What was; secrets are masked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Value, required = false)]
    before: Option<Box<RawValue>>,
    /// What is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Value, required = false)]
    after: Option<Box<RawValue>>,
}

/// Something about a configuration.
#[derive(Serialize, ToSchema)]
pub(super) struct ConfigurationFault {
    /// `servers.weather.timeout`.
    path: String,
    message: String,
    /// What would be right.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
    /// The node it concerns, where only some refuse it.
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<String>,
}

/// How to change something.
#[derive(Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct How {
    /// The revision the caller has seen. Default: whatever is there.
    pub(super) base_revision: Option<u64>,
    /// Judges and compares, and changes nothing.
    pub(super) dry_run: bool,
    /// Why, for the history; at most 1,000 characters.
    pub(super) message: String,
}

/// Which rows of a long list.
#[derive(Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Page {
    /// At most so many, and at most 1,000; 0: the usual number.
    pub(super) limit: u32,
    /// Only those before this one; 0: from the newest.
    pub(super) before: u64,
}

impl From<service::Outcome> for Outcome {
    fn from(outcome: service::Outcome) -> Self {
        let service::Outcome { revision, changes, warnings, faults } = outcome;
        let judged = |judged: service::Judged| ConfigurationFault { node: judged.node, ..judged.fault.into() };
        Self {
            revision,
            changes: changes.into_iter().map(Change::from).collect(),
            warnings: warnings.into_iter().map(ConfigurationFault::from).collect(),
            faults: faults.into_iter().map(judged).collect(),
        }
    }
}

impl IntoResponse for Outcome {
    fn into_response(self) -> Response {
        let status = if self.faults.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
        (status, Json(self)).into_response()
    }
}

impl From<service::Change> for Change {
    fn from(change: service::Change) -> Self {
        let became = match change.change {
            service::ChangeKind::Added => "added",
            service::ChangeKind::Changed => "changed",
            service::ChangeKind::Removed => "removed",
        };
        let json = |text: Option<String>| text.and_then(|text| RawValue::from_string(text).ok());
        let field = |field: service::FieldChange| FieldChange {
            path: field.path,
            before: json(field.before),
            after: json(field.after),
        };
        let fields = change.fields.into_iter().map(field).collect();
        Self { change: became, kind: change.kind, name: change.name, fields }
    }
}

impl From<v1::ConfigurationFault> for ConfigurationFault {
    fn from(fault: v1::ConfigurationFault) -> Self {
        let said = |text: String| Some(text).filter(|text| !text.is_empty());
        let path = fault.path.join(".");
        Self { path, message: fault.message, advice: said(fault.advice), node: said(fault.node) }
    }
}

impl From<Fault> for ConfigurationFault {
    fn from(fault: Fault) -> Self {
        Self { path: fault.path.to_string(), message: fault.message, advice: fault.advice, node: None }
    }
}
