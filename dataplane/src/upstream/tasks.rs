//! Whose task is whose: a server behind a shared connection sees one client and lists everybody's tasks (law 4).

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::auth::PrincipalId;
use crate::limit;

/// The owners of one server's tasks, by the server's own ids; the oldest are forgotten first.
#[derive(Default)]
pub(crate) struct Owners(Mutex<State>);

#[derive(Default)]
struct State {
    owners: HashMap<String, PrincipalId>,
    order: VecDeque<String>,
}

impl Owners {
    /// A principal's request was answered with this task. The first owner stays.
    pub(crate) fn note(&self, task: &str, owner: PrincipalId) {
        let mut state = self.lock();
        if state.owners.contains_key(task) || task.len() > limit::REMEMBERED_BYTES {
            return;
        }
        if state.order.len() >= limit::TASKS
            && let Some(oldest) = state.order.pop_front()
        {
            state.owners.remove(&oldest);
        }
        state.owners.insert(task.to_owned(), owner);
        state.order.push_back(task.to_owned());
    }

    /// The owner, where it is known.
    pub(crate) fn of(&self, task: &str) -> Option<PrincipalId> {
        self.lock().owners.get(task).copied()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
