//! A control plane that says what a test tells it to, over a real socket.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use sluice_contract::v1::admin_server::{Admin, AdminServer};
use sluice_contract::v1::*;
use tokio_stream::Stream;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

use crate::process::{sluice, told};

/// The token it accepts.
pub(crate) const TOKEN: &str = "sluice_s3cret-token";

type Answer<Q, A> = Option<Box<dyn Fn(Q) -> Result<A, Status> + Send + Sync>>;
type Watched = std::pin::Pin<Box<dyn Stream<Item = Result<WatchResponse, Status>> + Send>>;

macro_rules! script {
    ($($method:ident $question:ident $answer:ident),*) => {
        /// What it answers; what is left out it does not know.
        #[derive(Default)]
        pub(crate) struct Script {
            $(pub(crate) $method: Answer<$question, $answer>,)*
            /// What it tells of nodes, one after the other.
            pub(crate) watch: Vec<WatchResponse>,
        }

        #[tonic::async_trait]
        impl Admin for Scripted {
            type WatchStream = Watched;

            async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Watched>, Status> {
                admit(&request)?;
                let told: Vec<_> = self.0.watch.iter().cloned().map(Ok).collect();
                Ok(Response::new(Box::pin(tokio_stream::iter(told))))
            }

            $(async fn $method(&self, request: Request<$question>) -> Result<Response<$answer>, Status> {
                admit(&request)?;
                let answer = self.0.$method.as_ref().ok_or_else(|| Status::unimplemented("not in the script"))?;
                answer(request.into_inner()).map(Response::new)
            })*
        }
    };
}

script!(
    apply ApplyRequest ApplyResponse, get GetRequest GetResponse, delete DeleteRequest ApplyResponse,
    history HistoryRequest HistoryResponse, rollback RollbackRequest ApplyResponse, status StatusRequest StatusResponse,
    catalogue CatalogueRequest CatalogueResponse, list_sessions ListSessionsRequest ListSessionsResponse,
    end_sessions EndSessionsRequest EndSessionsResponse, explain ExplainRequest ExplainResponse, create_token CreateTokenRequest CreateTokenResponse,
    list_tokens ListTokensRequest ListTokensResponse, revoke_token RevokeTokenRequest RevokeTokenResponse,
    set_secret SetSecretRequest SetSecretResponse, list_secrets ListSecretsRequest ListSecretsResponse,
    delete_secret DeleteSecretRequest DeleteSecretResponse, rotate_key RotateKeyRequest RotateKeyResponse,
    list_authorities ListAuthoritiesRequest Authorities, rotate_authority RotateAuthorityRequest Authorities,
    withdraw_authorities WithdrawAuthoritiesRequest Authorities, revoke_node RevokeNodeRequest RevokeNodeResponse, audit AuditRequest AuditResponse,
    verify_audit VerifyAuditRequest VerifyAuditResponse
);

struct Scripted(Arc<Script>);

fn admit<T>(request: &Request<T>) -> Result<(), Status> {
    let shown = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
    if shown == Some(&format!("Bearer {TOKEN}")) { Ok(()) } else { Err(Status::unauthenticated("unknown token")) }
}

/// A control plane that runs until it is dropped.
pub(crate) struct ControlPlane {
    pub(crate) address: SocketAddr,
    _stop: tokio::sync::oneshot::Sender<()>,
}

impl ControlPlane {
    pub(crate) fn start(script: Script) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let incoming = TcpListenerStream::new(tokio::net::TcpListener::from_std(listener).unwrap());
                let service = AdminServer::new(Scripted(Arc::new(script)));
                let serving = tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming);
                tokio::select! {
                    result = serving => result.unwrap(),
                    _ = stopped => {}
                }
            });
        });
        Self { address, _stop: stop }
    }

    /// The command, told where this is and what to show it.
    pub(crate) fn command(&self, home: &Path, args: &[&str]) -> Command {
        let mut command = sluice(home, args);
        command.env("SLUICE_CONTROL_PLANE", format!("http://{}", self.address)).env("SLUICE_TOKEN", TOKEN);
        command
    }

    /// Runs it to its end: exit code, stdout, stderr.
    pub(crate) fn finished(&self, home: &Path, args: &[&str]) -> (i32, String, String) {
        told(self.command(home, args).output().unwrap())
    }
}

/// A minute and a half ago, in milliseconds since 1970.
pub(crate) fn lately() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(now.as_millis()).unwrap() - 90_000
}

/// What an object became.
pub(crate) fn change(kind: ChangeKind, name: &str, fields: &[(&str, &str, &str)]) -> Change {
    let some = |json: &str| (!json.is_empty()).then(|| json.to_owned());
    let field = |(path, before, after): &(&str, &str, &str)| FieldChange {
        path: (*path).to_owned(),
        before: some(before),
        after: some(after),
    };
    Change {
        change: kind.into(),
        kind: "server".to_owned(),
        name: name.to_owned(),
        fields: fields.iter().map(field).collect(),
    }
}

/// A fault at a path.
pub(crate) fn fault(path: &[&str], message: &str) -> ConfigurationFault {
    ConfigurationFault {
        path: path.iter().map(|step| (*step).to_owned()).collect(),
        message: message.to_owned(),
        ..ConfigurationFault::default()
    }
}
