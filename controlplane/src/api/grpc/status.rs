//! How gRPC says why an operation was not done.

use tonic::Status;

use crate::service::{Inside, ServiceError};

/// What failed inside is logged, and told as far as it leads out.
pub(super) fn status(error: ServiceError) -> Status {
    if let Some((inside, told)) = error.inside() {
        return match inside {
            Inside::Full => Status::resource_exhausted(told),
            Inside::Unavailable => Status::unavailable(told),
            Inside::Failed => Status::internal(told),
        };
    }
    let message = error.to_string();
    match error {
        ServiceError::Unauthenticated(_) => Status::unauthenticated(message),
        ServiceError::Throttled(_) => Status::resource_exhausted(message),
        ServiceError::Denied { .. } => Status::permission_denied(message),
        ServiceError::NotFound(_) => Status::not_found(message),
        ServiceError::Conflict { .. } => Status::aborted(message),
        ServiceError::Invalid(_) => Status::invalid_argument(message),
        ServiceError::Impossible(_) => Status::failed_precondition(message),
        ServiceError::Store(_) | ServiceError::Sealed(_) => Status::internal(message),
    }
}
