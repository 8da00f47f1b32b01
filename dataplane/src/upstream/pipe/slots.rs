//! Places for the children of one server: one per key, bounded per server and per principal, given back when nothing runs
//! there and nobody is about to start something there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sluice_snapshot::model::Limits;

use super::{Child, Key};
use crate::auth::PrincipalId;
use crate::limit;
use crate::reason::Reason;

/// All places of one server.
#[derive(Default)]
pub(super) struct Slots(Mutex<Table>);

#[derive(Default)]
struct Table {
    slots: HashMap<Key, Arc<Slot>>,
    /// Without a place: they finish what they were asked.
    retired: Vec<Arc<Child>>,
    /// The server is let go: nothing is started any more.
    closed: bool,
}

/// How many places there are.
pub(super) struct Room {
    per_server: usize,
    per_principal: usize,
}

impl Room {
    /// For processes, which cost megabytes.
    pub(super) fn of_processes(limits: &Limits) -> Self {
        Self { per_server: limits.children_per_server as usize, per_principal: limits.children_per_principal as usize }
    }

    /// For connections.
    pub(super) fn of_connections() -> Self {
        Self { per_server: limit::CONNECTIONS_PER_SERVER, per_principal: limit::CONNECTIONS_PER_PRINCIPAL }
    }
}

/// One place.
pub(super) struct Slot {
    /// Whom it counts for.
    owner: Option<PrincipalId>,
    /// Held while a child is started: everybody else waits for the one start.
    pub starting: tokio::sync::Mutex<()>,
    held: Mutex<Held>,
}

#[derive(Default)]
enum Held {
    #[default]
    Nothing,
    /// Known here already, so that it can be told to stop.
    Starting(Arc<Child>),
    Ready(Arc<Child>),
}

/// A caller's interest in a place.
pub(super) struct Place<'s> {
    slots: &'s Slots,
    key: Key,
    pub slot: Arc<Slot>,
}

/// A start that is under way; given up (and its child stopped) unless it is said to be [`Start::done`].
pub(super) struct Start<'s> {
    slot: &'s Slot,
    pub child: Arc<Child>,
    done: bool,
}

impl Table {
    /// Ends the child that was unused longest, one of this owner's if there is one; `false` when all are in use. Others'
    /// children yield only to whom the house is too full (`own`: it is this owner's own part of it), and only after a while.
    fn make_room(&mut self, owner: Option<PrincipalId>, own: bool) -> bool {
        let idle = |slot: &Slot| match &*slot.lock() {
            Held::Ready(child) => child.idle(),
            _ => Duration::ZERO,
        };
        let mut candidates: Vec<_> = self
            .slots
            .iter()
            .map(|(key, slot)| (owner.is_some() && slot.owner == owner, idle(slot), key))
            .filter(|(mine, idle, _)| {
                *idle >= if *mine { limit::CHILD_YIELDS } else { limit::CHILD_YIELDS_TO_OTHERS } && (*mine || !own)
            })
            .collect();
        candidates.sort_by_key(|(mine, idle, _)| (*mine, *idle));
        let Some(key) = candidates.last().map(|(_, _, key)| Key::clone(key)) else { return false };
        if let Some(child) = self.slots.remove(&key).and_then(|slot| slot.child()) {
            child.stop();
        }
        true
    }
}

impl Slots {
    /// The place of that key, made if there is none.
    ///
    /// # Errors
    /// [`Reason::ChildLimit`], [`Reason::Draining`].
    pub(super) fn place(&self, key: &Key, owner: Option<PrincipalId>, room: &Room) -> Result<Place<'_>, Reason> {
        let mut table = self.lock();
        if table.closed {
            return Err(Reason::Draining);
        }
        let slot = match table.slots.get(key) {
            Some(slot) => Arc::clone(slot),
            None => {
                let of_owner = table.slots.values().filter(|s| owner.is_some() && s.owner == owner).count();
                let own = of_owner >= room.per_principal;
                if (own || table.slots.len() >= room.per_server) && !table.make_room(owner, own) {
                    return Err(Reason::ChildLimit);
                }
                let slot = Arc::new(Slot { owner, starting: tokio::sync::Mutex::default(), held: Mutex::default() });
                table.slots.insert(key.clone(), Arc::clone(&slot));
                slot
            }
        };
        Ok(Place { slots: self, key: key.clone(), slot })
    }

    /// Forgets the place of that key, if this child has it.
    pub(super) fn vacate(&self, key: &Key, child: &Arc<Child>) {
        let mut table = self.lock();
        if table.slots.get(key).and_then(|slot| slot.child()).is_some_and(|held| Arc::ptr_eq(&held, child)) {
            table.slots.remove(key);
        }
    }

    /// Looks at every ready child, and gives back the places of ended ones.
    pub(super) fn sweep(&self, look: impl Fn(&Child)) {
        let Table { slots, retired, .. } = &mut *self.lock();
        retired.retain(|child| child.is_running());
        slots.retain(|_, slot| match &*slot.lock() {
            Held::Ready(child) => {
                look(child);
                if child.is_running() && !child.is_current() {
                    retired.push(Arc::clone(child));
                }
                child.is_current()
            }
            Held::Starting(_) => true,
            Held::Nothing => Arc::strong_count(slot) > 1,
        });
    }

    /// Closes the table and tells every child to stop, those that are starting too.
    pub(super) fn close(&self) -> Vec<Arc<Child>> {
        let mut table = self.lock();
        table.closed = true;
        let retired = std::mem::take(&mut table.retired);
        let children: Vec<_> = table.slots.drain().filter_map(|(_, slot)| slot.child()).chain(retired).collect();
        children.iter().for_each(|child| child.stop());
        children
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// The child that serves here now.
    pub(super) fn running(&self) -> Option<Arc<Child>> {
        match &*self.lock() {
            Held::Ready(child) if child.is_current() => Some(Arc::clone(child)),
            _ => None,
        }
    }

    /// Begins a start; [`Slot::starting`] is held by the caller.
    pub(super) fn start(&self, child: Arc<Child>) -> Start<'_> {
        *self.lock() = Held::Starting(Arc::clone(&child));
        Start { slot: self, child, done: false }
    }

    fn child(&self) -> Option<Arc<Child>> {
        match &*self.lock() {
            Held::Starting(child) | Held::Ready(child) => Some(Arc::clone(child)),
            Held::Nothing => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Start<'_> {
    /// The child answered: it serves from now on.
    pub(super) fn done(mut self) -> Arc<Child> {
        self.done = true;
        *self.slot.lock() = Held::Ready(Arc::clone(&self.child));
        Arc::clone(&self.child)
    }
}

impl Drop for Start<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.child.stop();
            *self.slot.lock() = Held::Nothing;
        }
    }
}

impl Drop for Place<'_> {
    /// Gives the place back if nothing runs there and no other caller waits for it (the table and this are the last two).
    fn drop(&mut self) {
        let mut table = self.slots.lock();
        let same = table.slots.get(&self.key).is_some_and(|slot| Arc::ptr_eq(slot, &self.slot));
        if same && Arc::strong_count(&self.slot) == 2 && self.slot.child().is_none() {
            table.slots.remove(&self.key);
        }
    }
}
