//! The way of snapshots to one connected node: one manifest at a time, then its verdict, then the newest there is.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use sluice_contract::v1;
use sluice_contract::v1::from_node::Message as Said;
use sluice_contract::v1::sessions_told;
use sluice_contract::v1::to_node::Message as Told;
use sluice_snapshot::chunk::{self, Name};
use sluice_snapshot::feature;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tonic::{Status, Streaming};

use super::edition::{Made, pieces};
use super::nodes::{Farewell, Question, Visit};
use super::{Desired, Publisher};
use crate::store::Obstacle;

/// How long a node may take for a verdict, from the last piece on: building a plane takes milliseconds, a disk that syncs
/// badly some seconds. A node that says nothing for so long is asked to come anew.
const VERDICT: Duration = Duration::from_secs(60);
/// How long until a node is sent again what it refused: what it lacked, a file or a port, may be there by then. The pause doubles
/// with each refusal, because all chunks go over again.
const AGAIN: Range<Duration> = Duration::from_secs(5)..Duration::from_secs(300);
/// How long changes of the fleet are gathered: all nodes are told of each, so that one that comes back with many others is told with
/// them.
const FLEET_PAUSE: Duration = Duration::from_millis(200);
/// Messages that wait for a node to read them: with pieces of 1 MiB, 4 MiB a node at most.
pub(crate) const QUEUE: usize = 4;

/// One node's lane, from its hello to the end of its stream.
pub(crate) struct Lane {
    publisher: Arc<Publisher>,
    visit: Visit,
    desired: watch::Receiver<Arc<Desired>>,
    out: mpsc::Sender<Result<v1::ToNode, Status>>,
    /// Chunks the node has.
    held: HashSet<Name>,
    /// The newest revision it was sent, or could not be.
    last: Option<u64>,
    in_flight: Option<InFlight>,
    refused: Option<Refused>,
    fleet: watch::Receiver<u64>,
    /// What it was told of the fleet last.
    told: Option<v1::Fleet>,
    /// When the node is to be told of the fleet again.
    fleet_due: Option<Instant>,
    /// The node can be told who may come in.
    knows_entitled: bool,
    /// Whom it was told to let in last: by which revision, and its digest.
    entitled: Option<(u64, Name)>,
    /// The newest revision that says the same.
    entitled_by: u64,
    /// Questions about sessions that it has not answered, by their numbers.
    questions: HashMap<u64, oneshot::Sender<sessions_told::What>>,
    asked: u64,
    /// What keeps whom it refused from being written down; until that is over, nothing of it is heard.
    unwritable: Option<watch::Receiver<Option<Obstacle>>>,
}

/// What a node refused, which it is to be sent again.
struct Refused {
    revision: u64,
    pause: Duration,
    /// `None`: it was.
    again: Option<Instant>,
}

/// What a node was sent and has not judged.
struct InFlight {
    manifest: v1::Manifest,
    edition: Arc<OnceLock<Made>>,
    deadline: Instant,
}

impl Lane {
    /// A lane of a node that said hello.
    pub(crate) fn new(
        publisher: Arc<Publisher>,
        visit: Visit,
        hello: &v1::Hello,
        out: mpsc::Sender<Result<v1::ToNode, Status>>,
    ) -> Self {
        let held = hello.chunks.iter().filter_map(|name| Name::from_wire(name)).collect();
        let mut desired = publisher.desired.clone();
        desired.mark_changed();
        let (fleet, told, fleet_due) = (visit.fleet(), None, None);
        Self {
            publisher,
            visit,
            desired,
            out,
            held,
            last: None,
            in_flight: None,
            refused: None,
            fleet,
            told,
            fleet_due,
            knows_entitled: hello.features.iter().any(|word| word == feature::ENTITLED),
            entitled: None,
            entitled_by: 0,
            questions: HashMap::new(),
            asked: 0,
            unwritable: None,
        }
    }

