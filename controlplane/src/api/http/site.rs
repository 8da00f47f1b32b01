//! Which host a request may name, and from which pages it may come. A page of another origin that reaches this port by a name of its
//! own (DNS rebinding) would be shown what is here as if it were its own.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{HOST, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use sluice_contract::CONTROL_PLANE;

use crate::api::rest::problem::Problem;
use crate::api::{Doors, grpc};
use crate::listen::{Peer, is_loopback};

/// What this control plane is called.
pub struct Site {
    /// Host names and addresses, beside those of loopback.
    names: Vec<String>,
}

impl Site {
    /// One that is reached by these names as well.
    #[must_use]
    pub fn new(names: Vec<String>) -> Self {
        Self { names }
    }

    /// Judges the head of a request. On loopback the name tells a page that was tricked here from a person; beyond it the certificate
    /// does, which no page elsewhere has for its name.
    fn judge(&self, host: Option<&Authority>, headers: &HeaderMap, is_here: bool) -> Result<(), Problem> {
        let Some(host) = host else {
            return Err(Problem::bad_request("the request names no host, or several: `Host: NAME:PORT`, once"));
        };
        if is_here && !self.has(host.host()) {
            let shown = host.host().escape_debug();
            let detail = format!(
                "`{shown}` is no name of this control plane: it answers to `localhost`, to loopback addresses, and to what \
                 `sluice-controlplane --name` says"
            );
            return Err(Problem::new(StatusCode::FORBIDDEN, detail));
        }
        let mut origins = headers.get_all(ORIGIN).iter();
        match (origins.next(), origins.next()) {
            (None, _) => Ok(()),
            (Some(origin), None) if origin.to_str().is_ok_and(|origin| is_own(origin, host)) => Ok(()),
            _ => {
                let detail = "pages of another origin are not served; programs leave out `Origin`";
                Err(Problem::new(StatusCode::FORBIDDEN, detail))
            }
        }
    }

    fn has(&self, host: &str) -> bool {
        let name = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
        is_loopback(name) || self.names.iter().any(|known| known.eq_ignore_ascii_case(name))
    }
}

/// The origin is this door itself.
fn is_own(origin: &str, host: &Authority) -> bool {
    let rest = origin.split_once("://").filter(|(scheme, _)| ["http", "https"].contains(scheme)).map(|(_, rest)| rest);
    rest.is_some_and(|rest| rest.eq_ignore_ascii_case(host.as_str()))
}

/// The host a request names: in HTTP/2 in its target, else in a header of its own.
fn host(request: &Request) -> Option<Authority> {
    let mut named = request.headers().get_all(HOST).iter();
    match (request.uri().authority(), named.next(), named.next()) {
        (Some(target), None, _) => Some(target.clone()),
        (None, Some(host), None) => host.to_str().ok()?.parse().ok(),
        (Some(target), Some(host), None)
            if host.to_str().is_ok_and(|host| target.as_str().eq_ignore_ascii_case(host)) =>
        {
            Some(target.clone())
        }
        _ => None,
    }
}

/// Answers a request, or refuses it.
pub(super) async fn judge(State((site, doors)): State<(Arc<Site>, Doors)>, request: Request, next: Next) -> Response {
    let is_here = request.extensions().get::<Peer>().is_none_or(Peer::is_here);
    let host = host(&request);
    // a node calls every control plane by the one name that its certificate has
    if grpc::is_call(request.headers()) && host.as_ref().is_some_and(|host| host.host() == CONTROL_PLANE) {
        return grpc::elsewhere(doors);
    }
    match site.judge(host.as_ref(), request.headers(), is_here) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(host: &str, origin: &str, is_here: bool) -> u16 {
        let site = Site::new(vec!["control.example.com".to_owned(), "10.0.0.1".to_owned()]);
        let mut headers = HeaderMap::new();
        if !origin.is_empty() {
            headers.insert(ORIGIN, origin.parse().unwrap());
        }
        let host: Option<Authority> = host.parse().ok();
        site.judge(host.as_ref(), &headers, is_here)
            .err()
            .map_or(200, |problem| problem.into_response().status().as_u16())
    }

    #[test]
    fn on_loopback_only_names_of_its_own_are_answered() {
        for host in
            ["localhost:9401", "127.0.0.1:9401", "[::1]:9401", "LOCALHOST", "control.example.com", "10.0.0.1:9401"]
        {
            assert_eq!(status(host, "", true), 200, "{host}");
        }
        for host in ["evil.example:9401", "evil.example", "localhost.evil.example", "10.0.0.2"] {
            assert_eq!(status(host, "", true), 403, "{host}");
            assert_eq!(status(host, "", false), 200, "its certificate says who it is");
        }
        assert_eq!(status("", "", true), 400);
    }

    #[test]
    fn pages_of_other_origins_are_refused_wherever_they_come_from() {
        for is_here in [true, false] {
            assert_eq!(status("localhost:9401", "http://localhost:9401", is_here), 200);
            for origin in
                ["http://evil.example", "null", "http://localhost:9402", "https://localhost", "localhost:9401"]
            {
                assert_eq!(status("localhost:9401", origin, is_here), 403, "{origin}");
            }
        }
    }
}
