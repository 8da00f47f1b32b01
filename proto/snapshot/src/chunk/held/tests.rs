//! What is taken over is what would have been parsed: with the snapshot before and without it, the same comes of everything that may
//! come, also of what is wrong.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::chunk::cut;
use crate::parse::tests::{good, http};

/// How a server is configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    Slow,
    Curated,
    /// Shows the secret of its own name.
    Secretive,
    /// Two of its tools get one name.
    Ambiguous,
    /// Nobody can wait so long.
    Endless,
}

/// What is wrong with what is held, beside what it says.
#[derive(Debug, Clone, Copy)]
enum Spoilt {
    Feature,
    /// Of the server at this place, if there is one.
    Missing(usize),
    NoName(usize),
    UnknownField(usize),
    /// Its chunk is that of another server, under its own name.
    Exchanged(usize),
}

#[derive(Debug, Clone)]
struct Revision {
    name: &'static str,
    servers: Vec<(&'static str, Kind)>,
    /// A secret that no server needs.
    idle_secret: bool,
    /// Their secrets have these names of chunks.
    secrets: u8,
    spoilt: Option<Spoilt>,
}

prop_compose! {
    fn any_server()(
        name in prop::sample::select(vec!["a", "b", "c", "d", "e"]),
        kind in prop_oneof![
            8 => Just(Kind::Plain), 4 => Just(Kind::Slow), 8 => Just(Kind::Curated), 8 => Just(Kind::Secretive),
            1 => Just(Kind::Ambiguous), 1 => Just(Kind::Endless),
        ],
    ) -> (&'static str, Kind) {
        (name, kind)
    }
}

prop_compose! {
    fn any_revision()(
        name in prop_oneof![9 => Just("x"), 4 => Just("y"), 1 => Just(" ")],
        servers in prop::collection::vec(any_server(), 0..6),
        twice in prop::bool::weighted(0.1),
        idle_secret in prop::bool::weighted(0.1),
        secrets in 1u8..3,
        spoilt in prop::option::weighted(0.3, (0usize..6, 0u8..5).prop_map(|(at, what)| match what {
            0 => Spoilt::Feature,
            1 => Spoilt::Missing(at),
            2 => Spoilt::NoName(at),
            3 => Spoilt::UnknownField(at),
            _ => Spoilt::Exchanged(at),
        })),
    ) -> Revision {
        let mut names = BTreeSet::new();
        let servers = servers.into_iter().filter(|(name, _)| names.insert(*name) || twice).collect();
        Revision { name, servers, idle_secret, secrets, spoilt }
    }
}

fn server(name: &str, kind: Kind) -> v1::Server {
    let plain = http(name, "https://example.com/mcp");
    let edit = |tool: &str, name: &str| v1::ToolEdit {
        tool: tool.to_owned(),
        name: Some(name.to_owned()),
        ..v1::ToolEdit::default()
    };
    let curated = |edits| Some(v1::Curation { tool_edits: edits, ..v1::Curation::default() });
    match kind {
        Kind::Plain => plain,
        Kind::Slow => v1::Server { timeout_ms: 90_000, ..plain },
        Kind::Curated => v1::Server { curation: curated(vec![edit("t", "u"), edit("v", "w")]), ..plain },
        Kind::Ambiguous => v1::Server { curation: curated(vec![edit("t", "u"), edit("v", "u")]), ..plain },
        Kind::Endless => v1::Server { timeout_ms: u64::MAX, ..plain },
        Kind::Secretive => {
            let source = v1::sensitive::Source::Secret(name.to_owned());
            let value = Some(v1::Sensitive { source: Some(source) });
            let headers = vec![v1::Header { name: "x-key".to_owned(), value }];
            let endpoint = v1::HttpEndpoint { url: "https://example.com/mcp".into(), headers, ..Default::default() };
            v1::Server { transport: Some(v1::server::Transport::Http(endpoint)), ..plain }
        }
    }
}

impl Revision {
    fn held(&self, revision: u64) -> Arc<Held> {
        let needed = self.servers.iter().filter(|(_, kind)| *kind == Kind::Secretive).map(|(name, _)| *name);
        let needed: BTreeSet<&str> = needed.chain(self.idle_secret.then_some("idle")).collect();
        let secret = |(at, name): (usize, &str)| v1::Secret {
            name: name.to_owned(),
            version: revision,
            chunk: vec![self.secrets * 10 + at as u8; 32],
            value: format!("{name} in revision {revision}").into_bytes(),
        };
        let snapshot = v1::Snapshot {
            revision,
            name: self.name.to_owned(),
            servers: self.servers.iter().map(|(name, kind)| server(name, *kind)).collect(),
            secrets: needed.into_iter().enumerate().map(secret).collect(),
            ..good()
        };
        let (manifest, chunks) = cut(snapshot);
        let mut held = Held { manifest, chunks };
        if let Some(spoilt) = self.spoilt {
            spoil(&mut held, spoilt);
        }
        Arc::new(held)
    }
}

fn spoil(Held { manifest, chunks }: &mut Held, spoilt: Spoilt) {
    let servers = manifest.servers.len();
    let name = |manifest: &v1::Manifest, at: usize| Name::from_wire(&manifest.servers[at]).unwrap();
    match spoilt {
        Spoilt::Feature => manifest.features.push("telepathy".to_owned()),
        Spoilt::Missing(at) if at < servers => drop(chunks.remove(&name(manifest, at))),
        Spoilt::NoName(at) if at < servers => manifest.servers[at] = vec![1; 3],
        Spoilt::UnknownField(at) if at < servers => {
            let mut newer = chunks.get(&name(manifest, at)).map(|bytes| bytes.to_vec()).unwrap_or_default();
            // field 1000, a number
            newer.extend([0xc0, 0x3e, 1]);
            manifest.servers[at] = Name::of(&newer).to_wire();
            chunks.insert(Name::of(&newer), newer.into());
        }
        Spoilt::Exchanged(at) if at < servers => {
            let other = server("other", Kind::Curated).encode_to_vec();
            chunks.insert(name(manifest, at), other.into());
        }
        Spoilt::Missing(_) | Spoilt::NoName(_) | Spoilt::UnknownField(_) | Spoilt::Exchanged(_) => {}
    }
}

/// The snapshot, or the faults in an order of their own: secrets that nobody needs are found in any.
fn told(parsed: &Result<Parsed, Vec<Fault>>) -> Result<&Snapshot, Vec<String>> {
    parsed.as_ref().map(|parsed| &*parsed.snapshot).map_err(|faults| {
        let mut told: Vec<String> = faults.iter().map(ToString::to_string).collect();
        told.sort();
        told
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn what_was_before_makes_no_difference(revisions in prop::collection::vec(any_revision(), 1..8)) {
        let mut before: Option<Parsed> = None;
        for (index, revision) in revisions.iter().enumerate() {
            let held = revision.held(index as u64);
            let parsed = Parsed::of(&held, before.as_ref());
            let anew = Parsed::of(&held, None);
            prop_assert_eq!(told(&parsed), told(&anew));
            // what is refused is as if it had never come
            if let Ok(parsed) = parsed {
                prop_assert_eq!(parsed.snapshot.servers.len(), revision.servers.len());
                before = Some(parsed);
            }
        }
    }

    #[test]
    fn what_stays_is_taken_over_wherever_it_stands(
        servers in prop::collection::btree_map("[a-z]{1,8}", 0u64..3, 1..20),
        changed in prop::collection::vec(any::<bool>(), 20),
        turn in 0usize..20,
    ) {
        let snapshot = |revision: u64, changed: &[bool]| {
            let each = servers.iter().zip(changed);
            let mut servers: Vec<_> = each.map(|((name, timeout), changed)| {
                v1::Server { timeout_ms: 1 + timeout + if *changed { 10 } else { 0 }, ..server(name, Kind::Curated) }
            }).collect();
            let middle = turn * revision as usize % servers.len();
            servers.rotate_left(middle);
            let (manifest, chunks) = cut(v1::Snapshot { revision, servers, ..good() });
            Arc::new(Held { manifest, chunks })
        };
        let before = Parsed::of(&snapshot(0, &[false; 20]), None).unwrap_or_else(|faults| panic!("{faults:?}"));
        let after = Parsed::of(&snapshot(1, &changed), Some(&before)).unwrap_or_else(|faults| panic!("{faults:?}"));
        for (name, changed) in servers.keys().zip(changed) {
            let [one, two] = [&before, &after].map(|parsed| parsed.snapshot.server(name).unwrap());
            prop_assert_eq!(Arc::ptr_eq(one, two), !changed);
        }
    }
}

/// A chunk is named by whoever sends it where a secret has its name: the bytes count.
#[test]
fn other_bytes_under_the_same_name_are_another_server() {
    let held = |kind| {
        let (manifest, chunks) = cut(v1::Snapshot { servers: vec![server("a", Kind::Plain)], ..good() });
        let mut held = Held { manifest, chunks };
        let name = Name::from_wire(&held.manifest.servers[0]).unwrap();
        held.chunks.insert(name, server("a", kind).encode_to_vec().into());
        Arc::new(held)
    };
    let Ok(before) = Parsed::of(&held(Kind::Plain), None) else { panic!("refused") };
    let Ok(after) = Parsed::of(&held(Kind::Slow), Some(&before)) else { panic!("refused") };
    assert_eq!(after.snapshot.servers[0].timeout.as_secs(), 90);
}
