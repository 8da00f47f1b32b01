//! The client credentials grant (RFC 6749 section 4.4): what is asked, and what the answer says. Nothing of an answer is told but
//! its status and its error code: descriptions repeat what was sent.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;
use sluice_snapshot::authority;
use sluice_snapshot::model::{ClientAuthentication, ClientCredentials, HttpEndpoint, Secret, TokenEndpoint};
use sluice_snapshot::sensitive::in_header;
use zeroize::Zeroizing;

use super::fetch::{self, Form};
use crate::seal;

/// How long an assertion counts: long enough for a slow clock, too short to be of use to whoever finds it.
const ASSERTION: Duration = Duration::from_secs(60);
/// `client_assertion_type` (RFC 7523 section 2.2).
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A token, and how long it counts.
pub(super) struct Token {
    pub value: Secret,
    pub lifetime: Option<Duration>,
}

/// Obtains a token; `proof` is the secret or key of the client.
///
/// # Errors
/// What keeps it from being had, without a secret.
pub(super) async fn obtain(grant: &ClientCredentials, proof: &Secret) -> Result<Token, String> {
    let url = match &grant.endpoint {
        TokenEndpoint::Url(url) => url.clone(),
        TokenEndpoint::Issuer(issuer) => discover(issuer).await?,
    };
    let endpoint = authority(&url).map_err(|reason| format!("the token endpoint {reason}"))?;
    let (status, body) = fetch::post(&endpoint, form(grant, proof, &url)?)
        .await
        .map_err(|reason| format!("the token endpoint: {reason}"))?;
    let answer: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    if !status.is_success() {
        let code = answer["error"].as_str().filter(|code| is_code(code)).unwrap_or("no reason given");
        return Err(format!("the token endpoint refused with status {}: {code}", status.as_u16()));
    }
    read(&answer)
}

fn read(answer: &serde_json::Value) -> Result<Token, String> {
    let value = answer["access_token"].as_str().ok_or("the token endpoint's answer has no `access_token`")?;
    if answer["token_type"].as_str().is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer")) {
        return Err("the token is not one of type `Bearer`".to_owned());
    }
    if let Some(reason) = in_header(value) {
        return Err(format!("the token {reason}"));
    }
    // some send the number as a text
    let seconds = &answer["expires_in"];
    let seconds = seconds.as_f64().or_else(|| seconds.as_str()?.parse().ok());
    let lifetime = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    Ok(Token { value: Secret::new(value), lifetime })
}

/// An error code (RFC 6749 section 5.2), not a text.
fn is_code(code: &str) -> bool {
    (1..=64).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
}

fn form(grant: &ClientCredentials, proof: &Secret, url: &str) -> Result<Form, String> {
    let mut body = Zeroizing::new("grant_type=client_credentials".to_owned());
    let mut add = |name: &str, value: &str| {
        body.push('&');
        body.push_str(name);
        body.push('=');
        body.push_str(&encoded(value));
    };
    if let Some(scope) = &grant.scope {
        add("scope", scope);
    }
    if let Some(resource) = &grant.resource {
        add("resource", resource);
    }
    let mut authorization = None;
    match &grant.authentication {
        ClientAuthentication::SecretBasic(_) => {
            let pair = Zeroizing::new(format!("{}:{}", *encoded(&grant.client_id), *encoded(proof.expose())));
            authorization = Some(Zeroizing::new(format!("Basic {}", BASE64_STANDARD.encode(pair.as_bytes()))));
        }
        ClientAuthentication::SecretPost(_) => {
            add("client_id", &grant.client_id);
            add("client_secret", proof.expose());
        }
        ClientAuthentication::PrivateKeyJwt { id, .. } => {
            add("client_id", &grant.client_id);
            add("client_assertion_type", ASSERTION_TYPE);
            add("client_assertion", &assertion(&grant.client_id, url, proof, id.clone())?);
        }
    }
    Ok(Form { authorization, body })
}

/// As forms are encoded.
fn encoded(text: &str) -> Zeroizing<String> {
    let mut encoded = Zeroizing::new(String::with_capacity(text.len() * 3));
    for byte in text.bytes() {
        match byte {
            b' ' => encoded.push('+'),
            b if b.is_ascii_alphanumeric() || b"-._*".contains(&b) => encoded.push(char::from(b)),
            b => {
                encoded.push('%');
                encoded.extend([b >> 4, b & 15].map(|digit| {
                    char::from_digit(digit.into(), 16).expect("four bits are a digit").to_ascii_uppercase()
                }));
            }
        }
    }
    encoded
}

