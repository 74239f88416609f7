-- A store as the first schema left it. Never changed: every version must be able to read it.
PRAGMA application_id = 1399023721;
PRAGMA user_version = 1;
CREATE TABLE record (
    kind INTEGER NOT NULL,
    id TEXT NOT NULL,
    revision INTEGER NOT NULL UNIQUE,
    value BLOB,
    PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX tombstone ON record (revision) WHERE value IS NULL;
CREATE TABLE head (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    revision INTEGER NOT NULL,
    compacted INTEGER NOT NULL
) STRICT;
INSERT INTO head (only_row, revision, compacted) VALUES (1, 5, 0);
INSERT INTO record (kind, id, revision, value) VALUES
    (1, '00000000000a', 3, x'0102'),
    (1, '00000000000b', 5, NULL),
    (2, 'controller', 1, x'0a10000102030405060708090a0b0c0d0e0f1007'),
    (3, 'brake', 4, x'0801');
