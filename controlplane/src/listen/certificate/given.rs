//! A certificate and its key in files, read again when they change.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use sluice_snapshot::chunk::Name;

/// How often the files are looked at: whoever renews certificates does so days before they end.
const LOOK: Duration = Duration::from_secs(5);

/// Where they are, in PEM.
#[derive(Debug, Clone)]
pub struct CertificateFiles {
    /// The certificate, and those between it and its authority.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// Why a certificate cannot be served with.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("{0} cannot be read: {1}")]
    Read(PathBuf, std::io::Error),
    /// It is not what it should be.
    #[error("{0} holds no {1} in PEM")]
    Pem(PathBuf, &'static str),
    /// They do not fit, or the key is of a kind that is not known.
    #[error("the certificate in {0} and the key in {1} cannot be served with: {2}")]
    Unfit(PathBuf, PathBuf, rustls::Error),
}

/// A certificate that a person gave.
pub struct Given {
    files: CertificateFiles,
    current: ArcSwap<CertifiedKey>,
    /// The digest of what was read last, good or not: each change is judged, and told, once.
    seen: Mutex<Name>,
}

impl Given {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// They cannot be served with.
    pub fn load(files: CertificateFiles) -> Result<Arc<Self>, CertificateError> {
        let (read, seen) = read(&files)?;
        let current = ArcSwap::from_pointee(parse(&files, &read)?);
        Ok(Arc::new(Self { files, current, seen: Mutex::new(seen) }))
    }

    /// The one to serve with.
    #[must_use]
    pub fn current(&self) -> Arc<CertifiedKey> {
        self.current.load_full()
    }

    /// Serves with what is in the files from the moment it can be served with, as long as the process lives.
    pub async fn follow(self: Arc<Self>) {
        loop {
            tokio::time::sleep(LOOK).await;
            let given = Arc::clone(&self);
            // a folder on a network may let one wait
            let looked = tokio::task::spawn_blocking(move || given.look()).await;
            let file = self.files.certificate.display();
            match looked {
                Ok(Ok(true)) => tracing::info!(%file, "serving with a new certificate"),
                Ok(Ok(false)) => {}
                Ok(Err(error)) => tracing::warn!(%error, "going on with the certificate of before"),
                Err(error) => tracing::error!(%error, "the files of the certificate could not be looked at"),
            }
        }
    }

    /// `true`: there is another one.
    fn look(&self) -> Result<bool, CertificateError> {
        let (read, digest) = read(&self.files)?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut *seen, digest) == digest {
            return Ok(false);
        }
        self.current.store(Arc::new(parse(&self.files, &read)?));
        Ok(true)
    }
}

/// What the two files hold.
struct Read {
    certificate: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
}

fn read(files: &CertificateFiles) -> Result<(Read, Name), CertificateError> {
    let bytes = |path: &Path| std::fs::read(path).map_err(|error| CertificateError::Read(path.to_owned(), error));
    let (certificate, key) = (bytes(&files.certificate)?, Zeroizing::new(bytes(&files.key)?));
    let both = Zeroizing::new([&certificate[..], &key[..]].concat());
    let digest = Name::of(&both);
    Ok((Read { certificate, key }, digest))
}

fn parse(files: &CertificateFiles, read: &Read) -> Result<CertifiedKey, CertificateError> {
    let CertificateFiles { certificate, key } = files;
    let chain = CertificateDer::pem_slice_iter(&read.certificate).collect::<Result<Vec<_>, _>>();
    let chain = chain.ok().filter(|chain| !chain.is_empty());
    let chain = chain.ok_or_else(|| CertificateError::Pem(certificate.clone(), "certificate"))?;
    let private = PrivateKeyDer::from_pem_slice(&read.key);
    let private = private.map_err(|_| CertificateError::Pem(key.clone(), "private key"))?;
    CertifiedKey::from_der(chain, private, &rustls::crypto::aws_lc_rs::default_provider())
        .map_err(|error| CertificateError::Unfit(certificate.clone(), key.clone(), error))
}
