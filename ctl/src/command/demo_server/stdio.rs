//! The demo server on stdin and stdout: one client, one JSON message per line; stderr is for people.

use std::io::{self, IsTerminal as _};

use rmcp::{ServiceExt as _, service::ServerInitializeError};
use tokio::io::{AsyncWriteExt as _, copy, simplex, stdin, stdout};

use super::demo::Demo;

/// Bytes read ahead of the server.
const READ_AHEAD: usize = 64 * 1024;

/// Serves until stdin ends.
pub(super) async fn serve(demo: Demo) -> io::Result<()> {
    if io::stdin().is_terminal() {
        eprintln!("speaking MCP on stdin and stdout; end with Ctrl-D, or see --help for HTTP");
    }
    // At the end of stdin the SDK waits some seconds for calls to finish, but does not tell them. Those that wait for
    // the client would wait in vain, so the end is noticed here and told to them.
    let (read, mut write) = simplex(READ_AHEAD);
    let connection = demo.connect();
    tokio::spawn(async move {
        let _ = copy(&mut stdin(), &mut write).await;
        let _ = write.shutdown().await;
        demo.end();
    });
    match connection.serve((read, stdout())).await {
        Ok(served) => served.waiting().await.map(drop).map_err(io::Error::other),
        // A client that leaves before it said anything is no failure of ours.
        Err(ServerInitializeError::ConnectionClosed(_)) => Ok(()),
        Err(error) => Err(io::Error::other(error)),
    }
}
