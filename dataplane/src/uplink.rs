//! Where snapshots come from: the push stream of a control plane, in this process or elsewhere. It says who this node is,
//! gathers manifests and their chunks, and answers with a verdict; what is made of a snapshot is decided above.

mod backoff;
mod fleet;
mod identity;
mod remote;
mod report;
mod sessions;
mod stream;
mod tls;
mod token;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use sluice_snapshot::Fault;
use sluice_snapshot::chunk::Held;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tonic::body::Body;
use tower::Service;
use tower::util::BoxCloneSyncService;

use crate::drain::Phase;
use crate::node::Node;
use crate::observe::denials::Denials;
pub(crate) use fleet::Fleet;
pub use remote::{Remote, UplinkError};
use stream::End;
pub use tls::first_contact;

/// A gRPC service in this process.
type Local = BoxCloneSyncService<http::Request<Body>, http::Response<Body>, Infallible>;

/// The way to a control plane.
pub struct Uplink(Way);

enum Way {
    Local(Local),
    Remote(Remote),
}

impl Uplink {
    /// A control plane in this process: its service `sluice.v1.Sync`, called without a network in between.
    pub fn in_process<S>(service: S) -> Self
    where
        S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
        S: Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
    {
        Self(Way::Local(BoxCloneSyncService::new(service)))
    }

    /// A control plane elsewhere.
    #[must_use]
    pub fn remote(remote: Remote) -> Self {
        Self(Way::Remote(remote))
    }

    /// It may not be there when the node starts.
    pub(crate) fn is_remote(&self) -> bool {
        matches!(self.0, Way::Remote(_))
    }
}

/// A snapshot that has come whole, to be run or refused.
pub(crate) struct Offer {
    pub held: Arc<Held>,
    pub verdict: oneshot::Sender<Verdict>,
}

/// What became of an offer: run, with what is wrong all the same; or every reason why not.
pub(crate) type Verdict = Result<Vec<Fault>, Vec<Fault>>;

/// What the uplink knows of its node.
pub(crate) struct Link {
    pub node: String,
    /// When the process started, in milliseconds since 1970.
    pub incarnation: u64,
    /// What is known of the other nodes.
    pub fleet: Fleet,
    /// Where this node takes links of others, `HOST:PORT`; empty: nowhere.
    pub takes_links_at: String,
    pub labels: BTreeMap<String, String>,
    pub addresses: Vec<String>,
    /// What the node was last heard to run and keep.
    pub held: Arc<Held>,
    pub offers: mpsc::Sender<Offer>,
    /// Who was refused, and what of that was not heard yet.
    pub denials: Arc<Denials>,
    /// The node, once it serves.
    pub stage: watch::Receiver<Option<Arc<Node>>>,
    /// The certificate is to be renewed now.
    pub renewal: Arc<Notify>,
    /// Why the node has no configuration yet, for people.
    pub trouble: watch::Sender<String>,
}

impl Link {
    /// The newest generation the node runs or keeps: a stream may have ended between the two, and what comes next is above both.
    fn generation(&self) -> u64 {
        let runs = self.stage.borrow().as_ref().map_or(0, |node| node.planes.borrow().generation);
        runs.max(self.held.manifest.generation)
    }

    /// Waits until nothing is in flight any more on a node that is about to end.
    fn left(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut stage = self.stage.clone();
        async move {
            let node = stage.wait_for(Option::is_some).await.ok().and_then(|node| node.clone());
            match node {
                Some(node) => tokio::select! {
                    () = node.drain.reached(Phase::Emptying) => {}
                    // the control plane is another process's now
                    () = node.drain.successor() => {}
                },
                // it ends before it serves
                None => std::future::pending().await,
            }
        }
    }

    /// Serves the node as long as it lives.
    pub(crate) async fn run(mut self, uplink: Uplink) {
        match uplink.0 {
            Way::Remote(remote) => remote.serve(&mut self).await,
            Way::Local(service) => {
                let reason = match stream::converse(service, &mut self, || {}).await {
                    End::Broken(status) => status.message().to_owned(),
                    End::Dismissed(reason) => reason,
                    End::Leaving => return,
                };
                tracing::error!(reason, "changes of the configuration do not come any more");
                self.trouble.send_replace(reason);
            }
        }
    }
}
