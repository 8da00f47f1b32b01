//! A plane as different principals see it: with the servers that are in their reach, and what they may do there. All that
//! works with a plane thereby works with what its principal may know of.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use papaya::{Equivalent, HashMap as Concurrent};
use sluice_snapshot::model::{Roles, Snapshot};
use sluice_snapshot::policy::{Caller, Policies};

use super::Plane;
use crate::auth::Principal;
use crate::auth::permits::Permits;
use crate::limit;

/// The views of one plane that somebody needed.
#[derive(Default)]
pub(super) struct Views {
    by_principal: Concurrent<Who, Arc<Plane>, foldhash::fast::RandomState>,
    /// By the places of the policies that concern a kind of principal.
    by_kind: Mutex<HashMap<Box<[u32]>, Arc<Plane>>>,
}

/// All that policies know of a principal.
#[derive(PartialEq, Eq, Hash)]
struct Who {
    subject: Arc<str>,
    roles: Roles,
}

/// The same, borrowed.
struct Asked<'a>(&'a Principal);

impl Hash for Asked<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.subject.hash(state);
        self.0.roles.hash(state);
    }
}

impl Equivalent<Who> for Asked<'_> {
    fn equivalent(&self, key: &Who) -> bool {
        key.subject == self.0.subject && key.roles == self.0.roles
    }
}

impl Plane {
    /// The plane as this principal sees it: itself, where there are no policies. The view of a view is the view.
    pub(crate) fn seen_by(self: &Arc<Self>, principal: &Principal) -> Arc<Self> {
        let (Some(views), Some(policies)) = (&self.views, &self.snapshot.policies) else { return Arc::clone(self) };
        let kept = views.by_principal.pin();
        if let Some(view) = kept.get(&Asked(principal)) {
            return Arc::clone(view);
        }
        let view = self.view(views, policies, principal);
        if kept.len() >= limit::VIEWED {
            kept.clear();
        }
        let who = Who { subject: Arc::clone(&principal.subject), roles: Arc::clone(&principal.roles) };
        kept.insert(who, Arc::clone(&view));
        view
    }

    fn view(&self, views: &Views, policies: &Policies, principal: &Principal) -> Arc<Self> {
        let concerning = policies.concerning(&Caller { name: &principal.subject, roles: &principal.roles });
        let mut kinds = views.by_kind.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(view) = kinds.get(&concerning) {
            return Arc::clone(view);
        }
        let names = self.snapshot.servers.iter().map(|server| &server.name);
        let view = Arc::new(self.of_permits(Permits::new(policies, &concerning, names)));
        if kinds.len() >= limit::VIEWS {
            kinds.clear();
            views.by_principal.pin().clear();
        }
        kinds.insert(concerning, Arc::clone(&view));
        view
    }

    /// The plane with the servers that are in reach.
    fn of_permits(&self, permits: Permits) -> Self {
        let in_reach = |server: &str| permits.reach(server);
        Self {
            snapshot: Arc::clone(&self.snapshot),
            known: Arc::clone(&self.known),
            configured: Arc::clone(&self.configured),
            rules: Arc::clone(&self.rules),
            servers: self
                .servers
                .iter()
                .filter(|(name, _)| in_reach(name))
                .map(|(n, u)| (Arc::clone(n), Arc::clone(u)))
                .collect(),
            tokens: self
                .tokens
                .iter()
                .filter(|(_, u)| in_reach(u.name()))
                .map(|(t, u)| (t.clone(), Arc::clone(u)))
                .collect(),
            ids: self.servers.values().filter(|u| in_reach(u.name())).map(|u| u.id).collect(),
            generation: self.generation,
            isolation: self.isolation,
            modern_until: Default::default(),
            views: None,
            permits: Some(Arc::new(permits)),
            _inside: Arc::clone(&self._inside),
        }
    }
}

impl Views {
    /// None where there are no policies: everybody sees the plane itself.
    pub(super) fn of(snapshot: &Snapshot) -> Option<Self> {
        snapshot.policies.as_ref().map(|_| Self::default())
    }
}
