//! Servers as the data plane reaches them. An [`Upstream`] lives as long as its configuration stays the same, across
//! planes: what was learnt of it, its children and its counters are carried over. Where only its curation changes, or how long it
//! is waited for, another one takes its place that has all of that, too: sessions and connections stay; lists are made anew if
//! clients see others.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use sluice_contract::v1;
use sluice_mcp::{readings, template_matches};
use sluice_snapshot::chunk::Name;
use sluice_snapshot::model::{Isolation, Selection, Server, Transport};
use tokio::runtime::Handle;

use crate::auth::PrincipalId;
use crate::catalog::{Audience, Catalogue, Exposure, Holder};

pub(crate) mod balance;
pub(crate) mod breaker;
pub(crate) mod credential;
pub(crate) mod endpoint;
pub(crate) mod era;
mod health;
pub(crate) mod http;
pub(crate) mod parameters;
pub(crate) mod pipe;
pub(crate) mod quirks;
pub(crate) mod tasks;
mod transport;
pub(crate) mod trouble;

/// What carries the messages of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// Each message is an HTTP request, its answer the response (streamable HTTP).
    Requests,
    /// One connection for both directions, on which answers are told apart by their ids only: a process's pipes, a
    /// WebSocket, HTTP+SSE.
    Pipe,
}

/// One configured server.
pub(crate) struct Upstream {
    /// Unique in the process but for curation: sessions are with it, pools are keyed by it.
    pub id: u64,
    pub config: Arc<Server>,
    /// The configuration changes what it offers.
    pub curates: bool,
    /// Where it runs, if it speaks HTTP.
    pub endpoints: Option<Arc<balance::Endpoints>>,
    /// What is known of its era.
    pub era: Arc<era::Memory>,
    /// Which of its tools' parameters are mirrored into headers.
    pub parameters: Arc<parameters::Parameters>,
    /// Whose its tasks are.
    pub tasks: Arc<tasks::Owners>,
    /// What it is shown to let us in.
    pub credentials: Arc<credential::Credentials>,
    /// The last attempt to reach it failed.
    down: Arc<AtomicBool>,
    /// Its processes or connections; empty while it speaks streamable HTTP.
    pub children: Arc<pipe::Children>,
    /// What it does in ways of its own.
    pub quirks: Arc<quirks::Quirks>,
    /// What is wrong with it.
    pub trouble: Arc<trouble::Memory>,
    /// What it offers.
    pub catalogue: Arc<Catalogue>,
    /// How doors show that.
    pub exposure: Arc<Exposure>,
}

