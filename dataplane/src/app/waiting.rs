//! The door while there is nothing to serve: it is open, and says so, so that balancers and clients come again.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::task::JoinHandle;

use super::sockets::listen;
use crate::limit;
use crate::settings::{Settings, StartError};

/// Where clients are expected as long as nobody has said otherwise.
const USUAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8000);

/// A door behind which there is nothing yet. Dropped: nobody answers there any more.
pub(super) struct Waiting {
    /// To be handed on when there is.
    pub sockets: Vec<TcpListener>,
    answering: Option<JoinHandle<()>>,
}

impl Waiting {
    /// Opens the door.
    ///
    /// # Errors
    /// The address that was asked for cannot be bound.
    pub(super) fn open(settings: &Settings) -> Result<Self, StartError> {
        let socket = match settings.listen {
            Some(address) => Some(listen(address, "--listen")?),
            // the configuration may say another address: this one is not worth failing for
            None => listen(USUAL, "--listen").ok(),
        };
        let answering = match &socket {
            Some(socket) => Some(tokio::spawn(answer(tokio::net::TcpListener::from_std(socket.try_clone()?)?))),
            None => None,
        };
        Ok(Self { sockets: socket.into_iter().collect(), answering })
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(answering) = &self.answering {
            answering.abort();
        }
    }
}

async fn answer(listener: tokio::net::TcpListener) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(limit::SWEEP).await;
            continue;
        };
        tokio::spawn(async move {
            let service = service_fn(|_| async { Ok::<_, Infallible>(unavailable()) });
            // one answer a connection: the next one may find more
            let _ = http1::Builder::new()
                .keep_alive(false)
                .timer(TokioTimer::new())
                .header_read_timeout(limit::HEAD_READ)
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// Why it is so, operators find on the admin port.
fn unavailable() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(b"this gateway has no configuration yet\n")));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(limit::NOT_READY_RETRY.as_secs()));
    response
}
