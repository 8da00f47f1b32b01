//! What is different between two snapshots, in words for a log line.

use std::collections::HashMap;

use sluice_contract::v1;

/// What changed. Values are never told, only where they are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// Servers that are new.
    pub added: Vec<String>,
    /// Servers that are gone.
    pub removed: Vec<String>,
    /// Servers that are the same by name, but not otherwise.
    pub changed: Vec<String>,
    /// What else changed, by its name in the snapshot; `order` stands for that of the servers.
    pub also: Vec<&'static str>,
}

impl Changes {
    /// Compares two snapshots; their revisions do not count.
    #[must_use]
    pub fn between(old: &v1::Snapshot, new: &v1::Snapshot) -> Self {
        let (before, after) = (by_name(old), by_name(new));
        let names = |servers: &[v1::Server], keep: &dyn Fn(&v1::Server) -> bool| -> Vec<String> {
            servers.iter().filter(|server| keep(server)).map(|server| server.name.clone()).collect()
        };
        let kept = |servers: &[v1::Server]| {
            names(servers, &|server| before.contains_key(&*server.name) && after.contains_key(&*server.name))
        };
        let mut also = Vec::new();
        // all of it: what is forgotten here is never published
        let v1::Snapshot {
            revision: _,
            name,
            listener,
            access,
            servers: _,
            limits,
            monitoring,
            prefix,
            sessions,
            policies,
            secrets,
        } = new;
        for (word, differs) in [
            ("name", old.name != *name),
            ("listener", old.listener != *listener),
            ("access", old.access != *access),
            ("limits", old.limits != *limits),
            ("monitoring", old.monitoring != *monitoring),
            ("prefix", old.prefix != *prefix),
            ("sessions", old.sessions != *sessions),
            ("policies", old.policies != *policies),
            ("secrets", old.secrets != *secrets),
            ("order", kept(&old.servers) != kept(&new.servers)),
        ] {
            also.extend(differs.then_some(word));
        }
        Self {
            added: names(&new.servers, &|server| !before.contains_key(&*server.name)),
            removed: names(&old.servers, &|server| !after.contains_key(&*server.name)),
            changed: names(&new.servers, &|server| before.get(&*server.name).is_some_and(|old| *old != server)),
            also,
        }
    }

    /// Nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

fn by_name(snapshot: &v1::Snapshot) -> HashMap<&str, &v1::Server> {
    snapshot.servers.iter().map(|server| (server.name.as_str(), server)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_told_by_name_and_the_rest_by_its_section() {
        let server = |name: &str, timeout_ms| v1::Server { name: name.into(), timeout_ms, ..v1::Server::default() };
        let snapshot = |servers| v1::Snapshot { servers, ..v1::Snapshot::default() };
        let old = snapshot(vec![server("a", 1), server("b", 1), server("c", 1)]);
        let mut new = snapshot(vec![server("c", 1), server("b", 2), server("d", 1)]);
        new.revision = 9;
        new.prefix = v1::Prefix::Never.into();
        let changes = Changes::between(&old, &new);
        assert_eq!((changes.added, changes.removed), (vec!["d".to_owned()], vec!["a".to_owned()]));
        assert_eq!((changes.changed, changes.also), (vec!["b".to_owned()], vec!["prefix", "order"]));
        assert!(Changes::between(&old, &v1::Snapshot { revision: 3, ..old.clone() }).is_empty());
    }
}
