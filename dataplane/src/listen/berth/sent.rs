//! What went to a client and may not have come: kept until it says so, so that the next connection begins where the one before broke
//! off. Messages are numbered by counting them.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::limit;

/// The messages that are not confirmed, in order.
pub(crate) struct Sent {
    /// Of a client that may come back; of another nothing is kept.
    keeps: bool,
    kept: VecDeque<Bytes>,
    /// What they take.
    bytes: usize,
    /// How many messages came before those.
    confirmed: u64,
    /// What was sent since the client was asked how far it is.
    unasked: usize,
}

impl Sent {
    /// Nothing yet, or so many messages, by another connection elsewhere.
    pub(crate) fn new(keeps: bool, confirmed: u64) -> Self {
        Self { keeps, kept: VecDeque::new(), bytes: 0, confirmed, unasked: 0 }
    }

    /// Keeps a message that is about to go.
    pub(crate) fn add(&mut self, message: &Bytes) {
        if !self.keeps {
            return;
        }
        // a small one may be a slice of much that was read with it
        let copied = message.len() <= limit::COPIED_BYTES;
        let message = if copied { Bytes::copy_from_slice(message) } else { message.clone() };
        self.bytes += cost(&message);
        self.unasked += cost(&message);
        self.kept.push_back(message);
    }

    /// How many messages went.
    pub(crate) fn count(&self) -> u64 {
        self.confirmed + self.kept.len() as u64
    }

    /// So many messages came; `false` where that cannot be.
    pub(crate) fn confirm(&mut self, count: u64) -> bool {
        if !(self.confirmed..=self.count()).contains(&count) {
            return false;
        }
        while self.confirmed < count {
            if let Some(message) = self.kept.pop_front() {
                self.bytes -= cost(&message);
            }
            self.confirmed += 1;
        }
        true
    }

    /// What has to go once more, on a new connection.
    pub(crate) fn unconfirmed(&self) -> impl Iterator<Item = &Bytes> {
        self.kept.iter()
    }

    /// Whether something is not confirmed.
    pub(crate) fn is_behind(&self) -> bool {
        !self.kept.is_empty()
    }

    /// Whether more may go before some of it is confirmed.
    pub(crate) fn has_room(&self) -> bool {
        self.bytes < limit::WEBSOCKET_UNCONFIRMED
    }

    /// Whether the client is to be asked how far it is.
    pub(crate) fn is_to_be_asked(&self) -> bool {
        self.unasked >= limit::WEBSOCKET_UNCONFIRMED / 2
    }

    /// It is asked.
    pub(crate) fn asked(&mut self) {
        self.unasked = 0;
    }
}

/// A small message costs more than its bytes.
fn cost(message: &Bytes) -> usize {
    message.len() + size_of::<Bytes>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(messages: &[&'static str]) -> Sent {
        let mut sent = Sent::new(true, 0);
        messages.iter().for_each(|message| sent.add(&Bytes::from_static(message.as_bytes())));
        sent
    }

    #[test]
    fn what_was_confirmed_does_not_go_again() {
        let mut sent = sent(&["a", "b", "c"]);
        assert_eq!(sent.count(), 3);
        assert!(sent.confirm(2) && sent.confirm(2));
        assert_eq!(sent.unconfirmed().collect::<Vec<_>>(), [&Bytes::from_static(b"c")]);
        assert!(!sent.confirm(1), "it is not kept any more");
        assert!(!sent.confirm(4), "it never went");
        assert!(sent.confirm(3));
        assert_eq!((sent.unconfirmed().count(), sent.bytes), (0, 0));
    }

    #[test]
    fn so_much_goes_unconfirmed_and_the_client_is_asked_before() {
        let mut sent = Sent::new(true, 7);
        let message = Bytes::from(vec![b'x'; limit::WEBSOCKET_UNCONFIRMED / 2]);
        sent.add(&message);
        assert!(sent.has_room() && sent.is_to_be_asked());
        sent.asked();
        assert!(!sent.is_to_be_asked());
        sent.add(&message);
        assert!(!sent.has_room());
        assert!(sent.confirm(8) && sent.has_room());
    }

    #[test]
    fn nothing_is_kept_for_a_client_that_does_not_come_back() {
        let mut sent = Sent::new(false, 0);
        sent.add(&Bytes::from(vec![b'x'; limit::WEBSOCKET_UNCONFIRMED]));
        assert!(sent.has_room() && !sent.is_to_be_asked() && sent.count() == 0);
    }
}
