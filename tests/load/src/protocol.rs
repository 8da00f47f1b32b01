//! Names of the protocol that both ends write.

/// The newest legacy revision: sessions.
pub const LEGACY: &str = "2025-11-25";
/// The first modern revision: every request stands alone.
pub const MODERN: &str = "2026-07-28";

/// Keys of a modern request's `_meta`.
pub const VERSION_KEY: &str = "io.modelcontextprotocol/protocolVersion";
/// See [`VERSION_KEY`].
pub const INFO_KEY: &str = "io.modelcontextprotocol/clientInfo";
/// See [`VERSION_KEY`].
pub const CAPABILITIES_KEY: &str = "io.modelcontextprotocol/clientCapabilities";
