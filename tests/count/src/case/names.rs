//! What names and URIs are on the merged door.

use std::hint::black_box;

use sluice_mcp::{
    ScanLimits, decode_string, encode_string, expose_uri, exposed_name, name_in_ref, readings, scan, split_server,
    split_uri, template_matches,
};

use super::{MANY, Row, Work, work};
use crate::input::completion;

const URI: &str = "file:///orders/2026/17.json";
const LONG: &str = "list_the_orders_of_a_customer_between_two_days_newest_first_with_sums";

pub(super) const CASES: &[Row] = &[
    ("names: expose", MANY, || with("search_orders", |name| exposed_name("files", name))),
    ("names: expose and shorten", MANY, || with(LONG, |name| exposed_name("files", name))),
    ("names: split", MANY, || with("files_search_orders", split_server)),
    ("names: decode a token", MANY, || with(r#""search_orders""#, |raw| decode_string(raw.as_bytes()))),
    ("names: decode an escaped token", MANY, || with(r#""file:\/\/\/a\u00fc""#, |raw| decode_string(raw.as_bytes()))),
    ("names: encode a token", MANY, || with("search_orders", encode_string)),
    ("names: prompt of a completion", MANY, prompt),
    ("uri: expose", MANY, || with(URI, |uri| expose_uri("files", uri))),
    ("uri: split", MANY, || with("files+file:///orders/2026/17.json", split_uri)),
    ("uri: readings", MANY, || with(URI, readings)),
    ("uri: match a template", MANY, || with(URI, |uri| template_matches("file:///orders/{year}/{number}.json", uri))),
];

/// Does something with a text of which the compiler knows nothing.
fn with<R: 'static>(text: &'static str, act: fn(&'static str) -> R) -> Work {
    work(move || act(black_box(text)))
}

fn prompt() -> Work {
    let body = completion();
    let message = scan(&body, ScanLimits::default()).expect("the inputs are good");
    work(move || name_in_ref(black_box(&body), &message))
}
