//! A control plane and nodes that are linked with each other, behind a balancer that knows nothing of sessions.

use serde_json::{Value, json};
use sluice_contract::v1;

use crate::{Balancer, ControlPlane, Node, Redis};

/// A fleet.
pub struct Fleet {
    /// Its control plane.
    pub control: ControlPlane,
    /// Its nodes.
    pub nodes: Vec<Node>,
    /// Where clients come in.
    pub balancer: Balancer,
}

impl Fleet {
    /// Nodes of these names that serve these servers, and know each other.
    pub async fn of(names: &[&str], servers: &[(&str, Value)]) -> Self {
        let object = |(name, spec): &(&str, Value)| object("server", name, spec);
        Self::running(names, servers.iter().map(object).collect()).await
    }

    /// The same, with their sessions in a Redis, so that any of them may be killed.
    pub async fn keeping(redis: &Redis, names: &[&str], mut objects: Vec<v1::Object>) -> Self {
        let sessions = json!({ "sessions": { "store": "redis", "url": redis.url() } });
        objects.push(object("proxy", "proxy", &sessions));
        Self::running(names, objects).await
    }

    /// Nodes of these names that run this configuration, and know each other.
    pub async fn running(names: &[&str], objects: Vec<v1::Object>) -> Self {
        let control = ControlPlane::empty().await;
        apply(&control, objects).await;
        let mut nodes = Vec::new();
        for name in names {
            nodes.push(Node::of(&control, name, &[]).await.linked().start());
        }
        for node in &nodes {
            node.is_ready().await;
            node.logged(&format!("\"nodes\":{}", names.len() - 1)).await;
        }
        let balancer = Balancer::over(nodes.iter().map(|node| node.port));
        Self { control, nodes, balancer }
    }

    /// The port of the balancer.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.balancer.port
    }

    /// A node by its name.
    #[must_use]
    pub fn node(&mut self, name: &str) -> &mut Node {
        self.nodes.iter_mut().find(|node| node.name == name).unwrap()
    }
}

/// An object of a configuration.
#[must_use]
pub fn object(kind: &str, name: &str, spec: &Value) -> v1::Object {
    v1::Object { kind: kind.into(), name: name.into(), spec_json: spec.to_string(), revision: 0 }
}

/// Applies objects beside those there are; the revision they are.
pub async fn apply(control: &ControlPlane, objects: Vec<v1::Object>) -> u64 {
    let request = v1::ApplyRequest { objects, ..v1::ApplyRequest::default() };
    let answer = control.admin().await.apply(request).await.unwrap();
    assert!(answer.faults.is_empty(), "{:?}", crate::control::messages(&answer.faults));
    answer.revision
}
