//! Principals: whom sessions, streams and handles belong to, and how a request proves one.

use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::time::SystemTime;

use aws_lc_rs::digest;
use sluice_http1::Fields;
use sluice_snapshot::model::{self, Access, Client, Roles};

use super::SessionId;
use crate::reason::Reason;

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
    /// For logs: `local`, `anonymous`, or the client's configured name.
    pub name: Arc<str>,
    /// What policies and the audit log know it by: `client:NAME`, `local`, `anonymous`, …
    pub subject: Arc<str>,
    /// What policies know it by, too, sorted.
    pub roles: Roles,
    /// What its credential was issued for, sorted, with what follows from it; `None`: a credential that knows no scopes (an
    /// API key, a certificate, a place), which lacks none.
    pub scopes: Option<Arc<[Arc<str>]>>,
}

impl Deref for Principal {
    type Target = Identity;

    fn deref(&self) -> &Identity {
        &self.identity
    }
}

impl Principal {
    fn of(kind: &str, name: &str, anonymous: bool, roles: Roles) -> Self {
        let hash = digest::digest(&digest::SHA256, format!("{kind}\0{name}").as_bytes());
        let mut id = [0; 16];
        id.copy_from_slice(&hash.as_ref()[..16]);
        let subject = if kind == name { name.into() } else { format!("{kind}:{name}").into() };
        let identity = Identity { name: name.into(), subject, roles, scopes: None };
        Self { id: PrincipalId(id), anonymous, identity: Arc::new(identity) }
    }

    /// Inside a session an anonymous principal is that session: what belongs to it is nobody else's.
    pub(crate) fn act_in(&mut self, session: &SessionId) {
        if self.anonymous {
            self.id = PrincipalId(session.0);
        }
    }

    /// stdio and anonymous loopback.
    pub(crate) fn local() -> Self {
        Self::of("local", "local", false, Roles::default())
    }

    fn anonymous() -> Self {
        Self::of("anonymous", "anonymous", true, Roles::default())
    }

    fn client(client: &Client) -> Self {
        Self::of("client", &client.name, false, Arc::clone(&client.roles))
    }
}

/// The principals a worker hands out without hashing again.
pub(crate) struct Known {
    local: Principal,
    anonymous: Principal,
    clients: HashMap<[u8; 32], Key>,
}

/// An API key and who comes with it.
struct Key {
    principal: Principal,
    expires: Option<SystemTime>,
}

impl Key {
    /// The clock is read for keys that expire only.
    fn is_good(&self) -> bool {
        self.expires.is_none_or(|at| SystemTime::now() < at)
    }
}

impl Known {
    pub(crate) fn new(access: &Access) -> Self {
        let key = |key: &model::Key| Key { principal: Principal::client(&key.client), expires: key.expires };
        let clients = access.keys.iter().map(|(digest, said)| (*digest, key(said))).collect();
        Self { local: Principal::local(), anonymous: Principal::anonymous(), clients }
    }

    /// Somebody who came in before, with the roles of today.
    pub(crate) fn current(&self, principal: &Principal) -> Principal {
        let clients = self.clients.values().map(|key| &key.principal);
        clients.into_iter().find(|client| client.id == principal.id).unwrap_or(principal).clone()
    }

    /// Whether somebody who came in before would still come in.
    pub(crate) fn admits(&self, required: bool, principal: &Principal) -> bool {
        let open = principal.anonymous || principal.id == self.local.id;
        (open && !required) || self.clients.values().any(|key| key.principal.id == principal.id && key.is_good())
    }

