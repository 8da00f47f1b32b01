//! What a control plane's refusal means to whoever typed the command, and what to do about it.

use std::error::Error;

use rustls::CertificateError;
use tonic::{Code, Status};

use super::address::Address;
use super::{ANSWER, CONNECT, PULSE, PULSE_ANSWER};
use crate::output::Failure;

/// Nobody answers there.
pub(super) fn unreachable(address: &Address, error: &(dyn Error + 'static)) -> Failure {
    if is_silence(error) {
        return Failure::other(format_args!(
            "nothing at {address} answered within {} s\n  \
             = is it the right address, is the control plane stopped or overloaded, does something in between drop packets?",
            CONNECT.as_secs()
        ));
    }
    Failure::other(format_args!(
        "no control plane at {address}: {}\n  \
         = start one with `sluice-controlplane --state-dir DIR`, or name it with --control-plane or SLUICE_CONTROL_PLANE",
        cause(error)
    ))
}

/// Nobody answers there, or somebody who is not known by what we know: they were not shown the token.
pub(super) fn unknown(address: &Address, known_by: &str, error: &(dyn Error + 'static)) -> Failure {
    let Some(distrust) = distrust(error) else { return unreachable(address, error) };
    Failure::other(format_args!(
        "what answers at {address} is not known by {known_by}, and was not shown the token: {}\n  \
         = is the address right, and is the token one that this control plane made since it has the authority it has now?\n  \
         = for a control plane with the certificate of another authority, name that authority with --ca-file",
        in_words(distrust)
    ))
}

/// What is wrong with a certificate.
fn in_words(distrust: &rustls::Error) -> String {
    match distrust {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "its certificate is of another authority".to_owned()
        }
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "its certificate is for other names".to_owned(),
        rustls::Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "its certificate has ended".to_owned()
        }
        other => other.to_string(),
    }
}

/// Nobody said no: nothing came at all.
fn is_silence(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        let is_late = error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_timeout);
        if kind == Some(std::io::ErrorKind::TimedOut) || is_late {
            return true;
        }
        next = error.source();
    }
    false
}

/// Why a certificate is not accepted.
fn distrust<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if let Some(found) = inner.and_then(|inner| inner.downcast_ref()).or_else(|| error.downcast_ref()) {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// What to do where nobody knows what became of a question.
const UNKNOWN: &str = "\n  = what was asked for may have been done, or not: \
    `sluice history` shows what is stored, and `sluice diff -f FILE` what a file would still change";

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
            "the control plane at {address} is there, and has not answered within {} s; its log may say why\n  \
             = what was asked for may still be done: look before you ask again",
            ANSWER.as_secs()
        )),
        Code::Unavailable if status.source().is_some_and(is_silence) => Failure::other(format_args!(
            "the control plane at {address} hangs: it took the connection, and gave no sign of life for {} s\n  \
             = is its process stopped or its machine overloaded? what was asked for may still be done when it goes on",
            (PULSE + PULSE_ANSWER).as_secs()
        )),
        Code::Unavailable => {
            let Some(error) = status.source() else {
                return Failure::other(format_args!(
                    "the control plane at {address} cannot do that now{}",
                    after_colon(said)
                ));
            };
            let reason = cause(error);
            Failure::other(format_args!("the control plane at {address} cannot be reached: {reason}{UNKNOWN}"))
        }
        // nobody said no: the connection ended, or something came over it that is no answer
        Code::Unknown | Code::Internal if status.source().is_some() => {
            let reason = status.source().map_or_else(|| said.to_owned(), cause);
            Failure::other(format_args!(
                "what answers at {address} broke off before it answered, or is no control plane: {reason}{UNKNOWN}"
            ))
        }
        // its own words, with what to do
        Code::ResourceExhausted if status.source().is_none() => Failure::other(said),
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
