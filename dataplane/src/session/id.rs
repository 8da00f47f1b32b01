//! Session ids: opaque, sealed. A forged one is refused by its MAC, before any store is asked.
//!
//! Form: base64url of key id (1 byte), random (8), the node that holds the session (8), owner (8: the first bytes of the
//! principal's id), MAC (16): 55 visible ASCII characters (2025-11-25 *Session Management*).

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::auth::PrincipalId;
pub(crate) use crate::auth::SessionId;
use crate::peer::Home;
use crate::seal::Seal;

const BODY: usize = 1 + 16 + 8;
/// Bytes of the MAC.
pub(crate) const MAC: usize = 16;
const WHOLE: usize = BODY + MAC;
/// Characters of an id.
pub(crate) const TEXT: usize = (WHOLE * 4).div_ceil(3);

impl SessionId {
    /// A new id of a session that is held here: its random part is followed by who holds it.
    pub(crate) fn held_by(home: Home) -> Self {
        Self(home.address())
    }

    /// A new id of a session that anybody may hold.
    #[cfg(test)]
    pub(crate) fn random() -> Self {
        Self::held_by(Home::of_node("anybody"))
    }

    /// The id that people typed: by what stores know a session, and no client can show.
    pub(crate) fn shown(digits: &str) -> Option<Self> {
        let is_one = digits.len() == 32 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        is_one.then(|| u128::from_str_radix(digits, 16).ok().map(|number| Self(number.to_be_bytes())))?
    }

    /// Who holds the session.
    pub(crate) fn home(&self) -> Home {
        Home::of(&self.0)
    }

    /// The id as clients see it.
    pub(crate) fn sealed(&self, seal: &Seal, owner: PrincipalId) -> String {
        let mut whole = [0u8; WHOLE];
        let key = seal.newest();
        whole[0] = key.id();
        whole[1..17].copy_from_slice(&self.0);
        whole[17..BODY].copy_from_slice(&owner.0[..8]);
        let mac = key.mac(&whole[..BODY]);
        whole[BODY..].copy_from_slice(&mac);
        URL_SAFE_NO_PAD.encode(whole)
    }

    /// Opens an id presented by `principal`; `None` when it is forged or belongs to somebody else.
    pub(crate) fn open(seal: &Seal, principal: PrincipalId, text: &[u8]) -> Option<Self> {
        let presented = Presented::read(text, principal)?;
        presented.is_genuine(seal).then(|| presented.id())
    }
}

/// As people are shown it: without what makes it good for a client.
impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// An id as a client presents it, which may be forged.
pub(crate) struct Presented([u8; WHOLE]);

impl Presented {
    /// Reads an id; `None` where it has not the form of one, or names another owner than `principal`.
    pub(crate) fn read(text: &[u8], principal: PrincipalId) -> Option<Self> {
        if text.len() != TEXT {
            return None;
        }
        let mut whole = [0u8; WHOLE];
        URL_SAFE_NO_PAD.decode_slice(text, &mut whole).ok().filter(|n| *n == WHOLE)?;
        (whole[17..BODY] == principal.0[..8]).then_some(Self(whole))
    }

    /// The id it claims to be.
    pub(crate) fn id(&self) -> SessionId {
        let mut id = [0; 16];
        id.copy_from_slice(&self.0[1..17]);
        SessionId(id)
    }

    /// Whether it was given out by a node with a key of these.
    pub(crate) fn is_genuine(&self, seal: &Seal) -> bool {
        seal.is_genuine(self.0[0], &self.0[..BODY], &self.0[BODY..])
    }

    /// The same, where it was found before what a genuine one of this session ends in; the key may be gone since.
    pub(crate) fn ends_in(&self, mac: &[u8; MAC], seal: &Seal) -> bool {
        seal.has(self.0[0]) && verify_slices_are_equal(mac, &self.0[BODY..]).is_ok()
    }

    /// What it ends in.
    pub(crate) fn mac(&self) -> [u8; MAC] {
        let mut mac = [0; MAC];
        mac.copy_from_slice(&self.0[BODY..]);
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_are_shown_names_the_session_and_is_no_clients_id() {
        let (seal, owner) = (Seal::new(&[3; 32]), PrincipalId([1; 16]));
        let id = SessionId::held_by(Home::of_node("a"));
        let shown = id.to_string();
        assert_eq!((shown.len(), SessionId::shown(&shown)), (32, Some(id)));
        assert_eq!(SessionId::open(&seal, owner, shown.as_bytes()), None);
        for other in ["", "abc", &shown[1..], &format!("+{}", &shown[1..]), &format!("{shown}0")] {
            assert_eq!(SessionId::shown(other), None, "{other}");
        }
    }

    #[test]
    fn only_the_genuine_id_of_the_owner_opens() {
        let seal = Seal::new(&[3; 32]);
        let owner = PrincipalId([1; 16]);
        let id = SessionId::held_by(Home::of_node("a"));
        let text = id.sealed(&seal, owner);
        assert_eq!(text.len(), TEXT);
        assert_eq!(SessionId::open(&seal, owner, text.as_bytes()), Some(id));
        assert_eq!(SessionId::open(&seal, PrincipalId([2; 16]), text.as_bytes()), None);
        for position in 0..text.len() {
            let mut forged = text.clone().into_bytes();
            forged[position] = if forged[position] == b'A' { b'B' } else { b'A' };
            assert_eq!(SessionId::open(&seal, owner, &forged), None, "character {position}");
        }
        assert_eq!(SessionId::open(&seal, owner, b""), None);
    }
}
