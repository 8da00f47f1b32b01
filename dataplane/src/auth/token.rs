//! Access tokens: JWTs (RFC 7519) in the compact serialisation (RFC 7515), read strictly, and judged by what their issuer's
//! configuration asks for (RFC 9068, RFC 8725). Pure: keys and the time are handed in.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use sluice_snapshot::model::{Algorithm, Issuer, Roles};

mod claims;
mod strict;

use super::issuer::keys::Key;
use super::principal::Grant;
use super::resource::Resource;
use crate::limit;

/// A token that was taken apart. Nothing it says is believed yet.
#[derive(Debug)]
pub(super) struct Token {
    /// Header and claims as they were sent and signed.
    signed: Box<str>,
    signature: Box<str>,
    /// `None`: one that is never taken.
    algorithm: Option<Algorithm>,
    /// The key it says it was signed with.
    pub kid: Option<Box<str>>,
    claims: Map<String, Value>,
}

/// Why a token is not taken, as its holder is told.
pub(super) type Objection = &'static str;

/// What [`Token::grant`] found.
pub(super) struct Granted {
    pub grant: Grant,
    /// What it is for, where that depends on the door it comes to.
    pub audiences: Option<Box<[Box<str>]>>,
}

impl Token {
    /// Takes a token apart.
    ///
    /// # Errors
    /// It is no token, or one that nobody should take.
    pub(super) fn parse(text: &[u8]) -> Result<Self, Objection> {
        if text.len() > limit::TOKEN_BYTES {
            return Err("the token is larger than the limit");
        }
        let text = std::str::from_utf8(text).map_err(|_| NO_TOKEN)?;
        let (signed, signature) = text.rsplit_once('.').ok_or(NO_TOKEN)?;
        let (header, claims) = signed.split_once('.').ok_or(NO_TOKEN)?;
        let header = object(header)?;
        if header.contains_key("crit") || header.contains_key("b64") {
            return Err("the token has header parameters that must be understood and are not");
        }
        if !header.get("typ").is_none_or(is_access_token) {
            return Err("the token is of another type than an access token");
        }
        let algorithm = header.get("alg").and_then(Value::as_str).ok_or(NO_TOKEN)?;
        let kid = match header.get("kid") {
            None => None,
            Some(Value::String(kid)) if kid.len() <= limit::KEY_NAME_BYTES => Some(kid.as_str().into()),
            Some(_) => return Err("the token's `kid` is no name of a key"),
        };
        Ok(Self {
            algorithm: Algorithm::named(algorithm),
            kid,
            claims: object(claims)?,
            signed: signed.into(),
            signature: signature.into(),
        })
    }

    /// Who says to have issued it.
    pub(super) fn issuer(&self) -> Option<&str> {
        self.claims.get("iss").and_then(Value::as_str)
    }

    /// The algorithm it is signed with, if its issuer's tokens may be.
    ///
    /// # Errors
    /// They may not: `none`, an HMAC (whose key would be public), or one that is not configured.
    pub(super) fn algorithm(&self, issuer: &Issuer) -> Result<Algorithm, Objection> {
        let allowed = self.algorithm.filter(|algorithm| issuer.algorithms.contains(algorithm));
        allowed.ok_or("the token is signed with an algorithm that is not taken")
    }

    /// Whether this key signed it.
    pub(super) fn is_signed_by(&self, key: &Key, algorithm: Algorithm) -> bool {
        key.verifies(algorithm, self.signed.as_bytes(), &self.signature)
    }