/// What an assertion says (RFC 7523 section 3).
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    jti: String,
    iat: u64,
    exp: u64,
}

fn assertion(client: &str, audience: &str, key: &Secret, id: Option<String>) -> Result<Zeroizing<String>, String> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let claims = Claims {
        iss: client,
        sub: client,
        aud: audience,
        jti: BASE64_URL_SAFE_NO_PAD.encode(seal::random::<16>()),
        iat: now,
        exp: now + ASSERTION.as_secs(),
    };
    let pem = key.expose().as_bytes();
    let keys = [
        (EncodingKey::from_rsa_pem(pem), &[Algorithm::RS256][..]),
        (EncodingKey::from_ec_pem(pem), &[Algorithm::ES256, Algorithm::ES384]),
        (EncodingKey::from_ed_pem(pem), &[Algorithm::EdDSA]),
    ];
    for (key, algorithms) in keys {
        let Ok(key) = key else { continue };
        for algorithm in algorithms {
            let header = Header { kid: id.clone(), ..Header::new(*algorithm) };
            if let Ok(signed) = jsonwebtoken::encode(&header, &claims, &key) {
                return Ok(Zeroizing::new(signed));
            }
        }
    }
    Err("the private key is not one that signs assertions: PEM of an RSA, P-256, P-384 or Ed25519 key".to_owned())
}

/// The token endpoint that the metadata of an authorization server names (RFC 8414 section 3, or OpenID Connect Discovery).
async fn discover(issuer: &str) -> Result<String, String> {
    let origin = authority(issuer).map_err(|reason| format!("the issuer {reason}"))?;
    let path = origin.path.trim_end_matches('/');
    let places =
        [format!("/.well-known/oauth-authorization-server{path}"), format!("{path}/.well-known/openid-configuration")];
    let mut why = String::new();
    for place in places {
        let place = HttpEndpoint { path: place.into(), ..origin.clone() };
        match fetch::get(&place).await {
            Ok((status, body)) if status.is_success() => return endpoint(issuer, &body),
            Ok((status, _)) => why = format!("status {}", status.as_u16()),
            Err(reason) => why = reason,
        }
    }
    Err(format!("the issuer's metadata: {why}"))
}

fn endpoint(issuer: &str, metadata: &[u8]) -> Result<String, String> {
    let metadata: serde_json::Value =
        serde_json::from_slice(metadata).map_err(|_| "the issuer's metadata is not JSON".to_owned())?;
    // somebody else's metadata would send the client's secret to somebody else (RFC 8414 section 3.3)
    if metadata["issuer"].as_str() != Some(issuer) {
        return Err("the metadata is another issuer's".to_owned());
    }
    let url = metadata["token_endpoint"].as_str().ok_or("the issuer's metadata names no `token_endpoint`")?;
    Ok(url.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_encoded_and_answers_judged() {
        assert_eq!(encoded("a b+c/é:&=").as_str(), "a+b%2Bc%2F%C3%A9%3A%26%3D");
        let token = read(&serde_json::json!({"access_token": "t", "token_type": "bearer", "expires_in": "30"})).ok();
        assert_eq!(token.map(|token| token.lifetime), Some(Some(Duration::from_secs(30))));
        for answer in [
            serde_json::json!({"token_type": "bearer"}),
            serde_json::json!({"access_token": "s3cret\n"}),
            serde_json::json!({"access_token": "s3cret", "token_type": "DPoP"}),
        ] {
            let reason = read(&answer).err();
            assert!(reason.is_some_and(|reason| !reason.contains("s3cret")), "{answer}");
        }
        assert!(is_code("invalid_client") && !is_code("Invalid client s3cret") && !is_code(""));
    }

    #[test]
    fn metadata_of_somebody_else_is_not_followed() {
        let metadata =
            |issuer: &str| serde_json::json!({"issuer": issuer, "token_endpoint": "https://a/t"}).to_string();
        assert_eq!(endpoint("https://a", metadata("https://a").as_bytes()).as_deref(), Ok("https://a/t"));
        assert!(endpoint("https://a", metadata("https://b").as_bytes()).is_err());
        assert!(endpoint("https://a", b"{}").is_err());
    }
}
