//! Who comes in: credentials and the principals they stand for, as one configuration has them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use sluice_http1::Fields;
use sluice_snapshot::model::{ClientCertificates, Issuer, Snapshot};

use super::certificate::{Certificate, Shown};
use super::credential::{is_token, presented};
use super::entitled::Entitled;
use super::issuer::{Authority, Found};
use super::principal::{Credential, Principal};
use super::resource::{Approach, Resource};
use super::token::Token;
use super::verified::{Entry, Verified};
use super::vouched::Voucher;
use crate::reason::Reason;

/// The principals there are, and how they prove it.
pub(crate) struct Known {
    /// Counts configurations.
    pub serial: u64,
    required: bool,
    local: Principal,
    anonymous: Principal,
    clients: HashMap<[u8; 32], Principal, foldhash::fast::RandomState>,
    issuers: Vec<Arc<Authority>>,
    certificates: Option<ClientCertificates>,
    /// Who may come in by a later configuration, which is not run: nobody else does.
    entitled: Option<Arc<Entitled>>,
    /// Where clients reach the gateway, if that is not where it listens.
    public_url: Option<Box<str>>,
    /// Hosts that are not listed are refused.
    hosts_listed: bool,
}

/// A request that somebody makes.
#[derive(Clone, Copy)]
pub(crate) struct Asking<'r> {
    pub headers: &'r Fields,
    pub address: IpAddr,
    /// What the client showed when the connection was made.
    pub certificate: Option<&'r Certificate>,
    pub approach: Approach<'r>,
}

/// Why nobody is let in.
pub(crate) enum Refused {
    No(Reason),
    /// The keys that could tell are not here.
    Unproven(Box<Unproven>),
}

/// A token that cannot be judged yet.
pub(crate) struct Unproven {
    authority: Arc<Authority>,
    token: Token,
    digest: [u8; 32],
}

impl From<Reason> for Refused {
    fn from(reason: Reason) -> Self {
        Self::No(reason)
    }
}

impl Known {
    /// What a snapshot knows, with the keys of the issuers that stay.
    pub(crate) fn new(snapshot: &Snapshot, previous: Option<&Self>) -> Self {
        let access = &snapshot.access;
        let kept =
            |issuer: &Arc<Issuer>| previous?.issuers.iter().find(|authority| authority.config == *issuer).cloned();
        let authority = |issuer| kept(issuer).unwrap_or_else(|| Authority::new(issuer));
        let clients =
            access.keys.iter().map(|(digest, key)| (*digest, Principal::client(&key.client, *digest, key.expires)));
        Self {
            serial: next_serial(),
            required: access.required,
            local: Principal::local(),
            anonymous: Principal::anonymous(),
            clients: clients.collect(),
            issuers: access.issuers.iter().map(authority).collect(),
            certificates: snapshot.listener.client_certificates.clone(),
            entitled: None,
            public_url: snapshot.listener.public_url.clone(),
            hosts_listed: !snapshot.listener.allowed_hosts.is_empty(),
        }
    }

    /// Whether all who come in may.
    pub(crate) fn is_within(&self, entitled: &Entitled) -> bool {
        let keys = self.clients.values().all(|client| entitled.key(client).is_some_and(|now| now.is_same_as(client)));
        let issuers = self.issuers.iter().all(|authority| entitled.issuer(&authority.config.url));
        let certificates = self.certificates.as_ref().map(|taken| taken.names.iter().map(|(pattern, _)| pattern));
        keys && issuers && certificates.is_none_or(|names| entitled.certificates(names))
    }

    /// The same without those who may not come in any more.
    pub(crate) fn within(&self, entitled: &Arc<Entitled>) -> Self {
        let clients = self.clients.iter().filter_map(|(digest, client)| Some((*digest, entitled.key(client)?)));
        let issuers = self.issuers.iter().filter(|authority| entitled.issuer(&authority.config.url));
        Self {
            clients: clients.collect(),
            issuers: issuers.cloned().collect(),
            entitled: Some(Arc::clone(entitled)),
            ..self.anew()
        }
    }

    /// The same for those who look again: what it rests on has changed.
    pub(crate) fn anew(&self) -> Self {
        Self {
            serial: next_serial(),
            required: self.required,
            local: self.local.clone(),
            anonymous: self.anonymous.clone(),
            clients: self.clients.clone(),
            issuers: self.issuers.clone(),
            certificates: self.certificates.clone(),
            entitled: self.entitled.clone(),
            public_url: self.public_url.clone(),
            hosts_listed: self.hosts_listed,
        }
    }