impl Upstream {
    pub(crate) fn new(children: pipe::Children, catalogue: Catalogue) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let (config, credentials) = (children.server(), Arc::clone(children.credentials()));
        let era = Arc::new(era::Memory::of(&config));
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let endpoints = match &config.transport {
            Transport::Http(at) => Some(balance::Endpoints::new(id, &config, at, &credentials)),
            Transport::Stdio(_) | Transport::Sse(_) | Transport::WebSocket(_) => None,
        };
        Self {
            id,
            quirks: Arc::clone(children.quirks()),
            trouble: Arc::clone(children.trouble()),
            catalogue: Arc::new(catalogue),
            exposure: Arc::new(Exposure::new(&config)),
            curates: !config.curation.is_empty(),
            config,
            endpoints: endpoints.map(Arc::new),
            era,
            parameters: Default::default(),
            tasks: Arc::clone(children.tasks()),
            credentials,
            down: Arc::default(),
            children: Arc::new(children),
        }
    }

    /// The same server in another configuration ([`Upstream::is_still`]). Its lists go on where clients see the same of them;
    /// otherwise it has `fresh` ones.
    pub(crate) fn reconfigured(&self, config: Arc<Server>, fresh: impl FnOnce() -> Catalogue) -> Self {
        let (catalogue, exposure) = match config.curation == self.config.curation {
            true => (Arc::clone(&self.catalogue), Arc::clone(&self.exposure)),
            false => (Arc::new(fresh()), Arc::new(Exposure::new(&config))),
        };
        Self {
            id: self.id,
            curates: !config.curation.is_empty(),
            endpoints: self.endpoints.clone(),
            era: Arc::clone(&self.era),
            parameters: Arc::clone(&self.parameters),
            tasks: Arc::clone(&self.tasks),
            credentials: Arc::clone(&self.credentials),
            down: Arc::clone(&self.down),
            children: Arc::clone(&self.children),
            quirks: Arc::clone(&self.quirks),
            trouble: Arc::clone(&self.trouble),
            catalogue,
            exposure,
            config,
        }
    }

    /// Whether sessions with the other one are with this one as well.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.id == other.id
    }

    /// Whether clients see the same of it as of the other one.
    pub(crate) fn shows_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.catalogue, &other.catalogue)
    }

    /// Whether a configured server is this one, whatever of it is shown and however its endpoints changed: sessions go on as
    /// long as one of them stays.
    pub(crate) fn is_still(&self, server: &Arc<Server>) -> bool {
        // what the parser took over is what it was
        if Arc::ptr_eq(&self.config, server) {
            return true;
        }
        let stays = match (&self.endpoints, &server.transport) {
            (Some(endpoints), Transport::Http(at)) if !self.children.transport().is_sse() => {
                endpoints.has_any_of(server, at)
            }
            (_, transport) => (&self.config.transport, &self.config.balance) == (transport, &server.balance),
        };
        stays && self.config.is_reached_as(server)
    }

    /// Whether clients see the same of it, and wait as long, by a configuration in which it is still this one.
    pub(crate) fn looks_as(&self, server: &Arc<Server>) -> bool {
        let before = &self.config;
        Arc::ptr_eq(before, server) || (&before.curation, before.timeout) == (&server.curation, server.timeout)
    }

    /// Goes on with the endpoints of a configuration that is adopted. Checks run on the control runtime.
    pub(crate) fn follow(&self, server: &Server, control: &Handle) {
        let (Some(endpoints), Transport::Http(at)) = (&self.endpoints, &server.transport) else { return };
        let changed = endpoints.follow(server, at, &self.credentials);
        let check = endpoints.group().health_check().cloned();
        if !changed && endpoints.is_checked() == check.is_some() {
            return;
        }
        if check.is_none() {
            endpoints.group().endpoints().for_each(|endpoint| endpoint.set_healthy(true));
        }
        endpoints.check_by(check.map(|check| health::Checks::begin(self, endpoints, &check, control)));
    }

    /// Looks over what it is shown and what runs for it.
    pub(crate) fn sweep(&self) {
        self.credentials.refresh();
        self.children.sweep();
    }

    /// What carries its messages.
    pub(crate) fn carrier(&self) -> Carrier {
        match self.config.transport {
            Transport::Http(_) if !self.children.transport().is_sse() => Carrier::Requests,
            Transport::Http(_) | Transport::Stdio(_) | Transport::Sse(_) | Transport::WebSocket(_) => Carrier::Pipe,
        }
    }

    /// Whether the configuration shows a resource: itself, or the template it is made from.
    pub(crate) fn shows_resource(&self, uri: &str) -> bool {
        let selection = &self.config.curation.resources;
        if *selection == Selection::default() {
            return true;
        }
        // however the server may read it
        let readings = readings(uri);
        if readings.iter().all(|uri| selection.shows_uri(uri)) {
            return true;
        }
        if readings.iter().any(|uri| selection.denies_uri(uri)) {
            return false;
        }
        // allowed patterns that are templates: `db://table/{id}` allows what is made from it
        let fits = |template: &str| {
            selection.shows_uri(template) && readings.iter().all(|uri| template_matches(template, uri))
        };
        self.catalogue.templates(fits) || selection.allow.iter().any(|pattern| fits(pattern.as_str()))
    }

    /// The audience of this server's lists that a client of the merged door belongs to.
    pub(crate) fn audience(&self, merged: &Audience, principal: PrincipalId, session: [u8; 16]) -> Audience {
        let holder = match self.config.isolation {
            Isolation::PerSession => Holder::Session(session),
            Isolation::PerPrincipal => Holder::Principal(principal),
            Isolation::Auto | Isolation::Shared => Holder::Everybody,
        };
        Audience { holder, ..*merged }
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.config.name
    }

    /// Whether the last attempt to reach it failed.
    pub(crate) fn is_down(&self) -> bool {
        self.down.load(Ordering::Relaxed)
    }

    /// How it is, for the control plane.
    pub(crate) fn health(&self) -> v1::ServerHealth {
        let [tools, prompts, resources, _] = self.catalogue.counts().map(|count| count.unwrap_or_default() as u32);
        let trouble = self.credentials.trouble();
        let shown_apart = self.endpoints.as_ref().filter(|endpoints| endpoints.are_shown());
        let endpoints: Vec<_> = shown_apart.into_iter().flat_map(|endpoints| endpoints.levels()).collect();
        v1::ServerHealth {
            server: self.name().to_string(),
            available: !self.is_down(),
            reason: self.trouble_shown().unwrap_or_default(),
            transport: self.transport().to_owned(),
            era: self.era_shown().to_owned(),
            tools,
            prompts,
            resources,
            endpoints: endpoints.len() as u32,
            endpoints_out: endpoints.iter().filter(|(_, level)| !level.in_service).count() as u32,
            inventory: self.inventory_digest().map(Name::to_wire).unwrap_or_default(),
            credential_since_ms: trouble.as_ref().map_or(0, |trouble| trouble.since_ms),
            credential_trouble: trouble.map(|trouble| trouble.cause).unwrap_or_default(),
        }
    }

    /// What it offers, for the people of a fleet; `None` where it is one for each of its clients, and what they are offered theirs.
    /// That a server calls its lists `private`, as SDKs do unasked, means those who have its credential: that is the gateway here.
    pub(crate) fn inventory(&self) -> Option<v1::Inventory> {
        self.is_everybody_s().then(|| self.catalogue.inventory(self.name()))
    }

    /// By what that is known.
    fn inventory_digest(&self) -> Option<Name> {
        self.is_everybody_s().then(|| self.catalogue.inventory_digest(self.name())).flatten()
    }

    fn is_everybody_s(&self) -> bool {
        matches!(self.config.isolation, Isolation::Auto | Isolation::Shared)
    }

    /// What people are told of it: no secret, no address.
    pub(crate) fn shown(&self) -> serde_json::Value {
        let [tools, prompts, resources, templates] = self.catalogue.counts();
        let era = self.era_shown();
        serde_json::json!({
            "name": &**self.name(),
            "transport": self.transport(),
            "era": era,
            "state": match (self.is_down(), era) {
                (true, _) => "down",
                (false, "unknown") => "unknown",
                (false, _) => "up",
            },
            "tools": tools,
            "prompts": prompts,
            "resources": resources,
            "resource_templates": templates,
            "credential": self.credentials.trouble().map(|trouble| {
                serde_json::json!({ "trouble": trouble.cause, "since_ms": trouble.since_ms })
            }),
            "endpoints": self.endpoints.as_ref().map(|endpoints| endpoints.shown()),
            "trouble": self.trouble_shown(),
            "quirks": self.quirks.words(),
        })
    }

    /// The era it was found to be of, in a word.
    fn era_shown(&self) -> &'static str {
        match (self.era.modern(), self.era.is_legacy()) {
            (Some(_), _) => "modern",
            (None, true) => "legacy",
            (None, false) if self.catalogue.about().is_some() => "legacy",
            (None, false) => "unknown",
        }
    }

    /// The transport it was found to speak, in a word.
    fn transport(&self) -> &'static str {
        if self.children.transport().is_sse() { "sse" } else { self.config.transport.as_str() }
    }

    /// What is wrong with it, as a phrase: what came of the last request, or of asking for its lists.
    fn trouble_shown(&self) -> Option<String> {
        let last = self.trouble.phrase().map(|phrase| String::clone(&phrase));
        last.or_else(|| self.catalogue.trouble().map(|reason| reason.phrase().into_owned()))
    }

    /// Notes what came of a request.
    pub(crate) fn hear(&self, sent: &Result<http::Response, http::Failure>) {
        self.note(!matches!(sent, Err(http::Failure::Unreachable(_))));
        self.trouble.hear(sent.as_ref().map(|response| response.status));
    }

    /// Notes whether it could be reached.
    pub(crate) fn note(&self, reached: bool) {
        if self.is_down() == reached {
            self.down.store(!reached, Ordering::Relaxed);
            if reached {
                tracing::info!(server = %self.name(), "the server is reachable again");
            } else {
                tracing::warn!(server = %self.name(), "the server cannot be reached");
            }
        }
    }

    /// Whether a session's server may come to speak the other HTTP transport: the configuration names none.
    pub(crate) fn may_change_transport(&self) -> bool {
        self.children.transport().is_open() && self.endpoints.as_ref().is_some_and(|all| all.only().is_some())
    }

    /// Finds out, after a POST of `initialize` was refused with `status`, whether the server speaks HTTP+SSE instead.
    /// `true`: it does, and [`Upstream::carrier`] says [`Carrier::Pipe`] from now on, until it turns out otherwise. Asks
    /// nothing where the configuration names the transport, or the status speaks of something else (2025-11-25
    /// *Transports: Backwards Compatibility*).
    pub(crate) async fn detect(&self, status: ::http::StatusCode) -> bool {
        let refused = status.is_client_error() && !matches!(status.as_u16(), 401 | 403 | 429);
        if !refused || !self.may_change_transport() {
            return false;
        }
        let found = self.children.is_sse().await;
        if found {
            tracing::info!(server = %self.name(), "the server speaks HTTP+SSE");
            self.children.transport().found_sse();
        }
        found
    }
}
