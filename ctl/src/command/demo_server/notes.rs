//! The notes behind `demo://note/{name}`: what a newcomer may want to read.

/// Names and texts of the notes that somebody has written, in alphabetical order.
const NOTES: [(&str, &str); 3] = [
    (
        "eras",
        "MCP has two eras. Until 2025-11-25 a client opens a session with `initialize`, and the server may send it \
         requests of its own. Since 2026-07-28 there are no sessions: every request says who sends it and what it \
         can do, and a server that needs something answers `input_required` and is asked again with the answer. \
         This server speaks both; run it with `--era legacy` or `--era modern` to have only one.",
    ),
    (
        "transports",
        "Over stdio a client starts this server and exchanges one JSON message per line with it. With `--listen` it \
         serves streamable HTTP at /mcp: a POST for each message, answered with JSON or a stream of events, and, in \
         the older era, a GET for what the server says unasked.",
    ),
    (
        "welcome",
        "Welcome. Whatever you read here went from your client through a gateway to this server and back; if you \
         can read it, the gateway works.",
    ),
];

/// The names of the written notes that begin with `prefix`.
pub(super) fn names(prefix: &str) -> Vec<String> {
    let names = NOTES.iter().map(|(name, _)| *name);
    names.filter(|name| name.starts_with(prefix)).map(str::to_owned).collect()
}

/// The note of that name. Every name has one, so that any client can try any.
pub(super) fn text(name: &str) -> String {
    match NOTES.iter().find(|(known, _)| *known == name) {
        Some((_, text)) => (*text).to_owned(),
        None => format!("Nobody has written the note \"{name}\" yet."),
    }
}