    /// What it grants, once its signature is verified.
    ///
    /// # Errors
    /// It is not for us, not good now, or no access token.
    pub(super) fn grant(&self, issuer: &Issuer, now: SystemTime) -> Result<Granted, Objection> {
        let claims = &self.claims;
        if self.issuer() != Some(&*issuer.url) {
            return Err("the token is of another issuer");
        }
        if ["nonce", "at_hash", "c_hash"].iter().any(|claim| claims.contains_key(*claim))
            || claims.get("typ").and_then(Value::as_str) == Some("ID")
        {
            return Err("the token is an ID token: it tells a client who its user is, and lets nobody in");
        }
        if claims.contains_key("cnf") {
            return Err("the token is bound to a key that its bearer would have to prove");
        }
        let expires = self.check_times(issuer, now)?;
        let audiences =
            claims::texts(claims.get("aud")).filter(|audiences| !audiences.is_empty()).ok_or(NO_AUDIENCE)?;
        let ours = |audience: &&str| issuer.audiences.iter().any(|ours| **ours == **audience);
        if !issuer.audiences.is_empty() && !audiences.iter().any(ours) {
            return Err(NO_AUDIENCE);
        }
        let says = |(claim, value): &(Box<str>, Box<str>)| claims::says(claims, claim, value);
        if !issuer.claims.iter().all(says) {
            return Err("the token lacks a claim that the gateway asks for");
        }
        let subject = claims.get("sub").and_then(Value::as_str).filter(|subject| !subject.is_empty());
        let client = ["client_id", "azp"].iter().find_map(|claim| claims.get(*claim)?.as_str());
        let roles = issuer.roles_claim.as_deref().map(|claim| claims::names(claims, claim)).unwrap_or_default();
        let grant = Grant {
            subject: subject.ok_or("the token does not say whom it was issued to")?.to_owned(),
            client: client.unwrap_or_default().to_owned(),
            roles: sorted(&roles),
            scopes: issuer.scopes.with_included(claims::names(claims, &issuer.scopes_claim).into_iter()),
            expires,
        };
        let by_door = issuer.audiences.is_empty();
        let audiences = by_door.then(|| audiences.into_iter().map(Box::from).collect());
        Ok(Granted { grant, audiences })
    }

    /// The end of its time, if its time is now.
    fn check_times(&self, issuer: &Issuer, now: SystemTime) -> Result<SystemTime, Objection> {
        let at = |claim| claims::time(self.claims.get(claim));
        let expires = at("exp").map_err(|()| NO_TIME)?.ok_or("the token does not say when it expires")?;
        let expires = expires + issuer.leeway;
        if now >= expires {
            return Err(EXPIRED);
        }
        for claim in ["nbf", "iat"] {
            if at(claim).map_err(|()| NO_TIME)?.is_some_and(|from| now + issuer.leeway < from) {
                return Err("the token is not valid yet; are the clocks right?");
            }
        }
        Ok(expires)
    }
}

/// Whether a token whose audience depends on the door is for this one.
///
/// # Errors
/// It is not.
pub(super) fn check_audience(audiences: &[Box<str>], resource: &Resource<'_>) -> Result<(), Objection> {
    audiences.iter().any(|audience| resource.is_named(audience)).then_some(()).ok_or(NO_AUDIENCE)
}

const NO_TOKEN: Objection = "the token is no signed JWT";
const NO_AUDIENCE: Objection = "the token was not issued for this gateway; ask for one with its `resource`";
const NO_TIME: Objection = "the token has a time that is none";
/// Told where a token was good before, too.
pub(super) const EXPIRED: Objection = "the token has expired; get a new one";

/// A part of a token: a JSON object without repeated members.
fn object(part: &str) -> Result<Map<String, Value>, Objection> {
    let json = URL_SAFE_NO_PAD.decode(part).map_err(|_| NO_TOKEN)?;
    strict::object(&json).ok_or(NO_TOKEN)
}

/// The type of a token that is meant to be presented to somebody like us (RFC 9068 section 2.1; `JWT` by those who came
/// before it).
fn is_access_token(kind: &Value) -> bool {
    let kind = kind.as_str().unwrap_or_default().to_ascii_lowercase();
    matches!(kind.strip_prefix("application/").unwrap_or(&kind), "at+jwt" | "jwt")
}

fn sorted(names: &[&str]) -> Roles {
    let names: std::collections::BTreeSet<std::sync::Arc<str>> = names.iter().map(|name| (*name).into()).collect();
    names.into_iter().collect()
}

/// A time in seconds since 1970, as claims say it.
fn instant(seconds: f64) -> Option<SystemTime> {
    let since = Duration::try_from_secs_f64(seconds).ok()?;
    // leeway is added later: what is so far away does not come
    (since < limit::FAR_FUTURE).then(|| UNIX_EPOCH + since)
}

#[cfg(test)]
mod tests;
