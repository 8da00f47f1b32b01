//! What the gateway shows a server to be let in: `auth` of the server, or the entry of `credentials` that it names.

use sluice_contract::v1;
use sluice_contract::v1::client_credentials::{Authentication, Endpoint};
use sluice_contract::v1::credential::Kind;

use super::{Node, Notes, sensitive};
use crate::language::{Auth, AuthKind, ClientAuthentication, Credentials, Fault, Path, Sensitive, suggestion};

/// What is written in place of a resource where tokens are for nobody in particular.
const NO_RESOURCE: &str = "none";

/// Looks over named credentials, whether or not a server uses them.
pub(super) fn check_all(credentials: &Credentials, notes: &mut Notes) {
    for (name, auth) in credentials {
        let path = Path::of(["credentials", name]);
        if auth.credential.is_some() {
            let fault = Fault::key(path.key("credential"), "refers to another credential");
            notes.faults.push(fault.advise("write here what that one is"));
        }
        check(auth, &path, notes);
    }
}

/// Where a server is shown something.
pub(super) struct Place<'a> {
    /// Its `auth`.
    pub path: Path,
    /// The credential in the contract.
    pub wire: String,
    /// What the tokens are for unless something else is said; empty: nothing.
    pub resource: &'a str,
}

/// What a server is shown. What is wrong with a named credential itself was told already.
pub(super) fn compile(
    auth: &Auth,
    credentials: &Credentials,
    place: &Place<'_>,
    node: &Node,
    notes: &mut Notes,
) -> Option<v1::Credential> {
    let Place { path, wire, resource } = place;
    let Some(name) = &auth.credential else {
        let kind = check(auth, path, notes)?;
        return Some(Part { auth, path, wire, node, notes }.credential("", kind, resource));
    };
    notes.origins.value(wire.to_owned(), path.key("credential"));
    if auth.kind.is_some() || words(auth).iter().any(|(_, there)| *there) {
        let fault = Fault::key(path.clone(), "names a credential, and says more beside it");
        notes.faults.push(fault.advise("leave out one of them"));
    }
    let Some(named) = credentials.get(name) else {
        let known: Vec<&str> = credentials.keys().map(String::as_str).collect();
        let fault = Fault::value(path.key("credential"), "is none of `credentials`");
        notes.faults.push(fault.advise(suggestion(name, &known, "credential")));
        return None;
    };
    let path = Path::of(["credentials", name]);
    let kind = named.kind.filter(|kind| is_complete(named, *kind))?;
    Some(Part { auth: named, path: &path, wire, node, notes }.credential(name, kind, resource))
}

