//! What is wrong with a server, as whatever was last asked of it shows: a phrase for people, without secrets. It is over with
//! the next success.

use std::borrow::Cow;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwapOption;
use http::StatusCode;

use super::http::Failure;
use crate::reason::Reason;

/// The memory of one server's trouble.
#[derive(Default)]
pub(crate) struct Memory {
    phrase: ArcSwapOption<String>,
    /// There is a phrase: what every success looks at.
    is_there: AtomicBool,
}

impl Memory {
    /// This is wrong with it.
    pub(crate) fn is(&self, phrase: impl Into<String>) -> Arc<String> {
        let phrase = Arc::new(phrase.into());
        self.phrase.store(Some(Arc::clone(&phrase)));
        self.is_there.store(true, Ordering::Release);
        phrase
    }

    /// What was said to be wrong is rather this, or nothing, unless something else came of it meanwhile.
    pub(super) fn is_rather(&self, said: &Arc<String>, phrase: Option<String>) {
        self.phrase.compare_and_swap(&Some(Arc::clone(said)), phrase.map(Arc::new));
    }

    /// It answered as it should (the warm path: one load).
    pub(crate) fn is_over(&self) {
        if self.is_there.load(Ordering::Acquire) {
            self.is_there.store(false, Ordering::Release);
            self.phrase.store(None);
        }
    }

    pub(crate) fn phrase(&self) -> Option<Arc<String>> {
        self.phrase.load_full()
    }

    /// What came of a request. Other refusals may be part of the protocol, and say nothing.
    pub(crate) fn hear(&self, sent: Result<StatusCode, &Failure>) {
        match sent {
            Ok(status) if status.is_success() => self.is_over(),
            Ok(status) => {
                if let Some(phrase) = of_status(status) {
                    self.is(phrase);
                }
            }
            Err(failure) => {
                if let Some(phrase) = of_failure(failure) {
                    self.is(phrase);
                }
            }
        }
    }
}

/// What a status says of a server, whatever was asked of it.
fn of_status(status: StatusCode) -> Option<String> {
    let number = status.as_u16();
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Some(format!("answers {number}: it refuses the gateway's credential"))
        }
        StatusCode::TOO_MANY_REQUESTS => Some(format!("answers {number}: it takes no more requests for now")),
        status if status.is_redirection() => Some(format!("answers {number}: a redirect, which is not followed")),
        status if status.is_server_error() => Some(format!("answers {number}")),
        _ => None,
    }
}

fn of_failure(failure: &Failure) -> Option<String> {
    Some(match failure {
        Failure::Unreachable(cause) => of_cause(cause),
        Failure::Broken(_) => "closed the connection before it answered".to_owned(),
        Failure::Head => "answers with a head that exceeds a limit".to_owned(),
        Failure::Timeout => "did not answer in time".to_owned(),
        // credentials have a trouble of their own; an endpoint is not the server
        Failure::NoToken(_) | Failure::Moved => return None,
    })
}

/// How a process ended.
pub(super) fn of_exit(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit code {code}; see the node's log"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

/// What the system says, as part of a sentence.
pub(super) fn of_cause(cause: &str) -> String {
    let cause = cause.split(" (os error ").next().unwrap_or(cause);
    let mut chars = cause.chars();
    match (chars.next(), chars.next()) {
        (Some(first), Some(second)) if second.is_lowercase() => {
            first.to_lowercase().chain(cause.chars().skip(1)).collect()
        }
        _ => cause.to_owned(),
    }
}

impl Reason {
    /// What it says of a server, as a phrase.
    pub(crate) fn phrase(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::ServerStatus(404) => "answers 404: is the path of its URL right?",
            Self::ServerStatus(status) => return format!("answers {status}").into(),
            Self::ServerUnreachable => "cannot be reached",
            Self::ServerTimeout => "did not answer in time",
            Self::ServerSilent => "does not answer",
            Self::ServerClosed => "closed the connection before it answered",
            Self::ServerCredential => "refuses the gateway's credential",
            Self::ServerRedirect => "answers with a redirect, which is not followed",
            Self::ServerGarbage(what) => return format!("does not answer with MCP: {what}").into(),
            Self::ServerRefused(text) => return format!("refused: {text}").into(),
            Self::NoToken(name) => return format!("credential `{name}` could not be obtained").into(),
            Self::ChildStart => "could not be started, or did not answer `initialize`",
            Self::ChildEnded => "ended before it answered",
            other => return other.text(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_becomes_part_of_a_sentence() {
        for (cause, phrase) in [
            ("Connection refused (os error 111)", "connection refused"),
            ("TLS is not spoken there", "TLS is not spoken there"),
            ("/x: No such file or directory (os error 2)", "/x: No such file or directory"),
            ("", ""),
        ] {
            assert_eq!(of_cause(cause), phrase);
        }
    }

    #[test]
    fn a_success_ends_it_and_what_may_be_the_protocol_s_says_nothing() {
        let trouble = Memory::default();
        let phrase = || trouble.phrase().map(|phrase| String::clone(&phrase));
        trouble.hear(Ok(StatusCode::BAD_GATEWAY));
        assert_eq!(phrase().as_deref(), Some("answers 502"));
        trouble.hear(Ok(StatusCode::NOT_FOUND));
        assert_eq!(phrase().as_deref(), Some("answers 502"));
        trouble.hear(Ok(StatusCode::ACCEPTED));
        assert_eq!(phrase(), None);
        trouble.hear(Err(&Failure::Unreachable("Connection refused (os error 111)".into())));
        assert_eq!(phrase().as_deref(), Some("connection refused"));
    }
}
