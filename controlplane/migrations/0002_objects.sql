-- What people wrote, one row per object and state of it. A row counts from `since` on, up to but not including `until`.
CREATE TABLE objects (
    kind     TEXT NOT NULL,
    name     TEXT NOT NULL,
    since    INTEGER NOT NULL REFERENCES revisions (revision),
    until    INTEGER REFERENCES revisions (revision),
    -- Order among those of its kind: where two servers claim a name, the first has it.
    position INTEGER NOT NULL,
    -- Canonical JSON in which secrets are masked.
    spec     TEXT NOT NULL,
    -- The secrets by their place in `spec`, sealed together; NULL: there are none.
    sealed   BLOB,
    -- JSON: a keyed digest of each secret by its place, so that changes are seen without opening anything.
    digests  TEXT NOT NULL,
    PRIMARY KEY (kind, name, since)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX objects_now ON objects (kind, name) WHERE until IS NULL;
