//! One `redis-server` as a child process, on a port and in a folder of its own, and gateways that keep their sessions in it.

use std::ops::{Deref, DerefMut};
use std::process::{Command, Stdio};
use std::time::Duration;

use redis::{AsyncConnectionConfig, Client, Cmd, FromRedisValue, cmd};
use rustix::process::Signal;
use serde_json::Value;

use crate::gateway::Start;
use crate::program::{Folder, Program};
use crate::{Gateway, port, wait};

/// A key as all gateways of the tests share it, and which seals nothing else.
pub const KEYS: &str = "1:AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";
/// How long starting may take on a busy machine.
const READY: Duration = Duration::from_secs(20);

/// A running Redis; dereferences to its process.
pub struct Redis {
    program: Program,
    /// Its port.
    pub port: u16,
    folder: Folder,
    options: Vec<String>,
    password: Option<String>,
}

impl Deref for Redis {
    type Target = Program;

    fn deref(&self) -> &Program {
        &self.program
    }
}

impl DerefMut for Redis {
    fn deref_mut(&mut self) -> &mut Program {
        &mut self.program
    }
}

impl Redis {
    /// One that keeps what it is told also when it is killed.
    pub async fn start() -> Self {
        Self::with(&["--appendonly", "yes"], None).await
    }

    /// One that asks for a password.
    pub async fn locked(password: &str) -> Self {
        Self::with(&["--requirepass", password], Some(password)).await
    }

    /// One that follows another.
    pub async fn following(other: &Self) -> Self {
        Self::with(&["--replicaof", "127.0.0.1", &other.port.to_string()], None).await
    }

    /// One that watches over another, and makes one that follows it its successor when it is gone for half a second.
    pub async fn watching(other: &Self) -> Self {
        let (folder, port) = (Folder::default(), port::free());
        let of = ["mine", "127.0.0.1", &other.port.to_string()].join(" ");
        let own = folder.path().join("sentinel.conf");
        let settings = [
            format!("port {port}"),
            format!("sentinel monitor {of} 1"),
            "sentinel down-after-milliseconds mine 500".to_owned(),
            "sentinel failover-timeout mine 2000".to_owned(),
        ];
        std::fs::write(&own, settings.join("\n")).unwrap();
        let mut command = Command::new("redis-server");
        command.arg(&own).arg("--sentinel").stdout(Stdio::null());
        let program = Program::start("sentinel", command);
        let sentinel = Self { program, port, folder, options: Vec::new(), password: None };
        sentinel.is_ready().await;
        sentinel
    }

    /// One with options of its own.
    pub(crate) async fn with(options: &[&str], password: Option<&str>) -> Self {
        let (folder, port) = (Folder::default(), port::free());
        let options: Vec<_> = options.iter().map(|option| (*option).to_owned()).collect();
        let program = Program::start("redis", command(&folder, port, &options));
        let redis = Self { program, port, folder, options, password: password.map(Into::into) };
        redis.is_ready().await;
        redis
    }

    /// Waits until it answers.
    pub async fn is_ready(&self) {
        wait::eventually_within(READY, "Redis is ready", async || self.try_ask::<String>(&cmd("PING")).await).await;
    }

    /// Where gateways find it.
    #[must_use]
    pub fn url(&self) -> String {
        let password = self.password.iter().map(|password| format!(":{password}@")).collect::<String>();
        format!("redis://{password}127.0.0.1:{}", self.port)
    }

    /// Asks it something, as anybody could who reaches it.
    pub async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> T {
        self.try_ask(command).await.unwrap()
    }

    /// The same; `None`: it refuses, or is not there.
    pub async fn try_ask<T: FromRedisValue>(&self, command: &Cmd) -> Option<T> {
        let client = Client::open(self.url()).unwrap();
        // what Redis is told to hold back is waited for
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(READY));
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await.ok()?;
        command.query_async(&mut connection).await.ok()
    }

    /// The names of all sessions that are kept.
    pub async fn sessions(&self) -> Vec<String> {
        self.ask(cmd("KEYS").arg("sluice:*")).await
    }

    /// Kills it, as a machine that fails would.
    pub async fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.ended().await;
    }

    /// Starts it again on what it kept.
    pub async fn again(&mut self) {
        self.program.again(command(&self.folder, self.port, &self.options));
        self.is_ready().await;
    }

    /// A gateway that keeps its sessions here.
    pub async fn gateway(&self, config: &Value) -> Gateway {
        self.started(config).ready().await
    }

    /// The start of one.
    #[must_use]
    pub fn started(&self, config: &Value) -> Start {
        Start::new(config.clone()).env("SLUICE_REDIS", &self.url()).env("SLUICE_SESSION_KEYS", KEYS)
    }
}

fn command(folder: &Folder, port: u16, options: &[String]) -> Command {
    let mut command = Command::new("redis-server");
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"]).arg(folder.path());
    command.args(options).stdout(Stdio::null());
    command
}