    /// Whether tokens are taken at all.
    pub(crate) fn has_issuers(&self) -> bool {
        !self.issuers.is_empty()
    }

    /// The issuers whose keys must be seen to.
    pub(crate) fn issuers(&self) -> &[Arc<Authority>] {
        &self.issuers
    }

    /// The door that a request came to.
    pub(crate) fn resource<'r>(&'r self, approach: Approach<'r>) -> Resource<'r> {
        Resource::asked(self.public_url.as_deref(), self.hosts_listed, approach)
    }

    /// Somebody who came in before, as this configuration knows them; `None`: they would no longer come in.
    pub(crate) fn again(&self, principal: &Principal) -> Option<Principal> {
        if !principal.is_current() {
            return None;
        }
        match &principal.credential {
            Credential::Place => (!self.required).then(|| principal.clone()),
            Credential::Key(digest) => self.clients.get(digest).filter(|now| now.id == principal.id).cloned(),
            Credential::Token(issuer) => {
                let stays = self.issuers.iter().any(|authority| authority.config == *issuer);
                stays.then(|| principal.clone())
            }
            Credential::Certificate(shown) => {
                let names = [&*principal.name];
                let is_good = shown.as_ref().is_none_or(|shown| shown.is_good());
                self.holder(names.into_iter(), principal.expires?, shown.as_ref()).filter(|_| is_good)
            }
        }
    }

    /// Somebody whom another node of the fleet let in, as this configuration knows them; `None`: they would not come in here.
    pub(crate) fn vouched(&self, text: &[u8]) -> Option<Principal> {
        let issuer = |url: &str| {
            let authority = self.issuers.iter().find(|authority| *authority.config.url == *url)?;
            Some(Arc::clone(&authority.config))
        };
        self.again(&Voucher::read(text)?.principal(issuer)?)
    }

    /// The same, or as they were known before.
    pub(crate) fn current(&self, principal: &Principal) -> Principal {
        self.again(principal).unwrap_or_else(|| principal.clone())
    }

    /// Judges the credential of one request. Where none is required, one that is good says who it is, and one that nobody here
    /// gave out is ignored: clients carry stale keys around.
    ///
    /// # Errors
    /// Why not; or that it is not known yet.
    pub(crate) fn authenticate(&self, verified: &Verified, asking: Asking<'_>) -> Result<Principal, Refused> {
        // where none is asked for any more, what was shown counts for nothing
        let asking = Asking { certificate: asking.certificate.filter(|_| self.certificates.is_some()), ..asking };
        let must = self.required || asking.certificate.is_some();
        // a new connection would not be had by it
        if asking.certificate.is_some_and(|certificate| !certificate.shown.is_good()) {
            return Err(Reason::BadCredential(REVOKED).into());
        }
        let given = match presented(asking.headers) {
            Err(reason) if must => return Err(reason.into()),
            given => given.ok().flatten(),
        };
        if let Some(credential) = given.filter(|_| must || !self.clients.is_empty() || !self.issuers.is_empty()) {
            match self.by_credential(credential, verified, asking) {
                Some(judged) => return judged,
                None if must => return Err(Reason::BadCredential(UNKNOWN).into()),
                None => {}
            }
        }
        if let Some(certificate) = asking.certificate {
            let holder = certificate.holder(self.serial, || {
                self.holder(certificate.names(), certificate.expires, Some(&certificate.shown))
            });
            return holder.filter(|holder| holder.is_current()).ok_or(Reason::BadCredential(CERTIFICATE).into());
        }
        if self.required {
            Err(Reason::Unauthenticated.into())
        } else if asking.address.to_canonical().is_loopback() {
            Ok(self.local.clone())
        } else {
            Ok(self.anonymous.clone())
        }
    }

