//! Whom nodes refused, on its way into the audit log: each line of a node once, however often the node says it.

use jiff::Timestamp;
use rusqlite::Connection;
use sluice_contract::v1;

use crate::audit::{self, Event};
use crate::store::{StoreError, heard};

/// Who was refused, where that is not one, or not known.
const SEVERAL: &str = "several";

/// Writes what a node says, but for lines that are known, and notes up to which it is known then: both or neither.
pub(super) fn remember(
    connection: &Connection,
    now: Timestamp,
    node: &str,
    said: v1::Denials,
) -> Result<(), StoreError> {
    let known = heard::up_to(connection, node, said.life)?;
    let mut number = said.first;
    for denial in said.denials {
        if number > known {
            audit::record(connection, now, event(node, denial))?;
        }
        number += 1;
    }
    heard::keep(connection, now, node, said.life, known.max(number.saturating_sub(1)))
}

fn event(node: &str, denial: v1::Denial) -> Event {
    let v1::Denial { at_ms, principal, method, server, object, reason, count, unlisted, address } = denial;
    let at = i64::try_from(at_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or_default();
    let times = match count {
        1 => format!("at {at:.0}"),
        count => format!("{count} times until {at:.0}"),
    };
    let actor = [principal, address].into_iter().find(|name| !name.is_empty());
    let what = match method.as_str() {
        _ if unlisted => "refused, and there was no room to keep whom and what".to_owned(),
        "" => "refused in too many ways to tell them apart".to_owned(),
        // it was not read what was asked for
        "other" => reason,
        method => format!("{method}: {reason}"),
    };
    Event {
        actor: actor.unwrap_or_else(|| SEVERAL.to_owned()),
        action: audit::DENIED,
        object: format!("{server}/{object}").trim_matches('/').to_owned(),
        detail: format!("{what}, {times} on node {node}"),
        ..Event::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Folder, Store};

    fn denial(object: &str, count: u64) -> v1::Denial {
        v1::Denial {
            at_ms: 1_000,
            principal: "client:a".to_owned(),
            method: "tools/call".to_owned(),
            server: "s".to_owned(),
            object: object.to_owned(),
            reason: "hidden by policies".to_owned(),
            count,
            ..v1::Denial::default()
        }
    }

    #[test]
    fn what_is_said_again_is_written_once_and_another_process_counts_anew() {
        let folder = tempfile::tempdir().unwrap();
        let now = Timestamp::from_second(2).unwrap();
        let store = Store::open(Folder::new(folder.path()), now).unwrap();
        let say = |node: &str, life: u64, first: u64, objects: &[&str]| {
            let denials = objects.iter().map(|object| denial(object, 1)).collect();
            let said = v1::Denials { life, first, denials };
            store.write_now(|db| remember(db, now, node, said)).unwrap();
        };
        let told = || {
            let entries = store.read_now(|db| audit::before(db, u64::MAX, 100, true)).unwrap();
            let mut objects: Vec<_> = entries.into_iter().map(|entry| entry.object).collect();
            objects.reverse();
            objects
        };
        say("a", u64::MAX, 1, &["one", "two"]);
        say("a", u64::MAX, 1, &["one", "two", "three"]);
        say("a", u64::MAX, 3, &["three"]);
        assert_eq!(told(), ["s/one", "s/two", "s/three"]);
        // another process of the node, which knows the first one still speaks; and another node
        say("a", 7, 1, &["four"]);
        say("a", u64::MAX, 2, &["two", "three", "five"]);
        say("b", u64::MAX, 1, &["six"]);
        assert_eq!(told()[3..], ["s/four", "s/five", "s/six"]);
        assert!(store.read_now(audit::verify).unwrap().broken_at.is_none());
    }

    #[test]
    fn a_denial_is_told_with_how_often_and_when() {
        let told = |denial: v1::Denial| {
            let event = event("edge", denial);
            format!("{} {}: {}", event.actor, event.object, event.detail)
        };
        assert_eq!(
            told(denial("t", 1)),
            "client:a s/t: tools/call: hidden by policies, at 1970-01-01T00:00:01Z on node edge"
        );
        assert_eq!(
            told(v1::Denial { object: String::new(), ..denial("", 41) }),
            "client:a s: tools/call: hidden by policies, 41 times until 1970-01-01T00:00:01Z on node edge"
        );
        let stranger = v1::Denial {
            address: "10.0.0.7".to_owned(),
            reason: "bad_credential".to_owned(),
            method: "other".to_owned(),
            count: 2,
            at_ms: 1_000,
            ..v1::Denial::default()
        };
        assert!(told(stranger).starts_with("10.0.0.7 : bad_credential, 2 times until"));
        let unlisted = v1::Denial { unlisted: true, count: 3, at_ms: 1_000, ..v1::Denial::default() };
        assert!(told(unlisted).starts_with("several : refused, and there was no room"));
    }
}
