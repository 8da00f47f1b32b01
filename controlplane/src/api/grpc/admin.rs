//! The Admin service: who calls is found out, the request translated, the service asked, the answer translated.

use std::collections::BTreeMap;
use std::sync::Arc;

use sluice_contract::v1;
use sluice_contract::v1::admin_server;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use zeroize::Zeroizing;

use super::status::status;
use super::{answer, nodes};
use crate::listen::Peer;
use crate::publish::Publisher;
use crate::service::{self, Apply, Asked, Caller, CreateToken, Delete, Operation, RawObject, Role, Rollback, Service};
use crate::store::tokens::TokenKind;

type Answer<T> = Result<Response<T>, Status>;

/// The Admin service.
pub struct Admin {
    service: Service,
    publisher: Arc<Publisher>,
}

impl Admin {
    pub(super) fn new(service: Service, publisher: Arc<Publisher>) -> Self {
        Self { service, publisher }
    }

    /// Who calls, and what for.
    async fn open<T>(&self, mut request: Request<T>) -> Result<(Caller, T), Status> {
        // found out by the head of the request, where there is a network in between
        if let Some(caller) = request.extensions_mut().remove::<Caller>() {
            return Ok((caller, request.into_inner()));
        }
        let peer = request.extensions().get::<Peer>();
        let peer = peer.map_or_else(|| "here".to_owned(), |peer| peer.address.ip().to_string());
        let said = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
        let caller = self.service.authenticate(said.and_then(service::bearer), &peer).await.map_err(status)?;
        Ok((caller, request.into_inner()))
    }
}

#[tonic::async_trait]
impl admin_server::Admin for Admin {
    async fn apply(&self, request: Request<v1::ApplyRequest>) -> Answer<v1::ApplyResponse> {
        let (caller, asked) = self.open(request).await?;
        let mut hidden: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
        for places in asked.secrets {
            hidden.entry((places.kind, places.name)).or_default().extend(places.paths);
        }
        let raw = |v1::Object { kind, name, spec_json: json, .. }: v1::Object| {
            let key = (kind, name);
            let secrets = hidden.remove(&key).unwrap_or_default();
            RawObject { kind: key.0, name: key.1, json, secrets }
        };
        let objects = asked.objects.into_iter().map(raw).collect();
        // whoever says that something is secret is not to find it stored in the clear
        if let Some(((kind, name), _)) = hidden.first_key_value() {
            let (kind, name) = (kind.escape_debug(), name.escape_debug());
            return Err(Status::invalid_argument(format!(
                "`secrets` names {kind}/{name}, which is not among `objects`"
            )));
        }
        let apply = Apply {
            objects,
            base: asked.base_revision,
            dry_run: asked.dry_run,
            prune: asked.prune,
            message: asked.message,
        };
        let outcome = self.service.apply(&caller, apply).await.map_err(status)?;
        Ok(Response::new(answer::outcome(outcome)))
    }

    async fn get(&self, request: Request<v1::GetRequest>) -> Answer<v1::GetResponse> {
        let (caller, asked) = self.open(request).await?;
        let got = self.service.get(&caller, &asked.kind, &asked.name, asked.revision).await;
        let (revision, objects) = got.map_err(status)?;
        let objects = objects.into_iter().map(answer::object).collect();
        Ok(Response::new(v1::GetResponse { objects, revision }))
    }

    async fn delete(&self, request: Request<v1::DeleteRequest>) -> Answer<v1::ApplyResponse> {
        let (caller, asked) = self.open(request).await?;
        let v1::DeleteRequest { kind, name, base_revision: base, dry_run, message } = asked;
        let delete = Delete { kind, name, base, dry_run, message };
        let outcome = self.service.delete(&caller, delete).await.map_err(status)?;
        Ok(Response::new(answer::outcome(outcome)))
    }

    async fn history(&self, request: Request<v1::HistoryRequest>) -> Answer<v1::HistoryResponse> {
        let (caller, asked) = self.open(request).await?;
        let revisions = self.service.history(&caller, asked.limit, asked.before).await.map_err(status)?;
        let revisions = revisions.into_iter().map(answer::revision).collect();
        Ok(Response::new(v1::HistoryResponse { revisions }))
    }

