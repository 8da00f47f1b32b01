//! The control plane as a process: private, careful about who asks, and sure of what it acknowledged.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

#[path = "control_plane/applied.rs"]
mod applied;
#[path = "control_plane/full.rs"]
mod full;
#[path = "control_plane/killed.rs"]
mod killed;
#[path = "control_plane/lost.rs"]
mod lost;
#[path = "control_plane/openapi.rs"]
mod openapi;
#[path = "control_plane/process.rs"]
mod process;
#[path = "control_plane/rest.rs"]
mod rest;
#[path = "control_plane/roles.rs"]
mod roles;
