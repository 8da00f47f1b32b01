//! What is known of nodes as they come, judge and go.

use super::*;
use crate::store::Folder;

fn hello(node: &str, generation: u64) -> v1::Hello {
    v1::Hello { node: node.to_owned(), generation, ..v1::Hello::default() }
}

fn state(nodes: &Nodes, head: u64) -> &'static str {
    nodes.status(head)[0].state().as_str_name()
}

#[test]
fn a_node_is_current_updating_rejected_or_stale() {
    let nodes = Nodes::in_memory();
    let visit = nodes.greet(&hello("a", 0), Labels::new(), None);
    assert_eq!(state(&nodes, 1), "NODE_STATE_UPDATING");
    assert_eq!(visit.next_generation(1), 1);
    visit.accepted(1, Vec::new(), std::time::Duration::ZERO);
    assert_eq!(state(&nodes, 1), "NODE_STATE_CURRENT");
    assert_eq!(state(&nodes, 2), "NODE_STATE_UPDATING");
    assert_eq!(visit.next_generation(2), 2);
    let fault = v1::ConfigurationFault { message: "no".to_owned(), ..Default::default() };
    visit.rejected(2, vec![fault.clone(), fault]);
    let status = nodes.status(2).remove(0);
    assert_eq!(
        (status.state().as_str_name(), status.revision, status.rejected_revision),
        ("NODE_STATE_REJECTED", 1, 2)
    );
    assert_eq!(status.rejected.len(), 2, "every fault");
    assert_eq!(visit.next_generation(3), 3);
    assert_eq!(state(&nodes, 3), "NODE_STATE_UPDATING");
    drop(visit);
    assert_eq!(state(&nodes, 3), "NODE_STATE_STALE");
}

#[test]
fn generations_go_on_above_what_a_node_has() {
    let nodes = Nodes::in_memory();
    let visit = nodes.greet(&hello("a", 41), Labels::new(), None);
    assert_eq!(visit.next_generation(1), 42);
    drop(visit);
    // a node that lost its state
    assert_eq!(nodes.greet(&hello("a", 0), Labels::new(), None).next_generation(1), 43);
}

#[tokio::test]
async fn a_second_stream_ends_the_first_which_says_nothing_any_more() {
    let nodes = Nodes::in_memory();
    let first = nodes.greet(&hello("a", 0), Labels::new(), None);
    let second = nodes.greet(&hello("a", 0), Labels::new(), None);
    assert!(matches!(&*first.farewell().borrow(), Some(Farewell::Replaced)));
    first.accepted(7, Vec::new(), std::time::Duration::ZERO);
    drop(first);
    let status = nodes.status(7).remove(0);
    assert_eq!((status.connected, status.revision), (true, 0));
    assert!(nodes.revoke("a", Timestamp::from_second(100).unwrap()).await.unwrap());
    assert!(nodes.is_revoked("a", 100_000) && !nodes.is_revoked("a", 100_001) && !nodes.is_revoked("b", 1));
    assert!(matches!(&*second.farewell().borrow(), Some(Farewell::Dismissed(_))));
    drop(second);
    assert!(nodes.status(7).is_empty(), "forgotten, and not known again by its going");
}

#[tokio::test]
async fn a_name_that_no_node_has_is_told_so_each_time_and_its_certificates_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(Folder::new(folder.path()), Timestamp::now()).unwrap();
    let nodes = Nodes::open(store.clone()).unwrap();
    for second in [100, 200] {
        assert!(!nodes.revoke("a", Timestamp::from_second(second).unwrap()).await.unwrap());
        assert!(nodes.is_revoked("a", 100_000));
    }
    // one that was sent away before, which could not be written down
    store.write_now(|db| store::nodes::keep(db, "b", &Kept::default())).unwrap();
    assert!(nodes.revoke("b", Timestamp::from_second(100).unwrap()).await.unwrap());
    assert!(!nodes.revoke("b", Timestamp::from_second(100).unwrap()).await.unwrap());
}

