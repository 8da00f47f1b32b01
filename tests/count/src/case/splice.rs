//! Changing two places of a message.

use std::hint::black_box;

use bytes::Bytes;
use sluice_mcp::{Edit, ScanLimits, join, scan, splice, without_newlines};

use super::{FEW, MANY, Row, Work, work};
use crate::input::{LARGE, MEDIUM, SMALL, legacy_call};

pub(super) const CASES: &[Row] = &[
    ("splice: 2 edits, 200 B", MANY, || two_edits(SMALL, false)),
    ("splice: 2 edits, 1 MB", MANY, || two_edits(LARGE, false)),
    ("splice: 2 edits and join, 200 B", MANY, || two_edits(SMALL, true)),
    ("splice: 2 edits and join, 1 MB", FEW, || two_edits(LARGE, true)),
    ("splice: look for newlines, 4 KB", MANY, newlines),
];

/// Another id and another name, as on the way to a server that is shared.
fn two_edits(bytes: usize, joined: bool) -> Work {
    let body = legacy_call(bytes);
    let message = scan(&body, ScanLimits::default()).expect("the inputs are good");
    let (id, name) = (message.id.expect("it is a request"), message.p.name.expect("it is a call"));
    let (new_id, new_name) = (Bytes::from_static(b"\"7.1\""), Bytes::from_static(b"\"orders\""));
    work(move || {
        let edit = |span, with: &Bytes| Edit { span, with: with.clone() };
        let chunks = splice(black_box(&body), &mut [edit(name, &new_name), edit(id, &new_id)]);
        let whole = joined.then(|| join(&chunks));
        (chunks, whole)
    })
}

/// None are found: the body goes on as it is.
fn newlines() -> Work {
    let body = legacy_call(MEDIUM);
    work(move || without_newlines(black_box(&body).clone()))
}
