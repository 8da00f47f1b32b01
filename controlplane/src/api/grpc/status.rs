//! How gRPC says why an operation was not done.

use tonic::Status;

use crate::service::ServiceError;

/// What failed inside is logged, and told as that it failed.
pub(super) fn status(error: ServiceError) -> Status {
    let message = error.to_string();
    match error {
        ServiceError::Unauthenticated(_) => Status::unauthenticated(message),
        ServiceError::Throttled(_) => Status::resource_exhausted(message),
        ServiceError::Denied { .. } => Status::permission_denied(message),
        ServiceError::NotFound(_) => Status::not_found(message),
        ServiceError::Conflict { .. } => Status::aborted(message),
        ServiceError::Invalid(_) => Status::invalid_argument(message),
        ServiceError::Impossible(_) => Status::failed_precondition(message),
        ServiceError::Store(crate::store::StoreError::Stopping) => Status::unavailable(message),
        ServiceError::Store(_) | ServiceError::Sealed(_) => {
            tracing::error!(error = message, "an operation failed");
            Status::internal("the control plane failed; its log says why")
        }
    }
}
