//! Where something is that cannot move: at a node, which is named at the end of what it hands out for that.

use aws_lc_rs::digest;

use crate::seal;

/// A node, as it is named there: the beginning of its name's digest, so that no two of a fleet are alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Home([u8; Home::BYTES]);

impl Home {
    /// How many bytes it takes.
    pub(crate) const BYTES: usize = 8;

    /// That of a node.
    pub(crate) fn of_node(name: &str) -> Self {
        let mut home = [0; Self::BYTES];
        home.copy_from_slice(&digest::digest(&digest::SHA256, name.as_bytes()).as_ref()[..Self::BYTES]);
        Self(home)
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

    /// Its bytes; as [`From`] takes them.
    pub(crate) fn bytes(self) -> [u8; Self::BYTES] {
        self.0
    }
}

impl From<[u8; Home::BYTES]> for Home {
    fn from(bytes: [u8; Home::BYTES]) -> Self {
        Self(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_tells_the_node_it_is_of() {
        let (one, other) = (Home::of_node("edge-1"), Home::of_node("edge-2"));
        assert_eq!(Home::of(&one.address()), one);
        assert_ne!(one.address(), one.address(), "nobody guesses the rest");
        assert_ne!(one, other);
        assert_eq!(Home::from(one.bytes()), Home::of_node("edge-1"));
    }
}