    /// Judges the credential of one request.
    ///
    /// # Errors
    /// [`Reason::Unauthenticated`] when a key is required and none, several, or an unknown one is given. Where none is
    /// required, a known key says who it is and anything else is ignored: clients carry stale tokens around.
    pub(crate) fn authenticate(&self, required: bool, peer: IpAddr, headers: &Fields) -> Result<&Principal, Reason> {
        let client = || {
            let hash = digest::digest(&digest::SHA256, presented(headers).ok()??);
            self.clients.get(hash.as_ref()).filter(|key| key.is_good()).map(|key| &key.principal)
        };
        match client().filter(|_| !self.clients.is_empty()) {
            Some(client) => Ok(client),
            None if required => Err(Reason::Unauthenticated),
            None if peer.to_canonical().is_loopback() => Ok(&self.local),
            None => Ok(&self.anonymous),
        }
    }
}

/// The API key of a request: `Authorization: Bearer KEY` or `X-API-Key: KEY`, once.
fn presented(headers: &Fields) -> Result<Option<&[u8]>, Reason> {
    let mut authorization = headers.all("authorization");
    let mut plain = headers.all("x-api-key");
    let first = match (authorization.next(), plain.next()) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => return Err(Reason::Unauthenticated),
        (Some(value), None) => match value.split_at_checked(7) {
            Some((scheme, key)) if scheme.eq_ignore_ascii_case(b"bearer ") => key.trim_ascii(),
            _ => return Err(Reason::Unauthenticated),
        },
        (None, Some(value)) => value,
    };
    if authorization.next().is_some() || plain.next().is_some() {
        return Err(Reason::Unauthenticated);
    }
    Ok(Some(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(key: &str) -> Known {
        until(key, None)
    }

    fn until(key: &str, expires: Option<SystemTime>) -> Known {
        let digest: [u8; 32] = digest::digest(&digest::SHA256, key.as_bytes()).as_ref().try_into().unwrap();
        let client = Arc::new(Client { name: "alice".into(), roles: Arc::from(["reader".into()]) });
        let mut access = Access::default();
        access.keys.insert(digest, model::Key { client, expires });
        Known::new(&access)
    }

    fn headers(pairs: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::default();
        pairs.iter().for_each(|(name, value)| fields.push(name.as_bytes(), value.as_bytes()).unwrap());
        fields
    }

    const REMOTE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn a_key_is_known_by_its_digest_in_either_header() {
        let known = known("k1");
        for pair in [("authorization", "Bearer k1"), ("authorization", "bearer k1"), ("x-api-key", "k1")] {
            let principal = known.authenticate(true, REMOTE, &headers(&[pair])).unwrap();
            assert_eq!((&*principal.name, &*principal.roles[0]), ("alice", "reader"));
        }
    }

    #[test]
    fn a_key_is_refused_once_it_has_expired() {
        let now = SystemTime::now();
        let hour = std::time::Duration::from_secs(3600);
        let comes_in = |expires| {
            let known = until("k1", Some(expires));
            let found = known.authenticate(true, REMOTE, &headers(&[("x-api-key", "k1")])).cloned();
            let admitted = known.admits(true, &until("k1", None).clients.values().next().unwrap().principal);
            assert_eq!(found.is_ok(), admitted);
            admitted
        };
        assert!(comes_in(now + hour) && !comes_in(now - hour));
    }

    #[test]
    fn anything_else_is_refused() {
        let known = known("k1");
        let bad: &[&[(&str, &str)]] = &[
            &[],
            &[("authorization", "Bearer k2")],
            &[("authorization", "Basic k1")],
            &[("authorization", "Bearer k1"), ("authorization", "Bearer k1")],
            &[("authorization", "Bearer k1"), ("x-api-key", "k1")],
        ];
        for pairs in bad {
            assert_eq!(
                known.authenticate(true, LOOPBACK, &headers(pairs)).err(),
                Some(Reason::Unauthenticated),
                "{pairs:?}"
            );
        }
    }

    #[test]
    fn without_keys_loopback_is_local_and_the_network_is_anonymous() {
        let known = Known::new(&Access::default());
        assert_eq!(&*known.authenticate(false, LOOPBACK, &Fields::default()).unwrap().name, "local");
        let remote = known.authenticate(false, REMOTE, &Fields::default()).unwrap();
        assert!(remote.anonymous);
    }
}