    async fn rollback(&self, request: Request<v1::RollbackRequest>) -> Answer<v1::ApplyResponse> {
        let (caller, asked) = self.open(request).await?;
        let v1::RollbackRequest { revision, base_revision: base, dry_run, message } = asked;
        let rollback = Rollback { revision, base, dry_run, message };
        let outcome = self.service.roll_back(&caller, rollback).await.map_err(status)?;
        Ok(Response::new(answer::outcome(outcome)))
    }

    async fn status(&self, request: Request<v1::StatusRequest>) -> Answer<v1::StatusResponse> {
        let (caller, _) = self.open(request).await?;
        self.service.allow(&caller, Operation::Status).await.map_err(status)?;
        Ok(Response::new(nodes::status(&self.publisher)))
    }

    type WatchStream = ReceiverStream<Result<v1::WatchResponse, Status>>;

    async fn watch(&self, request: Request<v1::WatchRequest>) -> Answer<Self::WatchStream> {
        let (caller, asked) = self.open(request).await?;
        self.service.allow(&caller, Operation::Watch).await.map_err(status)?;
        Ok(Response::new(nodes::watch(Arc::clone(&self.publisher), asked.revision)))
    }

    async fn catalogue(&self, request: Request<v1::CatalogueRequest>) -> Answer<v1::CatalogueResponse> {
        let (caller, asked) = self.open(request).await?;
        let found = self.service.catalogue(&caller, self.publisher.nodes(), &asked).await.map_err(status)?;
        Ok(Response::new(found))
    }

    async fn list_sessions(&self, request: Request<v1::ListSessionsRequest>) -> Answer<v1::ListSessionsResponse> {
        let (caller, asked) = self.open(request).await?;
        let found = self.service.list_sessions(&caller, self.publisher.nodes(), &asked).await.map_err(status)?;
        Ok(Response::new(found))
    }

    async fn end_sessions(&self, request: Request<v1::EndSessionsRequest>) -> Answer<v1::EndSessionsResponse> {
        let (caller, asked) = self.open(request).await?;
        let ended = self.service.end_sessions(&caller, self.publisher.nodes(), &asked).await.map_err(status)?;
        Ok(Response::new(ended))
    }

    async fn explain(&self, request: Request<v1::ExplainRequest>) -> Answer<v1::ExplainResponse> {
        let (caller, asked) = self.open(request).await?;
        let asked = Asked::new(&asked).map_err(Status::invalid_argument)?;
        let answer = self.service.explain(&caller, &asked, self.publisher.nodes()).await.map_err(status)?;
        Ok(Response::new(answer))
    }

    async fn create_token(&self, request: Request<v1::CreateTokenRequest>) -> Answer<v1::CreateTokenResponse> {
        let (caller, asked) = self.open(request).await?;
        let kind = match asked.kind() {
            v1::TokenKind::Client => TokenKind::Client,
            v1::TokenKind::Person => TokenKind::Person,
            v1::TokenKind::Join => TokenKind::Join,
            v1::TokenKind::Unspecified => return Err(Status::invalid_argument("a token takes a kind")),
        };
        let role = match asked.role.as_str() {
            "" => None,
            name => Some(Role::named(name).ok_or_else(|| {
                let shown = name.escape_debug();
                Status::invalid_argument(format!("`{shown}` is no role; there are viewer, editor and admin"))
            })?),
        };
        let create = CreateToken {
            kind,
            name: asked.name,
            role,
            expires_in: (asked.expires_in_seconds > 0).then_some(asked.expires_in_seconds),
            labels: asked.labels.into_iter().collect(),
            own_labels: asked.own_labels,
        };
        let made = self.service.create_token(&caller, create).await.map_err(status)?;
        let (token, about) = (made.token.to_string(), Some(answer::token(made.about)));
        Ok(Response::new(v1::CreateTokenResponse { token, about }))
    }

    async fn list_tokens(&self, request: Request<v1::ListTokensRequest>) -> Answer<v1::ListTokensResponse> {
        let (caller, _) = self.open(request).await?;
        let tokens = self.service.list_tokens(&caller).await.map_err(status)?;
        Ok(Response::new(v1::ListTokensResponse { tokens: tokens.into_iter().map(answer::token).collect() }))
    }

