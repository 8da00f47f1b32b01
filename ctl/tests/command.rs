//! The command as people meet it: the built binary, real files, real sockets.

// Marked as tests, helpers included, so that they may `unwrap`.
#[cfg(test)]
#[path = "command/admin.rs"]
mod admin;
#[cfg(test)]
#[path = "command/apply.rs"]
mod apply;
#[cfg(test)]
#[path = "command/discover.rs"]
mod discover;
#[cfg(test)]
#[path = "command/explain.rs"]
mod explain;
#[cfg(test)]
#[path = "command/fleet.rs"]
mod fleet;
#[cfg(test)]
#[path = "command/get.rs"]
mod get;
#[cfg(test)]
#[path = "command/process.rs"]
mod process;
#[cfg(test)]
#[path = "command/reload.rs"]
mod reload;
#[cfg(test)]
#[path = "command/run.rs"]
mod run;
#[cfg(test)]
#[path = "command/session.rs"]
mod session;
#[cfg(test)]
#[path = "command/token.rs"]
mod token;
#[cfg(test)]
#[path = "command/validate.rs"]
mod validate;
