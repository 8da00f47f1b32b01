//! The doors: each translates between its words and those of [`crate::service`], and decides nothing.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::FromRef;

use crate::authority::Authority;
use crate::log::Recent;
use crate::publish::Publisher;
use crate::service::Service;

pub mod grpc;
pub mod http;
pub mod rest;

/// What the doors open to.
#[derive(Clone)]
pub struct Control {
    /// The operations.
    pub service: Service,
    /// The nodes, and what they are brought to.
    pub publisher: Arc<Publisher>,
    /// By whom the control plane is known.
    pub authority: Arc<Authority>,
    /// What it logged last.
    pub log: Recent,
    /// Where the doors are.
    pub doors: Doors,
}

/// Where each door is, for who stands before the wrong one.
#[derive(Debug, Clone, Copy)]
pub struct Doors {
    /// gRPC.
    pub grpc: SocketAddr,
    /// HTTP.
    pub http: SocketAddr,
}

impl FromRef<Control> for Service {
    fn from_ref(control: &Control) -> Self {
        control.service.clone()
    }
}

impl FromRef<Control> for Arc<Publisher> {
    fn from_ref(control: &Control) -> Self {
        Arc::clone(&control.publisher)
    }
}

impl FromRef<Control> for Arc<Authority> {
    fn from_ref(control: &Control) -> Self {
        Arc::clone(&control.authority)
    }
}

impl FromRef<Control> for Recent {
    fn from_ref(control: &Control) -> Self {
        control.log.clone()
    }
}
