//! The other nodes of the fleet, as the control plane last told of them.

use std::sync::Arc;

use sluice_contract::v1;

use super::certificate::Shown;
use super::home::Home;

/// Another node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Peer {
    pub name: Arc<str>,
    /// Where it takes links, `HOST:PORT`.
    pub address: Arc<str>,
    /// Its certificates that were made until then are refused, in milliseconds since 1970.
    refused_until: u64,
    /// It has not been connected to the control plane for a while.
    pub is_absent: bool,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    peers: Vec<Peer>,
    /// The control plane would say so if anything had changed.
    pub is_current: bool,
}

impl Roster {
    pub(super) fn of(fleet: &v1::Fleet, is_current: bool) -> Self {
        let peer = |node: &v1::FleetNode| Peer {
            name: node.node.as_str().into(),
            address: node.link.as_str().into(),
            refused_until: node.refused_until_ms,
            is_absent: node.absent,
        };
        Self { peers: fleet.nodes.iter().map(peer).collect(), is_current }
    }

    /// The same, of which it is not known any more whether it still holds.
    pub(super) fn stale(&self) -> Self {
        Self { peers: self.peers.clone(), is_current: false }
    }

    /// Which of them is named so.
    pub(crate) fn of_home(&self, home: Home) -> Option<&Peer> {
        self.peers.iter().find(|peer| Home::of_node(&peer.name) == home)
    }

    /// The homes of all.
    pub(super) fn homes(&self) -> impl Iterator<Item = Home> {
        self.peers.iter().map(|peer| Home::of_node(&peer.name))
    }

    /// Those that are there, as far as the control plane knows.
    pub(super) fn present(&self) -> impl Iterator<Item = &Peer> {
        self.peers.iter().filter(|peer| !peer.is_absent)
    }

    /// Whether whoever showed this certificate is a node of the fleet.
    pub(crate) fn admits(&self, shown: &Shown) -> bool {
        self.peers.iter().any(|peer| *peer.name == *shown.node && shown.made_ms > peer.refused_until)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.peers.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(node: &str, made_ms: u64) -> Shown {
        Shown { node: node.to_owned(), made_ms, ends: std::time::SystemTime::now() }
    }

    #[test]
    fn who_is_not_told_of_is_refused_and_so_is_an_old_certificate_of_who_was_revoked() {
        let node = |node: &str, refused_until_ms| v1::FleetNode {
            node: node.to_owned(),
            link: "h:1".to_owned(),
            refused_until_ms,
            absent: false,
        };
        let fleet = v1::Fleet { nodes: vec![node("a", 0), node("b", 500)], ..v1::Fleet::default() };
        let roster = Roster::of(&fleet, true);
        assert!(roster.admits(&shown("a", 1)) && roster.admits(&shown("b", 501)));
        assert!(!roster.admits(&shown("b", 500)) && !roster.admits(&shown("c", 1)));
        assert!(roster.of_home(Home::of_node("b")).is_some_and(|peer| &*peer.name == "b"));
        assert!(roster.of_home(Home::of_node("c")).is_none());
        assert!(!roster.stale().is_current && roster.stale().len() == 2);
    }
}
