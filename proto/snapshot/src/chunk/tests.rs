//! Cutting and assembling are inverse, unchanged servers keep their chunk, and what cannot be trusted is refused.

use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::Fault;
use crate::parse::Given;
use crate::parse::tests::{good, http};

fn server(name: &str, timeout_ms: u64) -> v1::Server {
    v1::Server { timeout_ms, ..http(name, "https://example.com/mcp") }
}

fn snapshot(revision: u64, name: &str, servers: Vec<v1::Server>) -> v1::Snapshot {
    v1::Snapshot { revision, name: name.to_owned(), servers, ..good() }
}

/// The message that was cut.
fn assemble(manifest: &v1::Manifest, chunks: &Chunks) -> Result<v1::Snapshot, Vec<Fault>> {
    let held = Held { manifest: manifest.clone(), chunks: chunks.clone() };
    let (base, servers) = held::read(&held, None)?;
    let message = |given| match given {
        Given::Read(server) => *server,
        Given::Message(_) | Given::Parsed(_) => panic!("nothing was parsed before"),
    };
    Ok(v1::Snapshot { servers: servers.into_iter().map(message).collect(), ..base })
}

/// What a node asks for and gets: every chunk it lacks, in pieces of at most `piece` bytes.
fn send(incoming: &mut Incoming, chunks: &Chunks, piece: usize) -> Result<(), Fault> {
    for name in incoming.missing.clone() {
        let bytes = &chunks[&name];
        let pieces = bytes.len().div_ceil(piece).max(1);
        for index in 0..pieces {
            let end = bytes.len().min((index + 1) * piece);
            let bytes = bytes.slice(index * piece..end);
            incoming.take(v1::Part { chunk: name.to_wire(), bytes, last: index + 1 == pieces })?;
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn what_is_cut_is_assembled_to_the_same(
        revision in any::<u64>(), name in ".{0,40}", servers in prop::collection::vec(("[a-z]{1,8}", any::<u64>()), 0..20),
        secrets in prop::collection::btree_map("[a-z]{1,8}", (any::<u64>(), any::<[u8; 32]>(), ".{0,40}"), 0..5),
        held in 0usize..20, piece in 1usize..200,
    ) {
        let servers = servers.iter().map(|(name, timeout)| server(name, *timeout)).collect::<Vec<_>>();
        let before = snapshot(1, &name, servers[..held.min(servers.len())].to_vec());
        let secret = |(name, (version, chunk, value)): (String, (u64, [u8; 32], String))| {
            v1::Secret { name, version, chunk: chunk.to_vec(), value: value.into_bytes() }
        };
        let secrets = secrets.into_iter().map(secret).collect();
        let after = v1::Snapshot { secrets, ..snapshot(revision, &name, servers) };
        let (_, held) = cut(before);
        let (manifest, chunks) = cut(after.clone());
        prop_assert!(assemble(&manifest, &chunks).ok() == Some(after.clone()));

        let mut incoming = Incoming::new(manifest, &held);
        prop_assert!(incoming.missing.iter().all(|name| !held.contains_key(name)));
        prop_assert!(send(&mut incoming, &chunks, piece).is_ok() && incoming.is_whole());
        let held = incoming.held();
        prop_assert!(assemble(&held.manifest, &held.chunks).ok() == Some(after) && held.chunks == chunks);
    }
}

#[test]
fn a_changed_server_costs_its_chunk_and_a_new_revision_none() {
    let servers = |timeout| vec![server("a", 1), server("b", timeout), server("c", 1)];
    let (_, before) = cut(snapshot(1, "x", servers(1)));
    let (manifest, after) = cut(snapshot(2, "x", servers(2)));
    assert_eq!(after.keys().filter(|name| !before.contains_key(name)).count(), 1);
    let (again, _) = cut(snapshot(3, "x", servers(2)));
    assert_eq!((again.base, again.servers), (manifest.base, manifest.servers));
}

#[test]
fn a_field_or_feature_this_version_does_not_know_is_refused_with_its_place() {
    let (mut manifest, mut chunks) = cut(snapshot(1, "x", vec![server("a", 1), server("b", 1)]));
    manifest.features = vec!["telepathy".to_owned()];
    let mut newer = server("b", 1).encode_to_vec();
    // field 1000, a number: a deny that a newer control plane speaks of
    newer.extend([0xc0, 0x3e, 1]);
    manifest.servers[1] = Name::of(&newer).to_wire();
    chunks.insert(Name::of(&newer), newer.into());
    let faults = assemble(&manifest, &chunks).err().unwrap();
    let paths: Vec<_> = faults.iter().map(|fault| fault.path.as_str()).collect();
    assert_eq!(paths, ["features", "servers[1]"]);
    assert!(faults.iter().all(|fault| fault.reason.contains("upgraded")));
}

#[test]
fn every_missing_or_broken_chunk_is_told() {
    let (mut manifest, chunks) = cut(snapshot(1, "x", vec![server("a", 1), server("b", 1)]));
    manifest.servers[0] = vec![1; 32];
    manifest.servers[1] = vec![1; 3];
    let faults = assemble(&manifest, &chunks).err().unwrap();
    assert_eq!(faults.iter().map(|fault| fault.path.as_str()).collect::<Vec<_>>(), ["servers[0]", "servers[1]"]);
}

#[test]
fn pieces_that_do_not_make_their_chunk_are_refused() {
    let (manifest, chunks) = cut(snapshot(1, "x", vec![server("a", 1), server("b", 1)]));
    let names: Vec<Name> = chunks.keys().copied().collect();
    let take = |parts: &[(Name, &[u8], bool)]| {
        let mut incoming = Incoming::new(manifest.clone(), &Chunks::new());
        parts.iter().try_for_each(|(name, bytes, last)| {
            incoming.take(v1::Part { chunk: name.to_wire(), bytes: Bytes::copy_from_slice(bytes), last: *last })
        })
    };
    assert!(take(&[(names[0], &chunks[&names[0]], true)]).is_ok());
    assert!(take(&[(names[0], b"other bytes", true)]).is_err(), "not what its name says");
    assert!(take(&[(names[0], b"x", false), (names[1], b"x", true)]).is_err(), "two chunks at once");
    assert!(take(&[(names[0], &vec![0; PART_BYTES + 1], true)]).is_err(), "too large a piece");
}

#[test]
fn a_secret_is_waited_for_and_its_name_is_no_digest() {
    let name = Name::from_wire(&[9; 32]).unwrap();
    let github = v1::Secret { name: "github".into(), version: 1, chunk: name.to_wire(), value: b"t0ken".to_vec() };
    let (_, held) = cut(snapshot(1, "x", vec![]));
    let (manifest, chunks) = cut(v1::Snapshot { secrets: vec![github], ..snapshot(1, "x", vec![]) });
    assert_eq!(chunks.keys().filter(|name| !held.contains_key(name)).collect::<Vec<_>>(), [&name]);
    let faults = assemble(&manifest, &held).err().unwrap();
    assert_eq!(faults[0].to_string(), "secrets[0]: the value of secret `github` is missing");
    let mut incoming = Incoming::new(manifest, &held);
    assert!(!incoming.is_whole());
    assert!(send(&mut incoming, &chunks, 2).is_ok() && incoming.is_whole());
    let held = incoming.held();
    let Ok(snapshot) = assemble(&held.manifest, &held.chunks) else { panic!("refused") };
    assert_eq!(snapshot.secrets[0].value, b"t0ken");
}
