//! What a lane says to a node, over a stream as nodes have it.

use std::time::Duration;

use sluice_contract::v1::sync_client::SyncClient;
use tokio_stream::wrappers::ReceiverStream;

use super::*;
use crate::language::{self, Variables};
use crate::publish::Nodes;
use crate::sync::Sync;

const SOON: Duration = Duration::from_secs(10);

fn desired(revision: u64, text: &str) -> Arc<Desired> {
    let loaded = language::load("mcp.yaml", text.to_owned(), &Variables::of([])).unwrap_or_else(|e| panic!("{e}"));
    Arc::new(Desired { revision, config: loaded.config, ..Desired::default() })
}

/// A node's side of a stream.
struct Guest {
    say: mpsc::Sender<v1::FromNode>,
    told: Streaming<v1::ToNode>,
}

impl Guest {
    async fn come(publisher: &Arc<Publisher>, features: &[&str]) -> Self {
        let (say, said) = mpsc::channel(8);
        let features = features.iter().map(|word| (*word).to_owned()).collect();
        let hello = v1::Hello { node: "a".to_owned(), features, ..v1::Hello::default() };
        say.send(v1::FromNode { message: Some(Said::Hello(hello)) }).await.unwrap();
        let mut client = SyncClient::new(Sync::in_process(Arc::clone(publisher)));
        let told = client.connect(ReceiverStream::new(said)).await.unwrap().into_inner();
        Self { say, told }
    }

    /// The next message that is no part.
    async fn next(&mut self) -> Told {
        loop {
            let message = tokio::time::timeout(SOON, self.told.message()).await.unwrap().unwrap().unwrap();
            match message.message.unwrap() {
                Told::Part(_) => {}
                other => return other,
            }
        }
    }

    async fn entitled(&mut self) -> v1::Entitled {
        let Told::Entitled(entitled) = self.next().await else { panic!("it is not told who may come in") };
        entitled
    }

    async fn manifest(&mut self) -> v1::Manifest {
        let Told::Manifest(manifest) = self.next().await else { panic!("no manifest") };
        manifest
    }

    async fn judge(&self, generation: u64, accepted: bool) {
        let verdict = v1::Verdict { generation, accepted, ..v1::Verdict::default() };
        self.say.send(v1::FromNode { message: Some(Said::Verdict(verdict)) }).await.unwrap();
    }
}

const TWO: &str = "clients: {a: {api_key: key-of-a-0123456789}, b: {api_key: key-of-b-0123456789}}\n";
const ONE: &str = "clients: {a: {api_key: key-of-a-0123456789}}\n";

#[tokio::test]
async fn who_may_come_in_is_told_ahead_of_the_revision_and_while_another_is_judged() {
    let (desire, wanted) = watch::channel(desired(1, TWO));
    let nodes = Nodes::in_memory();
    let publisher = Publisher::new(wanted, Arc::clone(&nodes));
    let mut guest = Guest::come(&publisher, &[feature::ENTITLED]).await;
    let first = guest.entitled().await;
    assert_eq!((first.revision, first.generation, first.clients.len()), (1, 0, 2));
    assert_eq!(guest.manifest().await.generation, 1);
    // before the verdict, and about what is being judged
    desire.send_replace(desired(2, ONE));
    let second = guest.entitled().await;
    assert_eq!((second.revision, second.generation, second.clients.len()), (2, 1, 1));
    let report = v1::Report { entitled_revision: 2, ..v1::Report::default() };
    guest.say.send(v1::FromNode { message: Some(Said::Report(report)) }).await.unwrap();
    guest.judge(1, true).await;
    assert_eq!(guest.manifest().await.generation, 2);
    assert_eq!(nodes.status(2)[0].entitled_revision, 2, "it has said so");
    guest.judge(2, false).await;
    // what changes nothing about it is not said again, and counts as said
    desire.send_replace(desired(3, &format!("{ONE}proxy: {{name: other}}\n")));
    assert_eq!(guest.manifest().await.generation, 3);
    assert_eq!(nodes.status(3)[0].entitled_revision, 3);
    guest.judge(3, true).await;
    desire.send_replace(desired(4, TWO));
    let last = guest.entitled().await;
    assert_eq!((last.revision, last.generation, last.clients.len()), (4, 3, 2));
}

#[tokio::test]
async fn a_node_that_does_not_know_of_it_is_not_told_and_not_taken_to_go_by_it() {
    let (_desire, wanted) = watch::channel(desired(1, TWO));
    let nodes = Nodes::in_memory();
    let publisher = Publisher::new(wanted, Arc::clone(&nodes));
    let mut guest = Guest::come(&publisher, &[]).await;
    assert_eq!(guest.manifest().await.generation, 1);
    assert_eq!(nodes.status(1)[0].entitled_revision, 0);
}
