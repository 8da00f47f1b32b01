-- Where a node takes links of other nodes; empty: it takes none.
ALTER TABLE nodes ADD COLUMN link TEXT NOT NULL DEFAULT '';
