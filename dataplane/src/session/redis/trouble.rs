//! Why sessions cannot be looked up or kept: told inside, and logged once when it begins and once when it is over.

use std::error::Error;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use redis::{ErrorKind, RedisError};
use rustls::CertificateError;

pub(super) struct Trouble {
    /// Which Redis, without user and password.
    redis: String,
    now: Mutex<Now>,
}

struct Now {
    cause: Option<String>,
    /// At first nothing was tried yet.
    is_logged: bool,
}

impl Trouble {
    pub(super) fn new(redis: String, now: Option<&str>) -> Self {
        Self { redis, now: Mutex::new(Now { cause: now.map(str::to_owned), is_logged: false }) }
    }

    pub(super) fn set(&self, trouble: Option<String>) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        match (&now.cause, &trouble) {
            (_, Some(cause)) if !now.is_logged => {
                tracing::warn!(redis = self.redis, %cause, "sessions cannot be looked up or kept");
            }
            (Some(_), None) => tracing::info!(redis = self.redis, "sessions are kept in Redis"),
            _ => {}
        }
        *now = Now { is_logged: trouble.is_some(), cause: trouble };
    }

    pub(super) fn told(&self) -> Option<String> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).cause.clone()
    }
}

/// Why there is no connection, without anything of the address.
pub(super) fn said(error: &RedisError) -> String {
    match error.kind() {
        ErrorKind::Io if let Some(refused) = certificate(error) => match refused {
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "its certificate is not for the name it is reached by".to_owned()
            }
            CertificateError::UnknownIssuer => "its certificate is not from an authority that is trusted".to_owned(),
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "its certificate has ended".to_owned()
            }
            _ => "its certificate is not good".to_owned(),
        },
        ErrorKind::AuthenticationFailed => "Redis does not take the user and password".to_owned(),
        ErrorKind::RESP3NotSupported => "this Redis is too old: version 7 or later is needed".to_owned(),
        ErrorKind::Io if error.is_connection_refusal() => "the connection is refused".to_owned(),
        ErrorKind::Io => "the connection broke".to_owned(),
        _ => error.code().map_or_else(|| "the connection failed".to_owned(), |code| format!("Redis refuses: {code}")),
    }
}

/// Why its certificate was refused, where that is what went wrong.
fn certificate(error: &RedisError) -> Option<&CertificateError> {
    let inner = error.source()?.downcast_ref::<Arc<dyn Error + Send + Sync>>()?;
    match inner.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref()? {
        rustls::Error::InvalidCertificate(refused) => Some(refused),
        _ => None,
    }
}
