//! Who a node is towards its control plane: a key that never leaves it, the certificate for it, and the authorities it trusts.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, SigningKey as _};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use sluice_contract::v1;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

/// Characters of a line of PEM (RFC 7468).
const PEM_LINE: usize = 64;

/// An identity, as long as its certificate is good and somewhat longer: an ended one can be renewed.
pub(super) struct Identity {
    pub key: KeyPair,
    /// The certificate, and those between it and its authority.
    pub chain: Vec<CertificateDer<'static>>,
    pub authorities: Vec<CertificateDer<'static>>,
    starts: SystemTime,
    ends: SystemTime,
}

impl Identity {
    /// A new key.
    pub(super) fn key() -> Result<KeyPair, rcgen::Error> {
        KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
    }

    /// What a control plane gave for a key; `None`: what it gave is not usable.
    pub(super) fn of(key: KeyPair, given: v1::Certificates) -> Option<Self> {
        let ders = |list: Vec<Vec<u8>>| list.into_iter().map(CertificateDer::from).collect::<Vec<_>>();
        Self::new(key, ders(given.chain), ders(given.authorities))
    }

    fn new(
        key: KeyPair,
        chain: Vec<CertificateDer<'static>>,
        authorities: Vec<CertificateDer<'static>>,
    ) -> Option<Self> {
        let (starts, ends) = times(chain.first()?)?;
        (!authorities.is_empty()).then_some(Self { key, chain, authorities, starts, ends })
    }

    /// The identity in a file, or `None` where there is no such file.
    pub(super) fn load(path: &Path) -> io::Result<Option<Self>> {
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let broken = || io::Error::new(io::ErrorKind::InvalidData, "it is not what was written to it");
        let key = PrivatePkcs8KeyDer::from_pem_slice(&text).map_err(|_| broken())?;
        let key = KeyPair::try_from(&key).map_err(|_| broken())?;
        let certificates = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
        let mut certificates = certificates.map_err(|_| broken())?;
        if certificates.is_empty() {
            return Err(broken());
        }
        let authorities = certificates.split_off(1);
        Self::new(key, certificates, authorities).map(Some).ok_or_else(broken)
    }

    /// Keeps it (mode 0600): whoever reads it sees the old one or this one, also after a crash.
    pub(super) fn save(&self, path: &Path) -> io::Result<()> {
        let fresh = path.with_extension("new");
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(pem("PRIVATE KEY", self.key.serialized_der()).as_bytes())?;
        for certificate in self.chain.iter().take(1).chain(&self.authorities) {
            file.write_all(pem("CERTIFICATE", certificate).as_bytes())?;
        }
        file.sync_all()?;
        fs::rename(&fresh, path)?;
        fs::File::open(folder)?.sync_all()
    }

    /// Its certificate is of no use any more but to be renewed.
    pub(super) fn has_ended(&self) -> bool {
        SystemTime::now() >= self.ends
    }

    /// How long until it is to be renewed: at two thirds of its life, so that a failure can be tried again for hours.
    pub(super) fn renew_in(&self) -> Duration {
        let life = self.ends.duration_since(self.starts).unwrap_or_default();
        (self.starts + life / 3 * 2).duration_since(SystemTime::now()).unwrap_or_default()
    }

    /// Asks for a certificate for a new key, and proves that the old one is ours.
    pub(super) fn renewal(&self) -> Result<(KeyPair, v1::RenewRequest), rcgen::Error> {
        let key = Self::key()?;
        let csr = request(&key)?;
        let signature = self.key.sign(&csr)?;
        let certificate = self.chain.first().map(|leaf| leaf.to_vec()).unwrap_or_default();
        Ok((key, v1::RenewRequest { csr, certificate, signature }))
    }
}

/// A certificate request: a key, and the proof that it is ours. Whose it is, the control plane knows otherwise.
pub(super) fn request(key: &KeyPair) -> Result<Vec<u8>, rcgen::Error> {
    Ok(CertificateParams::default().serialize_request(key)?.der().to_vec())
}

fn times(certificate: &CertificateDer<'_>) -> Option<(SystemTime, SystemTime)> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let at = |seconds: i64| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).ok()?));
    Some((at(parsed.validity().not_before.timestamp())?, at(parsed.validity().not_after.timestamp())?))
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(PEM_LINE));
        pem.push_str(line);
        pem.push('\n');
        rest = after;
    }
    pem.push_str(&format!("-----END {label}-----\n"));
    pem
}
