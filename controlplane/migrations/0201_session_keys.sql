-- What seals the ids of sessions and other handles on every node of the fleet: the newest that seals by now, while all open.
CREATE TABLE session_keys (
    -- 1 to 255, by which what it sealed names it. In order of their making by `made_ms`.
    number   INTEGER PRIMARY KEY CHECK (number BETWEEN 1 AND 255),
    made_ms  INTEGER NOT NULL,
    -- From when it seals: nodes are to know it before they meet what it sealed elsewhere.
    seals_ms INTEGER NOT NULL,
    -- The key, sealed by the key ring.
    sealed   BLOB NOT NULL
) STRICT;
