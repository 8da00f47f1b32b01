-- Ends of sessions that a node was not told, because it was away when somebody asked for them.
CREATE TABLE owed_ends (
    number  INTEGER PRIMARY KEY AUTOINCREMENT,
    node    TEXT NOT NULL,
    at_ms   INTEGER NOT NULL,
    -- An EndSessionsRequest.
    request BLOB NOT NULL
) STRICT;
CREATE INDEX owed_ends_node ON owed_ends (node);
