//! What the service says, in the words of the contract.

use jiff::Timestamp;
use sluice_contract::v1;

use crate::audit::{Entry, Verdict};
use crate::authority::About;
use crate::hex;
use crate::language::Fault;
use crate::publish::wire;
use crate::service::{
    Authorities, Change, ChangeKind, FieldChange, Judged, Outcome, RevisionAbout, SecretAbout, Shown,
};
use crate::store::tokens::{StoredToken, TokenKind};

pub(super) fn outcome(outcome: Outcome) -> v1::ApplyResponse {
    let Outcome { revision, changes, warnings, faults } = outcome;
    v1::ApplyResponse {
        revision,
        changes: changes.into_iter().map(change).collect(),
        warnings: warnings.into_iter().map(|warning| fault(warning, None)).collect(),
        faults: faults.into_iter().map(|Judged { fault: found, node }| fault(found, node)).collect(),
    }
}

fn change(change: Change) -> v1::Change {
    let became = match change.change {
        ChangeKind::Added => v1::ChangeKind::Added,
        ChangeKind::Changed => v1::ChangeKind::Changed,
        ChangeKind::Removed => v1::ChangeKind::Removed,
    };
    let field = |FieldChange { path, before, after }| v1::FieldChange { path, before, after };
    v1::Change {
        change: became.into(),
        kind: change.kind,
        name: change.name,
        fields: change.fields.into_iter().map(field).collect(),
    }
}

fn fault(fault: Fault, node: Option<String>) -> v1::ConfigurationFault {
    v1::ConfigurationFault { node: node.unwrap_or_default(), ..wire::fault(fault) }
}

pub(super) fn object(shown: Shown) -> v1::Object {
    let Shown { kind, name, json, revision } = shown;
    v1::Object { kind, name, spec_json: json, revision }
}

pub(super) fn secret(about: SecretAbout) -> v1::SecretStatus {
    let SecretAbout { name, version, at, author, used_by, key } = about;
    v1::SecretStatus { name, version, changed_ms: milliseconds(at), author, used_by, key }
}

pub(super) fn revision(about: RevisionAbout) -> v1::Revision {
    v1::Revision {
        revision: about.revision,
        at_ms: milliseconds(about.at),
        author: about.author,
        message: about.message,
        base: about.base,
        changes: about.changes.into_iter().map(change).collect(),
    }
}

pub(super) fn token(token: StoredToken) -> v1::Token {
    let kind = match token.kind {
        TokenKind::Client => v1::TokenKind::Client,
        TokenKind::Person => v1::TokenKind::Person,
        TokenKind::Join => v1::TokenKind::Join,
    };
    v1::Token {
        id: token.id,
        kind: kind.into(),
        name: token.name,
        role: token.role.unwrap_or_default(),
        created_ms: milliseconds(token.created),
        expires_ms: token.expires.map(milliseconds).unwrap_or_default(),
        author: token.author,
        labels: token.labels,
    }
}

pub(super) fn entry(entry: Entry) -> v1::AuditEntry {
    v1::AuditEntry {
        number: entry.number,
        at_ms: u64::try_from(entry.at_ms).unwrap_or_default(),
        actor: entry.actor,
        action: entry.action,
        object: entry.object,
        before: entry.before,
        after: entry.after,
        detail: entry.detail,
        hash: hex::encode(&entry.hash),
    }
}

pub(super) fn verdict(verdict: &Verdict) -> v1::VerifyAuditResponse {
    v1::VerifyAuditResponse {
        intact: verdict.broken_at.is_none(),
        entries: verdict.entries,
        broken_at: verdict.broken_at.unwrap_or_default(),
        head: hex::encode(&verdict.head),
    }
}

/// Times before 1970 are none of ours.
fn milliseconds(at: Timestamp) -> u64 {
    u64::try_from(at.as_millisecond()).unwrap_or_default()
}

/// The authorities, as they are told.
pub(super) fn authorities(Authorities { all, behind }: Authorities) -> v1::Authorities {
    let ms = |at: Timestamp| u64::try_from(at.as_millisecond()).unwrap_or_default();
    let authority = |(about, nodes): (About, Vec<String>)| v1::Authority {
        name: about.name,
        fingerprint: about.fingerprint,
        made_ms: ms(about.made),
        expires_ms: ms(about.ends),
        signs: about.signs,
        nodes,
    };
    v1::Authorities { authorities: all.into_iter().map(authority).collect(), behind }
}
