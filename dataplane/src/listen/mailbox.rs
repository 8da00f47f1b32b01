//! Where messages of clients on event streams are handed in. A stream lives on one worker; its messages come by requests of
//! their own, on whichever worker accepts them. An address is sealed for its owner: to anybody else it does not exist.

use std::sync::Arc;

use bytes::Bytes;
use papaya::HashMap;
use sluice_mcp::Message;
use tokio::sync::mpsc;

use crate::auth::quota::Ticket;
use crate::auth::{Principal, PrincipalId};
use crate::budget::Held;
use crate::limit;
use crate::peer::Home;
use crate::reason::Reason;
use crate::seal::{Binding, Kind, Seal};

/// A message of a client that was accepted: one message, the room it takes, and its place among the client's requests.
pub(crate) struct Mail {
    pub body: Bytes,
    pub message: Message,
    pub held: Held,
    pub ticket: Ticket,
    /// Who handed it in, where each message comes with a credential of its own.
    pub principal: Option<Principal>,
}

/// The mailboxes of all workers of a node.
#[derive(Default)]
pub(crate) struct Mailboxes {
    open: HashMap<Address, mpsc::Sender<Mail>, foldhash::fast::RandomState>,
}

/// What a mailbox is found by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Address([u8; 16]);

/// A registered mailbox; gone when dropped.
pub(crate) struct Registered {
    mailboxes: Arc<Mailboxes>,
    pub address: Address,
}

impl Mailboxes {
    /// Opens a mailbox at an address nobody can guess, which ends with the node it is at.
    pub(crate) fn open(self: &Arc<Self>, home: Home) -> (Registered, mpsc::Receiver<Mail>) {
        let (sender, mails) = mpsc::channel(limit::MAILBOX_MESSAGES);
        let address = Address(home.address());
        self.open.pin().insert(address, sender);
        (Registered { mailboxes: Arc::clone(self), address }, mails)
    }

    /// Hands a message in, in order, without waiting.
    ///
    /// # Errors
    /// [`Reason::StreamUnknown`]; [`Reason::MailboxFull`] when the client sends faster than its messages are taken.
    pub(crate) fn deliver(&self, address: Address, mail: Mail) -> Result<(), Reason> {
        use mpsc::error::TrySendError;
        let open = self.open.pin();
        let mailbox = open.get(&address).ok_or(Reason::StreamUnknown)?;
        mailbox.try_send(mail).map_err(|error| match error {
            TrySendError::Full(_) => Reason::MailboxFull,
            TrySendError::Closed(_) => Reason::StreamUnknown,
        })
    }

    /// Whether there is a mailbox.
    pub(crate) fn has(&self, address: Address) -> bool {
        self.open.pin().contains_key(&address)
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.mailboxes.open.pin().remove(&self.address);
    }
}

impl Address {
    /// At which node the mailbox is.
    pub(crate) fn home(self) -> Home {
        Home::of(&self.0)
    }

    /// The address as the client sees it. `server` is empty on the merged door.
    pub(crate) fn sealed(&self, seal: &Seal, principal: PrincipalId, server: &str) -> String {
        seal.seal(&Binding { kind: Kind::Mailbox, principal, server, context: b"" }, 0, &self.0)
    }

    /// Opens what a client brings back; `None` when it was forged, or sealed for somebody else or another server.
    pub(crate) fn open(seal: &Seal, principal: PrincipalId, server: &str, text: &[u8]) -> Option<Self> {
        let binding = Binding { kind: Kind::Mailbox, principal, server, context: b"" };
        seal.open(&binding, 0, text)?.try_into().ok().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_opens_only_for_its_owner_and_server() {
        let seal = Seal::new(&[7; 32]);
        let owner = PrincipalId([1; 16]);
        let (registered, _mails) = Arc::new(Mailboxes::default()).open(Home::of_node("a"));
        let text = registered.address.sealed(&seal, owner, "one");
        assert_eq!(Address::open(&seal, owner, "one", text.as_bytes()), Some(registered.address));
        assert_eq!(Address::open(&seal, PrincipalId([2; 16]), "one", text.as_bytes()), None);
        assert_eq!(Address::open(&seal, owner, "two", text.as_bytes()), None);
        assert_eq!(Address::open(&seal, owner, "", text.as_bytes()), None);
        assert_eq!(Address::open(&seal, owner, "one", b"forged"), None);
    }

    #[test]
    fn a_mailbox_is_gone_with_its_stream() {
        let mailboxes = Arc::new(Mailboxes::default());
        let (registered, _mails) = mailboxes.open(Home::of_node("a"));
        let address = registered.address;
        assert!(mailboxes.has(address));
        drop(registered);
        assert!(!mailboxes.has(address));
    }
}
