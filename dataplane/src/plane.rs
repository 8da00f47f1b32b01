//! The plane: one snapshot made ready to serve. Built beside the old one and swapped; what did not change (servers, with
//! what was learnt of them and their children) is carried over.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sluice_snapshot::Fault;
use sluice_snapshot::model::{Balance, Isolation, Server, Sessions, Snapshot, Transport};

use crate::auth::PrincipalId;
use crate::auth::entitled::Entitled;
use crate::auth::issuer::Kept;
use crate::auth::known::Known;
use crate::auth::origin::Rules;
use crate::auth::permits::Permits;
use crate::catalog::{Catalogue, Changes, Holder, Memory};
use crate::limit;
use crate::observe::metrics::{Inside, Metrics};
use crate::upstream::Upstream;
use crate::upstream::credential::{Credentials, Prepared};
use crate::upstream::pipe::{Children, guard::Guard};
use view::Views;

pub(crate) mod entitlement;
mod view;

/// Everything a request needs to know of the configuration. A request loads it once and keeps it to its end (law 1).
pub(crate) struct Plane {
    pub snapshot: Arc<Snapshot>,
    /// Who comes in.
    pub known: Arc<Known>,
    /// Who would by the snapshot alone.
    pub configured: Arc<Known>,
    pub rules: Arc<Rules>,
    /// That of the manifest it came by: rises with every snapshot of a node.
    pub generation: u64,
    servers: HashMap<Arc<str>, Arc<Upstream>, foldhash::fast::RandomState>,
    /// By what stands for them in URIs.
    tokens: HashMap<Box<str>, Arc<Upstream>, foldhash::fast::RandomState>,
    ids: HashSet<u64, foldhash::fast::RandomState>,
    /// The widest separation of clients that any server's configuration asks for.
    isolation: Isolation,
    /// Until when (node clock, milliseconds) all servers are taken for modern without looking at each.
    modern_until: AtomicU64,
    /// How principals see it, where there are policies; a view has none.
    views: Option<Views>,
    /// What those may do whose view this is; `None`: there are no policies.
    pub permits: Option<Arc<Permits>>,
    /// Counts the snapshot as one that is in memory, as long as the plane or a view of it is.
    _inside: Arc<Inside>,
}

/// What all planes of a node stand on.
pub(crate) struct Ground {
    pub guard: Arc<Guard>,
    pub metrics: Arc<Metrics>,
    pub changes: Arc<Changes>,
    pub memory: Memory,
    pub kept_keys: Kept,
    /// Where tokens are obtained, and endpoints asked how they are.
    pub control: tokio::runtime::Handle,
}

impl Ground {
    /// A server that is new.
    fn upstream(&self, server: &Arc<Server>, credentials: Arc<Credentials>, snapshot: &Snapshot) -> Arc<Upstream> {
        let (guard, metrics) = (Arc::clone(&self.guard), Arc::clone(&self.metrics));
        let children = Children::new(Arc::clone(server), credentials, snapshot.limits.clone(), guard, metrics);
        Arc::new(Upstream::new(children, self.catalogue(server)))
    }

    /// A server of which clients see something else from now on, or which is waited for otherwise.
    fn reconfigured(&self, upstream: &Upstream, server: &Arc<Server>) -> Arc<Upstream> {
        Arc::new(upstream.reconfigured(Arc::clone(server), || self.catalogue(server)))
    }

    fn catalogue(&self, server: &Server) -> Catalogue {
        Catalogue::new(Arc::clone(&self.changes), self.memory.of(&server.name))
    }
}

/// A plane that can be run, and has not been adopted.
pub(crate) struct Built {
    plane: Plane,
    /// What servers that stay the same are shown from then on.
    renewed: Vec<Prepared>,
    /// Where endpoints are asked how they are.
    control: tokio::runtime::Handle,
}

impl Built {
    /// What is to be run.
    pub(crate) fn snapshot(&self) -> &Snapshot {
        &self.plane.snapshot
    }

    /// The plane, from here on the one that runs.
    pub(crate) fn adopt(self) -> Arc<Plane> {
        for upstream in self.plane.servers() {
            upstream.children.follow(&upstream.config, &self.plane.snapshot.limits);
        }
        for server in &self.plane.snapshot.servers {
            if let Some(upstream) = self.plane.server(&server.name) {
                upstream.follow(server, &self.control);
            }
        }
        self.renewed.into_iter().for_each(Prepared::adopt);
        Arc::new(self.plane)
    }
}

