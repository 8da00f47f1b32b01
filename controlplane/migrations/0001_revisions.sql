-- Every change of what nodes get, in order. What was true at a revision is found by the ranges of the other tables.
CREATE TABLE revisions (
    revision INTEGER PRIMARY KEY,
    at_ms    INTEGER NOT NULL,
    author   TEXT NOT NULL,
    message  TEXT NOT NULL,
    -- The revision it was based on: that its author had seen, or the one before.
    base     INTEGER NOT NULL,
    -- JSON, for people: what it changed, secrets masked.
    changes  TEXT NOT NULL
) STRICT;

-- Single values, by name.
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
