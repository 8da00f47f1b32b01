//! Waiting until every connected node has judged a revision, telling on the way who has.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use sluice_contract::v1::{ConfigurationFault, NodeState, NodeStatus, WatchRequest, WatchResponse};
use tokio::time::{Instant, timeout_at};
use tonic::{Status, Streaming};

use crate::client::{Admin, Connection, PROGRESS};
use crate::fault;
use crate::output::{Failure, Paint, Stream, Tone, painted_talk, talk, time, visible};
use crate::written::File;

/// Seconds to wait: nodes judge in well under one, and a large configuration takes a few.
const PATIENCE: &str = "60s";

/// Whether to wait for the nodes.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Nodes")]
pub(crate) struct Wait {
    /// Wait until every connected node runs it or has refused it (this is the default)
    #[arg(long, overrides_with = "no_wait")]
    wait: bool,

    /// Be done as soon as the control plane has it
    #[arg(long)]
    no_wait: bool,

    /// How long to wait, as in 90s or 5m
    #[arg(long, value_name = "SPAN", value_parser = time::span, default_value = PATIENCE)]
    timeout: Duration,
}

impl Wait {
    /// Waits for a revision where that is wanted.
    pub(crate) fn on(&self, connection: &mut Connection, revision: u64, files: &[File]) -> Result<Spread, Failure> {
        self.see(connection, Spread { revision, ..Spread::default() }, files)
    }

    /// The same of a revision that takes somebody's key away: a node that refuses the revision may refuse the key all the same.
    pub(crate) fn on_revocation(&self, connection: &mut Connection, revision: u64) -> Result<Spread, Failure> {
        self.see(connection, Spread { revision, does: Does::Revoke, ..Spread::default() }, &[])
    }

    /// The same of a revision with a secret of its own: going back to another brings none back.
    pub(crate) fn on_secret(&self, connection: &mut Connection, revision: u64) -> Result<Spread, Failure> {
        self.see(connection, Spread { revision, does: Does::Secret, ..Spread::default() }, &[])
    }

    fn see(&self, connection: &mut Connection, mut spread: Spread, files: &[File]) -> Result<Spread, Failure> {
        let revision = spread.revision;
        if self.no_wait {
            return Ok(Spread::default());
        }
        let watched = connection.run(async |admin| spread.watch(admin, self.timeout, files).await);
        if let Err(status) = watched {
            talk(&format!("revision {revision} is kept; what nodes made of it is not known:\n"));
            return Err(connection.failure(&status));
        }
        spread.close(self.timeout);
        Ok(spread)
    }
}

/// What nodes have made of a revision.
#[derive(Default)]
pub(crate) struct Spread {
    revision: u64,
    does: Does,
    verdicts: BTreeMap<String, Verdict>,
}

/// What a revision does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Does {
    /// It changes objects.
    #[default]
    Change,
    /// It takes somebody's key away, which nodes refuse before they run it.
    Revoke,
    /// It gives a secret a value.
    Secret,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    /// With what is wrong all the same.
    Runs(Vec<String>),
    Refused(Vec<String>),
    /// It refuses the key that was taken away, and the revision too.
    Heeds(Vec<String>),
    Waits,
    Away {
        seen_ms: u64,
    },
}

impl Spread {
    /// An error where a connected node does not run it, or a node may still take a key that was taken away.
    pub(crate) fn result(&self) -> Result<(), Failure> {
        let count = |of: fn(&Verdict) -> bool| self.verdicts.values().filter(|verdict| of(verdict)).count();
        let refused = count(|verdict| matches!(verdict, Verdict::Refused(_)));
        let waiting = count(|verdict| *verdict == Verdict::Waits);
        let away = count(|verdict| matches!(verdict, Verdict::Away { seen_ms } if *seen_ms > 0));
        let revision = self.revision;
        if refused > 0 && self.does == Does::Revoke {
            return Err(Failure::other(format_args!(
                "{} refused revision {revision} and may still take the key\n  \
                 = see to what it refuses, upgrade it, or stop it; `sluice status` tells when it runs the revision",
                nodes(refused)
            )));
        }
        if refused > 0 {
            let stays = if refused == 1 { "stays with what it had" } else { "stay with what they had" };
            let way = if self.does == Does::Secret {
                "see to what it refuses; no rollback changes a secret: `sluice secret set` gives it the value it had"
            } else {
                "apply what can run there, or go back: `sluice history`, `sluice rollback REVISION`"
            };
            let who = nodes(refused);
            return Err(Failure::other(format_args!("{who} refused revision {revision} and {stays}\n  = {way}")));
        }
        if waiting > 0 {
            return Err(Failure::other(format_args!(
                "{} did not say in time what became of revision {revision}; `sluice status` tells later",
                nodes(waiting)
            )));
        }
        if away > 0 && self.does == Does::Revoke {
            let is = if away == 1 { "is" } else { "are" };
            return Err(Failure::other(format_args!(
                "{} {is} not connected and may still take the key\n  \
                 = bring it back, or stop it; one that is gone for good is forgotten by `sluice node revoke NODE`",
                nodes(away)
            )));
        }
        Ok(())
    }

