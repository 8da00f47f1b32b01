//! Where something is that cannot move: a node, in one of its lives. It stands at the end of what the node hands out for that.

use aws_lc_rs::digest;

use crate::seal;

/// Bytes by which a node is known: of a thousand nodes, no two are alike, but once in ten thousand fleets.
const NODE: usize = 4;
/// Bytes by which its lives are told apart.
const LIFE: usize = 4;

/// A node from one start to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Home([u8; Home::BYTES]);

impl Home {
    /// How many bytes it takes.
    pub(crate) const BYTES: usize = NODE + LIFE;

    /// A new life of a node.
    pub(crate) fn begin(node: &str) -> Self {
        let mut home = Self(seal::random());
        home.0[..NODE].copy_from_slice(&digest_of(node));
        home
    }

    /// What an address ends with.
    pub(crate) fn of(address: &[u8; 16]) -> Self {
        let mut home = [0; Self::BYTES];
        home.copy_from_slice(&address[16 - Self::BYTES..]);
        Self(home)
    }

    /// An address of something that is here, which nobody else hands out.
    pub(crate) fn address(self) -> [u8; 16] {
        let mut address = seal::random::<16>();
        address[16 - Self::BYTES..].copy_from_slice(&self.0);
        address
    }

    /// Whether it is a life of this node.
    pub(crate) fn is_of(self, node: &str) -> bool {
        self.0[..NODE] == digest_of(node)
    }

    /// Its bytes; as [`From`] takes them.
    pub(crate) fn bytes(self) -> [u8; Self::BYTES] {
        self.0
    }

    /// As a header field says it.
    pub(crate) fn text(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl From<[u8; Home::BYTES]> for Home {
    fn from(bytes: [u8; Home::BYTES]) -> Self {
        Self(bytes)
    }
}

fn digest_of(node: &str) -> [u8; NODE] {
    let mut short = [0; NODE];
    short.copy_from_slice(&digest::digest(&digest::SHA256, node.as_bytes()).as_ref()[..NODE]);
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_tells_the_node_and_the_life_it_is_of() {
        let (one, again, other) = (Home::begin("edge-1"), Home::begin("edge-1"), Home::begin("edge-2"));
        assert_eq!(Home::of(&one.address()), one);
        assert_ne!(one.address(), one.address(), "nobody guesses the rest");
        assert_ne!(one, again);
        assert!(one.is_of("edge-1") && again.is_of("edge-1") && !other.is_of("edge-1"));
        assert_eq!(one.text().len(), 2 * Home::BYTES);
    }
}
