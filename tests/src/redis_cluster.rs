//! A Redis Cluster of local processes: three masters with a replica each. Nodes may speak TLS to gateways and each other;
//! the tests' own questions are asked in the open.

use std::process::{Command, Stdio};
use std::time::Duration;

use redis::{Cmd, FromRedisValue, cmd};
use serde_json::Value;

use crate::gateway::Start;
use crate::program::Folder;
use crate::redis::KEYS;
use crate::{Gateway, Redis, port, wait};

/// How long the nodes may take to find each other, or a replica to take its master's place, on a busy machine.
pub const AGREED: Duration = Duration::from_secs(40);
/// After so many milliseconds of silence, a node is taken for dead by the others.
const NODE_TIMEOUT: &str = "1500";

/// A cluster.
pub struct RedisCluster {
    /// Its nodes: masters first, as it began.
    pub nodes: Vec<Redis>,
    tls: Option<Tls>,
}

/// What the nodes of a cluster show that speaks TLS.
struct Tls {
    /// The port for it, of each.
    ports: Vec<u16>,
    /// The certificate of all, for [`NAME`], and its key are in there.
    folder: Folder,
}

/// What nodes that speak TLS call themselves.
const NAME: &str = "localhost";

impl Tls {
    fn new() -> Self {
        let folder = Folder::default();
        let made = rcgen::generate_simple_self_signed(vec![NAME.to_owned()]).unwrap();
        std::fs::write(folder.path().join("certificate.pem"), made.cert.pem()).unwrap();
        std::fs::write(folder.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        Self { ports: (0..6).map(|_| port::free()).collect(), folder }
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// What a node is told of it.
    fn options(&self, node: usize) -> Vec<String> {
        let (port, certificate, key) =
            (self.ports[node].to_string(), self.file("certificate.pem"), self.file("key.pem"));
        let files = ["--tls-cert-file", &certificate, "--tls-key-file", &key, "--tls-ca-cert-file", &certificate];
        let names = ["--cluster-announce-hostname", NAME, "--cluster-preferred-endpoint-type", "hostname"];
        let encrypted =
            ["--tls-port", &port, "--tls-cluster", "yes", "--tls-replication", "yes", "--tls-auth-clients", "no"];
        [&files[..], &names[..], &encrypted[..]].concat().into_iter().map(ToOwned::to_owned).collect()
    }
}

impl RedisCluster {
    /// One whose nodes agree.
    pub async fn start() -> Self {
        Self::with(None).await
    }

    /// One whose nodes speak TLS, and call themselves as their certificate does.
    pub async fn encrypted() -> Self {
        Self::with(Some(Tls::new())).await
    }

    async fn with(tls: Option<Tls>) -> Self {
        let mut nodes = Vec::new();
        for node in 0..6 {
            let bus = port::free().to_string();
            let options = ["--cluster-enabled", "yes", "--cluster-node-timeout", NODE_TIMEOUT, "--cluster-port", &bus];
            let of_tls = tls.as_ref().map_or_else(Vec::new, |tls| tls.options(node));
            let of_tls: Vec<_> = of_tls.iter().map(String::as_str).collect();
            nodes.push(Redis::with(&[&options[..], &["--appendonly", "yes"], &of_tls].concat(), None).await);
        }
        let mut create = Command::new("redis-cli");
        let ports = match &tls {
            Some(tls) => {
                create.args(["--tls", "--cacert", &tls.file("certificate.pem")]);
                tls.ports.clone()
            }
            None => nodes.iter().map(|node| node.port).collect(),
        };
        create.args(["--cluster", "create"]).args(ports.iter().map(|port| format!("127.0.0.1:{port}")));
        create.args(["--cluster-replicas", "1", "--cluster-yes"]).stdout(Stdio::null()).stdin(Stdio::null());
        assert!(create.status().expect("redis-cli is installed (tests/run setup)").success());
        let cluster = Self { nodes, tls };
        let replicas = async || {
            let mut known = 0;
            for node in &cluster.nodes {
                let info: String = node.ask(cmd("CLUSTER").arg("INFO")).await;
                let nodes: String = node.ask(cmd("CLUSTER").arg("NODES")).await;
                known += usize::from(info.contains("cluster_state:ok") && nodes.matches("slave ").count() == 3);
            }
            known
        };
        wait::becomes(AGREED, "all nodes agree", replicas, |known| *known == 6).await;
        for replica in &cluster.nodes {
            let follows = async || {
                let info: String = replica.ask(cmd("INFO").arg("replication")).await;
                info.contains("role:master") || info.contains("master_link_status:up")
            };
            wait::becomes(AGREED, "replicas follow", follows, |follows| *follows).await;
        }
        cluster
    }

    /// A gateway that keeps its sessions here.
    pub async fn gateway(&self, config: &Value) -> Gateway {
        self.gateway_as("", config).await
    }

    /// The same, as a user that may do what the documentation says, and nothing else.
    pub async fn gateway_of_few_rights(&self, config: &Value) -> Gateway {
        let rights = ["+@connection", "+@read", "+@write", "+eval", "+cluster|info", "+cluster|slots", "~sluice:*"];
        for node in &self.nodes {
            let _: () = node.ask(cmd("ACL").arg("SETUSER").arg("few").arg("on").arg(">word").arg(&rights)).await;
        }
        self.gateway_as("few:word@", config).await
    }

    /// It is told of two nodes.
    async fn gateway_as(&self, user: &str, config: &Value) -> Gateway {
        match &self.tls {
            Some(_) => self.gateway_by(NAME, config).await,
            None => {
                let ports = (self.nodes[0].port, self.nodes[5].port);
                started(&format!("redis+cluster://{user}127.0.0.1:{},127.0.0.1:{}", ports.0, ports.1), config)
                    .ready()
                    .await
            }
        }
    }

    /// The same over TLS, of nodes by this name.
    pub async fn gateway_by(&self, host: &str, config: &Value) -> Gateway {
        let tls = self.tls.as_ref().expect("the nodes speak TLS");
        let url = format!("rediss+cluster://{host}:{},{host}:{}", tls.ports[0], tls.ports[5]);
        started(&url, config).env("SSL_CERT_FILE", &tls.file("certificate.pem")).ready().await
    }

    /// The names of the sessions that a node has as a master.
    pub async fn sessions(&self, node: usize) -> Vec<String> {
        let role: Vec<redis::Value> = self.nodes[node].ask(&cmd("ROLE")).await;
        match role.first() {
            Some(redis::Value::BulkString(role)) if role == b"master" => self.nodes[node].sessions().await,
            _ => Vec::new(),
        }
    }

    /// Waits until each of so many keys is with a master and its replica.
    pub async fn replicated(&self, keys: usize) {
        let kept = async || {
            let mut kept = 0;
            for node in &self.nodes {
                kept += node.ask::<usize>(&cmd("DBSIZE")).await;
            }
            kept
        };
        wait::becomes(AGREED, "replicas have what masters have", kept, |kept| *kept == 2 * keys).await;
    }

    /// What a node is called by the others.
    pub async fn name(&self, node: usize) -> String {
        self.nodes[node].ask(cmd("CLUSTER").arg("MYID")).await
    }

    /// Asks a node something.
    pub async fn ask<T: FromRedisValue>(&self, node: usize, command: &Cmd) -> T {
        self.nodes[node].ask(command).await
    }
}

/// The start of a gateway that keeps its sessions there.
fn started(url: &str, config: &Value) -> Start {
    Start::new(config.clone()).env("SLUICE_REDIS", url).env("SLUICE_SESSION_KEYS", KEYS)
}
