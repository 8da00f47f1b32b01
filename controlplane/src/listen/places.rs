//! Room at a door: how many connections there are, and how many of them one address or one node may have. Strangers and nodes have
//! rooms of their own, so that neither takes that of the other.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Room for those who are not yet spoken with. In all, a fleet that comes back at once; of one address, a site of it behind one
/// router, whose handshakes take milliseconds.
const GREETING: Room = Room { name: "greeting", total: 2_048, each: 128 };
/// Room for those without a node's certificate: people, their tools, nodes that join. In all, 200 MB of buffers, at 50 kB each; of one
/// address, an office of people, of which each has a browser and a script.
const STRANGERS: Room = Room { name: "strangers", total: 4_096, each: 128 };
/// Room for nodes. In all, more than one control plane brings up to date; of one node, its stream, a renewal, and streams before a
/// cut that are not yet noticed to be gone.
const NODES: Room = Room { name: "nodes", total: 16_384, each: 8 };
/// How often it is told that connections are turned away: a flood of them does not fill the log.
const TELL: Duration = Duration::from_secs(60);

/// A part of the places, and how they are shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Room {
    name: &'static str,
    total: usize,
    each: usize,
}

/// Who takes a place.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Guest {
    /// Nobody knows yet.
    Greeted(IpAddr),
    /// Somebody without a certificate, at an address.
    Stranger(IpAddr),
    /// A node, wherever it is.
    Node(String),
}

impl Guest {
    pub(super) fn greeted(address: IpAddr) -> Self {
        Self::Greeted(site(address))
    }

    pub(super) fn stranger(address: IpAddr) -> Self {
        Self::Stranger(site(address))
    }

    fn room(&self) -> Room {
        match self {
            Self::Greeted(_) => GREETING,
            Self::Stranger(_) => STRANGERS,
            Self::Node(_) => NODES,
        }
    }
}

/// Who has an address: of IPv6, whoever has one has the 64 bits after its prefix.
fn site(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// The places of one door.
#[derive(Default)]
pub(super) struct Places(Mutex<Taken>);

#[derive(Default)]
struct Taken {
    rooms: HashMap<&'static str, usize>,
    guests: HashMap<Guest, usize>,
    /// When it was told last that somebody was turned away, and how many were since.
    told: Option<Instant>,
    turned_away: u64,
}

/// A place; free again when it is dropped.
pub(super) struct Place {
    places: Arc<Places>,
    guest: Guest,
}

impl Places {
    /// A place for a guest; `None`: there is none, which is in the log.
    pub(super) fn take(self: &Arc<Self>, guest: Guest) -> Option<Place> {
        let room = guest.room();
        let mut taken = self.taken();
        let in_all = taken.rooms.get(room.name).copied().unwrap_or(0);
        let of_guest = taken.guests.get(&guest).copied().unwrap_or(0);
        if in_all >= room.total || of_guest >= room.each {
            taken.turn_away(&guest, in_all, of_guest);
            return None;
        }
        taken.rooms.insert(room.name, in_all + 1);
        taken.guests.insert(guest.clone(), of_guest + 1);
        Some(Place { places: Arc::clone(self), guest })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn turn_away(&mut self, guest: &Guest, in_all: usize, of_guest: usize) {
        self.turned_away += 1;
        if self.told.is_some_and(|told| told.elapsed() < TELL) {
            return;
        }
        let Room { name: room, total, each } = guest.room();
        let turned_away = std::mem::take(&mut self.turned_away);
        self.told = Some(Instant::now());
        tracing::warn!(
            room,
            ?guest,
            in_all,
            total,
            of_guest,
            each,
            turned_away,
            "connections are closed: no place is left"
        );
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        if let Some(in_all) = taken.rooms.get_mut(self.guest.room().name) {
            *in_all = in_all.saturating_sub(1);
        }
        match taken.guests.get_mut(&self.guest) {
            Some(of_guest) if *of_guest > 1 => *of_guest -= 1,
            // nothing is kept of those who are gone
            _ => drop(taken.guests.remove(&self.guest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(n: usize) -> IpAddr {
        std::net::Ipv4Addr::from_bits(u32::try_from(n).unwrap()).into()
    }

    #[test]
    fn one_address_takes_its_share_and_gives_it_back() {
        let places = Arc::new(Places::default());
        let mut held: Vec<_> = (0..STRANGERS.each).map(|_| places.take(Guest::stranger(v4(1))).unwrap()).collect();
        assert!(places.take(Guest::stranger(v4(1))).is_none());
        let other = places.take(Guest::stranger(v4(2)));
        assert!(other.is_some());
        held.pop();
        assert!(places.take(Guest::stranger(v4(1))).is_some());
        drop((held, other));
        assert!(places.taken().guests.is_empty());
        assert_eq!(places.taken().rooms.values().sum::<usize>(), 0);
    }

    #[test]
    fn strangers_from_everywhere_leave_the_nodes_their_room() {
        let places = Arc::new(Places::default());
        let held: Vec<_> = (0..2 * STRANGERS.total).filter_map(|n| places.take(Guest::stranger(v4(n)))).collect();
        assert_eq!(held.len(), STRANGERS.total);
        assert!(places.take(Guest::greeted(v4(1))).is_some(), "who it is remains to be seen");
        assert!(places.take(Guest::Node("edge-1".to_owned())).is_some());
    }

    #[test]
    fn a_node_that_opens_connections_without_end_leaves_the_others_theirs() {
        let places = Arc::new(Places::default());
        let node = |name: &str| places.take(Guest::Node(name.to_owned()));
        let held: Vec<_> = (0..100).filter_map(|_| node("edge-1")).collect();
        assert_eq!(held.len(), NODES.each);
        assert!(node("edge-2").is_some());
    }

    #[test]
    fn addresses_of_one_network_are_one() {
        let address = |text: &str| Guest::stranger(text.parse().unwrap());
        assert_eq!(address("2001:db8::1"), address("2001:db8::ffff:1"));
        assert_ne!(address("2001:db8::1"), address("2001:db8:0:1::1"));
        assert_eq!(address("::ffff:10.0.0.1"), address("10.0.0.1"));
        assert_ne!(address("10.0.0.1"), address("10.0.0.2"));
    }
}
