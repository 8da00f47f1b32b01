//! Handles and links in what goes to a client: looked for in whole answers, replaced in those that stream past.

use std::hint::black_box;

use bytes::Bytes;
use sluice_mcp::{HandleFilter, handles, handles_and_links};
use smallvec::SmallVec;

use super::{MANY, Row, SOME, Work, work};
use crate::input::{SMALL, answer, linking_answer, tools};

/// As much as a connection reads at once.
const CHUNK: usize = 16 * 1024;
/// No handle is larger.
const LIMIT: usize = 64 * 1024;

pub(super) const CASES: &[Row] = &[
    ("handles: none in 200 B", MANY, || find(answer(SMALL), false)),
    ("handles: none in 48 KB", MANY, || find(tools(100), false)),
    ("handles: none, no links, 200 B", MANY, || find(answer(SMALL), true)),
    ("handles: none, no links, 48 KB", MANY, || find(tools(100), true)),
    ("handles: 1 link in 48 KB", SOME, || find(linking_answer(1), true)),
    ("handles: 100 links in 48 KB", SOME, || find(linking_answer(100), true)),
    ("handles: filter 48 KB", SOME, || filter(tools(100), HandleFilter::new)),
    ("handles: filter 100 links, 48 KB", SOME, || filter(linking_answer(100), HandleFilter::with_links)),
];

fn find(body: Bytes, links: bool) -> Work {
    let find = if links { handles_and_links } else { handles };
    work(move || {
        let mut found = SmallVec::new();
        find(black_box(&body), &mut found);
        found
    })
}

fn filter(body: Bytes, filter: fn(usize) -> HandleFilter) -> Work {
    let chunks: Vec<Bytes> = body.chunks(CHUNK).map(|chunk| body.slice_ref(chunk)).collect();
    let mut out = Vec::with_capacity(1024);
    Box::new(move || {
        let mut filter = filter(LIMIT);
        for chunk in black_box(&chunks) {
            filter.feed(chunk, &mut out, &mut |_, handle| format!("fs+{handle}")).expect("no handle is too large");
        }
        filter.finish(&mut out).expect("no handle is too large");
        black_box(&out);
        out.clear();
    })
}
