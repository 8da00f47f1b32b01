//! How nodes get in: by a join token once, by their certificate from then on, until they are revoked.

use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::Connection;
use rustls_pki_types::CertificateDer;
use sluice_contract::{FINGERPRINT_MARK, v1};
use tonic::Status;

use crate::audit::{self, Event};
use crate::authority::{Authority, Credential, Refused};
use crate::listen::Peer;
use crate::publish::{Labels, Nodes};
use crate::store::tokens::StoredToken;
use crate::store::{Store, StoreError, digest, tokens};

/// Knows who may come in.
pub struct Admission {
    store: Store,
    authority: Arc<Authority>,
    nodes: Arc<Nodes>,
}

impl Admission {
    /// With the tokens of a store, the certificates of an authority, and the nodes that are known.
    #[must_use]
    pub fn new(store: Store, authority: Arc<Authority>, nodes: Arc<Nodes>) -> Self {
        Self { store, authority, nodes }
    }

    /// Whose connection this is.
    pub(super) fn known(&self, peer: Option<&Peer>) -> Result<Arc<Credential>, Status> {
        let Some(credential) = peer.and_then(|peer| peer.credential.clone()) else {
            return Err(Status::unauthenticated("nodes show a certificate, which they get by joining"));
        };
        self.welcome(&credential)?;
        Ok(credential)
    }

    /// The labels of a node that says hello: those that its join token gave it, whatever it says; where it gave none, what it says.
    pub(super) fn labels(&self, credential: &Credential, hello: &v1::Hello) -> Result<Labels, Status> {
        if hello.node != credential.node {
            let own = &credential.node;
            return Err(Status::permission_denied(format!("the certificate is that of node `{own}`")));
        }
        let granted = self.nodes.granted(&credential.node);
        if granted.is_empty() {
            return Ok(hello.labels.clone());
        }
        if hello.labels.iter().any(|(label, value)| granted.get(label) != Some(value)) {
            // refused, it would have to join again, with a token that is used up by then
            let (said, node) = (&hello.labels, &hello.node);
            tracing::warn!(
                node,
                ?said,
                ?granted,
                "a node says other labels than its join token gave it: the token counts"
            );
        }
        Ok(granted)
    }

    /// Exchanges a join token for a certificate.
    pub(super) async fn join(&self, request: &v1::JoinRequest) -> Result<v1::Certificates, Status> {
        // before the token is used up: what cannot be signed leaves it as it is
        let certificates = self.authority.admit(&request.node, &request.csr).map_err(refused)?;
        let bare = request.token.trim().split(FINGERPRINT_MARK).next().unwrap_or_default();
        let (sha256, node, now) = (digest(bare), request.node.clone(), self.authority.clock().now());
        let used = self.store.write(move |db| use_up(db, &sha256, &node, now)).await;
        let used = used.map_err(|error: StoreError| {
            tracing::error!(%error, "a node could not join");
            // where its folder is, is nobody's matter before they have joined
            Status::unavailable(match error.obstacle() {
                Some(obstacle) => format!("the control plane cannot write down who joins: {}", obstacle.what()),
                None => "the control plane cannot read its tokens; its log says why".to_owned(),
            })
        })?;
        let Some(token) = used else {
            let reason = "the join token is unknown, used, expired, or for another node: make a new one for this node";
            return Err(Status::unauthenticated(reason));
        };
        tracing::info!(node = request.node, token = token.id, "a node joined");
        self.nodes.grant(&request.node, token.labels);
        self.certified(&certificates);
        Ok(certificates)
    }

    /// A new certificate for the bearer of one.
    pub(super) fn renew(&self, peer: Option<&Peer>, request: &v1::RenewRequest) -> Result<v1::Certificates, Status> {
        let credential = match peer.and_then(|peer| peer.credential.clone()) {
            Some(credential) => credential,
            None => Arc::new(self.authority.recognise(request).map_err(refused)?),
        };
        self.welcome(&credential)?;
        let certificates = self.authority.admit(&credential.node, &request.csr).map_err(refused)?;
        self.certified(&certificates);
        Ok(certificates)
    }

    /// Notes what a node was given.
    fn certified(&self, certificates: &v1::Certificates) {
        let leaf = certificates.chain.first().map(|leaf| CertificateDer::from(leaf.as_slice()));
        if let Some(Credential { node, authority, ends, .. }) = leaf.as_ref().and_then(Credential::of) {
            self.nodes.certified(&node, authority, ends);
        }
    }

    /// Refuses those that were sent away after their certificate was made.
    fn welcome(&self, credential: &Credential) -> Result<(), Status> {
        if self.nodes.is_revoked(&credential.node, credential.made_ms) {
            return Err(Status::permission_denied("the node was revoked: it has to join again with a new token"));
        }
        Ok(())
    }
}

/// Uses up a join token, if it counts and is for this node: whoever has a token for one name cannot take another's place.
fn use_up(db: &Connection, sha256: &[u8; 32], node: &str, now: Timestamp) -> Result<Option<StoredToken>, StoreError> {
    if tokens::by_digest(db, sha256)?.is_none_or(|token| token.name != node) {
        return Ok(None);
    }
    let Some(token) = tokens::join(db, sha256, node, now)? else { return Ok(None) };
    let event = Event {
        actor: node.to_owned(),
        action: "node.join",
        object: format!("node/{node}"),
        detail: format!("by a token of `{}`", token.author),
        ..Event::default()
    };
    audit::record(db, now, event)?;
    Ok(Some(token))
}

fn refused(refused: Refused) -> Status {
    match refused {
        Refused::Request => Status::invalid_argument(refused.to_string()),
        Refused::Certificate | Refused::Expired => Status::unauthenticated(refused.to_string()),
    }
}
