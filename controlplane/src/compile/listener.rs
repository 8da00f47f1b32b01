//! Where clients come in, the bounds, and what is shown.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use sluice_contract::v1;
use sluice_snapshot::model::Limits;

use super::{DEFAULT_NAME, Node, Notes, sensitive};
use crate::language::{Config, Door, Fault, LogLevel, Path, Proxy, Scope, Seconds, Secret, TlsClients, Tracing};

const DEFAULT_HOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const DEFAULT_PORT: u16 = 8000;
const DEFAULT_METRICS_PATH: &str = "/metrics";

const OPEN_ADVICE: &str = "set `features.authentication: true` to ask for API keys, or write `authentication: none` \
                           under `proxy` if anybody may come in";

pub(super) fn compile(proxy: &Proxy, node: &Node, notes: &mut Notes) -> v1::Listener {
    let path = Path::of(["proxy"]);
    let stdio = node.stdio || proxy.transport == Some(Door::Stdio);
    let address = match node.listen {
        Some(address) => {
            notes.origins.advised("listener.addresses[0]", Path::default(), OPEN_ADVICE);
            Some(address)
        }
        None if stdio => None,
        None => {
            let said = if proxy.host.is_some() { path.key("host") } else { path.clone() };
            notes.origins.advised("listener.addresses[0]", said, OPEN_ADVICE);
            host(proxy, notes).map(|host| SocketAddr::new(host, proxy.port.unwrap_or(DEFAULT_PORT)))
        }
    };
    for key in ["allowed_hosts", "allowed_origins", "public_url"] {
        notes.origins.value(format!("listener.{key}"), path.key(key));
    }
    v1::Listener {
        addresses: address.iter().map(ToString::to_string).collect(),
        stdio,
        certificates: certificates(proxy, node, notes),
        allowed_hosts: proxy.allowed_hosts.clone(),
        allowed_origins: proxy.allowed_origins.clone(),
        public_url: proxy.public_url.clone().unwrap_or_default(),
        client_certificates: proxy.tls_clients.as_ref().map(|clients| tls_clients(clients, node, notes)),
    }
}

/// Certificates by which clients are known.
fn tls_clients(clients: &TlsClients, node: &Node, notes: &mut Notes) -> v1::ClientCertificates {
    let (wire, path) = ("listener.client_certificates", Path::of(["proxy", "tls_clients"]));
    notes.origins.key(wire, path.clone());
    notes.origins.value(format!("{wire}.authority_files"), path.key("authorities"));
    notes.origins.value(format!("{wire}.revocation_files"), path.key("revocations"));
    let files = |said: &[PathBuf]| said.iter().map(|file| absolute(file, node)).collect();
    let names = clients.names.iter().enumerate().map(|(index, (pattern, roles))| {
        notes.origins.key(format!("{wire}.names[{index}]"), path.key("names").key(pattern));
        notes.origins.value(format!("{wire}.names[{index}].roles"), path.key("names").key(pattern));
        v1::CertificateName { pattern: pattern.clone(), roles: roles.clone() }
    });
    v1::ClientCertificates {
        names: names.collect(),
        authority_files: files(&clients.authorities),
        revocation_files: files(&clients.revocations),
        required: clients.required.unwrap_or(false),
    }
}

/// A file that the configuration names; nothing stays nothing, so that it is told.
fn absolute(said: &std::path::Path, node: &Node) -> String {
    match said.as_os_str().is_empty() {
        true => String::new(),
        false => node.folder.join(said).to_string_lossy().into_owned(),
    }
}

fn host(proxy: &Proxy, notes: &mut Notes) -> Option<IpAddr> {
    let Some(host) = proxy.host.as_deref() else { return Some(DEFAULT_HOST) };
    if host.eq_ignore_ascii_case("localhost") {
        return Some(DEFAULT_HOST);
    }
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    let parsed = bare.parse().ok();
    if parsed.is_none() {
        let fault = Fault::value(Path::of(["proxy", "host"]), "is not an IP address");
        let advice = "`127.0.0.1` is this machine, `0.0.0.0` or `::` every address it has; the port goes into `port`";
        notes.faults.push(fault.advise(advice));
    }
    parsed
}

fn certificates(proxy: &Proxy, node: &Node, notes: &mut Notes) -> Vec<v1::Certificate> {
    let mut certificates = Vec::with_capacity(proxy.tls.len());
    for (index, certificate) in proxy.tls.iter().enumerate() {
        let (wire, path) = (format!("listener.certificates[{index}]"), Path::of(["proxy", "tls"]).index(index));
        notes.origins.value(format!("{wire}.chain_file"), path.key("certificate"));
        notes.origins.value(format!("{wire}.key_file"), path.key("key"));
        notes.origins.value(format!("{wire}.domains"), path.key("domains"));
        certificates.push(v1::Certificate {
            chain_file: absolute(&certificate.certificate, node),
            key_file: absolute(&certificate.key, node),
            domains: certificate.domains.clone(),
        });
    }
    certificates
}

