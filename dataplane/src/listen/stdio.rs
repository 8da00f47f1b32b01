//! The stdio door: MCP on the process's own stdin and stdout.

use std::rc::Rc;

use crate::node::Worker;

/// Serves until stdin ends.
pub(crate) async fn serve(_worker: Rc<Worker>) {}
