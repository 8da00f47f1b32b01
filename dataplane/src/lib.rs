//! The data plane: the node that forwards MCP traffic.
//!
//! One node runs validated snapshots ([`sluice_snapshot::model::Snapshot`]) and nothing else; it knows nothing of the
//! language they were written in. See `README.md` beside this crate for the life of a request.

mod admin;
mod adoption;
mod app;
mod auth;
mod budget;
mod catalog;
mod clock;
mod connection;
mod drain;
mod exchange;
mod fetch;
mod ledger;
mod limit;
mod listen;
mod node;
mod observe;
mod peer;
mod plane;
mod reason;
mod seal;
mod session;
mod settings;
mod uplink;
mod upstream;
mod wire;

pub use app::run;
pub use settings::{ADMIN, SessionKeys, Settings, StartError};
pub use uplink::{Remote, Uplink, UplinkError, first_contact};
pub use upstream::pipe::guard::main as guard_main;