    /// Judges a key or token; `None` when nobody here gave it out.
    fn by_credential(
        &self,
        credential: &[u8],
        verified: &Verified,
        asking: Asking<'_>,
    ) -> Option<Result<Principal, Refused>> {
        let hash = verified.digest(credential);
        if let Some(client) = self.clients.get(&hash) {
            let judged = client.is_current().then(|| client.clone());
            return Some(judged.ok_or(Reason::BadCredential(EXPIRED_KEY).into()));
        }
        if self.issuers.is_empty() || !is_token(credential) {
            return None;
        }
        let resource = self.resource(asking.approach);
        if let Some(judged) = verified.find(&hash, resource) {
            return Some(judged.map_err(Refused::from));
        }
        let token = match Token::parse(credential) {
            Ok(token) => token,
            Err(objection) => return self.required.then(|| Err(Reason::BadCredential(objection).into())),
        };
        let issuer = token.issuer()?;
        let authority = self.issuers.iter().find(|authority| *authority.config.url == *issuer)?;
        let unproven = Unproven { authority: Arc::clone(authority), token, digest: hash };
        Some(match unproven.judge(self.serial, verified, resource) {
            Some(judged) => judged.map_err(Refused::from),
            None => Err(Refused::Unproven(Box::new(unproven))),
        })
    }

    /// Whoever has a certificate of these names: the first that the configuration knows.
    fn holder<'n>(
        &self,
        mut names: impl Iterator<Item = &'n str>,
        expires: SystemTime,
        shown: Option<&Arc<Shown>>,
    ) -> Option<Principal> {
        let known = &self.certificates.as_ref()?.names;
        let is_entitled = |name: &&str| self.entitled.as_ref().is_none_or(|entitled| entitled.certificate(name));
        if known.is_empty() {
            let name = names.next().filter(is_entitled)?;
            return Some(Principal::certificate(name, Arc::default(), expires, shown.cloned()));
        }
        let names: Vec<&str> = names.filter(is_entitled).collect();
        known.iter().find_map(|(pattern, roles)| {
            let name = names.iter().find(|name| pattern.matches(name))?;
            Some(Principal::certificate(name, Arc::clone(roles), expires, shown.cloned()))
        })
    }
}

impl Unproven {
    /// Judges the token with the keys there are; `None` when they do not tell.
    fn judge(&self, serial: u64, verified: &Verified, resource: Resource<'_>) -> Option<Result<Principal, Reason>> {
        let issuer = &self.authority.config;
        let algorithm = match self.token.algorithm(issuer) {
            Ok(algorithm) => algorithm,
            Err(objection) => return Some(Err(Reason::BadCredential(objection))),
        };
        // before the keys are: whoever changes them meanwhile makes what is kept here void
        let generation = self.authority.generation();
        let signed = |key: &_| self.token.is_signed_by(key, algorithm);
        match self.authority.find(self.token.kid.as_deref(), algorithm, signed) {
            Found::Signed => {}
            Found::Forged => return Some(Err(Reason::BadCredential("the token's signature does not verify"))),
            Found::Unknown => return None,
        }
        Some(self.token.grant(issuer, SystemTime::now()).map_err(Reason::BadCredential).and_then(|granted| {
            let principal = Principal::token(issuer, granted.grant);
            let authority = Arc::clone(&self.authority);
            let entry = Entry { principal, audiences: granted.audiences, authority, generation };
            let admitted = entry.admit(resource);
            verified.keep(self.digest, serial, entry);
            admitted
        }))
    }

    /// Judges the token once its issuer's keys were asked for, if they may be now.
    ///
    /// # Errors
    /// [`Reason::IssuerUnavailable`] when there are no keys to be had; else why the token is not taken.
    pub(crate) async fn prove(
        self,
        known: &Known,
        verified: &Verified,
        resource: Resource<'_>,
    ) -> Result<Principal, Reason> {
        let asked = self.authority.ask(|| self.judge(known.serial, verified, resource)).await;
        asked.unwrap_or_else(|| match self.authority.retry_after() {
            Some(retry_after) => Err(Reason::IssuerUnavailable { retry_after }),
            None => Err(Reason::BadCredential("the token is signed with a key that its issuer does not have")),
        })
    }
}

/// Counts configurations. One for the process: two that are made of the same at the same time are never taken for each other.
fn next_serial() -> u64 {
    static SERIAL: AtomicU64 = AtomicU64::new(0);
    SERIAL.fetch_add(1, Ordering::Relaxed)
}

const UNKNOWN: &str = "the key or token is not known here";
const EXPIRED_KEY: &str = "the key has expired";
const REVOKED: &str = "the certificate is not good any more: it was revoked, or who issued it is not trusted now";
const CERTIFICATE: &str = "the certificate has expired, or is of a name that is not known here";

#[cfg(test)]
mod tests;
