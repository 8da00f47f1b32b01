//! The logging tool, and who wants to hear which messages.

#![expect(deprecated, reason = "logging is deprecated since 2026-07-28, and clients still use it")]

use std::sync::PoisonError;

use rmcp::{
    RoleServer,
    handler::server::wrapper::Parameters,
    model::{LoggingLevel, LoggingMessageNotificationParam},
    schemars::{self, JsonSchema},
    service::RequestContext,
    tool, tool_router,
};
use serde::Deserialize;

use super::{connection::Connection, era};

/// What a legacy client hears that never called `logging/setLevel`.
pub(super) const DEFAULT_LEVEL: LoggingLevel = LoggingLevel::Info;

/// The arguments of `log`.
#[derive(Deserialize, JsonSchema)]
struct Log {
    /// How severe the message is
    level: LoggingLevel,
    /// The message
    text: String,
}

#[tool_router(router = log_tool, vis = "pub(super)")]
impl Connection {
    #[tool(
        title = "Write a log message",
        description = "Sends you a log message (notifications/message), if it is at least as severe as you asked for: with logging/setLevel, or, from 2026-07-28 on, with the log level in the call's _meta. Says whether it was sent.",
        annotations(read_only_hint = true, open_world_hint = false)
    )]
    async fn log(
        &self,
        Parameters(Log { level, text }): Parameters<Log>,
        context: RequestContext<RoleServer>,
    ) -> Result<String, String> {
        let Some(least) = self.least_level(&context) else {
            return Ok("Not sent: this call did not ask for log messages.".to_owned());
        };
        if severity(level) < severity(least) {
            return Ok("Not sent: less severe than what you asked for.".to_owned());
        }
        let message = LoggingMessageNotificationParam::new(level, text.into()).with_logger("demo");
        let sent = context.peer.notify_logging_message(message).await;
        sent.map_err(|e| format!("the message could not be sent: {e}"))?;
        Ok("Sent.".to_owned())
    }

    /// The least severe message this client wants, or none if it wants no messages.
    fn least_level(&self, context: &RequestContext<RoleServer>) -> Option<LoggingLevel> {
        if era::is_modern(context) {
            return context.meta.log_level();
        }
        Some(*self.log_level.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// RFC 5424 order, debug lowest; the SDK declares its levels in it.
fn severity(level: LoggingLevel) -> u8 {
    level as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn severity_rises_from_debug_to_emergency() {
        assert!(severity(LoggingLevel::Debug) < severity(LoggingLevel::Info));
        assert!(severity(LoggingLevel::Warning) < severity(LoggingLevel::Error));
        assert!(severity(LoggingLevel::Alert) < severity(LoggingLevel::Emergency));
    }
}
