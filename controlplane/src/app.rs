//! The control plane as a process: opened, served, ended in order.

mod anew;
mod fleet;
mod trouble;

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls_pki_types::ServerName;
use tokio::net::TcpListener;
use tokio::sync::watch;
use zeroize::Zeroizing;

use crate::api;
use crate::authority::{AUTHORITY, AuthorityError};
use crate::listen::{self, Certificate, CertificateError, Given, Incoming};
use crate::log::{self, Recent};
use crate::secrets::{Ring, RingSource, SourceError};
use crate::service::{ADMIN_TOKEN, Service, ServiceError};
use crate::settings::Settings;
use crate::store::{DATABASE, Folder, Store, StoreError};
pub use anew::{Lost, make_anew};
use fleet::Fleet;
pub use trouble::Trouble;

/// The variable that may hold the key ring.
const KEYS_VARIABLE: &str = "SLUICE_SECRET_KEYS";
/// How long requests may take to end when the process is told to: a write waits for the disk. Streams are ended at once.
const GRACE: Duration = Duration::from_secs(5);
/// How often refusals beyond those written one by one are summed up.
const SUMS: Duration = Duration::from_secs(60);

/// How often it is looked whether the disk has room: before somebody needs it.
const LOOK: Duration = Duration::from_secs(5);
/// The same, where something is in the way: who made room wants to know.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Why the process ends before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// Somebody else has the address, or it is none of this machine's.
    #[error("cannot listen on {address}: {source}; choose another with `{flag} ADDR`")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The flag that gives it.
        flag: &'static str,
        /// What the system says.
        source: std::io::Error,
    },
    /// The certificate for people.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// TLS for people.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The key ring.
    #[error(transparent)]
    Ring(#[from] SourceError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The certificates.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The first token.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// A file of the state folder.
    #[error(transparent)]
    Trouble(Trouble),
    /// The runtime or a listener.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// Runs until the process is told to stop.
///
/// # Errors
///
/// It cannot start, or a listener fails.
pub fn run(settings: Settings) -> Result<(), AppError> {
    let (_written, recent) = log::start_kept();
    raise_descriptors();
    // Answers are small and the work is the database's, which has threads of its own.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(serve(settings.clone(), recent)).map_err(|error| trouble::told(error, &settings));
    // A read or write under way ends; whoever waits for its answer has been told.
    runtime.shutdown_timeout(GRACE);
    result
}

async fn serve(settings: Settings, recent: Recent) -> Result<(), AppError> {
    // a second provider in the process would have been installed by the caller on purpose
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    // Before anything is made: a second start by mistake leaves nothing behind.
    let grpc = bind(settings.grpc, "--grpc").await?;
    let http = bind(settings.http, "--http").await?;
    let given = settings.certificate.map(Given::load).transpose()?;
    let names = reached_by(settings.names, &[settings.grpc, settings.http]);
    let folder = Folder::new(&settings.state_dir);
    let now = Timestamp::now();
    if folder.file(AUTHORITY).exists() && !folder.file(DATABASE).exists() {
        return Err(AppError::Trouble(trouble::lost_database("is not there".to_owned(), folder.path())));
    }
    let store = Store::open(folder.clone(), now)?;
    let (ring, source) = open_ring(settings.secret_keys, &store)?;
    let service = Service::new(store, Arc::new(ring));
    service.ring_from(source);
    service.check_ring()?;
    let (stop, stopped) = watch::channel(false);
    let until = move |mut stopped: watch::Receiver<bool>| async move {
        // An error is that the sender is gone, which is an end as well.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    };
    let fleet = Fleet::start(&service, names.clone()).await?;
    // only now: it carries the fingerprint of the authority
    if service.first_token(now)? {
        let file = folder.file(ADMIN_TOKEN).display().to_string();
        tracing::info!(file, "there was no token of an admin: the one in this file counts");
    } else if !service.has_first_token(now)? {
        let file = folder.file(ADMIN_TOKEN).display().to_string();
        tracing::warn!(
            file,
            "this file has no token that counts; other tokens do. While the control plane is stopped, \
             `sluice-controlplane --state-dir DIR --make-anew admin.token` makes one"
        );
    }
    for name in [ADMIN_TOKEN, AUTHORITY] {
        if let Some(mode) = folder.open_to_others(name) {
            let file = folder.file(name).display().to_string();
            let mode = format!("{mode:04o}");
            tracing::warn!(file, mode, "others than its owner may read this file; run `chmod 600` on it");
        }
    }
    if let Some(given) = &given {
        tokio::spawn(Arc::clone(given).follow());
    }
    let doors = api::Doors { grpc: grpc.local_addr()?, http: http.local_addr()? };
    tracing::info!(grpc = %doors.grpc, http = %doors.http, "serving");
    let for_nodes = Incoming::new(grpc, Certificate::grpc(Arc::clone(&fleet.authority), given.clone()));
    let for_people = Incoming::new(http, Certificate::web(Arc::clone(&fleet.authority), given)?);
    let control = api::Control {
        service: service.clone(),
        publisher: Arc::clone(&fleet.publisher),
        authority: Arc::clone(&fleet.authority),
        log: recent,
        doors,
    };
    let over_grpc = api::grpc::routes(service.clone(), Arc::clone(&fleet.publisher), fleet.sync, doors);
    let over_http = api::http::routes(control, api::http::Site::new(names));
    let served = async {
        tokio::join!(
            listen::serve(for_nodes, over_grpc, until(stopped.clone())),
            listen::serve(for_people, over_http, until(stopped.clone())),
        )
    };
    tokio::pin!(served);
    let result = tokio::select! {
        _ = &mut served => Ok(()),
        () = sum_up(&service) => Ok(()),
        () = look(service.store()) => Ok(()),
        () = told_to_stop()? => {
            tracing::info!("stopping");
            stop.send_replace(true);
            fleet.publisher.nodes().end();
            // what lasts longer is cut
            let _ = tokio::time::timeout(GRACE, served).await;
            Ok(())
        }
    };
    // no reason to fail: what could be done at a start is of no help at its end
    if let Err(error) = service.sum_up_refusals().await {
        tracing::error!(%error, "refusals are not in the audit log");
    }
    result
}

/// The names in the control plane's certificate: those that were said, that of this machine, and the addresses it listens on.
fn reached_by(mut names: Vec<String>, addresses: &[SocketAddr]) -> Vec<String> {
    names.push("localhost".to_owned());
    names.extend(rustix::system::uname().nodename().to_str().ok().map(str::to_owned));
    names.extend(addresses.iter().map(|address| address.ip().to_canonical().to_string()));
    names.retain(|name| !matches!(name.parse::<IpAddr>(), Ok(ip) if ip.is_unspecified()));
    // what a machine is called need not be what a certificate can say
    names.retain(|name| ServerName::try_from(name.as_str()).is_ok());
    names.sort();
    names.dedup();
    names
}

/// Lets it have as many open connections as the system allows: the usual soft limit is for programs that cannot count beyond it, and
/// fewer than the doors have places for.
fn raise_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

async fn bind(address: SocketAddr, flag: &'static str) -> Result<TcpListener, AppError> {
    TcpListener::bind(address).await.map_err(|source| AppError::Bind { address, flag, source })
}

/// The key ring, and where it is from. It is made only where nothing was sealed yet.
fn open_ring(file: Option<PathBuf>, store: &Store) -> Result<(Ring, RingSource), AppError> {
    let source = ring(file, store.folder());
    let ring = if Service::has_ring(store)? { source.load()? } else { source.first()? };
    Ok((ring, source))
}

/// Where the key ring is: a file that was named, the environment, or the state folder.
fn ring(file: Option<PathBuf>, folder: &Folder) -> RingSource {
    let variable = std::env::var(KEYS_VARIABLE).ok().filter(|text| !text.is_empty());
    match (file, variable) {
        (Some(file), _) => RingSource::File(file),
        (None, Some(text)) => RingSource::Text(Zeroizing::new(text)),
        (None, None) => RingSource::State(folder.clone()),
    }
}

async fn look(store: &Store) {
    let obstacle = store.obstacle();
    loop {
        let pause = if obstacle.borrow().is_none() { LOOK } else { LOOK_AGAIN };
        tokio::time::sleep(pause).await;
        let store = store.clone();
        // it ends with the process
        let _ = tokio::task::spawn_blocking(move || store.look()).await;
    }
}

async fn sum_up(service: &Service) {
    loop {
        tokio::time::sleep(SUMS).await;
        if let Err(error) = service.sum_up_refusals().await {
            tracing::error!(%error, "refusals could not be written to the audit log");
        }
        if let Err(error) = service.forget_ended_tokens(Timestamp::now()).await {
            tracing::error!(%error, "join tokens that have ended could not be removed");
        }
    }
}

/// Ends when the process is told to: SIGTERM, or Ctrl-C.
fn told_to_stop() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
