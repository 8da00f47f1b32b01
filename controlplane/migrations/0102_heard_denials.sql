-- Up to which number the denials that a process of a node tells are in the audit log: it says them again until it knows.
CREATE TABLE heard_denials (
    node   TEXT NOT NULL,
    -- Random, made with the process.
    life   INTEGER NOT NULL,
    number INTEGER NOT NULL,
    at_ms  INTEGER NOT NULL,
    PRIMARY KEY (node, life)
) STRICT;
-- `sluice audit --denials`: of a log that is long, with few of them.
CREATE INDEX audit_denials ON audit (number) WHERE action = 'denied';
