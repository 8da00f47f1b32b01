-- Who may come in where: API keys of clients, tokens of people, join tokens of nodes. Only digests are kept.
CREATE TABLE tokens (
    id         TEXT PRIMARY KEY,
    kind       TEXT NOT NULL CHECK (kind IN ('client', 'person', 'join')),
    name       TEXT NOT NULL,
    -- Of a person.
    role       TEXT CHECK ((kind = 'person') = (role IS NOT NULL) AND role IN ('viewer', 'editor', 'admin')),
    sha256     BLOB NOT NULL UNIQUE CHECK (length(sha256) = 32),
    created_ms INTEGER NOT NULL,
    -- NULL: never.
    expires_ms INTEGER,
    author     TEXT NOT NULL,
    -- JSON; of a join token: the labels its node gets; `{}`: those it says.
    labels     TEXT NOT NULL,
    -- Of a join token, which counts once: when, and by which node.
    used_ms    INTEGER,
    used_by    TEXT
) STRICT;

CREATE INDEX tokens_name ON tokens (kind, name);
