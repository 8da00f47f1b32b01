//! Waiting for a condition with a deadline, instead of sleeping and hoping.

use std::future::Future;
use std::time::{Duration, Instant};

/// How long anything that should happen at once may take on a busy machine.
pub const SOON: Duration = Duration::from_secs(10);
const STEP: Duration = Duration::from_millis(10);

/// Asks again and again until there is an answer; panics with `what` when none came within [`SOON`].
pub async fn until<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    within(SOON, what, ask).await
}

/// As [`until`], with a deadline of its own.
pub async fn within<T>(deadline: Duration, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < deadline, "waited {deadline:?} in vain: {what}");
        tokio::time::sleep(STEP).await;
    }
}

/// The future's result, or a panic with `what` when it takes longer than [`SOON`].
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, future).await.unwrap_or_else(|_| panic!("waited {SOON:?} in vain: {what}"))
}

/// `true` when nothing came of the future for `pause`: for asserting silence, which has no event to wait for.
pub async fn silent<T>(pause: Duration, future: impl Future<Output = T>) -> bool {
    tokio::time::timeout(pause, future).await.is_err()
}
