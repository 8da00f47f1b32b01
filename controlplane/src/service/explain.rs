//! What would become of a call, by the code the nodes run, what is desired of them, and what they know of their servers.

mod heard;

use std::collections::{BTreeMap, HashSet};
use std::time::SystemTime;

use serde_json::value::RawValue;
use sluice_contract::v1;
use sluice_snapshot::explain::{self, Action, Question, Step, Target};
use sluice_snapshot::share::Shares;

use super::{Caller, Operation, Service, ServiceError};
use crate::language::{Kind, MASK};
use crate::publish::{Desired, Nodes};

/// The verdict where nothing is called so.
const UNKNOWN: &str = explain::Verdict::Unknown.as_str();

/// A question, checked.
pub struct Asked {
    action: Action,
    name: String,
    principal: String,
    roles: Vec<String>,
    scopes: Vec<String>,
    arguments: Vec<String>,
    node: String,
}

impl Asked {
    /// Checks a question.
    ///
    /// # Errors
    ///
    /// A sentence about what is not understood.
    pub fn new(asked: &v1::ExplainRequest) -> Result<Self, String> {
        let or = |text: &str, usual: &str| if text.is_empty() { usual.to_owned() } else { text.to_owned() };
        let method = or(&asked.method, "tools/call");
        let action = Action::of(&method).ok_or_else(|| {
            format!(
                "`{}` is not explained; `tools/call`, `prompts/get` and `resources/read` are",
                method.escape_debug()
            )
        })?;
        if asked.tool.is_empty() {
            return Err("what is called takes a name".to_owned());
        }
        Ok(Self {
            action,
            name: asked.tool.clone(),
            principal: or(&asked.principal, "local"),
            roles: asked.roles.clone(),
            scopes: asked.scopes.clone(),
            arguments: arguments(&asked.arguments_json)?,
            node: asked.node.clone(),
        })
    }
}

/// The names of the arguments: what they say may be secret, and nothing depends on it.
fn arguments(json: &str) -> Result<Vec<String>, String> {
    if json.is_empty() {
        return Ok(Vec::new());
    }
    let read: Result<BTreeMap<String, &RawValue>, _> = serde_json::from_str(json);
    Ok(read.map_err(|_| "the arguments are no JSON object".to_owned())?.into_keys().collect())
}

/// What would become of it on a node that runs this snapshot. No server was asked what it offers.
///
/// # Errors
///
/// The snapshot is none that a node would run, or the question names nothing of its server.
pub fn explained(snapshot: &v1::Snapshot, asked: &Asked) -> Result<v1::ExplainResponse, String> {
    let (mut answer, target) = judged(snapshot, asked, &Shares::default())?;
    let Some(target) = target else { return Ok(answer) };
    named(asked, &target)?;
    heard::nothing(&mut answer, asked.action);
    Ok(answer)
}

/// Refuses the name of a server with nothing behind it.
fn named(asked: &Asked, target: &Target) -> Result<(), String> {
    match target.name.is_empty() {
        true => Err(format!("`{}` is server {} and no name behind it", asked.name.escape_debug(), target.server)),
        false => Ok(()),
    }
}

/// The same, with what it would be done to.
fn judged(
    snapshot: &v1::Snapshot,
    asked: &Asked,
    shares: &Shares,
) -> Result<(v1::ExplainResponse, Option<Target>), String> {
    let parsed = sluice_snapshot::parse(snapshot)
        .map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
    let question = Question {
        action: asked.action,
        name: &asked.name,
        principal: &asked.principal,
        roles: &asked.roles,
        scopes: &asked.scopes,
        arguments: &asked.arguments,
        now: SystemTime::now(),
        shares,
    };
    let answer = explain::explain(&parsed, &question);
    let step = |step: Step| v1::Step { name: step.name.to_owned(), value: step.value, source: step.source };
    let explained = v1::ExplainResponse {
        verdict: answer.verdict.as_str().to_owned(),
        steps: answer.steps.into_iter().map(step).collect(),
        revision: parsed.revision,
        node: String::new(),
        offered: String::new(),
    };
    Ok((explained, answer.target))
}

impl Service {
    /// What would become of a call on one of these nodes: the one that is named, else the first that has the server.
    ///
    /// # Errors
    ///
    /// Not allowed, not understood, no such node, or the store fails.
    pub async fn explain(
        &self,
        caller: &Caller,
        asked: &Asked,
        known: &Nodes,
    ) -> Result<v1::ExplainResponse, ServiceError> {
        self.allow(caller, Operation::Explain).await?;
        let mut answer = self.explanation(asked, known).await?;
        self.conceal(&mut answer).await?;
        Ok(answer)
    }

