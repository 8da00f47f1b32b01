//! Waiting for a condition with a deadline, instead of sleeping and hoping.

use std::fmt::Debug;
use std::future::Future;
use std::time::{Duration, Instant};

/// How long anything that should happen at once may take on a busy machine.
pub const SOON: Duration = Duration::from_secs(10);
const STEP: Duration = Duration::from_millis(10);
/// Between questions that are requests themselves.
const ASKED: Duration = Duration::from_millis(20);

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

/// As [`until`], for what has to be asked of somebody. An answer on its way does not hold the deadline up.
pub async fn eventually<T>(what: &str, ask: impl AsyncFnMut() -> Option<T>) -> T {
    eventually_within(SOON, what, ask).await
}

/// As [`eventually`], with a deadline of its own.
pub async fn eventually_within<T>(deadline: Duration, what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(ASKED).await;
        }
    };
    tokio::time::timeout(deadline, asking).await.unwrap_or_else(|_| panic!("waited {deadline:?} in vain: {what}"))
}

/// Asks until the answer is as it should be, and gives it; panics with `what` and the last answer after `deadline`.
pub async fn becomes<T: Debug>(
    deadline: Duration,
    what: &str,
    mut ask: impl AsyncFnMut() -> T,
    mut fits: impl FnMut(&T) -> bool,
) -> T {
    let mut last = None;
    let asking = async {
        loop {
            let answer = ask().await;
            if fits(&answer) {
                return answer;
            }
            last = Some(answer);
            tokio::time::sleep(ASKED).await;
        }
    };
    if let Ok(answer) = tokio::time::timeout(deadline, asking).await {
        return answer;
    }
    panic!("waited {deadline:?} in vain: {what}; the last answer: {last:?}")
}

/// Does the same over and over for as long as `length`, with a pause after each: for what must stay as it is.
pub async fn throughout(length: Duration, pause: Duration, mut act: impl AsyncFnMut()) {
    let start = Instant::now();
    while start.elapsed() < length {
        act().await;
        tokio::time::sleep(pause).await;
    }
}

/// Lets time pass where time itself is what the test is about; no event tells of its end.
pub async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

/// The future's result, or a panic with `what` when it takes longer than [`SOON`].
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, future).await.unwrap_or_else(|_| panic!("waited {SOON:?} in vain: {what}"))
}

/// `true` when nothing came of the future for `pause`: for asserting silence, which has no event to wait for.
pub async fn silent<T>(pause: Duration, future: impl Future<Output = T>) -> bool {
    tokio::time::timeout(pause, future).await.is_err()
}
