//! Servers that take turns at one address, as in a redeployment.

use std::net::Ipv4Addr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A port behind which servers take turns.
pub struct Turn {
    /// Where they are.
    pub port: u16,
    server: Arc<watch::Sender<u16>>,
}

impl Turn {
    /// The turn of the server at this port.
    pub async fn of(server: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = Arc::new(watch::Sender::new(server));
        let turns = Arc::clone(&server);
        tokio::spawn(async move {
            while let Ok((mut inside, _peer)) = listener.accept().await {
                let mut turns = turns.subscribe();
                tokio::spawn(async move {
                    let to = *turns.borrow_and_update();
                    let mut outside = TcpStream::connect((Ipv4Addr::LOCALHOST, to)).await.unwrap();
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut inside, &mut outside) => {}
                        _ = turns.changed() => {}
                    }
                });
            }
        });
        Self { port, server }
    }

    /// Another server's turn: the connections to the one before end.
    pub fn take(&self, server: u16) {
        self.server.send_replace(server);
    }
}
