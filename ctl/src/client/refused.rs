//! What a control plane's refusal means to whoever typed the command, and what to do about it.

use std::error::Error;

use tonic::{Code, Status};

use super::address::Address;
use crate::output::Failure;

/// Nobody answers there.
pub(super) fn unreachable(address: &Address, error: &dyn Error) -> Failure {
    Failure::other(format_args!(
        "no control plane at {address}: {}\n  \
         = start one with `sluice-controlplane --state-dir DIR`, or name it with --control-plane or SLUICE_CONTROL_PLANE",
        cause(error)
    ))
}

/// A question that was not answered as asked.
pub(super) fn failure(address: &Address, token: &str, status: &Status) -> Failure {
    let said = status.message();
    match status.code() {
        Code::Unauthenticated => Failure::other(format_args!(
            "the control plane at {address} does not accept the token in {token}{}\n  \
             = is it of another control plane, expired, or revoked? name another with --token-file or SLUICE_TOKEN",
            after_colon(said)
        )),
        Code::InvalidArgument => Failure::input(said),
        Code::Unimplemented => Failure::other(format_args!(
            "what answers at {address} is no control plane of this version{}",
            after_colon(said)
        )),
        Code::DeadlineExceeded | Code::Cancelled => Failure::other(format_args!(
            "the control plane at {address} does not answer in time; `sluice status` tells whether it is well"
        )),
        Code::Unavailable => {
            let reason = status.source().map_or_else(|| said.to_owned(), cause);
            Failure::other(format_args!("the control plane at {address} cannot be reached: {reason}"))
        }
        Code::PermissionDenied | Code::NotFound | Code::Aborted | Code::FailedPrecondition | Code::AlreadyExists => {
            Failure::other(said)
        }
        code => Failure::other(format_args!("the control plane at {address} failed{} ({code:?})", after_colon(said))),
    }
}

fn after_colon(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(": {said}") }
}

/// The innermost reason: those around it only say that something went wrong.
fn cause(error: &dyn Error) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    let text = inner.to_string();
    // The number of the system's error helps nobody.
    text.split(" (os error").next().unwrap_or_default().to_owned()
}