    /// The verdicts for programs.
    pub(crate) fn values(&self) -> Value {
        let value = |(node, verdict): (&String, &Verdict)| match verdict {
            Verdict::Runs(faults) => json!({"node": node, "verdict": "runs", "faults": faults}),
            Verdict::Refused(faults) => json!({"node": node, "verdict": "rejected", "faults": faults}),
            Verdict::Heeds(faults) => json!({"node": node, "verdict": "heeds", "faults": faults}),
            Verdict::Waits => json!({"node": node, "verdict": "waiting"}),
            Verdict::Away { seen_ms } => json!({"node": node, "verdict": "away", "seen": time::iso(*seen_ms)}),
        };
        Value::Array(self.verdicts.iter().map(value).collect())
    }

    async fn watch(&mut self, admin: &mut Admin, patience: Duration, files: &[File]) -> Result<(), Status> {
        let begin = Instant::now();
        let question = WatchRequest { revision: self.revision };
        let mut answers: Streaming<WatchResponse> = admin.watch(question).await?.into_inner();
        let (end, mut told) = (begin + patience, begin);
        loop {
            let answer = match timeout_at(end.min(told + PROGRESS), answers.message()).await {
                Ok(answer) => answer?,
                Err(_) if Instant::now() >= end => break,
                Err(_) => {
                    told = Instant::now();
                    self.tell_progress(begin.elapsed());
                    continue;
                }
            };
            let Some(answer) = answer else { break };
            for node in &answer.nodes {
                self.hear(node, begin.elapsed(), files);
            }
            if answer.settled {
                break;
            }
        }
        Ok(())
    }

    /// Says for whom it waits.
    fn tell_progress(&self, waited: Duration) {
        let waits = self.verdicts.iter().filter(|(_, verdict)| **verdict == Verdict::Waits);
        let names: Vec<&str> = waits.map(|(node, _)| node.as_str()).collect();
        let who = if names.is_empty() { "the nodes".to_owned() } else { names.join(", ") };
        talk(&format!("waiting for {who}, {} s until now\n", waited.as_secs()));
    }

    /// Notes what a node has made of it, and tells when that is new.
    fn hear(&mut self, node: &NodeStatus, after: Duration, files: &[File]) {
        let verdict = self.verdict(node);
        if self.verdicts.get(&node.node) == Some(&verdict) {
            return;
        }
        let paint = Paint::on(Stream::Stderr);
        let (name, shown) = (&node.node, visible(&node.node));
        match verdict {
            Verdict::Runs(_) => {
                let runs = paint.text(Tone::Good, "runs");
                painted_talk(&format!(
                    "{shown} {runs} revision {} after {:.1} s\n",
                    node.revision,
                    after.as_secs_f64()
                ));
                talk(&fault::show("warning", &node.faults, files));
            }
            Verdict::Refused(_) => {
                let refused = paint.text(Tone::Bad, "refused");
                let instead = match node.revision {
                    0 => "has nothing to run".to_owned(),
                    revision => format!("goes on with {revision}"),
                };
                painted_talk(&format!("{shown} {refused} revision {} and {instead}:\n", node.rejected_revision));
                talk(&fault::show("error", &node.rejected, files));
            }
            Verdict::Heeds(_) => {
                let heeds = paint.text(Tone::Good, "refuses the key");
                let refused = paint.text(Tone::Bad, "refused");
                painted_talk(&format!(
                    "{shown} {heeds} after {:.1} s, but {refused} revision {} and goes on with {} for the rest:\n",
                    after.as_secs_f64(),
                    node.rejected_revision,
                    node.revision
                ));
                talk(&fault::show("error", &node.rejected, files));
            }
            Verdict::Waits | Verdict::Away { .. } => {}
        }
        self.verdicts.insert(name.clone(), verdict);
    }

    fn verdict(&self, node: &NodeStatus) -> Verdict {
        if node.revision >= self.revision {
            Verdict::Runs(node.faults.iter().map(|fault| said("warning", fault)).collect())
        } else if node.rejected_revision >= self.revision {
            let faults = node.rejected.iter().map(|fault| said("error", fault)).collect();
            // one that is away may have been told, and nobody knows
            let heeds = self.does == Does::Revoke && node.connected && node.entitled_revision >= self.revision;
            if heeds { Verdict::Heeds(faults) } else { Verdict::Refused(faults) }
        } else if node.connected && node.state() != NodeState::Stale {
            Verdict::Waits
        } else {
            Verdict::Away { seen_ms: node.seen_ms }
        }
    }

    /// Tells of those who were not heard.
    fn close(&self, patience: Duration) {
        let now = time::now();
        for (node, verdict) in &self.verdicts {
            match verdict {
                Verdict::Away { seen_ms: 0 } => talk(&format!("{node} was never connected; it gets it when it is\n")),
                Verdict::Away { seen_ms } if self.does == Does::Revoke => talk(&format!(
                    "{node} is not connected (seen {}); it may take the key until it is back\n",
                    time::relative(*seen_ms, now)
                )),
                Verdict::Away { seen_ms } => {
                    talk(&format!(
                        "{node} is not connected (seen {}); it gets it when it is back\n",
                        time::relative(*seen_ms, now)
                    ));
                }
                Verdict::Waits => talk(&format!("{node} has not answered after {} s\n", patience.as_secs())),
                Verdict::Runs(_) | Verdict::Refused(_) | Verdict::Heeds(_) => {}
            }
        }
        if self.verdicts.is_empty() {
            talk("there is no node; those that join get it\n");
        }
    }
}

fn said(word: &str, fault: &ConfigurationFault) -> String {
    fault::show(word, std::slice::from_ref(fault), &[]).trim_end().to_owned()
}

fn nodes(count: usize) -> String {
    if count == 1 { "a node".to_owned() } else { format!("{count} nodes") }
}
