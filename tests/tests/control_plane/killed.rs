//! What was acknowledged survives the control plane being killed at any moment.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::Signal;
use sluice_contract::v1;
use sluice_tests::ControlPlane;
use sluice_tests::control::Admin;
use sluice_tests::process;

const ROUNDS: u64 = 6;
const WRITERS: u64 = 3;

/// Revisions, with the server each one's author wrote and what it said.
type Acknowledged = Arc<Mutex<BTreeMap<u64, (String, String)>>>;

/// Writes until nobody answers any more.
async fn write(admin: Admin, writer: u64, round: u64, acknowledged: Acknowledged) {
    for number in 0.. {
        let name = format!("w-{writer}-{}", number % 5);
        let url = format!("http://127.0.0.1:1/{round}/{number}");
        let request = sluice_tests::control::servers_request(&[(&name, &format!(r#"{{"url":"{url}"}}"#))]);
        match admin.apply(request).await {
            Ok(answer) => {
                assert!(answer.faults.is_empty());
                acknowledged.lock().unwrap().insert(answer.revision, (name, url));
            }
            Err(_) => return,
        }
    }
}

#[tokio::test]
async fn every_acknowledged_change_is_there_after_kill_9() {
    let mut plane = ControlPlane::empty().await;
    let acknowledged = Acknowledged::default();
    for round in 0..ROUNDS {
        let admin = plane.admin().await;
        let before = acknowledged.lock().unwrap().len();
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| tokio::spawn(write(admin.clone(), writer, round, Arc::clone(&acknowledged))))
            .collect();
        let (pid, enough) = (plane.pid(), 5 + usize::try_from(round).unwrap() * 7);
        sluice_tests::until("some writes", || (acknowledged.lock().unwrap().len() >= before + enough).then_some(()))
            .await;
        // At another moment of a write each time.
        tokio::time::sleep(Duration::from_micros(700 * round)).await;
        process::signal(pid, Signal::KILL);
        for writer in writers {
            writer.await.unwrap();
        }
        plane.again().await;
        let acknowledged = acknowledged.lock().unwrap().clone();
        intact(&plane, &acknowledged).await;
    }
}

async fn intact(plane: &ControlPlane, acknowledged: &BTreeMap<u64, (String, String)>) {
    let admin = plane.admin().await;
    let request = v1::HistoryRequest { limit: 1_000, before: 0 };
    let history = admin.client().history(admin.with(request)).await.unwrap().into_inner().revisions;
    let numbers: Vec<u64> = history.iter().rev().map(|revision| revision.revision).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "revisions have no gaps");
    for (revision, (name, url)) in acknowledged {
        let got = admin.get("server", name, *revision).await.unwrap();
        let object = &got.objects[0];
        assert_eq!((object.revision, &object.spec_json), (*revision, &format!(r#"{{"url":"{url}"}}"#)));
    }
    let audited = admin.audited().await;
    // One entry for each change, and one for the token of the first start.
    assert_eq!((audited.intact, audited.entries), (true, numbers.len() as u64 + 1));
}
