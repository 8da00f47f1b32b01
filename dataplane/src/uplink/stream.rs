//! One push stream, from hello to its end (`sync.proto`).

use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use sluice_contract::v1;
use sluice_contract::v1::from_node::Message as Said;
use sluice_contract::v1::sync_client::SyncClient;
use sluice_contract::v1::to_node::Message as Told;
use sluice_snapshot::chunk::{Held, Incoming};
use sluice_snapshot::{Fault, feature};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tonic::body::Body;
use tonic::client::GrpcService;
use tonic::codegen::StdError;

use super::{Link, Offer, Verdict, report, sessions};
use crate::limit;

/// Why a stream ended.
pub(super) enum End {
    /// It broke, or the control plane ended it: another one may do better.
    Broken(Status),
    /// The node is not welcome any more.
    Dismissed(String),
    /// The node is about to end.
    Leaving,
}

/// A snapshot that the node is judging.
struct Judging {
    held: Arc<Held>,
    verdict: oneshot::Receiver<Verdict>,
    since: Instant,
}

/// Opens the stream and serves it to its end.
///
/// `welcomed` is called when the control plane has said something other than that the node has to go.
pub(super) async fn converse<T>(service: T, link: &mut Link, welcomed: impl FnOnce() + Send) -> End
where
    T: GrpcService<Body>,
    T::Error: Into<StdError>,
    T::ResponseBody: http_body::Body<Data = Bytes> + Send + 'static,
    <T::ResponseBody as http_body::Body>::Error: Into<StdError> + Send,
{
    let mut client = SyncClient::new(service)
        .max_decoding_message_size(limit::UPLINK_MESSAGE_BYTES)
        .max_encoding_message_size(limit::UPLINK_MESSAGE_BYTES);
    let (say, said) = mpsc::channel(limit::UPLINK_QUEUE);
    let hello = v1::FromNode { message: Some(Said::Hello(hello(link))) };
    // the queue is empty, so there is room
    let _ = say.try_send(hello);
    match client.connect(ReceiverStream::new(said)).await {
        Ok(told) => {
            let questions = Arc::new(Semaphore::new(limit::SESSION_QUESTIONS));
            Stream { link, say, incoming: None, judging: None, denials: 1, questions }
                .serve(told.into_inner(), welcomed)
                .await
        }
        Err(status) => End::Broken(status),
    }
}

fn hello(link: &Link) -> v1::Hello {
    v1::Hello {
        node: link.node.clone(),
        incarnation: link.incarnation,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        labels: link.labels.clone(),
        features: feature::known().map(str::to_owned).collect(),
        generation: link.generation(),
        chunks: link.held.chunks.keys().map(|name| name.to_wire()).collect(),
        addresses: link.addresses.clone(),
        link: link.takes_links_at.clone(),
    }
}

struct Stream<'l> {
    link: &'l mut Link,
    say: mpsc::Sender<v1::FromNode>,
    incoming: Option<Incoming>,
    judging: Option<Judging>,
    /// The number of the next line about denials to be said: on a new stream, the first that is kept.
    denials: u64,
    /// Turns to answer questions about sessions.
    questions: Arc<Semaphore>,
}

