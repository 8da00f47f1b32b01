//! The harness of the integration tests: the real `sluice` binary as a child process, scripted MCP servers behind it,
//! clients in front of it. Everything speaks over real sockets and pipes.
//!
//! Helpers panic when what they wait for does not come: a test has no better answer to that.
#![allow(clippy::unwrap_used, reason = "the whole crate is test code; a failed unwrap is a failed test")]

pub mod balancer;
pub mod binary;
pub mod call;
pub mod canary;
pub mod catalogue;
pub mod client;
pub mod clock;
pub mod control;
pub mod counting;
pub mod disk;
pub mod door;
pub mod events;
pub mod fleet;
pub mod flood;
pub mod gateway;
pub mod http2;
pub mod issuer;
pub mod line;
pub mod long;
pub mod message;
pub mod metrics;
pub mod node;
pub mod peer;
pub mod place;
pub mod port;
pub mod process;
pub mod program;
pub mod raw;
pub mod redis;
pub mod redis_cluster;
pub mod server;
pub mod session;
pub mod sse;
pub mod survivor;
pub mod tls;
pub mod traffic;
pub mod turn;
pub mod upstream;
pub mod wait;
pub mod websocket;
pub mod works;

pub use balancer::Balancer;
pub use call::{Call, Reply};
pub use control::ControlPlane;
pub use gateway::Gateway;
pub use node::Node;
pub use redis::Redis;
pub use redis_cluster::RedisCluster;
pub use session::Session;
pub use upstream::{Answer, Upstream};
pub use wait::until;