pub(super) fn limits(config: &Config, notes: &mut Notes) -> v1::Limits {
    let path = Path::of(["proxy", "limits"]);
    for (wire, key) in [
        ("body_bytes", "body_bytes"),
        ("json_depth", "json_depth"),
        ("concurrent_requests", "concurrent_requests"),
        ("sessions_per_principal", "sessions_per_principal"),
        ("session_idle_ms", "session_idle_seconds"),
        ("children_per_server", "children_per_server"),
        ("children_per_principal", "children_per_principal"),
        ("child_idle_ms", "child_idle_seconds"),
    ] {
        notes.origins.value(format!("limits.{wire}"), path.key(key));
    }
    let rate = Path::of(["features", "rate_limiting", "requests_per_minute"]);
    notes.origins.value("limits.requests_per_minute", rate);
    let (said, default) = (&config.proxy.limits, Limits::default());
    v1::Limits {
        body_bytes: said.body_bytes.unwrap_or(default.body_bytes as u64),
        json_depth: said.json_depth.unwrap_or(default.json_depth.into()),
        requests_per_minute: config.features.rate_limiting.requests_per_minute,
        concurrent_requests: said.concurrent_requests.unwrap_or(default.concurrent_requests),
        sessions_per_principal: said.sessions_per_principal.unwrap_or(default.sessions_per_principal),
        session_idle_ms: milliseconds(said.session_idle_seconds, default.session_idle),
        children_per_server: said.children_per_server.unwrap_or(default.children_per_server),
        children_per_principal: said.children_per_principal.unwrap_or(default.children_per_principal),
        child_idle_ms: milliseconds(said.child_idle_seconds, default.child_idle),
        of_fleet: of_fleet(config),
    }
}

/// What nobody wrote is there to protect a node, and stays that of each.
fn of_fleet(config: &Config) -> Option<v1::LimitsOfFleet> {
    let said = &config.proxy.limits;
    let of_fleet = v1::LimitsOfFleet {
        requests_per_minute: config.features.rate_limiting.requests_per_minute.is_some(),
        concurrent_requests: said.concurrent_requests.is_some(),
        sessions_per_principal: said.sessions_per_principal.is_some(),
    };
    let is_fleet = said.scope.unwrap_or_default() == Scope::Fleet;
    (is_fleet && of_fleet != v1::LimitsOfFleet::default()).then_some(of_fleet)
}

pub(super) fn monitoring(config: &Config, notes: &mut Notes) -> v1::Monitoring {
    let path = Path::of(["features", "monitoring", "prometheus_endpoint"]);
    notes.origins.value("monitoring.metrics_path", path.clone());
    let said = &config.features.monitoring;
    let enabled = said.enable_metrics.unwrap_or(false);
    if said.prometheus_endpoint.is_some() && said.enable_metrics.is_none() {
        let warning = Fault::key(path, "has no effect").advise("add `enable_metrics: true` beside it");
        notes.warnings.push(warning);
    }
    let metrics_path = said.prometheus_endpoint.as_deref().unwrap_or(DEFAULT_METRICS_PATH);
    v1::Monitoring {
        metrics_path: if enabled { metrics_path.to_owned() } else { String::new() },
        access_log: config.proxy.access_log.unwrap_or(true),
        traces: config.features.tracing.as_ref().map(|said| traces(said, config, notes)),
        log_level: config.proxy.log_level.map_or(v1::LogLevel::Unspecified, log_level).into(),
    }
}

fn log_level(said: LogLevel) -> v1::LogLevel {
    match said {
        LogLevel::Trace => v1::LogLevel::Trace,
        LogLevel::Debug => v1::LogLevel::Debug,
        LogLevel::Info => v1::LogLevel::Info,
        LogLevel::Warn => v1::LogLevel::Warn,
        LogLevel::Error => v1::LogLevel::Error,
    }
}

fn traces(said: &Tracing, config: &Config, notes: &mut Notes) -> v1::Traces {
    let path = Path::of(["features", "tracing"]);
    notes.origins.value("monitoring.traces.endpoint", path.key("endpoint"));
    let header = |(index, (name, value)): (usize, (&String, &Secret))| {
        let said = path.key("headers").key(name);
        notes.origins.key(format!("monitoring.traces.headers[{index}].name"), said.clone());
        notes.origins.value(format!("monitoring.traces.headers[{index}].value"), said);
        v1::Header { name: name.clone(), value: Some(sensitive::said(value.expose())) }
    };
    let headers = said.headers.iter().enumerate().map(header).collect();
    let sample = said.sample.unwrap_or(1.0);
    if !(0.0..=1.0).contains(&sample) {
        let fault = Fault::value(path.key("sample"), "is a share between 0 and 1");
        notes.faults.push(fault.advise("0.1 records every tenth request"));
    }
    v1::Traces {
        endpoint: said.endpoint.clone(),
        headers,
        sample_per_million: (sample.clamp(0.0, 1.0) * 1e6).round() as u32,
        service: config.proxy.name.clone().unwrap_or_else(|| DEFAULT_NAME.to_owned()),
    }
}

pub(super) fn milliseconds(said: Option<Seconds>, default: Duration) -> u64 {
    u64::try_from(said.map_or(default, |seconds| seconds.0).as_millis()).unwrap_or(u64::MAX)
}
