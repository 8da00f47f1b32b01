//! The Model Context Protocol itself, pure: bytes in, facts and edits out; no sockets, no clock.