impl Stream<'_> {
    async fn serve(mut self, mut told: tonic::Streaming<v1::ToNode>, welcomed: impl FnOnce() + Send) -> End {
        let mut welcomed = Some(welcomed);
        let mut tick = tokio::time::interval(limit::REPORT);
        let mut left = pin!(self.link.left());
        let denials = Arc::clone(&self.link.denials);
        loop {
            let step = tokio::select! {
                () = &mut left => return self.take_leave(told).await,
                message = told.message() => match message {
                    Ok(Some(v1::ToNode { message })) => {
                        if !matches!(message, Some(Told::Dismissal(_)))
                            && let Some(welcomed) = welcomed.take()
                        {
                            welcomed();
                        }
                        self.hear(message).await
                    }
                    Ok(None) => Err(End::Broken(Status::unavailable("the control plane ended the stream"))),
                    Err(status) => Err(End::Broken(status)),
                },
                verdict = judged(&mut self.judging) => self.judge(verdict).await,
                () = denials.news.notified() => self.tell_denials().await,
                _ = tick.tick() => {
                    denials.sum_up(false);
                    match self.tell_denials().await {
                        Ok(()) => self.report().await,
                        end => end,
                    }
                }
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    async fn hear(&mut self, message: Option<Told>) -> Result<(), End> {
        match message {
            Some(Told::Manifest(manifest)) => self.begin(manifest).await,
            Some(Told::Part(part)) => {
                let Some(incoming) = &mut self.incoming else { return Ok(()) };
                incoming.take(part).map_err(|fault| End::Broken(Status::data_loss(fault.reason)))?;
                self.offer().await
            }
            Some(Told::Wanted(wanted)) => self.tell_inventory(&wanted.server).await,
            Some(Told::Sessions(asked)) => {
                self.answer_later(asked);
                Ok(())
            }
            Some(Told::Renewal(v1::Renewal {})) => {
                self.link.renewal.notify_one();
                Ok(())
            }
            Some(Told::Fleet(fleet)) => {
                self.link.fleet.told(fleet);
                Ok(())
            }
            Some(Told::Entitled(entitled)) => {
                let revision = entitled.revision;
                let kept = self.link.fleet.told_entitled(entitled);
                // somebody waits to hear that it counts, also if this node starts again with nobody to tell it
                let _ = tokio::time::timeout(limit::ENTITLED_KEPT, kept).await;
                self.link.fleet.entitlement.counts(revision);
                self.report().await
            }
            Some(Told::Heard(heard)) => {
                self.link.denials.heard(heard.denials);
                Ok(())
            }
            Some(Told::Dismissal(dismissal)) => Err(End::Dismissed(dismissal.reason)),
            // of a later version: nothing that matters depends on it, or a feature would have been named
            None => Ok(()),
        }
    }

    async fn begin(&mut self, manifest: v1::Manifest) -> Result<(), End> {
        if self.judging.is_some() || self.incoming.is_some() {
            return Err(End::Broken(Status::failed_precondition(
                "a manifest came before the verdict on the one before",
            )));
        }
        let own = self.link.generation();
        if manifest.generation <= own {
            let reason = format!("{} is not above {own}, which this node has", manifest.generation);
            let fault = Fault { path: "generation".to_owned(), reason };
            return self.say_verdict(manifest.generation, Err(vec![fault]), Instant::now()).await;
        }
        self.incoming = Some(Incoming::new(manifest, &self.link.held.chunks));
        self.offer().await
    }

    /// Offers the snapshot to the node, once nothing of it is missing.
    async fn offer(&mut self) -> Result<(), End> {
        let since = Instant::now();
        let Some(incoming) = self.incoming.take_if(|incoming| incoming.is_whole()) else { return Ok(()) };
        let held = Arc::new(incoming.held());
        let (decide, verdict) = oneshot::channel();
        let offer = Offer { held: Arc::clone(&held), verdict: decide };
        self.link.offers.send(offer).await.map_err(|_| End::Leaving)?;
        self.judging = Some(Judging { held, verdict, since });
        Ok(())
    }

    /// The node has judged.
    async fn judge(&mut self, verdict: Option<Verdict>) -> Result<(), End> {
        let (Some(judging), Some(verdict)) = (self.judging.take(), verdict) else { return Err(End::Leaving) };
        let generation = judging.held.manifest.generation;
        if verdict.is_ok() {
            self.link.held = judging.held;
        }
        self.say_verdict(generation, verdict, judging.since).await?;
        // what is served may have changed
        self.report().await
    }

    async fn say_verdict(&self, generation: u64, verdict: Verdict, since: Instant) -> Result<(), End> {
        let accepted = verdict.is_ok();
        let (Ok(faults) | Err(faults)) = verdict;
        let fault = |fault: Fault| v1::NodeFault { path: fault.path, reason: fault.reason };
        let verdict = v1::Verdict {
            generation,
            accepted,
            faults: faults.into_iter().map(fault).collect(),
            took_us: since.elapsed().as_micros() as u64,
        };
        self.say(Said::Verdict(verdict)).await
    }

    /// Says what a server offers, unless it is no longer there.
    async fn tell_inventory(&self, server: &str) -> Result<(), End> {
        let inventory = self.link.stage.borrow().as_ref().and_then(|node| report::inventory(node, server));
        match inventory {
            Some(inventory) => self.say(Said::Inventory(inventory)).await,
            None => Ok(()),
        }
    }

    /// Answers what somebody asks about sessions, while the stream goes on. Before the node serves there are none.
    fn answer_later(&self, asked: v1::SessionsAsked) {
        let (Some(node), say) = (self.link.stage.borrow().clone(), self.say.clone()) else { return };
        let Ok(turn) = Arc::clone(&self.questions).try_acquire_owned() else { return };
        tokio::spawn(async move {
            let told = sessions::answer(&node, asked).await;
            // whoever asked may be gone
            let _ = say.send(v1::FromNode { message: Some(Said::Sessions(told)) }).await;
            drop(turn);
        });
    }

    async fn report(&self) -> Result<(), End> {
        let report = self.link.stage.borrow().as_ref().map(|node| report::of(node));
        match report {
            Some(report) => self.say(Said::Report(report)).await,
            None => Ok(()),
        }
    }

    /// Tells who was refused since.
    async fn tell_denials(&mut self) -> Result<(), End> {
        while let Some(denials) = report::denials(&self.link.denials, self.denials) {
            let next = denials.first + denials.denials.len() as u64;
            self.say(Said::Denials(denials)).await?;
            self.denials = next;
        }
        Ok(())
    }

    /// Tells how the node was, and above all whom it refused last, and waits until that was heard.
    async fn take_leave(mut self, mut told: tonic::Streaming<v1::ToNode>) -> End {
        self.link.denials.sum_up(true);
        if self.tell_denials().await.is_ok() && self.report().await.is_ok() {
            drop(self.say);
            while let Ok(Some(_)) = told.message().await {}
        }
        End::Leaving
    }

    async fn say(&self, message: Said) -> Result<(), End> {
        let sent = self.say.send(v1::FromNode { message: Some(message) }).await;
        sent.map_err(|_| End::Broken(Status::unavailable("the control plane does not listen any more")))
    }
}

/// Waits for the verdict on what is being judged; `None`: the node is about to end.
async fn judged(judging: &mut Option<Judging>) -> Option<Verdict> {
    match judging {
        Some(judging) => (&mut judging.verdict).await.ok(),
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
