-- The labels that a node was bound to when it was sent away: it gets them again when it joins, unless somebody says otherwise.
ALTER TABLE revoked_nodes ADD COLUMN granted TEXT NOT NULL DEFAULT '{}';