    /// Serves the node until either side ends the stream.
    pub(crate) async fn run(mut self, mut said: Streaming<v1::FromNode>) {
        let (mut farewell, mut authorities) = (self.visit.farewell(), self.visit.authorities());
        // those that are there already may be news to it
        authorities.mark_changed();
        // before all else: what it is about to run may bring clients with sessions of others
        if self.tell_fleet().await.is_none() {
            return;
        }
        let mut ended = pin!(async move { farewell.wait_for(Option::is_some).await.ok().and_then(|end| end.clone()) });
        loop {
            if self.in_flight.is_none() && self.is_due() {
                // Nothing else is heard meanwhile: whatever ends the stream also ends the sending.
                tokio::select! {
                    end = &mut ended => return self.leave(end).await,
                    sent = self.send_next() => if sent.is_none() { return },
                }
                continue;
            }
            let deadline = self.in_flight.as_ref().map(|sent| sent.deadline);
            tokio::select! {
                end = &mut ended => return self.leave(end).await,
                // what it is to run waits for its verdict, but not who may come in
                changed = self.desired.changed() => {
                    let newest = Arc::clone(&self.desired.borrow());
                    if changed.is_err() || self.tell_entitled(&newest).await.is_none() {
                        return;
                    }
                }
                Ok(()) = authorities.changed() => {
                    authorities.mark_unchanged();
                    if self.visit.is_behind() && self.tell(Told::Renewal(v1::Renewal {})).await.is_none() {
                        return;
                    }
                }
                Ok(()) = self.fleet.changed(), if self.fleet_due.is_none() => {
                    self.fleet_due = Some(Instant::now() + FLEET_PAUSE);
                }
                () = due(self.fleet_due) => if self.tell_fleet().await.is_none() { return },
                question = self.visit.question() => if self.put(question).await.is_none() { return },
                () = due(self.refused.as_ref().and_then(|refused| refused.again)), if deadline.is_none() => {
                    self.refused.iter_mut().for_each(|refused| refused.again = None);
                    self.last = None;
                }
                message = said.message() => match message {
                    Ok(Some(message)) => if self.hear(message).await.is_none() { return },
                    // the node, or what is between, has ended it
                    Ok(None) | Err(_) => return,
                },
                () = over(&mut self.unwritable) => {
                    let again = Some(Farewell::Again("whom the node refused can be written down again"));
                    return self.leave(again).await;
                }
                () = due(deadline) => {
                    let _ = self.out.send(Err(Status::deadline_exceeded("no verdict came; connect again"))).await;
                    return;
                }
            }
        }
    }

    /// There is a revision the node was not sent.
    fn is_due(&self) -> bool {
        let revision = self.desired.borrow().revision;
        // before the first one nobody has said what is wanted: a node waits rather than serve nothing
        revision > 0 && self.last != Some(revision)
    }

    /// Sends the newest revision. `None`: nobody reads any more.
    ///
    /// Dropped half-way only together with the stream: pieces are never left out.
    async fn send_next(&mut self) -> Option<()> {
        let desired = Arc::clone(&self.desired.borrow_and_update());
        self.last = Some(desired.revision);
        // before anything that can fail; later changes are told when there is a generation that they are about, too
        self.tell_entitled(&desired).await?;
        let edition = self.publisher.editions.of(&desired, self.visit.labels());
        let made = match edition.get()? {
            Ok(made) => made,
            Err(faults) => {
                self.visit.refused_here(desired.revision, faults);
                return Some(());
            }
        };
        // who shares which limits depends on what is configured
        self.tell_fleet().await?;
        let manifest =
            v1::Manifest { generation: self.visit.next_generation(desired.revision), ..made.manifest.clone() };
        self.tell(Told::Manifest(manifest.clone())).await?;
        let mut sent = HashSet::new();
        for name in chunk::names(&manifest) {
            let is_missing = !self.held.contains(&name) && sent.insert(name);
            let Some(bytes) = made.chunks.get(&name).filter(|_| is_missing) else { continue };
            for (bytes, last) in pieces(bytes, chunk::PART_BYTES) {
                self.tell(Told::Part(v1::Part { chunk: name.to_wire(), bytes, last })).await?;
                // who is taken away meanwhile is not kept in by a large configuration on a slow way
                if self.desired.has_changed().is_ok_and(|changed| changed) {
                    let newest = Arc::clone(&self.desired.borrow());
                    self.tell_entitled(&newest).await?;
                }
            }
        }
        self.in_flight = Some(InFlight { manifest, edition, deadline: Instant::now() + VERDICT });
        Some(())
    }

    /// Tells the node of the others, unless it was told the same.
    async fn tell_fleet(&mut self) -> Option<()> {
        self.fleet_due = None;
        self.fleet.mark_unchanged();
        let desired = Arc::clone(&self.desired.borrow());
        let fleet = self.visit.others(&desired.config);
        match fleet.filter(|fleet| self.told.as_ref() != Some(fleet)) {
            Some(fleet) => {
                self.told = Some(fleet.clone());
                self.tell(Told::Fleet(fleet)).await
            }
            None => Some(()),
        }
    }

    /// Tells the node who may come in, unless it was told the same. Called before the next generation is numbered: what is told is about
    /// all that are.
    async fn tell_entitled(&mut self, desired: &Desired) -> Option<()> {
        // before the first revision nobody has said who may
        if !self.knows_entitled || desired.revision == 0 || desired.revision == self.entitled_by {
            return Some(());
        }
        let (now, digest) = desired.entitled();
        self.entitled_by = desired.revision;
        if let Some((told, _)) = self.entitled.filter(|(_, told)| told == digest) {
            self.visit.goes_by(told, self.entitled_by);
            return Some(());
        }
        self.entitled = Some((desired.revision, *digest));
        let (generation, revision) = (self.visit.generation(), desired.revision);
        self.tell(Told::Entitled(v1::Entitled { generation, revision, ..now.clone() })).await
    }

