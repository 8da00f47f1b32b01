//! The control plane as `sluice` meets it: which one, with what token, and one connection to it.

mod address;
mod refused;
mod token;
mod trust;

use std::net::TcpStream;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::pin::pin;
use std::time::{Duration, Instant};

use hyper_util::rt::TokioIo;
use sluice_contract::v1::admin_client::AdminClient;
use tokio::runtime::Runtime;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Response, Status};

use crate::output::{Failure, talk};
use crate::state::StateDir;
use address::Address;
pub(crate) use token::Token;
use trust::Trust;

/// Where a control plane listens unless told otherwise.
const DEFAULT: &str = "http://127.0.0.1:9400";
/// The file in its state folder with the token of whoever started it.
const TOKEN_FILE: &str = "admin.token";
/// What we call ourselves.
const AGENT: &str = concat!("sluice/", env!("CARGO_PKG_VERSION"));
/// Longest wait for a connection, TLS included: control planes are near.
const CONNECT: Duration = Duration::from_secs(5);
/// While an answer is waited for, how often the control plane is asked whether it is there.
const PULSE: Duration = Duration::from_secs(3);
/// How long it may take to say so. With [`PULSE`] before it, one that hangs is noticed within seven seconds, however long an answer
/// may take of one that is well.
const PULSE_ANSWER: Duration = Duration::from_secs(4);
/// Longest wait for an answer of one that is there: what takes longer is not well. Streams are bounded by those who read them.
const ANSWER: Duration = Duration::from_secs(60);
/// How often somebody who waits is told that nothing is wrong.
pub(crate) const PROGRESS: Duration = Duration::from_secs(5);
/// Bytes of a message, both ways: a configuration of a thousand servers with ten thousand edits takes some megabytes.
const MESSAGE: usize = 256 << 20;

/// The admin service, with a token on every request.
pub(crate) type Admin = AdminClient<InterceptedService<Channel, Token>>;

/// Which control plane is meant.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Control plane")]
pub(crate) struct ControlPlane {
    /// Where it is: https://HOST:9400, or http:// on this machine [default: http://127.0.0.1:9400]
    #[arg(long, value_name = "URL", env = "SLUICE_CONTROL_PLANE", hide_env_values = true)]
    control_plane: Option<String>,

    /// File with the token to show it [default: SLUICE_TOKEN, which is the token itself, or admin.token in the state folder]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// Authorities to trust for a control plane on another machine, in PEM [default: the one the token names, or the system's]
    #[arg(long, value_name = "FILE", env = "SLUICE_CA_FILE", hide_env_values = true)]
    ca_file: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) state: StateDir,
}

