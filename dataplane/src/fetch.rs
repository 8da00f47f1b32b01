//! One small HTTP exchange of the node's own, with authorization servers and issuers: never a client's call. The answer is read
//! whole, within a bound; how long it may take is the caller's to say.

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, HOST, HeaderValue, USER_AGENT};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use sluice_snapshot::model::HttpEndpoint;

use crate::connection::Socket;
use crate::limit;

/// What came back.
pub(crate) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Sends a request over a connection of its own. `request` has its method, its body and the fields beside those of every
/// request; of the answer's body at most `bytes` are taken.
///
/// # Errors
/// What happened, without addresses and without what was sent.
pub(crate) async fn exchange(
    socket: Socket,
    endpoint: &HttpEndpoint,
    mut request: Request<Full<Bytes>>,
    bytes: usize,
) -> Result<Answer, String> {
    let broken = |error: hyper::Error| format!("the exchange broke ({error})");
    *request.uri_mut() = endpoint.path.parse().map_err(|_| "cannot be asked: its path is none".to_owned())?;
    let host =
        HeaderValue::from_str(&endpoint.authority).map_err(|_| "cannot be asked: its host is none".to_owned())?;
    let fields = request.headers_mut();
    fields.insert(HOST, host);
    fields.insert(ACCEPT, HeaderValue::from_static("application/json"));
    fields.insert(USER_AGENT, HeaderValue::from_static("sluice"));
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(limit::HEAD_BYTES)
        .handshake(TokioIo::new(socket))
        .await
        .map_err(broken)?;
    // ends with the answer: nobody keeps the sender
    tokio::spawn(connection);
    let (head, mut body) = sender.send_request(request).await.map_err(broken)?.into_parts();
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
        if whole.len() + data.len() > bytes {
            return Err(format!("the answer has more than {bytes} bytes"));
        }
        whole.extend_from_slice(&data);
    }
    Ok(Answer { status: head.status, headers: head.headers, body: whole.freeze() })
}
