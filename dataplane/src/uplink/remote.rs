//! A control plane elsewhere: found, joined once, connected to again and again.

use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use sluice_contract::CONTROL_PLANE;
use sluice_contract::v1;
use sluice_contract::v1::sync_client::SyncClient;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Code, Status};

use super::backoff::Backoff;
use super::identity::{self, Identity};
use super::stream::{End, converse};
use super::token::JoinToken;
use super::{Fleet, Link, tls};
use crate::ledger::LEDGER;
use crate::limit;

/// The port of a control plane's gRPC listener, where a URL says none.
const PORT: u16 = 9400;
/// The file in the state folder with key and certificates.
const FILE: &str = "identity.pem";

/// Beside it: one that was not what had been written, for whoever wants to know what became of it.
const ASIDE: &str = "identity.pem.damaged";

/// A control plane elsewhere, and how this node gets in there.
pub struct Remote {
    host: String,
    port: u16,
    identity: PathBuf,
    /// The identity that was there cannot be used, or is gone.
    damaged: Option<io::Error>,
    join_token: Option<PathBuf>,
}

/// Why there is no way to a control plane.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UplinkError {
    /// It is no URL of a control plane.
    #[error("`{0}` is no URL of a control plane: `https://HOST:9400` is one")]
    Url(String),
    /// The node has neither certificate nor token.
    #[error(
        "this node has not joined yet: give a token with --join-token-file (`sluice token create NAME --join` makes one)"
    )]
    Token,
    /// The join token.
    #[error("{0}")]
    BadToken(String),
    /// What is kept of this node.
    #[error("the identity of this node in {0} cannot be used: {1}")]
    Identity(PathBuf, io::Error),
}

impl Remote {
    /// The control plane at a URL, for a node whose identity is kept in a state folder. The join token is only looked at where
    /// there is no identity, or where it is not good any more. An identity that is damaged is set aside: a node that had joined serves
    /// what it ran last, and joins again with a new token. So does one with a ledger whose identity is missing.
    ///
    /// # Errors
    /// There is no way in.
    pub fn new(url: &str, state_dir: &std::path::Path, join_token: Option<PathBuf>) -> Result<Self, UplinkError> {
        let wrong = || UplinkError::Url(url.to_owned());
        let whole = if url.contains("://") { url.to_owned() } else { format!("https://{url}") };
        let uri: Uri = whole.parse().map_err(|_| wrong())?;
        // there is no other way than TLS: whoever writes `http` means the address
        let usable = matches!(uri.scheme_str(), Some("http" | "https")) && matches!(uri.path(), "" | "/");
        let host = uri.host().filter(|host| usable && !host.is_empty()).ok_or_else(wrong)?;
        let (identity, aside) = (state_dir.join(FILE), state_dir.join(ASIDE));
        let damaged = match (Identity::load(&identity), &join_token) {
            (Ok(Some(_)), _) => None,
            (Err(error), _) if error.kind() == io::ErrorKind::InvalidData => {
                // should that fail, it is written over when the node joins
                let _ = std::fs::rename(&identity, &aside);
                Some(error)
            }
            (Err(error), _) => return Err(UplinkError::Identity(identity, error)),
            (Ok(None), _) if aside.exists() => None,
            // it had joined: what it ran last is served whatever became of its identity
            (Ok(None), _) if state_dir.join(LEDGER).exists() => Some(io::ErrorKind::NotFound.into()),
            (Ok(None), None) => return Err(UplinkError::Token),
            (Ok(None), Some(file)) => {
                JoinToken::read(file).map_err(UplinkError::BadToken)?;
                None
            }
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self { host, port: uri.port_u16().unwrap_or(PORT), identity, damaged, join_token })
    }

