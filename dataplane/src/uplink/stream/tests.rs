//! What a node answers to a control plane that says odd things. The control plane is a service in this process, with a script.

use sluice_contract::v1::sync_server::{self, SyncServer};
use sluice_snapshot::chunk::{Chunks, PART_BYTES, cut, names};
use tokio::sync::{Mutex, watch};
use tonic::{Request, Response, Streaming};

use super::*;
use crate::observe::denials::{Denials, Denied, Who};
use crate::peer::Peers;
use crate::uplink::Fleet;

/// A control plane that says what it is told to, and tells what it hears.
struct Scripted {
    told: Mutex<Option<mpsc::Receiver<Result<v1::ToNode, Status>>>>,
    heard: mpsc::Sender<v1::FromNode>,
}

#[tonic::async_trait]
impl sync_server::Sync for Scripted {
    type ConnectStream = ReceiverStream<Result<v1::ToNode, Status>>;

    async fn connect(&self, said: Request<Streaming<v1::FromNode>>) -> Result<Response<Self::ConnectStream>, Status> {
        let (heard, mut said) = (self.heard.clone(), said.into_inner());
        tokio::spawn(async move {
            while let Ok(Some(message)) = said.message().await {
                let _ = heard.send(message).await;
            }
        });
        Ok(Response::new(ReceiverStream::new(self.told.lock().await.take().unwrap())))
    }

    async fn join(&self, _: Request<v1::JoinRequest>) -> Result<Response<v1::Certificates>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn renew(&self, _: Request<v1::RenewRequest>) -> Result<Response<v1::Certificates>, Status> {
        Err(Status::unimplemented(""))
    }
}

/// A node's uplink, and both of its ends.
struct Desk {
    tell: mpsc::Sender<Result<v1::ToNode, Status>>,
    heard: mpsc::Receiver<v1::FromNode>,
    offers: mpsc::Receiver<Offer>,
    end: tokio::task::JoinHandle<End>,
}

impl Desk {
    async fn new(held: Held) -> (Self, v1::Hello) {
        Self::of(held, &Arc::new(Denials::new(1))).await
    }

    async fn of(held: Held, denials: &Arc<Denials>) -> (Self, v1::Hello) {
        let (tell, told) = mpsc::channel(64);
        let (hear, mut heard) = mpsc::channel(64);
        let (offer, offers) = mpsc::channel(1);
        let service = SyncServer::new(Scripted { told: Mutex::new(Some(told)), heard: hear });
        let (_, stage) = watch::channel(None);
        let mut link = Link {
            node: "a".to_owned(),
            incarnation: 1,
            denials: Arc::clone(denials),
            fleet: Fleet::new(&Peers::new("a", false), &Arc::default(), None),
            takes_links_at: String::new(),
            labels: Default::default(),
            addresses: Vec::new(),
            held: Arc::new(held),
            offers: offer,
            stage,
            renewal: Default::default(),
            trouble: watch::Sender::new(String::new()),
        };
        let end = tokio::spawn(async move { converse(service, &mut link, || {}).await });
        let Some(Said::Hello(hello)) = heard.recv().await.unwrap().message else { panic!("hello comes first") };
        (Self { tell, heard, offers, end }, hello)
    }

    async fn tell(&self, message: Told) {
        self.tell.send(Ok(v1::ToNode { message: Some(message) })).await.unwrap();
    }

    async fn send(&self, manifest: &v1::Manifest, chunks: &Chunks) {
        self.tell(Told::Manifest(manifest.clone())).await;
        for name in names(manifest) {
            let Some(bytes) = chunks.get(&name) else { continue };
            self.tell(Told::Part(v1::Part { chunk: name.to_wire(), bytes: bytes.clone(), last: true })).await;
        }
    }

    async fn verdict(&mut self) -> v1::Verdict {
        let Some(Said::Verdict(verdict)) = self.heard.recv().await.unwrap().message else { panic!("no verdict") };
        verdict
    }
}

fn snapshot(generation: u64) -> (v1::Manifest, Chunks) {
    let (manifest, chunks) = cut(v1::Snapshot { revision: generation, name: "x".to_owned(), ..Default::default() });
    (v1::Manifest { generation, ..manifest }, chunks)
}