impl Plane {
    /// Builds the plane of a snapshot, with the unchanged servers of the previous one.
    ///
    /// # Errors
    /// Every credential that is not to be had, with its place in the snapshot.
    pub(crate) fn build(
        snapshot: Arc<Snapshot>,
        generation: u64,
        previous: Option<&Self>,
        ground: &Ground,
    ) -> Result<Built, Vec<Fault>> {
        let mut servers: HashMap<Arc<str>, Arc<Upstream>, _> = HashMap::default();
        let mut renewed = Vec::new();
        let mut faults = Vec::new();
        for (index, server) in snapshot.servers.iter().enumerate() {
            let before = previous.and_then(|p| p.server(&server.name));
            let upstream = match before.filter(|upstream| upstream.is_still(server)) {
                Some(same) => same.credentials.prepare(&snapshot.secrets).map(|prepared| {
                    renewed.push(prepared);
                    match same.looks_as(server) {
                        true => Arc::clone(same),
                        false => ground.reconfigured(same, server),
                    }
                }),
                None => Credentials::find(server, &snapshot.secrets, &ground.control)
                    .map(|found| ground.upstream(server, found, &snapshot)),
            };
            match upstream {
                Ok(upstream) => drop(servers.insert(Arc::clone(&server.name), upstream)),
                Err(found) => faults.extend(
                    found
                        .into_iter()
                        .map(|fault| Fault { path: format!("servers[{index}].{}", fault.path), reason: fault.reason }),
                ),
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let ids = servers.values().map(|upstream| upstream.id).collect();
        let any = |isolation| snapshot.servers.iter().any(|server| server.isolation == isolation);
        let isolation = match (any(Isolation::PerSession), any(Isolation::PerPrincipal)) {
            (true, _) => Isolation::PerSession,
            (false, true) => Isolation::PerPrincipal,
            (false, false) => Isolation::Shared,
        };
        let tokens = servers.values().map(|upstream| (upstream.exposure.token.clone(), Arc::clone(upstream))).collect();
        let known = Arc::new(Known::new(&snapshot, previous.map(|previous| &*previous.configured)));
        let plane = Self {
            known: Arc::clone(&known),
            configured: known,
            rules: Arc::new(Rules::new(&snapshot.listener)),
            servers,
            tokens,
            ids,
            isolation,
            modern_until: AtomicU64::new(0),
            views: Views::of(&snapshot),
            permits: None,
            _inside: Arc::new(ground.metrics.snapshots.enter()),
            generation,
            snapshot,
        };
        Ok(Built { plane, renewed, control: ground.control.clone() })
    }

    /// The plane for those who may come in by what was told last; itself, if that makes no difference. A snapshot that came later has it
    /// in it.
    fn within(self: &Arc<Self>, entitled: Option<&Arc<Entitled>>) -> Arc<Self> {
        let entitled = entitled.filter(|entitled| self.generation <= entitled.generation);
        let known = match entitled.filter(|entitled| !self.configured.is_within(entitled)) {
            Some(entitled) => Arc::new(self.configured.within(entitled)),
            None if Arc::ptr_eq(&self.known, &self.configured) => return Arc::clone(self),
            None => Arc::clone(&self.configured),
        };
        self.letting_in(known, &self.configured)
    }

    /// The same plane, where everybody is looked at again.
    fn anew(&self) -> Arc<Self> {
        let configured = Arc::new(self.configured.anew());
        self.letting_in(Arc::clone(&configured), &configured)
    }

    fn letting_in(&self, known: Arc<Known>, configured: &Arc<Known>) -> Arc<Self> {
        Arc::new(Self {
            snapshot: Arc::clone(&self.snapshot),
            known,
            configured: Arc::clone(configured),
            rules: Arc::clone(&self.rules),
            servers: self.servers.clone(),
            tokens: self.tokens.clone(),
            ids: self.ids.clone(),
            generation: self.generation,
            isolation: self.isolation,
            modern_until: AtomicU64::new(self.modern_until.load(Ordering::Relaxed)),
            views: Views::of(&self.snapshot),
            permits: None,
            _inside: Arc::clone(&self._inside),
        })
    }

    pub(crate) fn server(&self, name: &str) -> Option<&Arc<Upstream>> {
        self.servers.get(name)
    }

    /// The server that this token stands for in URIs.
    pub(crate) fn by_token(&self, token: &str) -> Option<&Arc<Upstream>> {
        self.tokens.get(token)
    }

    /// Whether lists of the merged door are the same for everybody, as far as the configuration goes.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self.isolation, Isolation::Shared | Isolation::Auto)
    }

    /// Whether a server of that number is configured.
    pub(crate) fn has(&self, id: u64) -> bool {
        self.ids.contains(&id)
    }

    /// Whether all servers were found to be modern a short while ago.
    pub(crate) fn is_modern(&self, now: u64) -> bool {
        self.modern_until.load(Ordering::Relaxed) > now
    }

    /// All servers were found to be modern.
    pub(crate) fn found_modern(&self, now: u64) {
        self.modern_until.store(now + limit::DOOR_MEMORY.as_millis() as u64, Ordering::Relaxed);
    }

    /// The one server, where there is only one: its own names and URIs lead to it on the merged door, too.
    pub(crate) fn single(&self) -> Option<&Arc<Upstream>> {
        let mut servers = self.servers();
        servers.next().filter(|_| servers.next().is_none())
    }

    /// All servers, as they are configured.
    pub(crate) fn servers(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        self.snapshot.servers.iter().filter_map(|server| self.servers.get(&server.name))
    }

    /// Keeps what servers say of themselves for the next start.
    pub(crate) fn remember(&self, memory: &Memory) {
        let about = |upstream: &Arc<Upstream>| Some((upstream.name().to_string(), upstream.catalogue.about_to_all()?));
        memory.keep(self.servers().filter_map(about).collect());
    }

    /// Whether the merged door shows other servers, or the same in another way.
    pub(crate) fn shows_otherwise_than(&self, other: &Self) -> bool {
        self.snapshot.prefix != other.snapshot.prefix
            || self.snapshot.servers.len() != other.snapshot.servers.len()
            || !self.servers().zip(other.servers()).all(|(one, two)| one.shows_as(two))
    }

    /// For whom lists of the merged door are kept apart: as far as any server's configuration asks for it.
    pub(crate) fn holder(&self, principal: PrincipalId, session: [u8; 16]) -> Holder {
        match self.isolation {
            Isolation::PerSession => Holder::Session(session),
            Isolation::PerPrincipal => Holder::Principal(principal),
            Isolation::Shared | Isolation::Auto => Holder::Everybody,
        }
    }

    /// What `/config` shows: no secret, no environment, no header value, no argument.
    pub(crate) fn redacted(&self) -> serde_json::Value {
        let servers: serde_json::Map<_, _> = self
            .snapshot
            .servers
            .iter()
            .map(|server| {
                let transport = match &server.transport {
                    Transport::Http(endpoint) | Transport::Sse(endpoint) | Transport::WebSocket(endpoint) => {
                        serde_json::json!({
                            "transport": server.transport.as_str(),
                            "url": format!("{}://{}", if endpoint.tls { "https" } else { "http" }, endpoint.authority),
                            "headers": endpoint.headers.iter().map(|(name, _)| name).collect::<Vec<_>>(),
                            "auth": endpoint.credential.as_ref().map(|credential| serde_json::json!({
                                "type": credential.kind.as_str(),
                                "credential": credential.name,
                            })),
                        })
                    }
                    Transport::Stdio(command) => serde_json::json!({
                        "transport": "stdio",
                        "command": command.program,
                        "env": command.env.iter().map(|(name, _)| name).collect::<Vec<_>>(),
                    }),
                };
                let mut value = transport;
                if let Some(balance) = &server.balance {
                    value["endpoints"] = endpoints(balance);
                }
                value["timeout_seconds"] = server.timeout.as_secs_f64().into();
                value["protocol"] = format!("{:?}", server.protocol).to_lowercase().into();
                (server.name.to_string(), value)
            })
            .collect();
        let mut clients: Vec<&str> = self.snapshot.access.keys.values().map(|key| key.client.name.as_str()).collect();
        clients.sort_unstable();
        let sessions = match &self.snapshot.sessions {
            Sessions::Memory => serde_json::json!({ "store": "memory" }),
            Sessions::Sqlite => serde_json::json!({ "store": "sqlite" }),
            Sessions::Redis(redis) => serde_json::json!({ "store": "redis", "prefix": redis.prefix }),
        };
        let issuers: Vec<&str> = self.snapshot.access.issuers.iter().map(|issuer| &*issuer.url).collect();
        serde_json::json!({
            "revision": self.snapshot.revision,
            "generation": self.generation,
            "authentication": self.snapshot.access.required,
            "clients": clients,
            "issuers": issuers,
            "sessions": sessions,
            "servers": servers,
        })
    }
}

/// The places of a server, without paths: they may hold a key.
fn endpoints(balance: &Balance) -> serde_json::Value {
    let shown = balance.endpoints.iter().map(|endpoint| {
        serde_json::json!({
            "url": format!("{}://{}", if endpoint.at.tls { "https" } else { "http" }, endpoint.at.authority),
            "weight": endpoint.weight,
            "standby": endpoint.standby,
        })
    });
    shown.collect()
}