    /// Serves the node over one connection after the other, as long as it lives.
    pub(super) async fn serve(&self, link: &mut Link) {
        if let Some(error) = &self.damaged {
            let (path, node) = (self.identity.display(), &link.node);
            let what = match error.kind() {
                io::ErrorKind::NotFound => "is missing",
                _ => "is damaged and was set aside",
            };
            tracing::error!(
                %path,
                %error,
                "the identity of this node {what}: the node serves what it ran last, and joins again with a new join token (`sluice \
                 token create {node} --join` makes one, --join-token-file gives it to the node)"
            );
        }
        let mut way = Way { remote: self, identity: Identity::load(&self.identity).ok().flatten(), tried: None };
        way.identity.iter().for_each(|identity| link.fleet.identify(identity));
        let mut backoff = Backoff::new();
        let mut left = pin!(link.left());
        loop {
            let began = Instant::now();
            let end = way.visit(link).await;
            link.fleet.unheard();
            let reason = match end {
                End::Leaving => return,
                End::Dismissed(reason) => {
                    tracing::error!(
                        reason,
                        "sent away by the control plane: what is configured stays, and nothing new comes"
                    );
                    link.trouble.send_replace(format!("the control plane sent this node away: {reason}"));
                    return;
                }
                End::Broken(status) => status.message().to_owned(),
            };
            if began.elapsed() > limit::UPLINK_STEADY {
                backoff = Backoff::new();
            }
            let pause = backoff.pause();
            let control_plane = format!("{}:{}", self.host, self.port);
            tracing::warn!(
                control_plane,
                reason,
                again_in_ms = pause.as_millis() as u64,
                "not connected to the control plane"
            );
            link.trouble.send_replace(format!("the control plane at {control_plane}: {reason}"));
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = &mut left => return,
            }
        }
    }

    /// Opens a connection.
    async fn connect(&self, tls: Arc<ClientConfig>) -> Result<Channel, Status> {
        let (host, port) = (self.host.clone(), self.port);
        let connect = tower::service_fn(move |_: Uri| {
            let (host, tls) = (host.clone(), Arc::clone(&tls));
            async move {
                let tcp = TcpStream::connect((host.as_str(), port)).await?;
                tcp.set_nodelay(true)?;
                let name = ServerName::try_from(CONTROL_PLANE).map_err(io::Error::other)?;
                Ok::<_, io::Error>(TokioIo::new(TlsConnector::from(tls).connect(name, tcp).await?))
            }
        });
        let endpoint = Endpoint::from_static("http://control-plane.sluice")
            .connect_timeout(limit::CONNECT + limit::TLS_HANDSHAKE)
            .http2_keep_alive_interval(limit::UPLINK_PING)
            .keep_alive_timeout(limit::UPLINK_PONG)
            .keep_alive_while_idle(true);
        endpoint.connect_with_connector(connect).await.map_err(|error| match distrust(&error) {
            Some(distrust) if is_of_time(distrust) => Status::unavailable(format!(
                "{distrust}: the certificate of the control plane is not valid at the time of this node; look at the clock of this node, and at that of the control plane"
            )),
            Some(distrust) => Status::unauthenticated(format!(
                "{distrust}: it is another control plane, or its authorities were exchanged while this node was away; a new join token \
                 brings the node back (`sluice token create NAME --join`)"
            )),
            None if is_no_tls(&error) => Status::unavailable(
                "what answers there does not speak TLS, and so is no control plane for nodes: they are served at the port for gRPC \
                 (`sluice-controlplane --grpc`, usually 9400)",
            ),
            None => Status::unavailable(root_cause(&error)),
        })
    }
}

/// The way in, as far as it was gone.
struct Way<'r> {
    remote: &'r Remote,
    identity: Option<Identity>,
    /// The join token that was shown last: it counts once.
    tried: Option<JoinToken>,
}

