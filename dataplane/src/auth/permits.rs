//! What one kind of principal may do, kept as verdicts: patterns are matched once for each name, not for each call. What
//! policies mean is said in `sluice_snapshot::policy`, where they are judged.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::mem::{Discriminant, discriminant};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use papaya::{Equivalent, HashMap as Concurrent};
use sluice_snapshot::policy::{Object, Policies, Rules, Verdict};

use crate::limit;

/// What one kind of principal may do with the servers of a plane. Those out of reach are not in it.
pub(crate) struct Permits {
    /// Unique in the process: what is kept for one kind of principal is found by it.
    pub number: u64,
    servers: HashMap<Arc<str>, OfServer, foldhash::fast::RandomState>,
    /// Verdicts on what rules single out.
    verdicts: Concurrent<Single, Arc<Verdict>, foldhash::fast::RandomState>,
}

struct OfServer {
    rules: Rules,
    /// The verdict on the server as such.
    whole: Arc<Verdict>,
    /// Rules single nothing out: the verdict on the server holds for all of it.
    uniform: bool,
}

/// Something of a server, by which kind of thing it is and its name.
#[derive(PartialEq, Eq, Hash)]
struct Single {
    kind: Discriminant<Object<'static>>,
    name: Box<str>,
    server: Arc<str>,
}

/// The same, borrowed.
struct Asked<'a> {
    server: &'a str,
    object: Object<'a>,
}

impl Asked<'_> {
    fn kind(&self) -> Discriminant<Object<'static>> {
        discriminant(&match self.object {
            Object::Server => Object::Server,
            Object::Tool(_) => Object::Tool(""),
            Object::Prompt(_) => Object::Prompt(""),
            Object::Resource(_) => Object::Resource(""),
            Object::Template(_) => Object::Template(""),
        })
    }
}

impl Hash for Asked<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.kind().hash(state);
        self.object.name().hash(state);
        self.server.hash(state);
    }
}

impl Equivalent<Single> for Asked<'_> {
    fn equivalent(&self, key: &Single) -> bool {
        self.kind() == key.kind && *self.object.name() == *key.name && *self.server == *key.server
    }
}

impl Permits {
    /// What the policies at these places grant of these servers.
    pub(crate) fn new<'s>(
        policies: &Policies,
        concerning: &[u32],
        servers: impl Iterator<Item = &'s Arc<str>>,
    ) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let reached = servers.filter_map(|server| {
            let rules = policies.rules(concerning, server);
            rules.reach().then(|| (Arc::clone(server), OfServer::new(rules)))
        });
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self { number, servers: reached.collect(), verdicts: Concurrent::default() }
    }

    /// Whether anything of a server may be listed or called.
    pub(crate) fn reach(&self, server: &str) -> bool {
        self.servers.contains_key(server)
    }

    /// The verdict on an object of a server; `None`: the server is out of reach.
    pub(crate) fn verdict(&self, server: &str, object: Object<'_>) -> Option<Arc<Verdict>> {
        let (server, of) = self.servers.get_key_value(server)?;
        if of.uniform || object == Object::Server {
            return Some(Arc::clone(&of.whole));
        }
        let asked = Asked { server, object };
        let verdicts = self.verdicts.pin();
        if let Some(verdict) = verdicts.get(&asked) {
            return Some(Arc::clone(verdict));
        }
        let verdict = Arc::new(of.rules.judge(object));
        if object.name().len() <= limit::VERDICT_NAME_BYTES {
            if verdicts.len() >= limit::VERDICTS {
                verdicts.clear();
            }
            let single = Single { kind: asked.kind(), name: object.name().into(), server: Arc::clone(server) };
            verdicts.insert(single, Arc::clone(&verdict));
        }
        Some(verdict)
    }

    /// Whether an object of a server is listed. For whole lists, whose outcome is kept elsewhere.
    pub(crate) fn lists(&self, server: &str, object: Object<'_>) -> bool {
        self.servers.get(server).is_some_and(|of| match of.uniform {
            true => of.whole.is_listed(),
            false => of.rules.judge(object).is_listed(),
        })
    }

    /// Whether everything of a server is listed.
    pub(crate) fn list_all(&self, server: &str) -> bool {
        self.servers.get(server).is_some_and(|of| of.uniform && of.whole.is_listed())
    }

    /// Whether both surely grant the same.
    pub(crate) fn grant_as(&self, other: &Self) -> bool {
        let same = |(server, of): (&Arc<str>, &OfServer)| {
            other.servers.get(server).is_some_and(|other| of.rules.grant_as(&other.rules))
        };
        self.number == other.number || self.servers.len() == other.servers.len() && self.servers.iter().all(same)
    }

    /// Whether the same is granted before and after a change of policies; `None`: without policies.
    pub(crate) fn stay(before: Option<&Arc<Self>>, after: Option<&Arc<Self>>) -> bool {
        match (before, after) {
            (None, None) => true,
            (Some(before), Some(after)) => before.grant_as(after),
            _ => false,
        }
    }
}

impl OfServer {
    fn new(rules: Rules) -> Self {
        let whole = Arc::new(rules.judge(Object::Server));
        Self { uniform: rules.are_uniform(), whole, rules }
    }
}
