//! What a person changes about tools, in calls and in lists.

use std::hint::black_box;

use bytes::Bytes;
use sluice_mcp::{ItemEdit, Method, ScanLimits, edit_arguments, edit_item, join, scan, splice};
use smallvec::SmallVec;

use super::{MANY, Row, Work, work};
use crate::input::{SMALL, modern_call, tool};

pub(super) const CASES: &[Row] = &[
    ("curate: 1 forced, 1 default", MANY, || arguments(&[("region", "\"eu\"")], &[("limit", "10")])),
    ("curate: a call left as it is", MANY, || arguments(&[], &[])),
    ("curate: rename a listed tool", MANY, || item(ItemEdit { name: Some("files_tool_7"), ..ItemEdit::default() })),
    ("curate: force a listed argument", MANY, || {
        item(ItemEdit { name: Some("files_tool_7"), forced: &[("limit", "10")], ..ItemEdit::default() })
    }),
];

type Values = &'static [(&'static str, &'static str)];

fn arguments(defaults: Values, forced: Values) -> Work {
    let body = modern_call(SMALL);
    let message = scan(&body, ScanLimits::default()).expect("the inputs are good");
    work(move || {
        let mut edits = SmallVec::new();
        edit_arguments(black_box(&body), &message, defaults, forced, &mut edits).expect("the arguments are good");
        join(&splice(&body, &mut edits))
    })
}

fn item(edit: ItemEdit<'static>) -> Work {
    let item = Bytes::from(tool(7));
    work(move || edit_item(black_box(&item), Method::ToolsList, &edit))
}