/// Every word but `type` and `credential`, and whether it is there.
fn words(auth: &Auth) -> [(&'static str, bool); 13] {
    [
        ("token", auth.token.is_some()),
        ("credentials", auth.credentials.is_some()),
        ("name", auth.name.is_some()),
        ("value", auth.value.is_some()),
        ("token_url", auth.token_url.is_some()),
        ("issuer", auth.issuer.is_some()),
        ("client_id", auth.client_id.is_some()),
        ("client_secret", auth.client_secret.is_some()),
        ("client_authentication", auth.client_authentication.is_some()),
        ("private_key", auth.private_key.is_some()),
        ("key_id", auth.key_id.is_some()),
        ("scopes", !auth.scopes.is_empty()),
        ("resource", auth.resource.is_some()),
    ]
}

/// The words of a kind: those it needs, one of which is enough in each list, and those it takes.
fn grammar(kind: AuthKind) -> (&'static [&'static [&'static str]], &'static [&'static str]) {
    match kind {
        AuthKind::Bearer => (&[&["token"]], &[]),
        AuthKind::Basic => (&[&["credentials"]], &[]),
        AuthKind::Header => (&[&["name"], &["value"]], &[]),
        AuthKind::OauthClientCredentials => (
            &[&["token_url", "issuer"], &["client_id"], &["client_secret", "private_key"]],
            &["client_authentication", "key_id", "scopes", "resource"],
        ),
    }
}

/// Whether all that a kind needs is said.
fn is_complete(auth: &Auth, kind: AuthKind) -> bool {
    let words = words(auth);
    let there = |word: &&str| words.iter().any(|(known, there)| known == word && *there);
    grammar(kind).0.iter().all(|one_of| one_of.iter().any(&there))
}

/// Tells what is missing from a credential and what does not belong to it; its kind, if nothing is missing.
fn check(auth: &Auth, path: &Path, notes: &mut Notes) -> Option<AuthKind> {
    let Some(kind) = auth.kind else {
        let fault = Fault::key(path.clone(), "has no `type`");
        notes.faults.push(fault.advise("write `type: bearer`, `basic`, `header` or `oauth_client_credentials`"));
        return None;
    };
    let (needed, taken) = grammar(kind);
    let words = words(auth);
    let said = |word: &&&str| words.iter().any(|(known, there)| known == *word && *there);
    for (word, _) in words.iter().filter(|(_, there)| *there) {
        if !taken.contains(word) && !needed.iter().any(|one_of| one_of.contains(word)) {
            let message = format!("does not belong to `type: {}`", kind.as_str());
            notes.faults.push(Fault::key(path.key(word), message));
        }
    }
    for one_of in needed {
        match one_of.iter().filter(said).collect::<Vec<_>>().as_slice() {
            [] => {
                let either = one_of.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" and no ");
                let message = format!("has no {either}, which `type: {}` needs", kind.as_str());
                notes.faults.push(Fault::key(path.clone(), message));
            }
            [_] => {}
            [first, second, ..] => {
                let fault = Fault::key(path.key(second), format!("is given beside `{first}`"));
                notes.faults.push(fault.advise("leave out one of them"));
            }
        }
    }
    proof(auth, path, notes);
    is_complete(auth, kind).then_some(kind)
}

/// Whether what proves the client is what it is to be proved by.
fn proof(auth: &Auth, path: &Path, notes: &mut Notes) {
    let by_key = match auth.client_authentication {
        Some(said) => said == ClientAuthentication::PrivateKeyJwt,
        None => return,
    };
    let (missing, there) = match (by_key, auth.private_key.is_some()) {
        (true, false) => ("private_key", auth.client_secret.is_some()),
        (false, true) => ("client_secret", true),
        _ => return,
    };
    if there {
        let fault = Fault::value(path.key("client_authentication"), format!("needs a `{missing}`"));
        notes.faults.push(fault);
    }
}

/// A credential on its way into the contract.
struct Part<'a> {
    auth: &'a Auth,
    path: &'a Path,
    wire: &'a str,
    node: &'a Node,
    notes: &'a mut Notes,
}

impl Part<'_> {
    fn credential(mut self, name: &str, kind: AuthKind, resource: &str) -> v1::Credential {
        self.notes.origins.key(format!("{}.name", self.wire), self.path.clone());
        if name.is_empty() {
            self.notes.origins.key(self.wire.to_owned(), self.path.clone());
        }
        let auth = self.auth;
        let kind = match kind {
            AuthKind::Bearer => self.value("bearer", "token", auth.token.as_ref()).map(Kind::Bearer),
            AuthKind::Basic => self.value("basic", "credentials", auth.credentials.as_ref()).map(Kind::Basic),
            AuthKind::Header => {
                self.notes.origins.value(format!("{}.header.name", self.wire), self.path.key("name"));
                let value = self.value("header.value", "value", auth.value.as_ref());
                Some(Kind::Header(v1::Header { name: auth.name.clone().unwrap_or_default(), value }))
            }
            AuthKind::OauthClientCredentials => Some(Kind::ClientCredentials(self.grant(resource))),
        };
        v1::Credential { name: name.to_owned(), kind }
    }

    fn grant(&mut self, resource: &str) -> v1::ClientCredentials {
        let auth = self.auth;
        let wire = format!("{}.client_credentials", self.wire);
        for word in ["token_url", "issuer", "client_id", "scopes", "resource"] {
            self.notes.origins.value(format!("{wire}.{word}"), self.path.key(word));
        }
        let endpoint = match (&auth.token_url, &auth.issuer) {
            (Some(url), _) => Some(Endpoint::TokenUrl(url.clone())),
            (None, issuer) => issuer.clone().map(Endpoint::Issuer),
        };
        let secret = |part: &mut Self, place: &str| {
            part.value(&format!("client_credentials.{place}"), "client_secret", auth.client_secret.as_ref())
        };
        let authentication = match (auth.client_authentication, &auth.private_key) {
            (Some(ClientAuthentication::PrivateKeyJwt), key) | (None, key @ Some(_)) => {
                let key = self.value("client_credentials.private_key_jwt.key", "private_key", key.as_ref());
                Some(Authentication::PrivateKeyJwt(v1::PrivateKey { key, id: auth.key_id.clone().unwrap_or_default() }))
            }
            (Some(ClientAuthentication::Post), _) => secret(self, "secret_post").map(Authentication::SecretPost),
            (Some(ClientAuthentication::Basic) | None, _) => {
                secret(self, "secret_basic").map(Authentication::SecretBasic)
            }
        };
        let resource = match auth.resource.as_deref() {
            Some(NO_RESOURCE) => "",
            said => said.unwrap_or(resource),
        };
        v1::ClientCredentials {
            endpoint,
            client_id: auth.client_id.clone().unwrap_or_default(),
            authentication,
            scopes: auth.scopes.clone(),
            resource: resource.to_owned(),
        }
    }

    /// A value that is there, with its place.
    fn value(&mut self, place: &str, word: &str, said: Option<&Sensitive>) -> Option<v1::Sensitive> {
        let path = self.path.key(word);
        let wire = format!("{}.{place}", self.wire);
        match said? {
            Sensitive::Value(value) if value.expose().trim().is_empty() => {
                self.notes.origins.advised(wire, path, "is the variable in it set to something?");
                Some(sensitive::said(""))
            }
            // what was pasted with a blank at its end
            Sensitive::Value(value) if word == "token" => {
                self.notes.origins.value(wire, path);
                Some(sensitive::said(value.expose().trim()))
            }
            said => Some(sensitive::compile(said, &path, wire, self.node, self.notes)),
        }
    }
}