#[tokio::test]
async fn what_is_held_is_said_what_is_new_is_offered_and_the_verdict_is_the_node_s() {
    let (manifest, chunks) = snapshot(5);
    let (mut desk, hello) = Desk::new(Held { manifest, chunks: chunks.clone() }).await;
    assert_eq!((hello.generation, hello.chunks.len(), hello.node.as_str()), (5, 1, "a"));
    // the chunk is there already: the manifest alone makes it whole
    let (manifest, _) = snapshot(6);
    desk.tell(Told::Manifest(manifest)).await;
    let offer = desk.offers.recv().await.unwrap();
    assert_eq!((offer.held.manifest.revision, offer.held.chunks == chunks), (6, true));
    let fault = |path: &str| Fault { path: path.to_owned(), reason: "no".to_owned() };
    let _ = offer.verdict.send(Err(vec![fault("servers[0]"), fault("access")]));
    let verdict = desk.verdict().await;
    assert_eq!((verdict.generation, verdict.accepted, verdict.faults.len()), (6, false, 2), "every fault");
    let (manifest, chunks) = snapshot(7);
    desk.send(&manifest, &chunks).await;
    let _ = desk.offers.recv().await.unwrap().verdict.send(Ok(Vec::new()));
    let verdict = desk.verdict().await;
    assert_eq!((verdict.generation, verdict.accepted), (7, true));
}

#[tokio::test]
async fn generations_only_rise() {
    let (manifest, chunks) = snapshot(5);
    let (mut desk, _) = Desk::new(Held { manifest, chunks }).await;
    for generation in [5, 4, 0] {
        let (manifest, chunks) = snapshot(generation);
        desk.send(&manifest, &chunks).await;
        let verdict = desk.verdict().await;
        assert_eq!((verdict.generation, verdict.accepted), (generation, false));
        assert_eq!(verdict.faults[0].path, "generation");
        assert!(desk.offers.try_recv().is_err(), "the node is not even asked");
    }
}

#[tokio::test]
async fn a_stream_that_cannot_be_trusted_is_ended() {
    let (manifest, _) = snapshot(1);
    let part = |bytes: Vec<u8>| v1::Part { chunk: manifest.base.clone(), bytes: bytes.into(), last: true };
    for bad in [
        Told::Part(part(b"other bytes".to_vec())),
        Told::Part(part(vec![0; PART_BYTES + 1])),
        Told::Manifest(manifest.clone()),
    ] {
        let (desk, _) = Desk::new(Held::default()).await;
        desk.tell(Told::Manifest(manifest.clone())).await;
        desk.tell(bad).await;
        assert!(matches!(desk.end.await.unwrap(), End::Broken(_)));
    }
    let (desk, _) = Desk::new(Held::default()).await;
    desk.tell(Told::Dismissal(v1::Dismissal { reason: "revoked".to_owned() })).await;
    assert!(matches!(desk.end.await.unwrap(), End::Dismissed(reason) if reason == "revoked"));
}

#[tokio::test]
async fn denials_are_said_again_on_every_stream_until_they_were_heard() {
    let denials = Arc::new(Denials::new(1));
    let note = |object: &str| {
        denials.note(Denied {
            who: Who::Principal("client:a".into()),
            method: "tools/call",
            server: "s".into(),
            object: object.into(),
            why: "hidden",
            rule: "policies".into(),
        });
    };
    let said = async |desk: &mut Desk| {
        let Some(Said::Denials(said)) = desk.heard.recv().await.unwrap().message else { panic!("no denials") };
        (said.first, said.denials.into_iter().map(|denial| denial.object).collect::<Vec<_>>())
    };
    note("one");
    let (mut lost, _) = Desk::of(Held::default(), &denials).await;
    assert_eq!(said(&mut lost).await, (1, vec!["one".to_owned()]));
    note("two");
    assert_eq!(said(&mut lost).await, (2, vec!["two".to_owned()]), "each once on a stream");
    drop(lost);
    let (mut desk, _) = Desk::of(Held::default(), &denials).await;
    assert_eq!(said(&mut desk).await, (1, vec!["one".to_owned(), "two".to_owned()]));
    desk.tell(Told::Heard(v1::Heard { denials: 1 })).await;
    // what is answered after it was heard after it
    desk.send(&v1::Manifest::default(), &Chunks::default()).await;
    desk.verdict().await;
    let (mut last, _) = Desk::of(Held::default(), &denials).await;
    assert_eq!(said(&mut last).await, (2, vec!["two".to_owned()]));
}