#[test]
fn a_stream_that_was_replaced_is_never_taken_for_a_later_one() {
    let nodes = Nodes::in_memory();
    let replaced = nodes.greet(&hello("a", 0), Labels::new(), None);
    drop(nodes.greet(&hello("a", 0), Labels::new(), None));
    let newest = nodes.greet(&hello("a", 0), Labels::new(), None);
    replaced.accepted(7, Vec::new(), std::time::Duration::ZERO);
    drop(replaced);
    let status = nodes.status(7).remove(0);
    assert_eq!((status.connected, status.revision), (true, 0));
    assert_eq!(newest.next_generation(8), 1, "it is heard");
}

#[tokio::test]
async fn what_nodes_run_and_refused_is_known_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Store::open(Folder::new(folder.path()), Timestamp::now()).unwrap();
    let labels: Labels = [("region".to_owned(), "eu".to_owned())].into();
    {
        let store = open();
        let nodes = Nodes::open(store.clone()).unwrap();
        let visit = nodes.greet(&hello("a", 5), labels.clone(), None);
        assert_eq!(visit.next_generation(9), 6);
        visit.accepted(9, Vec::new(), std::time::Duration::ZERO);
        let fault = v1::ConfigurationFault { path: vec!["servers".into(), "x".into()], ..Default::default() };
        visit.rejected(10, vec![fault]);
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        loop {
            let kept = store.read_now(store::nodes::all).unwrap();
            if kept.first().is_some_and(|(_, kept)| kept.rejected.is_some()) {
                break;
            }
            assert!(std::time::Instant::now() < deadline, "never written");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }
    let kept = rusqlite::Connection::open(folder.path().join("controlplane.db")).unwrap();
    let kept = store::nodes::all(&kept).unwrap();
    let (name, kept) = &kept[0];
    assert_eq!((name.as_str(), kept.generation, kept.revision, &kept.labels), ("a", 6, 9, &labels));
    let rejected = kept.rejected.as_ref().unwrap();
    assert_eq!((rejected.revision, rejected.faults[0].path.join(".")), (10, "servers.x".to_owned()));
}

#[test]
fn a_node_that_started_again_and_lacks_what_it_had_runs_nothing_until_it_says_otherwise() {
    let nodes = Nodes::in_memory();
    let before = nodes.greet(&hello("a", 0), Labels::new(), None);
    before.accepted(1, Vec::new(), std::time::Duration::ZERO);
    drop(before);
    let visit = nodes.greet(&hello("a", 1), Labels::new(), None);
    visit.rejected(1, Vec::new());
    let status = nodes.status(1).remove(0);
    assert_eq!((status.state().as_str_name(), status.revision), ("NODE_STATE_REJECTED", 0));
    visit.reported(v1::Report { ready: true, revision: 1, since_ms: 7, ..v1::Report::default() });
    let status = nodes.status(1).remove(0);
    assert_eq!((status.state().as_str_name(), status.revision, status.since_ms), ("NODE_STATE_CURRENT", 1, 7));
}

#[test]
fn since_when_a_revision_is_run_is_the_nodes_to_say_and_a_new_stream_changes_nothing() {
    let nodes = Nodes::in_memory();
    let since = || nodes.status(1).remove(0).since_ms;
    let visit = nodes.greet(&hello("a", 0), Labels::new(), None);
    visit.accepted(1, Vec::new(), std::time::Duration::ZERO);
    visit.reported(v1::Report { revision: 1, since_ms: 5, ..v1::Report::default() });
    assert_eq!(since(), 5);
    let again = nodes.greet(&hello("a", 1), Labels::new(), None);
    again.accepted(1, Vec::new(), std::time::Duration::ZERO);
    assert_eq!(since(), 5);
    again.reported(v1::Report { revision: 1, since_ms: u64::MAX, ..v1::Report::default() });
    assert!(since() <= now_ms(), "the node's clock may be wrong");
}