    async fn tell(&self, message: Told) -> Option<()> {
        self.out.send(Ok(v1::ToNode { message: Some(message) })).await.ok()
    }

    /// `None`: nobody reads any more.
    async fn hear(&mut self, message: v1::FromNode) -> Option<()> {
        match message.message {
            Some(Said::Verdict(verdict)) => self.judge(verdict),
            Some(Said::Report(report)) => {
                self.visit.reported(report);
                if let Some((told, _)) = self.entitled {
                    self.visit.goes_by(told, self.entitled_by);
                }
                return self.ask().await;
            }
            // one that does not fit is asked for again after the next report, and not before
            Some(Said::Inventory(inventory)) => {
                if self.visit.told(inventory) {
                    return self.ask().await;
                }
            }
            // it says them again
            Some(Said::Denials(_)) if self.unwritable.is_some() => {}
            Some(Said::Denials(denials)) => match self.visit.refused(denials).await {
                Ok(heard) => return self.tell(Told::Heard(v1::Heard { denials: heard })).await,
                // what it is to run goes to it all the same
                Err(error) if error.obstacle().is_some() => {
                    let node = self.visit.node();
                    tracing::error!(node, %error, "whom a node refused is not in the audit log before that can be written");
                    self.unwritable = self.visit.obstacle();
                }
                // nothing that comes later may be heard before this: the node says it all again on its next stream
                Err(error) => {
                    tracing::error!(%error, "whom a node refused cannot be written to the audit log");
                    return None;
                }
            },
            Some(Said::Sessions(told)) => {
                if let (Some(answer), Some(what)) = (self.questions.remove(&told.number), told.what) {
                    // whoever asked may be gone
                    let _ = answer.send(what);
                }
            }
            // a message of a later version, or a hello too many: nothing depends on it
            Some(Said::Hello(_)) | None => {}
        }
        Some(())
    }

    /// Asks about sessions.
    async fn put(&mut self, question: Question) -> Option<()> {
        let Question { what, shared, answer } = question;
        // those that nobody waits for any more
        self.questions.retain(|_, answer| !answer.is_closed());
        self.asked += 1;
        self.questions.insert(self.asked, answer);
        self.tell(Told::Sessions(v1::SessionsAsked { number: self.asked, shared, what: Some(what) })).await
    }

    /// Asks for an inventory that is not known, one at a time: answers to many would meet questions on their way.
    async fn ask(&self) -> Option<()> {
        match self.visit.wants() {
            Some(server) => self.tell(Told::Wanted(v1::Wanted { server })).await,
            None => Some(()),
        }
    }

    fn judge(&mut self, verdict: v1::Verdict) {
        let Some(InFlight { manifest, edition, .. }) =
            self.in_flight.take_if(|sent| sent.manifest.generation == verdict.generation)
        else {
            return;
        };
        let say = |fault: v1::NodeFault| match edition.get() {
            Some(Ok(edition)) => edition.say(fault),
            _ => v1::ConfigurationFault { message: fault.reason, ..v1::ConfigurationFault::default() },
        };
        let faults = verdict.faults.into_iter().map(say).collect();
        if verdict.accepted {
            self.held = chunk::names(&manifest).collect();
            self.refused = None;
            self.visit.accepted(manifest.revision, faults, Duration::from_micros(verdict.took_us));
        } else {
            let before = self.refused.take().filter(|refused| refused.revision == manifest.revision);
            let pause = before.map_or(AGAIN.start, |refused| (refused.pause * 2).min(AGAIN.end));
            let again = Some(Instant::now() + pause);
            self.refused = Some(Refused { revision: manifest.revision, pause, again });
            self.visit.rejected(manifest.revision, faults);
        }
    }

    /// Ends the stream from here.
    async fn leave(self, end: Option<Farewell>) {
        let status = match end {
            Some(Farewell::Replaced) => Status::aborted("the same node connected again"),
            Some(Farewell::Again(reason)) => Status::aborted(format!("{reason}: connect again")),
            Some(Farewell::Dismissed(reason)) => {
                let _ = self.tell(Told::Dismissal(v1::Dismissal { reason: reason.clone() })).await;
                Status::permission_denied(reason)
            }
            Some(Farewell::Ending) | None => Status::unavailable("the control plane is stopping"),
        };
        let _ = self.out.send(Err(status)).await;
    }
}

/// Waits until the store can be written; `None`: for ever.
async fn over(obstacle: &mut Option<watch::Receiver<Option<Obstacle>>>) {
    match obstacle {
        Some(obstacle) => Obstacle::over(obstacle).await,
        None => std::future::pending().await,
    }
}

/// Waits for a moment; `None`: for ever.
async fn due(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