impl ControlPlane {
    /// Connects.
    pub(crate) fn connect(&self) -> Result<Connection, Failure> {
        let address = Address::parse(self.control_plane.as_deref().filter(|said| !said.is_empty()).unwrap_or(DEFAULT))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::other)?;
        let endpoint = Endpoint::from(address.uri()).connect_timeout(CONNECT).timeout(ANSWER);
        let endpoint = endpoint.http2_keep_alive_interval(PULSE).keep_alive_timeout(PULSE_ANSWER);
        let endpoint = endpoint.user_agent(AGENT).map_err(Failure::other)?;
        let (channel, (token, from)) = if address.is_secured() {
            let (token, from) = self.token(&address)?;
            let trust = Trust::new(&address, &token, &from, self.ca_file.as_deref())?;
            let known_by = trust.known_by.clone();
            let channel = runtime.block_on(secured(endpoint, &address, trust));
            (channel.map_err(|error| refused::unknown(&address, &known_by, &error))?, (token, from))
        } else {
            let channel = runtime.block_on(endpoint.connect());
            // Only now the token: where nobody answers, it does not matter whether there is one.
            (channel.map_err(|error| refused::unreachable(&address, &error))?, self.token(&address)?)
        };
        let admin = AdminClient::with_interceptor(channel, token)
            .max_decoding_message_size(MESSAGE)
            .max_encoding_message_size(MESSAGE);
        Ok(Connection { runtime, admin, address, from })
    }

    /// Connects where a control plane is meant: one that was named, or the usual one, if its token is in the state
    /// folder and it is there. `None`: what is asked for concerns the state folder itself.
    pub(crate) fn connect_if_meant(&self) -> Result<Option<Connection>, Failure> {
        if self.is_named() {
            return self.connect().map(Some);
        }
        let has_token = self.state.folder()?.file(TOKEN_FILE).exists();
        let is_there = || TcpStream::connect_timeout(&Address::usual(), CONNECT).is_ok();
        if has_token && is_there() { self.connect().map(Some) } else { Ok(None) }
    }

    fn is_named(&self) -> bool {
        self.control_plane.is_some() || self.token_file.is_some() || variable().is_some()
    }

    /// The token, and where it is from.
    fn token(&self, address: &Address) -> Result<(Token, String), Failure> {
        let file = match (&self.token_file, variable()) {
            (Some(file), _) => file.clone(),
            (None, Some(token)) => return Ok((Token::parse(&token, "SLUICE_TOKEN")?, "SLUICE_TOKEN".to_owned())),
            (None, None) => self.state.folder()?.file(TOKEN_FILE),
        };
        let shown = file.display().to_string();
        let mode = std::fs::metadata(&file).map_or(0, |found| found.mode() & 0o7777);
        if mode & 0o077 != 0 {
            talk(&format!(
                "warning: {shown} has mode {mode:04o}, so that others may use the token in it; run `chmod 600 {shown}`\n"
            ));
        }
        match std::fs::read_to_string(&file) {
            Ok(text) => Ok((Token::parse(&text, &shown)?, shown)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && self.token_file.is_none() => {
                Err(Failure::input(format_args!(
                    "there is no token for the control plane at {address}: {shown} does not exist\n  \
                     = name the folder of the control plane with --state-dir, or a token with --token-file or SLUICE_TOKEN\n  \
                     = `sluice-controlplane --state-dir DIR` starts one, and writes DIR/{TOKEN_FILE}; where that is lost, \
                     --make-anew {TOKEN_FILE} makes another, while it is stopped"
                )))
            }
            Err(error) => Err(Failure::input(format_args!("{shown} cannot be read: {error}"))),
        }
    }
}

/// Over TLS, which is ours: a control plane may be known by more than a name.
async fn secured(endpoint: Endpoint, address: &Address, trust: Trust) -> Result<Channel, tonic::transport::Error> {
    let address = address.clone();
    let connect = tower::service_fn(move |_: Uri| {
        let (trust, address) = (trust.clone(), address.clone());
        async move { trust.connect(address).await.map(TokioIo::new) }
    });
    endpoint.connect_with_connector(connect).await
}

/// Waits, and says now and then that it does.
async fn patiently<T>(address: &Address, work: impl Future<Output = T>) -> T {
    let (mut work, begin) = (pin!(work), Instant::now());
    loop {
        tokio::select! {
            done = &mut work => return done,
            () = tokio::time::sleep(PROGRESS) => {
                let waited = begin.elapsed().as_secs();
                talk(&format!("waiting for the control plane at {address}, {waited} s until now\n"));
            }
        }
    }
}

fn variable() -> Option<String> {
    std::env::var("SLUICE_TOKEN").ok().filter(|token| !token.trim().is_empty())
}

/// A connection to a control plane.
pub(crate) struct Connection {
    runtime: Runtime,
    admin: Admin,
    address: Address,
    /// Where the token is from.
    from: String,
}

impl Connection {
    /// What it is called by.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// Asks, and waits for the answer.
    pub(crate) fn ask<T>(
        &mut self,
        question: impl AsyncFnOnce(&mut Admin) -> Result<Response<T>, Status>,
    ) -> Result<T, Failure> {
        self.try_ask(question).map_err(|status| self.failure(&status))
    }

    /// The same, for those who know more about what went wrong.
    pub(crate) fn try_ask<T>(
        &mut self,
        question: impl AsyncFnOnce(&mut Admin) -> Result<Response<T>, Status>,
    ) -> Result<T, Status> {
        self.runtime.block_on(patiently(&self.address, question(&mut self.admin))).map(Response::into_inner)
    }

    /// Does something that takes more than one answer.
    pub(crate) fn run<T>(&mut self, work: impl AsyncFnOnce(&mut Admin) -> T) -> T {
        self.runtime.block_on(work(&mut self.admin))
    }

    /// Says what a refusal means to whoever typed the command.
    pub(crate) fn failure(&self, status: &Status) -> Failure {
        refused::failure(&self.address, &self.from, status)
    }
}
