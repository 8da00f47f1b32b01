//! By which certificate a door is known: that of the authority, or one that a person gave.
//!
//! Nodes, and people whose tokens have the fingerprint of the authority, ask for the control plane by the name in the
//! authority's own certificate, and get that. Whoever asks by another name gets the certificate that was given, if one was.

mod given;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use sluice_contract::CONTROL_PLANE;

use crate::authority::Authority;
pub use given::{CertificateError, CertificateFiles, Given};

/// What browsers and other clients of HTTP speak, best first.
const WEB: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The certificate of a door. It is renewed while it is served.
pub struct Certificate {
    choice: Arc<Choice>,
    /// Of a door for people only: nobody is asked for a certificate there. `None`: nodes come in, too.
    web: Option<Arc<ServerConfig>>,
}

impl Certificate {
    /// Of the gRPC door.
    #[must_use]
    pub fn grpc(authority: Arc<Authority>, given: Option<Arc<Given>>) -> Self {
        Self { choice: Arc::new(Choice { authority, given }), web: None }
    }

    /// Of the HTTP door.
    ///
    /// # Errors
    ///
    /// TLS cannot be set up.
    pub fn web(authority: Arc<Authority>, given: Option<Arc<Given>>) -> Result<Self, rustls::Error> {
        let choice = Arc::new(Choice { authority, given });
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&choice) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = WEB.map(<[u8]>::to_vec).to_vec();
        Ok(Self { choice, web: Some(Arc::new(config)) })
    }

    /// What a connection that comes now is accepted with.
    pub(super) fn tls(&self) -> Arc<ServerConfig> {
        if let Some(web) = &self.web {
            return Arc::clone(web);
        }
        let authority = self.choice.authority.tls();
        if self.choice.given.is_none() {
            return authority;
        }
        let mut config = ServerConfig::clone(&authority);
        config.cert_resolver = Arc::clone(&self.choice) as Arc<dyn ResolvesServerCert>;
        Arc::new(config)
    }
}

/// Chooses by the name that was asked for.
struct Choice {
    authority: Arc<Authority>,
    given: Option<Arc<Given>>,
}

impl ResolvesServerCert for Choice {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        match &self.given {
            Some(given) if hello.server_name() != Some(CONTROL_PLANE) => Some(given.current()),
            _ => self.authority.tls().cert_resolver.resolve(hello),
        }
    }
}

impl fmt::Debug for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Choice").field("given", &self.given.is_some()).finish_non_exhaustive()
    }
}
