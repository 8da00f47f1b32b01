//! The doors: each translates between its words and those of [`crate::service`], and decides nothing.

pub mod grpc;
pub mod http;
pub mod rest;
