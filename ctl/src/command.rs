//! The verbs, one per file.

pub(crate) mod apply;
pub(crate) mod audit;
pub(crate) mod authority;
pub(crate) mod completion;
pub(crate) mod delete;
pub(crate) mod demo_server;
pub(crate) mod diff;
pub(crate) mod discover;
pub(crate) mod explain;
pub(crate) mod get;
pub(crate) mod guard;
pub(crate) mod history;
pub(crate) mod node;
pub(crate) mod rollback;
pub(crate) mod run;
pub(crate) mod schema;
pub(crate) mod secret;
pub(crate) mod session;
pub(crate) mod status;
pub(crate) mod token;
pub(crate) mod validate;
