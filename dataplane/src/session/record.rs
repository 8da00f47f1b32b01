//! What of a session outlives its process, and how it is written: compactly, sealed with the session keys, and bound to the
//! name it is kept under, so that whoever can write to the store can neither make a session nor give it to somebody else.

use std::collections::BTreeSet;

use bytes::Bytes;
use prost::Message as _;

use super::definition::Definitions;
use super::stream::Process;
use super::{Declared, State};
use crate::auth::PrincipalId;
use crate::seal::Seal;
use crate::upstream::endpoint::Place;

/// A session as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Record {
    pub owner: PrincipalId,
    pub principal: PrincipalId,
    /// What people know the owner by; empty in records of earlier versions.
    pub subject: Box<str>,
    /// The server's key and its definitions; `None` for a session of the merged door.
    pub server: Option<(Box<str>, Definitions)>,
    pub declared: Declared,
    /// Seconds since the epoch.
    pub created: u64,
    pub initialize: Bytes,
    pub state: State,
    /// What a session of the merged door has beyond others.
    pub log_level: Option<Bytes>,
    pub parts: Vec<Part>,
    /// Who has the standing stream, once there was one.
    pub stream: Option<Process>,
}

/// The session with one server of a session of the merged door.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Part {
    pub server: Box<str>,
    pub definitions: Definitions,
    pub state: State,
}

/// A record in the form it is kept in, and its revision, which rises with every change.
pub(crate) struct Sealed {
    pub revision: u64,
    pub bytes: Vec<u8>,
}

/// Bytes of the revision, with which the form begins: stores compare it without a key.
pub(crate) const REVISION: usize = 8;

impl Record {
    /// The state of the session with this server; of the session itself, where none is named.
    pub(crate) fn state_of(&mut self, server: Option<&str>) -> Option<&mut State> {
        match server {
            None => Some(&mut self.state),
            Some(server) => self.parts.iter_mut().find(|part| &*part.server == server).map(|part| &mut part.state),
        }
    }

    /// Seals it as this revision of what is kept under this name.
    pub(crate) fn seal(&self, seal: &Seal, name: &[u8], revision: u64) -> Sealed {
        let mut bytes = revision.to_be_bytes().to_vec();
        bytes.extend(seal.seal_record(&bound(name, revision), &wire::Session::from(self).encode_to_vec()));
        Sealed { revision, bytes }
    }
}

impl Sealed {
    /// What a store has under a name; `None` where it has not the form of a record.
    pub(crate) fn of(bytes: Vec<u8>) -> Option<Self> {
        let revision = u64::from_be_bytes(*bytes.first_chunk::<REVISION>()?);
        (revision != 0).then_some(Self { revision, bytes })
    }

    /// Opens it; `None` where it was not sealed by us, or for another name or revision.
    pub(crate) fn open(&self, seal: &Seal, name: &[u8]) -> Option<Record> {
        let plain = seal.open_record(&bound(name, self.revision), self.bytes.get(REVISION..)?)?;
        wire::Session::decode(&*plain).ok()?.try_into().ok()
    }
}

/// What a record is bound to.
fn bound(name: &[u8], revision: u64) -> Vec<u8> {
    [&revision.to_be_bytes(), name].concat()
}

/// How a record is written: fields that a later version adds do not keep this one from reading it.
mod wire {
    use super::{BTreeSet, Bytes, Declared, Definitions, Place, PrincipalId, Process};

    #[derive(Clone, PartialEq, prost::Message)]
    #[prost(skip_debug)]
    pub(super) struct Session {
        #[prost(bytes = "bytes", tag = "1")]
        pub owner: Bytes,
        /// Absent: the owner.
        #[prost(bytes = "bytes", optional, tag = "2")]
        pub principal: Option<Bytes>,
        /// Absent: all servers.
        #[prost(string, optional, tag = "3")]
        pub server: Option<String>,
        #[prost(fixed64, repeated, packed = "false", tag = "4")]
        pub definitions: Vec<u64>,
        #[prost(bool, tag = "5")]
        pub asks: bool,
        #[prost(uint64, tag = "6")]
        pub created: u64,
        #[prost(bytes = "bytes", tag = "7")]
        pub initialize: Bytes,
        #[prost(message, required, tag = "8")]
        pub state: State,
        #[prost(bytes = "bytes", optional, tag = "9")]
        pub log_level: Option<Bytes>,
        #[prost(message, repeated, tag = "10")]
        pub parts: Vec<Part>,
        #[prost(string, tag = "11")]
        pub subject: String,
        /// 0: nobody.
        #[prost(fixed64, tag = "12")]
        pub stream: u64,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    #[prost(skip_debug)]
    pub(super) struct Part {
        #[prost(string, tag = "1")]
        pub server: String,
        #[prost(fixed64, repeated, packed = "false", tag = "2")]
        pub definitions: Vec<u64>,
        #[prost(message, required, tag = "3")]
        pub state: State,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    #[prost(skip_debug)]
    pub(super) struct State {
        #[prost(uint64, tag = "1")]
        pub epoch: u64,
        #[prost(bytes = "bytes", optional, tag = "2")]
        pub upstream: Option<Bytes>,
        #[prost(bytes = "bytes", optional, tag = "3")]
        pub version: Option<Bytes>,
        #[prost(bytes = "bytes", optional, tag = "4")]
        pub log_level: Option<Bytes>,
        #[prost(bytes = "bytes", repeated, tag = "5")]
        pub subscriptions: Vec<Bytes>,
        #[prost(uint32, tag = "6")]
        pub told: u32,
        /// Absent: nowhere to stay.
        #[prost(fixed64, optional, tag = "7")]
        pub place: Option<u64>,
        #[prost(uint32, tag = "8")]
        pub untold: u32,
    }

