//! Why sessions cannot be looked up or kept: told inside, and logged once when it begins and once when it is over.

use std::sync::{Mutex, PoisonError};

use redis::{ErrorKind, RedisError};

pub(super) struct Trouble {
    /// Which Redis, without user and password.
    redis: String,
    now: Mutex<Option<String>>,
}

impl Trouble {
    pub(super) fn new(redis: String, now: Option<&str>) -> Self {
        Self { redis, now: Mutex::new(now.map(str::to_owned)) }
    }

    pub(super) fn set(&self, trouble: Option<String>) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*now, &trouble) {
            (None, Some(cause)) => tracing::warn!(redis = self.redis, %cause, "sessions cannot be looked up or kept"),
            (Some(_), None) => tracing::info!(redis = self.redis, "sessions are kept in Redis"),
            _ => {}
        }
        *now = trouble;
    }

    pub(super) fn told(&self) -> Option<String> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Why there is no connection, without anything of the address.
pub(super) fn said(error: &RedisError) -> String {
    match error.kind() {
        ErrorKind::AuthenticationFailed => "Redis does not take the user and password".to_owned(),
        ErrorKind::RESP3NotSupported => "this Redis is too old: version 7 or later is needed".to_owned(),
        ErrorKind::Io if error.is_connection_refusal() => "the connection is refused".to_owned(),
        ErrorKind::Io => "the connection broke".to_owned(),
        _ => error.code().map_or_else(|| "the connection failed".to_owned(), |code| format!("Redis refuses: {code}")),
    }
}
