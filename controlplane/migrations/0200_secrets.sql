-- Named secrets, one row per version. A version that was replaced or deleted keeps its row, without a value: versions only rise,
-- and who set them when is still told.
CREATE TABLE secrets (
    name     TEXT NOT NULL,
    version  INTEGER NOT NULL,
    at_ms    INTEGER NOT NULL,
    author   TEXT NOT NULL,
    -- What the value is called on its way to nodes: 32 random bytes.
    chunk    BLOB NOT NULL,
    -- The value, sealed; NULL: it no longer counts.
    sealed   BLOB,
    PRIMARY KEY (name, version)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX secrets_now ON secrets (name) WHERE sealed IS NOT NULL;

-- A value that everybody may know, sealed at the first start: it opens only with the key ring of this database.
CREATE TABLE ring (
    one      INTEGER PRIMARY KEY CHECK (one = 1),
    sealed   BLOB NOT NULL
) STRICT;
