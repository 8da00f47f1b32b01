-- The nodes that were ever connected, and what they ran last.
CREATE TABLE nodes (
    name       TEXT PRIMARY KEY,
    -- JSON: by which configuration chooses it.
    labels     TEXT NOT NULL,
    -- JSON: the labels its join token gave it; `{}`: those it says.
    granted    TEXT NOT NULL,
    version    TEXT NOT NULL,
    -- Of the last manifest it was sent, or said to have: the next one's is higher.
    generation INTEGER NOT NULL,
    -- The revision it runs, and since when.
    revision   INTEGER NOT NULL,
    since_ms   INTEGER NOT NULL,
    seen_ms    INTEGER NOT NULL,
    -- What it refused last: a NodeStatus of the contract with nothing but that. NULL: nothing.
    rejected   BLOB
) STRICT, WITHOUT ROWID;

-- Nodes that were sent away: certificates made until then are refused.
CREATE TABLE revoked_nodes (
    name  TEXT PRIMARY KEY,
    at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
