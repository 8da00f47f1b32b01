//! Documents of an issuer over HTTP: one request and its answer, within bounds, and the few redirects that are followed.

use std::net::SocketAddr;

use bytes::Bytes;
use http::header::LOCATION;
use http::{Request, StatusCode};
use http_body_util::Full;
use sluice_snapshot::model::{HttpEndpoint, Issuer, KeySource};

use super::reach::is_public;
use crate::connection;
use crate::fetch::{self, Answer};
use crate::limit;

/// The set of keys of an issuer, as it was sent; never longer than [`limit::KEYS_FETCH`].
///
/// # Errors
/// What keeps it from being had, for the log.
pub(super) async fn keys(issuer: &Issuer) -> Result<Bytes, String> {
    let fetching = async {
        match &issuer.keys {
            KeySource::Url(url) => get(url, url).await,
            KeySource::File(path) => {
                tokio::fs::read(path).await.map(Bytes::from).map_err(|error| format!("{}: {error}", path.display()))
            }
            KeySource::Metadata(places) => {
                let (metadata, place) = metadata(issuer, places).await?;
                get(&metadata, place).await
            }
        }
    };
    let late = format!("no answer within {} s", limit::KEYS_FETCH.as_secs());
    tokio::time::timeout(limit::KEYS_FETCH, fetching).await.map_err(|_| late)?
}

/// Where the metadata of an issuer says that its keys are (RFC 8414 section 3, OpenID Connect Discovery section 4).
async fn metadata<'p>(issuer: &Issuer, places: &'p [HttpEndpoint]) -> Result<(HttpEndpoint, &'p HttpEndpoint), String> {
    let mut why = String::new();
    for place in places {
        match get(place, place).await.and_then(|text| location_of_keys(issuer, &text)) {
            Ok(url) => return Ok((url, place)),
            Err(reason) => why = format!("{}{reason}; ", why),
        }
    }
    Err(format!("no metadata: {}", why.trim_end_matches("; ")))
}

fn location_of_keys(issuer: &Issuer, metadata: &[u8]) -> Result<HttpEndpoint, String> {
    let metadata: serde_json::Value = serde_json::from_slice(metadata).map_err(|_| "not JSON")?;
    // somebody else's metadata would bring somebody else's keys (RFC 8414 section 3.3)
    if metadata["issuer"].as_str() != Some(&issuer.url) {
        return Err("it is another issuer's".to_owned());
    }
    let url = metadata["jwks_uri"].as_str().ok_or("it has no `jwks_uri`")?;
    HttpEndpoint::at(url).map_err(|reason| format!("`jwks_uri` {reason}"))
}

/// Gets a document. It may be anywhere at the origin that the configuration names; elsewhere, only in the open network: whoever
/// sends us on must not reach what he could not reach himself.
async fn get(url: &HttpEndpoint, configured: &HttpEndpoint) -> Result<Bytes, String> {
    let mut url = url.clone();
    for _ in 0..=limit::KEYS_REDIRECTS {
        let answer = ask(&url, configured).await.map_err(|error| format!("{}: {error}", shown(&url)))?;
        if answer.status == StatusCode::OK {
            return Ok(answer.body);
        }
        let next = answer.headers.get(LOCATION).filter(|_| answer.status.is_redirection());
        let Some(next) = next.and_then(|next| next.to_str().ok()) else {
            return Err(format!("{}: status {}", shown(&url), answer.status.as_u16()));
        };
        url = match next.strip_prefix('/').filter(|rest| !rest.starts_with(['/', '\\'])) {
            Some(_) => HttpEndpoint { path: next.into(), ..url.clone() },
            None => HttpEndpoint::at(next).map_err(|reason| format!("{}: a redirect that {reason}", shown(&url)))?,
        };
    }
    Err(format!("{}: more than {} redirects", shown(&url), limit::KEYS_REDIRECTS))
}

/// Without a query, which may hold a key.
fn shown(url: &HttpEndpoint) -> String {
    let path = url.path.split('?').next().unwrap_or_default();
    format!("{}://{}{path}", if url.tls { "https" } else { "http" }, url.authority)
}

async fn ask(url: &HttpEndpoint, configured: &HttpEndpoint) -> Result<Answer, String> {
    let here = (url.tls, &url.host, url.port) == (configured.tls, &configured.host, configured.port);
    if !here && !url.tls {
        return Err("not `https`, and not said by the configuration".to_owned());
    }
    let addresses = tokio::net::lookup_host((&*url.host, url.port)).await.map_err(|error| error.to_string())?;
    let addresses: Vec<SocketAddr> = addresses.filter(|address| here || is_public(address.ip())).collect();
    if addresses.is_empty() {
        return Err("an address of the inner network, which only the configuration may name (`jwks_uri`)".to_owned());
    }
    let socket = connection::open_at(url, &addresses).await.map_err(|error| error.to_string())?;
    fetch::exchange(socket, url, Request::new(Full::default()), limit::KEYS_BYTES).await
}
