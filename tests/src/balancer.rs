//! A balancer that knows nothing of what it carries: each connection goes to the next of its targets that takes one.

use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// A balancer of TCP connections, one after the other; as long as the process.
pub struct Balancer {
    /// Where it listens, on loopback.
    pub port: u16,
}

impl Balancer {
    /// To these ports of loopback, in turn.
    #[must_use]
    pub fn over(ports: impl IntoIterator<Item = u16>) -> Self {
        let targets: Arc<[SocketAddr]> = ports.into_iter().map(|port| ([127, 0, 0, 1], port).into()).collect();
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let next = AtomicUsize::new(0);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let turn = next.fetch_add(1, Ordering::Relaxed);
                let targets = Arc::clone(&targets);
                thread::spawn(move || {
                    let order = (0..targets.len()).map(|step| targets[(turn + step) % targets.len()]);
                    if let Some(server) = order.into_iter().find_map(|target| TcpStream::connect(target).ok()) {
                        carry(&client, &server);
                    }
                });
            }
        });
        Self { port }
    }
}

/// Carries bytes both ways until both sides are done.
fn carry(client: &TcpStream, server: &TcpStream) {
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    thread::scope(|scope| {
        scope.spawn(|| pour(client, server));
        pour(server, client);
    });
}

fn pour(mut from: &TcpStream, mut to: &TcpStream) {
    let clean = std::io::copy(&mut from, &mut to).is_ok();
    // one who is gone is gone for both
    let _ = to.shutdown(Shutdown::Write);
    if !clean {
        let _ = from.shutdown(Shutdown::Both);
    }
}