    /// Masks addresses that are secret: whoever asks sees them nowhere else.
    async fn conceal(&self, answer: &mut v1::ExplainResponse) -> Result<(), ServiceError> {
        let service = self.clone();
        let objects = self.store().read(move |db| service.objects(db)).await?;
        let servers = objects.iter().filter(|held| held.object.kind == Kind::Server);
        let hidden: HashSet<String> = servers
            .flat_map(|held| {
                let name = &held.object.name;
                held.sealed().into_keys().map(move |place| format!("servers.{name}.{place}"))
            })
            .collect();
        for step in answer.steps.iter_mut().filter(|step| step.name == "endpoint") {
            if places(&step.source).iter().any(|place| hidden.contains(place)) {
                step.value = MASK.to_owned();
            }
        }
        Ok(())
    }

    async fn explanation(&self, asked: &Asked, known: &Nodes) -> Result<v1::ExplainResponse, ServiceError> {
        let desired = self.desired().await?;
        let nodes = &known.status(desired.revision)[..];
        if !asked.node.is_empty() && !nodes.iter().any(|node| node.node == asked.node) {
            let node = asked.node.escape_debug();
            return Err(ServiceError::NotFound(format!("no node is called `{node}`; `sluice status` lists them")));
        }
        let mut first = None;
        for node in nodes.iter().filter(|node| asked.node.is_empty() || node.node == asked.node) {
            let shares = known.fleet_around(&node.node, &desired.config).as_ref().map(Shares::from).unwrap_or_default();
            let (mut answer, target) = compiled(&desired, &node.labels, asked, &shares)?;
            answer.node.clone_from(&node.node);
            let Some(target) = target else {
                answer.steps.extend(said(node, desired.revision));
                if answer.verdict != UNKNOWN {
                    return Ok(answer);
                }
                first.get_or_insert(answer);
                continue;
            };
            named(asked, &target).map_err(ServiceError::Invalid)?;
            heard::add(&mut answer, asked.action, &target, node, nodes, known);
            answer.steps.extend(said(node, desired.revision));
            return Ok(answer);
        }
        // Without nodes: what one without labels would do.
        let mut answer = match first {
            Some(answer) => answer,
            None => {
                let (answer, target) = compiled(&desired, &BTreeMap::new(), asked, &Shares::default())?;
                target.map_or(Ok(()), |target| named(asked, &target)).map_err(ServiceError::Invalid)?;
                answer
            }
        };
        if answer.verdict == UNKNOWN && asked.node.is_empty() {
            elsewhere(&mut answer, &desired, &asked.name);
        }
        Ok(answer)
    }
}

/// Where what is shown as an address may have been written: that of a server is its `url`, its socket, or its only endpoint.
fn places(source: &str) -> Vec<String> {
    let mut places = vec![source.to_owned(), format!("{source}.url")];
    if let Some(server) = source.strip_suffix(".url") {
        places.extend(["socket", "endpoints[0].url"].map(|place| format!("{server}.{place}")));
    }
    places
}

/// What it says where no node has the server, although it is configured: for other nodes than there are.
fn elsewhere(answer: &mut v1::ExplainResponse, desired: &Desired, name: &str) {
    // no server has either in its name
    let server = name.split_once(['/', '_']).map(|(server, _)| server);
    let Some((name, server)) = server.and_then(|name| desired.config.servers.get_key_value(name)) else { return };
    if server.nodes.is_empty() {
        return;
    }
    let labels = server.nodes.iter().map(|(label, value)| format!("{label}={value}")).collect::<Vec<_>>().join(" ");
    answer.steps.retain(|step| step.name != "route");
    answer.steps.push(v1::Step {
        name: "route".to_owned(),
        value: format!("server {name} is configured, but no connected node carries labels {labels}"),
        source: format!("servers.{name}.nodes"),
    });
}

/// That a node is not as it should be, which makes the answer one about the future.
fn said(node: &v1::NodeStatus, revision: u64) -> Option<v1::Step> {
    let value = match (node.revision, node.connected) {
        (0, _) => format!("{} runs nothing yet", node.node),
        (runs, _) if runs != revision => format!("{} still runs revision {runs}", node.node),
        (_, false) => format!("{} is not connected, and may have been stopped", node.node),
        _ => return None,
    };
    Some(v1::Step { name: "node".to_owned(), value, source: String::new() })
}

fn compiled(
    desired: &Desired,
    labels: &BTreeMap<String, String>,
    asked: &Asked,
    shares: &Shares,
) -> Result<(v1::ExplainResponse, Option<Target>), ServiceError> {
    let compiled = desired.compile(labels).map_err(|faults| {
        let told: Vec<_> = faults.iter().map(|fault| format!("{}: {}", fault.path, fault.message)).collect();
        ServiceError::Impossible(format!("such a node cannot run the configuration: {}", told.join("; ")))
    })?;
    judged(&compiled.snapshot, asked, shares).map_err(ServiceError::Impossible)
}
