//! From the wire to the model: a snapshot comes out whole and right, or every fault does, each with its path.
//!
//! One file per part of the message; this one walks them. No value that may be a credential is ever quoted in a fault.

mod access;
mod balance;
mod certificate_names;
mod command;
mod credential;
mod curation;
pub(crate) mod endpoint;
mod issuer;
mod json;
mod limits;
mod listener;
mod policy;
mod secrets;
pub mod sensitive;
mod server;
mod sessions;
#[cfg(test)]
pub(crate) mod tests;
mod text;

use std::fmt;

use sluice_contract::v1;

use crate::model::{Prefix, Snapshot};
pub use endpoint::authority;
pub(crate) use server::Given;

/// One thing wrong with a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where in the message, in the words of the contract: `servers[2].http.url`. Empty: the message as a whole.
    pub path: String,
    /// What is wrong and what would be right, without the offending value where that may be a credential.
    pub reason: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() { f.write_str(&self.reason) } else { write!(f, "{}: {}", self.path, self.reason) }
    }
}

impl std::error::Error for Fault {}

/// Parses a snapshot.
///
/// # Errors
///
/// Every fault found, never an empty list.
pub fn parse(wire: &v1::Snapshot) -> Result<Snapshot, Vec<Fault>> {
    let servers: Vec<Given> = wire.servers.iter().map(Given::Message).collect();
    with_servers(wire, &servers)
}

/// Parses a snapshot with these servers instead of those in the message.
pub(crate) fn with_servers(wire: &v1::Snapshot, servers: &[Given]) -> Result<Snapshot, Vec<Fault>> {
    let mut faults = Faults::default();
    let name = text::label(&wire.name, "name", &mut faults);
    let access = faults.required(wire.access.as_ref(), "access", access::parse);
    let listener = faults.required(wire.listener.as_ref(), "listener", listener::parse);
    let servers = server::parse_all(servers, &mut faults);
    let limits = faults.required(wire.limits.as_ref(), "limits", limits::parse);
    let monitoring = faults.required(wire.monitoring.as_ref(), "monitoring", limits::parse_monitoring);
    let prefix = match wire.prefix() {
        v1::Prefix::Always => Some(Prefix::Always),
        v1::Prefix::Never => Some(Prefix::Never),
        v1::Prefix::Unspecified => faults.note("prefix", "is not one this version knows"),
    };
    let sessions = sessions::parse(wire.sessions.as_ref(), &mut faults);
    let policies = wire.policies.as_ref().map(|wire| policy::parse(wire, &mut faults));
    let secrets = secrets::parse(&wire.secrets, &servers, &mut faults);
    if let (Some(listener), Some(access)) = (&listener, &access) {
        listener::check_openness(listener, access, &mut faults);
        listener::check_audiences(listener, access, &mut faults);
    }
    match (name, listener, access, limits, monitoring, prefix, sessions) {
        (Some(name), Some(listener), Some(access), Some(limits), Some(monitoring), Some(prefix), Some(sessions))
            if faults.0.is_empty() =>
        {
            Ok(Snapshot {
                revision: wire.revision,
                name: name.into(),
                listener,
                access,
                servers,
                limits,
                monitoring,
                prefix,
                sessions,
                policies,
                secrets,
            })
        }
        _ => Err(faults.0),
    }
}

/// Collects what is wrong, so that one mistake does not hide the next.
#[derive(Default)]
struct Faults(Vec<Fault>);

impl Faults {
    /// Notes a fault; returns `None`, for the parser that cannot produce its value.
    fn note<T>(&mut self, path: impl Into<String>, reason: impl Into<String>) -> Option<T> {
        self.0.push(Fault { path: path.into(), reason: reason.into() });
        None
    }

    /// Parses a part that must be there.
    fn required<W, T>(
        &mut self,
        wire: Option<&W>,
        path: &str,
        parse: impl FnOnce(&W, &mut Self) -> Option<T>,
    ) -> Option<T> {
        match wire {
            Some(wire) => parse(wire, self),
            None => self.note(path, "is missing"),
        }
    }
}
