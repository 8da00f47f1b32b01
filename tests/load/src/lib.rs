//! What both ends of the benchmark share: `mock` (an MCP server) and `load` (its clients). Each is one thread that waits
//! on epoll, because both share a core and must leave the proxy between them as much of the machine as they can.

pub mod arguments;
pub mod chunked;
pub mod connection;
pub mod protocol;
pub mod readiness;
