//! Reading a message, on its way in and on its way back.

use std::hint::black_box;

use bytes::Bytes;
use sluice_mcp::{ScanLimits, scan};

use super::{FEW, MANY, Row, SOME, Work, work};
use crate::input::{LARGE, MEDIUM, SMALL, answer, legacy_call, modern_call, tools};

pub(super) const CASES: &[Row] = &[
    ("scan: legacy call 200 B", MANY, || of(legacy_call(SMALL))),
    ("scan: modern call 200 B", MANY, || of(modern_call(SMALL))),
    ("scan: legacy call 4 KB", MANY, || of(legacy_call(MEDIUM))),
    ("scan: legacy call 1 MB", FEW, || of(legacy_call(LARGE))),
    ("scan: answer 200 B", MANY, || of(answer(SMALL))),
    ("scan: list of 100", SOME, || of(tools(100))),
];

fn of(body: Bytes) -> Work {
    let limits = ScanLimits::default();
    work(move || scan(black_box(&body), limits).expect("the inputs are good"))
}
