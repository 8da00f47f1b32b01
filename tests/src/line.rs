//! A line to a server that a test cuts and mends: the server dies, hangs and comes back on the same port, as far as
//! anybody in front of the line can tell.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

use crate::{port, until};

/// The line. Starts cut.
pub struct Line {
    /// Its port, where connections are refused while it is cut.
    pub port: u16,
    to: u16,
    task: Mutex<Option<AbortHandle>>,
    taken: Arc<Mutex<usize>>,
}

impl Line {
    /// A line to a port of this machine.
    #[must_use]
    pub fn to(port: u16) -> Self {
        Self { port: port::free(), to: port, task: Mutex::default(), taken: Arc::default() }
    }

    /// Its entry in a configuration.
    #[must_use]
    pub fn config(&self) -> Value {
        json!({ "url": format!("http://127.0.0.1:{}/mcp", self.port) })
    }

    /// Connections are refused; those that there were are closed.
    pub fn cut(&self) {
        if let Some(task) = self.task.lock().unwrap().take() {
            task.abort();
        }
    }

    /// Connections reach the server.
    pub async fn mend(&self) {
        self.set(true).await;
    }

    /// Connections are taken, and nothing is ever said.
    pub async fn hang(&self) {
        self.set(false).await;
    }

    /// How many connections were taken so far.
    #[must_use]
    pub fn taken(&self) -> usize {
        *self.taken.lock().unwrap()
    }

    async fn set(&self, forward: bool) {
        self.cut();
        let port = self.port;
        let bind = || std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok();
        let listener = until("the port is free again", bind).await;
        listener.set_nonblocking(true).unwrap();
        let (listener, to) = (TcpListener::from_std(listener).unwrap(), self.to);
        let taken = Arc::clone(&self.taken);
        let task = tokio::spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await as std::io::Result<(_, SocketAddr)> {
                *taken.lock().unwrap() += 1;
                open.spawn(async move {
                    if forward && let Ok(mut far) = TcpStream::connect((Ipv4Addr::LOCALHOST, to)).await {
                        let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                    } else {
                        std::future::pending::<()>().await;
                    }
                });
            }
        });
        *self.task.lock().unwrap() = Some(task.abort_handle());
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.cut();
    }
}
