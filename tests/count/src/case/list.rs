//! Lists as they are read into the catalogue, errors as they are written, and values as digests see them.

use std::hint::black_box;

use sluice_mcp::{Method, ScanLimits, canonical_digest_input, code, error_body, list_page, scan};

use super::{MANY, Row, SOME, Work, work};
use crate::input::{tool, tools};

pub(super) const CASES: &[Row] =
    &[("list: page of 100 tools", SOME, page), ("error: body", MANY, error), ("canonical: a tool", MANY, canonical)];

fn page() -> Work {
    let body = tools(100);
    let message = scan(&body, ScanLimits::default()).expect("the inputs are good");
    work(move || list_page(black_box(&body), &message, Method::ToolsList).expect("it is a list"))
}

fn error() -> Work {
    work(|| error_body(Some(black_box(b"1")), code::HEADER_MISMATCH, "the Mcp-Name header is missing", None))
}

fn canonical() -> Work {
    let tool = tool(7);
    work(move || canonical_digest_input(black_box(tool.as_bytes())))
}
