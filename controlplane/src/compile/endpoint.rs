//! A server reached over HTTP: its URL, and the headers and credentials sent with every request.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sluice_contract::v1;

use super::Notes;
use crate::language::{Auth, AuthKind, Fault, Path, Secret, Server};

pub(super) fn compile(server: &Server, path: &Path, wire: &str, notes: &mut Notes) -> Option<v1::HttpEndpoint> {
    let Some(url) = &server.url else {
        let fault = Fault::key(path.clone(), "has no `url`");
        notes.faults.push(fault.advise("add `url: https://…`"));
        return None;
    };
    notes.origins.value(format!("{wire}.http.url"), path.key("url"));
    let mut headers = Vec::with_capacity(server.headers.len() + 1);
    for (name, value) in &server.headers {
        let said = path.key("headers").key(name);
        notes.origins.key(format!("{wire}.http.headers[{}].name", headers.len()), said.clone());
        notes.origins.value(format!("{wire}.http.headers[{}].value", headers.len()), said);
        headers.push(v1::Header { name: name.clone(), value: value.expose().to_owned() });
    }
    if let Some(auth) = &server.auth {
        let path = path.key("auth");
        let field = match auth.kind {
            AuthKind::Bearer => "token",
            AuthKind::Basic => "credentials",
            AuthKind::Header => "value",
        };
        notes.origins.key(format!("{wire}.http.headers[{}].name", headers.len()), path.clone());
        notes.origins.value(format!("{wire}.http.headers[{}].value", headers.len()), path.key(field));
        headers.push(credential(auth, &path, notes)?);
    }
    Some(v1::HttpEndpoint { url: url.trim().to_owned(), headers, ..v1::HttpEndpoint::default() })
}

fn credential(auth: &Auth, path: &Path, notes: &mut Notes) -> Option<v1::Header> {
    let (kind, own) = match auth.kind {
        AuthKind::Bearer => ("bearer", &["token"][..]),
        AuthKind::Basic => ("basic", &["credentials"][..]),
        AuthKind::Header => ("header", &["name", "value"][..]),
    };
    for (word, there) in [
        ("token", auth.token.is_some()),
        ("credentials", auth.credentials.is_some()),
        ("name", auth.name.is_some()),
        ("value", auth.value.is_some()),
    ] {
        if there && !own.contains(&word) {
            notes.faults.push(Fault::key(path.key(word), format!("does not belong to `type: {kind}`")));
        }
    }
    let mut need = |field: &str, value: Option<&Secret>| match value.map(Secret::expose) {
        Some("") => {
            let fault = Fault::value(path.key(field), "is empty");
            notes.faults.push(fault.advise("is the variable in it set to something?"));
            None
        }
        Some(value) => Some(value.to_owned()),
        None => {
            notes.faults.push(Fault::key(path.clone(), format!("has no `{field}`, which `type: {kind}` needs")));
            None
        }
    };
    match auth.kind {
        AuthKind::Bearer => {
            need("token", auth.token.as_ref()).map(|token| header("authorization", format!("Bearer {}", token.trim())))
        }
        AuthKind::Basic => {
            let credentials = need("credentials", auth.credentials.as_ref())?;
            if !credentials.contains(':') {
                notes.faults.push(Fault::value(path.key("credentials"), "is not of the form `user:password`"));
                return None;
            }
            Some(header("authorization", format!("Basic {}", BASE64_STANDARD.encode(credentials))))
        }
        AuthKind::Header => {
            let value = need("value", auth.value.as_ref());
            let Some(name) = &auth.name else {
                notes.faults.push(Fault::key(path.clone(), "has no `name`, which `type: header` needs"));
                return None;
            };
            value.map(|value| header(name, value))
        }
    }
}

fn header(name: &str, value: String) -> v1::Header {
    v1::Header { name: name.to_owned(), value }
}
