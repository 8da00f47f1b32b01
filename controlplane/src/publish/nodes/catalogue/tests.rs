//! Inventories are asked for once, shared by the nodes that have them, and gone with the last of these.

use prost::Message;
use sluice_snapshot::chunk::Name;

use super::*;
use crate::publish::Labels;
use crate::publish::nodes::Visit;
use crate::store::{Folder, Store};

fn inventory(server: &str, tools: &[&str]) -> v1::Inventory {
    let item =
        |name: &&str| v1::InventoryItem { name: format!("{server}_{name}"), own: (*name).into(), ..Default::default() };
    v1::Inventory { server: server.into(), tools: tools.iter().map(item).collect(), ..Default::default() }
}

fn report(inventories: &[&v1::Inventory]) -> v1::Report {
    let health = |inventory: &&v1::Inventory| v1::ServerHealth {
        server: inventory.server.clone(),
        inventory: Name::of(&inventory.encode_to_vec()).to_wire(),
        ..Default::default()
    };
    v1::Report { servers: inventories.iter().map(health).collect(), ..Default::default() }
}

fn visit(nodes: &Arc<Nodes>, node: &str) -> Visit {
    nodes.greet(&v1::Hello { node: node.into(), ..Default::default() }, Labels::new(), None)
}

fn tools(nodes: &Nodes) -> Vec<(String, u32)> {
    nodes.catalogue(OfferKind::Tool, "", "").items.into_iter().map(|item| (item.name, item.nodes)).collect()
}

#[tokio::test]
async fn an_inventory_is_asked_for_once_and_kept_as_long_as_a_node_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let store =
        Store::open(Folder::new(folder.path()), jiff::Timestamp::now()).unwrap_or_else(|error| panic!("{error}"));
    let nodes = Nodes::open(store).unwrap_or_else(|error| panic!("{error}"));
    let (a, b) = (visit(&nodes, "a"), visit(&nodes, "b"));
    let (one, two) = (inventory("one", &["x", "y"]), inventory("two", &["z"]));
    a.reported(report(&[&one, &two]));
    assert_eq!(a.wants().as_deref(), Some("one"));
    assert!(!a.told(inventory("one", &["x"])), "not what was reported");
    assert!(a.told(one.clone()) && a.wants().as_deref() == Some("two"));
    assert!(a.told(two.clone()) && a.wants().is_none());
    b.reported(report(&[&one]));
    assert_eq!(b.wants(), None, "another node told it");
    a.reported(report(&[&one, &two]));
    assert_eq!(a.wants(), None, "unchanged");
    assert_eq!(tools(&nodes), [("one_x".into(), 2), ("one_y".into(), 2), ("two_z".into(), 1)]);
    assert_eq!(nodes.catalogue(OfferKind::Tool, "one", "y").items.len(), 1);

    let less = inventory("one", &["x"]);
    a.reported(report(&[&less]));
    assert_eq!(tools(&nodes), [("one_x".into(), 1), ("one_y".into(), 1)], "b's");
    assert!(a.told(less));
    drop(b);
    assert_eq!(tools(&nodes), [("one_x".into(), 1)]);
    let b = visit(&nodes, "b");
    b.reported(report(&[&two]));
    assert_eq!(b.wants().as_deref(), Some("two"), "nobody has it any more");
}

#[test]
fn nothing_is_asked_for_where_nobody_can_see_it() {
    let nodes = Nodes::in_memory();
    let visit = visit(&nodes, "local");
    visit.reported(report(&[&inventory("one", &["x"])]));
    assert_eq!(visit.wants(), None);
}