    async fn revoke_token(&self, request: Request<v1::RevokeTokenRequest>) -> Answer<v1::RevokeTokenResponse> {
        let (caller, asked) = self.open(request).await?;
        let (revoked, revision) = self.service.revoke_token(&caller, &asked.token).await.map_err(status)?;
        Ok(Response::new(v1::RevokeTokenResponse { revoked, revision }))
    }

    async fn set_secret(&self, request: Request<v1::SetSecretRequest>) -> Answer<v1::SetSecretResponse> {
        let (caller, asked) = self.open(request).await?;
        let value = Zeroizing::new(asked.value);
        let (version, revision) = self.service.set_secret(&caller, &asked.name, value).await.map_err(status)?;
        Ok(Response::new(v1::SetSecretResponse { version, revision }))
    }

    async fn list_secrets(&self, request: Request<v1::ListSecretsRequest>) -> Answer<v1::ListSecretsResponse> {
        let (caller, _) = self.open(request).await?;
        let secrets = self.service.list_secrets(&caller).await.map_err(status)?;
        Ok(Response::new(v1::ListSecretsResponse { secrets: secrets.into_iter().map(answer::secret).collect() }))
    }

    async fn delete_secret(&self, request: Request<v1::DeleteSecretRequest>) -> Answer<v1::DeleteSecretResponse> {
        let (caller, asked) = self.open(request).await?;
        let revision = self.service.delete_secret(&caller, &asked.name).await.map_err(status)?;
        Ok(Response::new(v1::DeleteSecretResponse { revision }))
    }

    async fn rotate_key(&self, request: Request<v1::RotateKeyRequest>) -> Answer<v1::RotateKeyResponse> {
        let (caller, asked) = self.open(request).await?;
        if asked.sessions {
            let key = self.service.rotate_session_keys(&caller).await.map_err(status)?.to_string();
            return Ok(Response::new(v1::RotateKeyResponse { key, resealed: 0 }));
        }
        let (key, resealed) = self.service.rotate_key(&caller).await.map_err(status)?;
        Ok(Response::new(v1::RotateKeyResponse { key, resealed }))
    }

    async fn list_authorities(&self, request: Request<v1::ListAuthoritiesRequest>) -> Answer<v1::Authorities> {
        let (caller, _) = self.open(request).await?;
        let authorities = self.service.authorities(&caller, self.publisher.nodes()).await.map_err(status)?;
        Ok(Response::new(answer::authorities(authorities)))
    }

    async fn rotate_authority(&self, request: Request<v1::RotateAuthorityRequest>) -> Answer<v1::Authorities> {
        let (caller, _) = self.open(request).await?;
        let authorities = self.service.rotate_authority(&caller, self.publisher.nodes()).await.map_err(status)?;
        Ok(Response::new(answer::authorities(authorities)))
    }

    async fn withdraw_authorities(&self, request: Request<v1::WithdrawAuthoritiesRequest>) -> Answer<v1::Authorities> {
        let (caller, asked) = self.open(request).await?;
        let withdrawn = self.service.withdraw_authorities(&caller, self.publisher.nodes(), asked.force).await;
        Ok(Response::new(answer::authorities(withdrawn.map_err(status)?)))
    }

    async fn revoke_node(&self, request: Request<v1::RevokeNodeRequest>) -> Answer<v1::RevokeNodeResponse> {
        let (caller, asked) = self.open(request).await?;
        self.service.revoke_node(&caller, self.publisher.nodes(), &asked.node).await.map_err(status)?;
        Ok(Response::new(v1::RevokeNodeResponse {}))
    }

    async fn audit(&self, request: Request<v1::AuditRequest>) -> Answer<v1::AuditResponse> {
        let (caller, asked) = self.open(request).await?;
        let entries = self.service.audit(&caller, asked.limit, asked.before, asked.denials).await.map_err(status)?;
        Ok(Response::new(v1::AuditResponse { entries: entries.into_iter().map(answer::entry).collect() }))
    }

    async fn verify_audit(&self, request: Request<v1::VerifyAuditRequest>) -> Answer<v1::VerifyAuditResponse> {
        let (caller, _) = self.open(request).await?;
        let verdict = self.service.verify_audit(&caller).await.map_err(status)?;
        Ok(Response::new(answer::verdict(&verdict)))
    }
}