impl Way<'_> {
    /// Gets in and serves the node until the connection ends.
    async fn visit(&mut self, link: &mut Link) -> End {
        match self.try_visit(link).await {
            Ok(End::Broken(status)) | Err(status) => {
                let is_refused = matches!(status.code(), Code::Unauthenticated | Code::PermissionDenied);
                if is_refused && self.identity.is_some() && self.has_another_token() {
                    tracing::info!(
                        "the certificate of this node is refused: joining again with the token that is there"
                    );
                    self.identity = None;
                }
                End::Broken(status)
            }
            Ok(end) => end,
        }
    }

    async fn try_visit(&mut self, link: &mut Link) -> Result<End, Status> {
        let identity = match self.identity.take() {
            None => self.join(&link.node).await?,
            Some(identity) if identity.has_ended() => {
                // kept where this fails: it can be tried again
                let identity = self.identity.insert(identity);
                let channel = self.remote.connect(tls::known(identity).map_err(internal)?).await?;
                renew(identity, channel, &self.remote.identity).await?
            }
            Some(identity) => identity,
        };
        let identity = self.identity.insert(identity);
        link.fleet.identify(identity);
        let channel = self.remote.connect(tls::known(identity).map_err(internal)?).await?;
        let welcomed = || tracing::info!(control_plane = self.remote.host, "connected to the control plane");
        let (asked, fleet) = (Arc::clone(&link.renewal), link.fleet.clone());
        tokio::select! {
            end = converse(channel.clone(), link, welcomed) => Ok(end),
            never = keep_renewing(identity, &asked, &channel, (&self.remote.identity, &fleet)) => match never {},
        }
    }

    /// Exchanges the join token for an identity.
    async fn join(&mut self, node: &str) -> Result<Identity, Status> {
        let file = self.remote.join_token.as_ref();
        let file = file.ok_or_else(|| {
            Status::unauthenticated(
                "this node has to join, and there is no token: give one with --join-token-file (`sluice token create NAME --join` \
                 makes one)",
            )
        })?;
        let token = JoinToken::read(file).map_err(Status::unauthenticated)?;
        let channel = self.remote.connect(tls::first_contact(token.authority).map_err(internal)?).await?;
        let key = Identity::key().map_err(internal)?;
        let csr = identity::request(&key).map_err(internal)?;
        let request = v1::JoinRequest { token: token.text.clone(), node: node.to_owned(), csr };
        self.tried = Some(token);
        let given = SyncClient::new(channel).join(request).await?.into_inner();
        let identity = keep(key, given, &self.remote.identity)?;
        tracing::info!(node, "joined");
        Ok(identity)
    }

    /// There is a join token that was not shown yet.
    fn has_another_token(&self) -> bool {
        let token = self.remote.join_token.as_ref().and_then(|file| JoinToken::read(file).ok());
        token.is_some() && token != self.tried
    }
}

/// Renews a certificate whenever two thirds of its life are over, or the control plane asks for it.
async fn keep_renewing(
    identity: &mut Identity,
    asked: &Notify,
    channel: &Channel,
    (file, fleet): (&std::path::Path, &Fleet),
) -> std::convert::Infallible {
    loop {
        // in steps, because clocks are set and machines sleep
        let due = identity.renew_in();
        if due > Duration::ZERO {
            tokio::select! {
                () = tokio::time::sleep(due.min(limit::RENEWAL_LOOK)) => continue,
                () = asked.notified() => {}
            }
        }
        match renew(identity, channel.clone(), file).await {
            Ok(renewed) => {
                fleet.identify(&renewed);
                *identity = renewed;
            }
            Err(status) => {
                tracing::warn!(reason = status.message(), "the certificate of this node could not be renewed yet");
                tokio::time::sleep(limit::RENEWAL_LOOK).await;
            }
        }
    }
}

async fn renew(identity: &Identity, channel: Channel, file: &std::path::Path) -> Result<Identity, Status> {
    let (key, request) = identity.renewal().map_err(internal)?;
    let given = SyncClient::new(channel).renew(request).await?.into_inner();
    let renewed = keep(key, given, file)?;
    tracing::info!("the certificate of this node was renewed");
    Ok(renewed)
}

fn keep(key: rcgen::KeyPair, given: v1::Certificates, file: &std::path::Path) -> Result<Identity, Status> {
    let identity = Identity::of(key, given);
    let identity =
        identity.ok_or_else(|| Status::data_loss("the control plane gave certificates that are not usable"))?;
    if let Err(error) = identity.save(file) {
        tracing::error!(path = %file.display(), %error, "the identity of this node cannot be kept: it ends with this process");
    }
    Ok(identity)
}

fn internal(error: impl std::fmt::Display) -> Status {
    Status::internal(error.to_string())
}

/// Why one of the two does not know the other by certificate.
fn distrust<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e rustls::Error> {
    use rustls::Error::{AlertReceived, InvalidCertificate};
    of_tls(error).filter(|found| matches!(found, InvalidCertificate(_) | AlertReceived(_)))
}

/// Whether the other side said something that is not TLS.
fn is_no_tls(error: &(dyn std::error::Error + 'static)) -> bool {
    of_tls(error).is_some_and(|found| matches!(found, rustls::Error::InvalidMessage(_)))
}

/// What TLS says, under the layers of an error.
fn of_tls<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(found) = inner.and_then(|inner| inner.downcast_ref()).or_else(|| error.downcast_ref()) {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// Whether a certificate is only not good yet, or not any more.
fn is_of_time(distrust: &rustls::Error) -> bool {
    use rustls::CertificateError::{Expired, ExpiredContext, NotValidYet, NotValidYetContext};
    let rustls::Error::InvalidCertificate(why) = distrust else { return false };
    matches!(why, Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. })
}

/// What lies under the layers of an error: the sentence a person can act on.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}
