//! The tool that takes its time: progress while it works, and an end as soon as the caller gives up.

use std::time::Duration;

use rmcp::{
    RoleServer,
    handler::server::wrapper::Parameters,
    model::{CallToolResult, ContentBlock, ProgressNotificationParam},
    schemars::{self, JsonSchema, transform::RecursiveTransform},
    service::RequestContext,
    tool, tool_router,
};
use serde::Deserialize;

use super::{connection::Connection, tools::without_format};

/// Long enough to outlast every client's timeout, short enough not to be forgotten.
const MAX_SECONDS: f64 = 600.0;
/// More would only flood the client.
const MAX_STEPS: u32 = 1000;

/// The arguments of `slow`.
#[derive(Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(transform = RecursiveTransform(without_format))]
struct Slow {
    /// How long to take, in seconds
    #[schemars(range(min = 0.0, max = 600.0))]
    seconds: f64,
    /// In how many steps, each of which is reported
    #[schemars(range(min = 1, max = 1000))]
    steps: u32,
}

impl Default for Slow {
    fn default() -> Self {
        Self { seconds: 5.0, steps: 5 }
    }
}

impl Slow {
    /// How long one step takes, or what is wrong with the arguments.
    fn step(&self) -> Result<Duration, String> {
        if !(0.0..=MAX_SECONDS).contains(&self.seconds) {
            return Err(format!("`seconds` must be from 0 to {MAX_SECONDS}, not {}", self.seconds));
        }
        if !(1..=MAX_STEPS).contains(&self.steps) {
            return Err(format!("`steps` must be from 1 to {MAX_STEPS}, not {}", self.steps));
        }
        Ok(Duration::from_secs_f64(self.seconds / f64::from(self.steps)))
    }
}

#[tool_router(router = slow_tool, vis = "pub(super)")]
impl Connection {
    #[tool(
        title = "Take some time",
        description = "Takes as long as you say, in as many steps as you say. Reports progress after each step when the call carries a progress token, and stops when the call is cancelled.",
        annotations(read_only_hint = true, open_world_hint = false)
    )]
    async fn slow(
        &self,
        Parameters(slow): Parameters<Slow>,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResult, String> {
        let step = slow.step()?;
        let Slow { seconds, steps } = slow;
        let token = context.meta.get_progress_token();
        for done in 1..=steps {
            tokio::select! {
                () = tokio::time::sleep(step) => {}
                () = context.ct.cancelled() => {
                    // No client sees the result of a cancelled call; whoever runs the server sees this.
                    eprintln!("slow: cancelled after {} of {steps} steps", done - 1);
                    return Err("cancelled".to_owned());
                }
            }
            if let Some(token) = &token {
                let progress = ProgressNotificationParam::new(token.clone(), f64::from(done))
                    .with_total(f64::from(steps))
                    .with_message(format!("step {done} of {steps}"));
                // A client that is gone is noticed by the cancellation above.
                let _ = context.peer.notify_progress(progress).await;
            }
        }
        let text = format!("Took {seconds} seconds in {steps} steps.");
        Ok(CallToolResult::success(vec![ContentBlock::text(text)]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_explained_rather_than_obeyed_silently() {
        let step = |seconds, steps| Slow { seconds, steps }.step();
        assert_eq!(step(2.0, 4), Ok(Duration::from_millis(500)));
        assert!(step(-1.0, 1).unwrap_err().contains("`seconds`"));
        assert!(step(f64::NAN, 1).unwrap_err().contains("`seconds`"));
        assert!(step(1.0, 0).unwrap_err().contains("`steps`"));
    }
}