    impl From<&super::State> for State {
        fn from(state: &super::State) -> Self {
            let super::State { epoch, upstream, place, version, log_level, subscriptions, told, untold } =
                state.clone();
            let (subscriptions, place) = (subscriptions.into_iter().collect(), place.map(Place::number));
            let (told, untold) = (told.into(), untold.into());
            Self { epoch, upstream, version, log_level, subscriptions, told, place, untold }
        }
    }

    impl From<State> for super::State {
        fn from(state: State) -> Self {
            let State { epoch, upstream, version, log_level, subscriptions, told, place, untold } = state;
            let (subscriptions, place) = (BTreeSet::from_iter(subscriptions), place.and_then(Place::numbered));
            // bits that a later version may add mean nothing to this one
            let (told, untold) = ((told & 0xff) as u8, (untold & 0xff) as u8);
            Self { epoch, upstream, place, version, log_level, subscriptions, told, untold }
        }
    }

    impl From<&super::Record> for Session {
        fn from(record: &super::Record) -> Self {
            let id = |principal: PrincipalId| Bytes::copy_from_slice(&principal.0);
            let part = |part: &super::Part| Part {
                server: part.server.to_string(),
                definitions: part.definitions.numbers(),
                state: (&part.state).into(),
            };
            Self {
                owner: id(record.owner),
                principal: (record.principal != record.owner).then(|| id(record.principal)),
                server: record.server.as_ref().map(|(server, _)| server.to_string()),
                definitions: record.server.as_ref().map_or_else(Vec::new, |(_, definitions)| definitions.numbers()),
                asks: record.declared.asks,
                created: record.created,
                initialize: record.initialize.clone(),
                state: (&record.state).into(),
                log_level: record.log_level.clone(),
                parts: record.parts.iter().map(part).collect(),
                subject: record.subject.to_string(),
                stream: record.stream.map_or(0, Process::number),
            }
        }
    }

    impl TryFrom<Session> for super::Record {
        type Error = std::array::TryFromSliceError;

        fn try_from(session: Session) -> Result<Self, Self::Error> {
            let owner = PrincipalId((&*session.owner).try_into()?);
            let part = |part: Part| super::Part {
                server: part.server.into(),
                definitions: Definitions::numbered(part.definitions),
                state: part.state.into(),
            };
            Ok(Self {
                owner,
                principal: match &session.principal {
                    Some(principal) => PrincipalId((&**principal).try_into()?),
                    None => owner,
                },
                subject: session.subject.into(),
                server: session.server.map(|server| (server.into(), Definitions::numbered(session.definitions))),
                declared: Declared { asks: session.asks },
                created: session.created,
                initialize: session.initialize,
                state: session.state.into(),
                log_level: session.log_level,
                parts: session.parts.into_iter().map(part).collect(),
                stream: Process::numbered(session.stream),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            owner: PrincipalId([1; 16]),
            principal: PrincipalId([2; 16]),
            subject: "client:alice".into(),
            server: Some(("one".into(), Definitions::numbered(vec![3, 4]))),
            declared: Declared { asks: true },
            created: 1_800_000_000,
            initialize: Bytes::from_static(br#"{"jsonrpc":"2.0","id":1,"method":"initialize"}"#),
            state: State {
                epoch: 2,
                upstream: Some(Bytes::from_static(b"upstream-session")),
                place: Place::numbered(6),
                version: Some(Bytes::from_static(b"2025-11-25")),
                log_level: Some(Bytes::from_static(b"{}")),
                subscriptions: [Bytes::from_static(b"\"file:///a\"")].into(),
                told: 1,
                untold: 6,
            },
            log_level: None,
            parts: vec![Part {
                server: "two".into(),
                definitions: Definitions::numbered(vec![5]),
                state: State::default(),
            }],
            stream: Some(Process::fresh()),
        }
    }

    #[test]
    fn a_record_comes_back_as_it_was_written() {
        let seal = Seal::new(&[7; 32]);
        for record in [record(), Record { server: None, principal: PrincipalId([1; 16]), ..record() }] {
            let sealed = Sealed::of(record.seal(&seal, b"sluice:{x}", 5).bytes).unwrap();
            assert_eq!((sealed.revision, sealed.open(&seal, b"sluice:{x}").as_ref()), (5, Some(&record)));
        }
    }

    #[test]
    fn a_record_that_was_changed_moved_or_sealed_by_another_is_none() {
        let seal = Seal::new(&[7; 32]);
        let good = record().seal(&seal, b"sluice:{x}", 5).bytes;
        let opens =
            |seal: &Seal, name: &[u8], bytes: Vec<u8>| Sealed::of(bytes).is_some_and(|s| s.open(seal, name).is_some());
        assert!(opens(&seal, b"sluice:{x}", good.clone()));
        assert!(!opens(&seal, b"sluice:{y}", good.clone()), "moved to another session");
        assert!(!opens(&Seal::new(&[8; 32]), b"sluice:{x}", good.clone()), "another key");
        for at in 0..good.len() {
            let mut forged = good.clone();
            forged[at] ^= 1;
            assert!(!opens(&seal, b"sluice:{x}", forged), "byte {at}");
            assert!(!opens(&seal, b"sluice:{x}", good[..at].to_vec()), "cut at {at}");
        }
    }
}
