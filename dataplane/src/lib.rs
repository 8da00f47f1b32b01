//! The data plane: the node that forwards MCP traffic.
