-- One row for each record that is there, and for the latest that were deleted: those have no value.
CREATE TABLE record (
    kind INTEGER NOT NULL,
    id TEXT NOT NULL,
    revision INTEGER NOT NULL UNIQUE,
    value BLOB,
    PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX tombstone ON record (revision) WHERE value IS NULL;

-- The revision of the last write, which may have been of a tombstone that is forgotten; and up to which
-- revision tombstones are.
CREATE TABLE head (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    revision INTEGER NOT NULL,
    compacted INTEGER NOT NULL
) STRICT;

INSERT INTO head (only_row, revision, compacted) VALUES (1, 0, 0);
