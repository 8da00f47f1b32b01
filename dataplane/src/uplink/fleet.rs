//! What a control plane tells beside what a node is to run, and where that goes: to the links, to the limits, to the keys of sessions, to
//! whoever lets clients in, and to the disk, so that it holds while nobody tells.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustls_pki_types::PrivatePkcs8KeyDer;
use sluice_contract::v1;

use super::identity::Identity;
use crate::auth::entitled::Entitled;
use crate::auth::shares::Shares;
use crate::ledger::Ledger;
use crate::peer::Peers;
use crate::plane::entitlement::Entitlement;
use crate::seal::{Keys, Seal};

/// Where news of the fleet goes.
#[derive(Clone)]
pub(crate) struct Fleet {
    peers: Arc<Peers>,
    shares: Arc<Shares>,
    keys: Arc<Mutex<Delivery>>,
    /// Who may come in.
    pub entitlement: Arc<Entitlement>,
    /// Where it is kept.
    ledger: Option<Arc<Ledger>>,
    /// Counts what was told.
    count: Arc<AtomicU64>,
}

/// Keys on their way to what seals with them, which may not be there yet.
#[derive(Default)]
struct Delivery {
    waiting: Option<Keys>,
    to: Option<Arc<Seal>>,
}

impl Fleet {
    /// To these, and to the disk where there is a ledger.
    pub(crate) fn new(peers: &Arc<Peers>, shares: &Arc<Shares>, ledger: Option<&Arc<Ledger>>) -> Self {
        let (peers, shares) = (Arc::clone(peers), Arc::clone(shares));
        Self {
            peers,
            shares,
            keys: Arc::default(),
            entitlement: Arc::default(),
            ledger: ledger.cloned(),
            count: Arc::default(),
        }
    }

    /// Keys of sessions go here from now on, those that were told already first.
    pub(crate) fn seal(&self, seal: &Arc<Seal>) {
        let mut delivery = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(keys) = delivery.waiting.take() {
            seal.deliver(keys);
        }
        delivery.to = Some(Arc::clone(seal));
    }

    /// Whether keys of sessions were told, now or in an earlier life.
    pub(crate) fn has_keys(&self) -> bool {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).waiting.is_some()
    }

    fn deliver(&self, keys: Keys) {
        let mut delivery = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        match &delivery.to {
            Some(seal) => seal.deliver(keys),
            None => delivery.waiting = Some(keys),
        }
    }

    /// Goes by what was known last.
    pub(crate) fn recall(&self) {
        if let Some(fleet) = self.ledger.as_ref().and_then(|ledger| ledger.fleet()) {
            self.adopt(&fleet, false);
        }
        if let Some(entitled) = self.ledger.as_ref().and_then(|ledger| ledger.entitled()) {
            self.entitlement.go_by(Entitled::of(&entitled));
        }
    }

    /// The control plane told who may come in. That counts at once; the future is done when the disk has it, or cannot.
    pub(super) fn told_entitled(&self, entitled: v1::Entitled) -> impl Future<Output = ()> + use<> {
        self.entitlement.go_by(Entitled::of(&entitled));
        self.keep("who may come in", move |ledger, number| ledger.keep_entitled(&entitled, number))
    }

    /// The control plane told this. It is kept when the disk gets to it.
    pub(super) fn told(&self, fleet: v1::Fleet) {
        self.adopt(&fleet, true);
        drop(self.keep("what is known of the fleet", move |ledger, number| ledger.keep_fleet(&fleet, number)));
    }

    /// Begins to write what was told, numbered; the future is done when that has come to an end.
    fn keep<W>(&self, what: &'static str, write: W) -> impl Future<Output = ()> + use<W>
    where
        W: FnOnce(&Ledger, u64) -> io::Result<()> + Send + 'static,
    {
        let number = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        let writing = self.ledger.clone().map(|ledger| {
            tokio::task::spawn_blocking(move || {
                if let Err(error) = write(&ledger, number) {
                    tracing::error!(%error, "{what} cannot be kept: without a control plane this node would start with what it knew before");
                }
            })
        });
        async move {
            if let Some(writing) = writing {
                let _ = writing.await;
            }
        }
    }

    /// The control plane is not heard any more.
    pub(super) fn unheard(&self) {
        self.peers.may_change_unheard();
    }

    /// By which certificate this node is known now.
    pub(super) fn identify(&self, identity: &Identity) {
        let key = PrivatePkcs8KeyDer::from(identity.key.serialize_der());
        self.peers.identify(identity.chain.clone(), &key, &identity.authorities);
    }

    fn adopt(&self, fleet: &v1::Fleet, is_current: bool) {
        self.peers.are(fleet, is_current);
        self.shares.adopt(fleet);
        let mut keys: Vec<_> = fleet.keys.iter().collect();
        keys.sort_by_key(|key| key.seals);
        let given =
            keys.into_iter().map(|key| Some((u8::try_from(key.number).ok()?, key.key.as_slice().try_into().ok()?)));
        let given: Option<Vec<(u8, [u8; 32])>> = given.collect();
        match given.and_then(Keys::given) {
            Some(keys) => self.deliver(keys),
            None if fleet.keys.is_empty() => {}
            None => tracing::error!("the keys of sessions that were told are not usable; those of before stay"),
        }
    }
}
