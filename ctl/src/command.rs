//! The verbs, one per file.

pub(crate) mod demo_server;
pub(crate) mod discover;
pub(crate) mod get;
pub(crate) mod guard;
pub(crate) mod run;
pub(crate) mod schema;
pub(crate) mod token;
pub(crate) mod validate;
