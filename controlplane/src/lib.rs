//! The control plane: the configuration people write, compiled into snapshots.
