//! How HTTP says why something was not done: problem details (RFC 9457).

use axum::Json;
use axum::http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::service::{Inside, ServiceError};

/// Why something was not done.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct Problem {
    /// The status, in words.
    title: &'static str,
    /// The status.
    status: u16,
    /// What was wrong, and what would be right.
    detail: String,
    /// Seconds to wait before the next attempt.
    #[serde(skip)]
    retry_after: Option<u64>,
    /// The connection ends with it: what is left of the request is not read.
    #[serde(skip)]
    closes: bool,
}

impl Problem {
    pub(in crate::api) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or("error");
        Self { title, status: status.as_u16(), detail: detail.into(), retry_after: None, closes: false }
    }

    /// The same, where the connection ends with it.
    pub(in crate::api) fn closing(self) -> Self {
        Self { closes: true, ..self }
    }

    pub(in crate::api) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }
}

impl From<ServiceError> for Problem {
    /// What failed inside is logged, and told as far as it leads out.
    fn from(error: ServiceError) -> Self {
        if let Some((inside, told)) = error.inside() {
            let status = match inside {
                Inside::Full => StatusCode::INSUFFICIENT_STORAGE,
                Inside::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
                Inside::Failed => StatusCode::INTERNAL_SERVER_ERROR,
            };
            return Self::new(status, told);
        }
        let detail = error.to_string();
        let status = match error {
            ServiceError::Unauthenticated(_) => StatusCode::UNAUTHORIZED,
            ServiceError::Throttled(wait) => {
                let retry_after = Some(wait.as_secs().max(1));
                return Self { retry_after, ..Self::new(StatusCode::TOO_MANY_REQUESTS, detail) };
            }
            ServiceError::Denied { .. } => StatusCode::FORBIDDEN,
            ServiceError::NotFound(_) => StatusCode::NOT_FOUND,
            ServiceError::Conflict { .. } | ServiceError::Impossible(_) => StatusCode::CONFLICT,
            ServiceError::Invalid(_) => StatusCode::BAD_REQUEST,
            ServiceError::Store(_) | ServiceError::Sealed(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let (retry_after, closes) = (self.retry_after, self.closes);
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if closes {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if let Some(seconds) = retry_after {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        response
    }
}
