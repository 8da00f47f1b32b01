//! Integration tests over real sockets, and the harness they share.
