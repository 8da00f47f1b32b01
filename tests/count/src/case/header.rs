//! The headers that mirror a modern message.

use std::hint::black_box;

use sluice_mcp::header::{check_params, decode_value, encode_value, param_value};
use sluice_mcp::{Mirror, ParamHeader, ParamKind, ScanLimits, header, scan};

use super::{MANY, Row, Work, work};
use crate::input::{SMALL, modern_call};

pub(super) const CASES: &[Row] = &[
    ("header: check of a modern call", MANY, check),
    ("header: check of 2 parameters", MANY, parameters),
    ("header: make 2 parameters", MANY, make),
    ("header: decode and encode plain", MANY, || both_ways("search_orders")),
    ("header: decode and encode Base64", MANY, || both_ways("Müller & Söhne")),
];

fn check() -> Work {
    let body = modern_call(SMALL);
    let message = scan(&body, ScanLimits::default()).expect("the inputs are good");
    let mirror = Mirror { version: Some(b"2026-07-28"), method: Some(b"tools/call"), name: Some(b"search_orders") };
    work(move || header::check(black_box(&mirror), black_box(&body), &message).expect("they agree"))
}

fn asked() -> [ParamHeader; 2] {
    [("region", ParamKind::String), ("limit", ParamKind::Integer)].map(|(name, kind)| ParamHeader {
        header: format!("mcp-param-{name}"),
        path: vec![name.to_owned()],
        kind,
    })
}

const ARGUMENTS: &[u8] = br#"{"text":"the orders of Miller","region":"eu-west","limit":20,"since":"2026-05-01"}"#;

fn parameters() -> Work {
    let asked = asked();
    let get = |name: &str| match name {
        "mcp-param-region" => Some(&b"eu-west"[..]),
        "mcp-param-limit" => Some(&b"20"[..]),
        _ => None,
    };
    work(move || check_params(&asked, get, Some(black_box(ARGUMENTS))).expect("they agree"))
}

fn make() -> Work {
    let asked = asked();
    work(move || asked.each_ref().map(|header| param_value(black_box(ARGUMENTS), header)))
}

fn both_ways(value: &'static str) -> Work {
    let wire = encode_value(value).into_owned();
    Box::new(move || {
        black_box(decode_value(black_box(wire.as_bytes())).expect("it was encoded here"));
        black_box(encode_value(black_box(value)));
    })
}
