//! Principals: whom sessions, streams and handles belong to, and what is known of them by their credentials.

use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest;
use sluice_snapshot::model::{Client, Issuer, Roles};

use super::SessionId;
use super::certificate::Shown;

/// Sixteen bytes that stand for a principal wherever something is bound to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct PrincipalId(pub [u8; 16]);

/// Who makes a request.
#[derive(Debug, Clone)]
pub(crate) struct Principal {
    pub id: PrincipalId,
    /// Anonymous over the network: whoever holds a session id is its owner, and sessionless calls share nothing.
    pub anonymous: bool,
    identity: Arc<Identity>,
}

/// What is known of a principal by its credential. One allocation per credential, however many requests come with it.
#[derive(Debug)]
pub(crate) struct Identity {
    /// For logs: `local`, `anonymous`, the client's configured name, `issuer/subject`, or the name in the certificate.
    pub name: Arc<str>,
    /// What policies and the audit log know it by: `client:NAME`, `jwt:ISSUER:SUBJECT`, `certificate:NAME`, `local`, …
    pub subject: Arc<str>,
    /// What policies know it by, too, sorted.
    pub roles: Roles,
    /// What its credential was issued for, sorted, with what follows from it; `None`: a credential that knows no scopes (an
    /// API key, a certificate, a place), which lacks none.
    pub scopes: Option<Arc<[Arc<str>]>>,
    /// From then on the credential is good for nothing.
    pub expires: Option<SystemTime>,
    pub(super) credential: Credential,
}

/// By what somebody came in: what it stands or falls with.
#[derive(Debug, Clone)]
pub(super) enum Credential {
    /// None: by where the request came from.
    Place,
    /// An API key of this digest.
    Key([u8; 32]),
    /// A token of an issuer as it was configured.
    Token(Arc<Issuer>),
    /// A certificate of this name; `None`: it was shown to another node.
    Certificate(Option<Arc<Shown>>),
}

/// What a token says of whom it was issued to.
pub(super) struct Grant {
    pub subject: String,
    /// The OAuth client it was issued to; empty where it does not say.
    pub client: String,
    pub roles: Roles,
    pub scopes: Arc<[Arc<str>]>,
    pub expires: SystemTime,
}

/// Clocks are set while a stream waits for its credential's end: it looks at them again after so long.
const CLOCK_LOOK: Duration = Duration::from_secs(60);

impl Deref for Principal {
    type Target = Identity;

    fn deref(&self) -> &Identity {
        &self.identity
    }
}

impl Identity {
    /// Whether the credential is still good. The clock is read for those that expire only.
    pub(crate) fn is_current(&self) -> bool {
        self.expires.is_none_or(|at| SystemTime::now() < at)
    }

    /// Waits until the credential is good for nothing any more.
    pub(crate) async fn expired(&self) {
        let Some(at) = self.expires else { return std::future::pending().await };
        while let Ok(left) = at.duration_since(SystemTime::now())
            && !left.is_zero()
        {
            tokio::time::sleep(left.min(CLOCK_LOOK)).await;
        }
    }
}

