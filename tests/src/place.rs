//! Endpoints of one server: what a configuration says of them, and who ran what.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::Upstream;

/// The entry of a server that runs in these places, with more of its keys.
#[must_use]
pub fn several<'u>(places: impl IntoIterator<Item = &'u Upstream>, more: Value) -> Value {
    let urls: Vec<_> = places.into_iter().map(Upstream::url).collect();
    let mut server = json!({ "transport": "http", "endpoints": urls });
    for (key, value) in more.as_object().into_iter().flatten() {
        server[key] = value.clone();
    }
    server
}

/// How often each call came, by its argument `n`, at whichever place.
#[must_use]
pub fn runs<'u>(places: impl IntoIterator<Item = &'u Upstream>) -> HashMap<u64, usize> {
    let mut runs = HashMap::new();
    for received in places.into_iter().flat_map(Upstream::received) {
        if let Some(n) = received.message()["params"]["arguments"]["n"].as_u64() {
            *runs.entry(n).or_default() += 1;
        }
    }
    runs
}
