//! The service for nodes (`sync.proto`): who may connect, and a lane for each who does.

mod admission;

use std::sync::Arc;
use std::time::Duration;

use sluice_contract::v1;
use sluice_contract::v1::from_node::Message as Said;
use sluice_contract::v1::sync_server::{self, SyncServer};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::listen::Peer;
use crate::publish::{Lane, Publisher, QUEUE};
pub use admission::Admission;

/// How long a stream may stay without its hello: one message, sent as soon as there is a stream.
const HELLO: Duration = Duration::from_secs(10);
/// Bytes of a message: the faults of ten thousand servers fit, and so do their digests.
const MESSAGE_BYTES: usize = 64 << 20;
/// Longest name of a node, as in the contract.
const NODE_NAME: usize = 63;
/// Longest address of a node for links: the longest name of a host, and a port.
const LINK: usize = 255 + 6;

/// Serves nodes.
pub struct Sync {
    publisher: Arc<Publisher>,
    /// By what nodes are known; `None`: there is one, in this process.
    admission: Option<Arc<Admission>>,
}

impl Sync {
    /// For the one node of this process: whoever can call it is trusted, and it must not be put on a network.
    #[must_use]
    pub fn in_process(publisher: Arc<Publisher>) -> SyncServer<Self> {
        Self { publisher, admission: None }.server()
    }

    /// For nodes with certificates, over connections of [`crate::listen::Incoming`].
    #[must_use]
    pub fn admitting(publisher: Arc<Publisher>, admission: Admission) -> SyncServer<Self> {
        Self { publisher, admission: Some(Arc::new(admission)) }.server()
    }

    fn server(self) -> SyncServer<Self> {
        SyncServer::new(self).max_decoding_message_size(MESSAGE_BYTES).max_encoding_message_size(MESSAGE_BYTES)
    }

    fn admission(&self) -> Result<&Admission, Status> {
        self.admission.as_deref().ok_or_else(|| Status::unimplemented("the node of this process needs no certificate"))
    }
}

#[tonic::async_trait]
impl sync_server::Sync for Sync {
    type ConnectStream = ReceiverStream<Result<v1::ToNode, Status>>;

    async fn connect(
        &self,
        request: Request<Streaming<v1::FromNode>>,
    ) -> Result<Response<Self::ConnectStream>, Status> {
        let guest = match &self.admission {
            Some(admission) => Some((Arc::clone(admission), admission.known(request.extensions().get::<Peer>())?)),
            None => None,
        };
        let mut said = request.into_inner();
        let (out, messages) = mpsc::channel(QUEUE);
        let publisher = Arc::clone(&self.publisher);
        // A client of HTTP/2 waits for the head of the answer before it is sure that there is a stream: hello comes after.
        tokio::spawn(async move {
            let admitted = hello(&mut said).await.and_then(|hello| {
                let labels = match &guest {
                    Some((admission, credential)) => admission.labels(credential, &hello)?,
                    None => hello.labels.clone(),
                };
                Ok((hello, labels))
            });
            match admitted {
                Ok((hello, labels)) => {
                    let certificate = guest.as_ref().map(|(_, credential)| &**credential);
                    let visit = publisher.nodes().greet(&hello, labels, certificate);
                    Lane::new(publisher, visit, &hello, out).run(said).await;
                }
                Err(status) => drop(out.send(Err(status)).await),
            }
        });
        Ok(Response::new(ReceiverStream::new(messages)))
    }

    async fn join(&self, request: Request<v1::JoinRequest>) -> Result<Response<v1::Certificates>, Status> {
        let request = request.into_inner();
        check_name(&request.node)?;
        self.admission()?.join(&request).await.map(Response::new)
    }

    async fn renew(&self, request: Request<v1::RenewRequest>) -> Result<Response<v1::Certificates>, Status> {
        let peer = request.extensions().get::<Peer>().cloned();
        self.admission()?.renew(peer.as_ref(), request.get_ref()).map(Response::new)
    }
}

/// The first message, which must say who it is.
async fn hello(said: &mut Streaming<v1::FromNode>) -> Result<v1::Hello, Status> {
    let first = tokio::time::timeout(HELLO, said.message()).await;
    let first = first.map_err(|_| Status::failed_precondition("no hello came"))??;
    let Some(Said::Hello(hello)) = first.and_then(|first| first.message) else {
        return Err(Status::failed_precondition("the first message must be hello"));
    };
    check_name(&hello.node)?;
    check_link(&hello.link)?;
    Ok(hello)
}

/// `HOST:PORT`, or nothing.
fn check_link(link: &str) -> Result<(), Status> {
    let is_usable = |(host, port): (&str, &str)| {
        let port: Result<u16, _> = port.parse();
        !host.is_empty()
            && link.len() <= LINK
            && link.bytes().all(|b| b.is_ascii_graphic())
            && port.is_ok_and(|port| port > 0)
    };
    if link.is_empty() || link.rsplit_once(':').is_some_and(is_usable) {
        return Ok(());
    }
    let shown: String = link.chars().take(NODE_NAME).flat_map(char::escape_debug).collect();
    Err(Status::invalid_argument(format!("`{shown}` is no address for links: `HOST:PORT` is one")))
}

/// `[A-Za-z0-9][A-Za-z0-9._-]{0,62}`.
fn check_name(name: &str) -> Result<(), Status> {
    let usable = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    if name.len() <= NODE_NAME && name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.bytes().all(usable) {
        return Ok(());
    }
    let shown: String = name.chars().take(NODE_NAME).flat_map(char::escape_debug).collect();
    Err(Status::invalid_argument(format!("`{shown}` is no name for a node: letters, digits and `.-_`, at most 63")))
}