impl Principal {
    fn of(parts: &[&str], anonymous: bool, identity: Identity) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        for (index, part) in parts.iter().enumerate() {
            // what stands in a part cannot pass for the end of it
            if index > 0 {
                context.update(b"\0");
            }
            context.update(part.as_bytes());
        }
        let mut id = [0; 16];
        id.copy_from_slice(&context.finish().as_ref()[..16]);
        Self { id: PrincipalId(id), anonymous, identity: Arc::new(identity) }
    }

    fn by_place(name: &str, anonymous: bool) -> Self {
        let identity = Identity {
            name: name.into(),
            subject: name.into(),
            roles: Roles::default(),
            scopes: None,
            expires: None,
            credential: Credential::Place,
        };
        Self::of(&[name, name], anonymous, identity)
    }

    /// As another node of the fleet knows it.
    pub(super) fn vouched(id: PrincipalId, anonymous: bool, identity: Identity) -> Self {
        Self { id, anonymous, identity: Arc::new(identity) }
    }

    /// The same, until then at the latest.
    pub(super) fn until(&self, ends: Option<SystemTime>) -> Self {
        let sooner = ends.filter(|ends| self.expires.is_none_or(|own| *ends < own));
        let Some(ends) = sooner else { return self.clone() };
        let Identity { name, subject, roles, scopes, credential, .. } = &*self.identity;
        let identity = Identity {
            name: Arc::clone(name),
            subject: Arc::clone(subject),
            roles: Arc::clone(roles),
            scopes: scopes.clone(),
            expires: Some(ends),
            credential: credential.clone(),
        };
        Self { identity: Arc::new(identity), ..*self }
    }

    /// Inside a session an anonymous principal is that session: what belongs to it is nobody else's.
    pub(crate) fn act_in(&mut self, session: &SessionId) {
        if self.anonymous {
            self.id = PrincipalId(session.0);
        }
    }

    /// Whether two come with the same credential.
    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.identity, &other.identity)
    }

    /// stdio and anonymous loopback.
    pub(crate) fn local() -> Self {
        Self::by_place("local", false)
    }

    pub(super) fn anonymous() -> Self {
        Self::by_place("anonymous", true)
    }

    pub(super) fn client(client: &Client, digest: [u8; 32], expires: Option<SystemTime>) -> Self {
        let identity = Identity {
            name: client.name.as_str().into(),
            subject: format!("client:{}", client.name).into(),
            roles: Arc::clone(&client.roles),
            scopes: None,
            expires,
            credential: Credential::Key(digest),
        };
        Self::of(&["client", &client.name], false, identity)
    }

    pub(super) fn token(issuer: &Arc<Issuer>, grant: Grant) -> Self {
        let identity = Identity {
            name: format!("{}/{}", issuer.name, grant.subject).into(),
            subject: format!("jwt:{}:{}", issuer.name, grant.subject).into(),
            roles: grant.roles,
            scopes: Some(grant.scopes),
            expires: Some(grant.expires),
            credential: Credential::Token(Arc::clone(issuer)),
        };
        Self::of(&["token", &issuer.url, &grant.subject, &grant.client], false, identity)
    }

    pub(super) fn certificate(name: &str, roles: Roles, expires: SystemTime, shown: Option<Arc<Shown>>) -> Self {
        let identity = Identity {
            name: name.into(),
            subject: format!("certificate:{name}").into(),
            roles,
            scopes: None,
            expires: Some(expires),
            credential: Credential::Certificate(shown),
        };
        Self::of(&["certificate", name], false, identity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issuer(url: &str) -> Arc<Issuer> {
        let keys = sluice_snapshot::model::KeySource::File("keys".into());
        Arc::new(Issuer {
            name: "corp".into(),
            url: url.into(),
            keys,
            audiences: Vec::new(),
            algorithms: Vec::new(),
            roles_claim: None,
            scopes_claim: "scope".into(),
            claims: Vec::new(),
            leeway: Duration::ZERO,
            authorization_servers: Vec::new(),
            required_scopes: Arc::default(),
            scopes_supported: Arc::default(),
            scopes: Default::default(),
        })
    }

    #[test]
    fn who_came_with_a_token_is_issuer_subject_and_client_together() {
        let grant = |subject: &str, client: &str| Grant {
            subject: subject.into(),
            client: client.into(),
            roles: Roles::default(),
            scopes: Arc::default(),
            expires: SystemTime::now(),
        };
        let (one, two) = (issuer("https://one"), issuer("https://two"));
        let id = |issuer, subject, client| Principal::token(issuer, grant(subject, client)).id;
        assert_eq!(id(&one, "alice", "app"), id(&one, "alice", "app"), "a refreshed token is the same principal's");
        for other in [id(&two, "alice", "app"), id(&one, "bob", "app"), id(&one, "alice", ""), id(&one, "alicea", "pp")]
        {
            assert_ne!(id(&one, "alice", "app"), other);
        }
    }
}
