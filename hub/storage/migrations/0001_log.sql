-- Frames as they came, not yet merged. `id` is the place in the log: dense, growing, never used twice.
-- Unsigned 64-bit values (epoch, seq) are kept as the signed value with the same bits.
CREATE TABLE inbox (
    id        INTEGER PRIMARY KEY,
    agent     TEXT    NOT NULL,
    epoch     INTEGER NOT NULL,
    seq       INTEGER NOT NULL,
    stored_at INTEGER NOT NULL,
    n         INTEGER NOT NULL,
    raw       INTEGER NOT NULL,
    min_ts    INTEGER NOT NULL,
    max_ts    INTEGER NOT NULL,
    body      BLOB    NOT NULL,
    UNIQUE (agent, epoch, seq)
) STRICT;

-- Highest sequence stored from each spool; outlives the frames, so that a replay is recognised after merge and expiry.
CREATE TABLE agent_pos (
    agent TEXT    NOT NULL,
    epoch INTEGER NOT NULL,
    seq   INTEGER NOT NULL,
    PRIMARY KEY (agent, epoch)
) STRICT, WITHOUT ROWID;

-- Merged frames. `first` and `id` are the places in the log of the first and the last frame in it. The small columns stand
-- before the large ones, since SQLite has to walk over what stands before.
CREATE TABLE chunk (
    id        INTEGER PRIMARY KEY,
    first     INTEGER NOT NULL,
    n         INTEGER NOT NULL,
    min_ts    INTEGER NOT NULL,
    max_ts    INTEGER NOT NULL,
    stored_at INTEGER NOT NULL,
    min_id    BLOB    NOT NULL,
    max_id    BLOB    NOT NULL,
    frames    BLOB    NOT NULL,
    id_bloom  BLOB    NOT NULL,
    bloom     BLOB    NOT NULL,
    body      BLOB    NOT NULL
) STRICT;
CREATE INDEX chunk_time ON chunk (max_ts, min_ts, first, n);
CREATE INDEX chunk_ids ON chunk (max_id, min_id, first, n, min_ts, max_ts);
CREATE INDEX chunk_stored ON chunk (stored_at);

-- Frames whose checksum was right but whose contents do not decode: out of everybody's way, for a person to look at.
CREATE TABLE set_aside (
    id        INTEGER PRIMARY KEY,
    agent     TEXT    NOT NULL,
    epoch     INTEGER NOT NULL,
    seq       INTEGER NOT NULL,
    stored_at INTEGER NOT NULL,
    n         INTEGER NOT NULL,
    reason    TEXT    NOT NULL,
    body      BLOB    NOT NULL
) STRICT;

-- One row, changed in the transactions that change what it counts. `position` is the last place of the log ever used.
CREATE TABLE totals (
    one          INTEGER PRIMARY KEY CHECK (one = 1),
    position     INTEGER NOT NULL,
    inbox_frames INTEGER NOT NULL,
    inbox_events INTEGER NOT NULL,
    chunks       INTEGER NOT NULL,
    chunk_events INTEGER NOT NULL,
    oldest       INTEGER,
    newest       INTEGER
) STRICT;
INSERT INTO totals VALUES (1, 0, 0, 0, 0, 0, NULL, NULL);

CREATE TABLE doc (
    kind    TEXT    NOT NULL,
    id      TEXT    NOT NULL,
    version INTEGER NOT NULL,
    body    TEXT    NOT NULL,
    PRIMARY KEY (kind, id)
) STRICT;

CREATE TABLE checkpoint (
    name     TEXT PRIMARY KEY,
    position INTEGER NOT NULL,
    body     BLOB    NOT NULL
) STRICT;

-- Written and emptied again to learn whether a full disk has room.
CREATE TABLE probe (body BLOB NOT NULL) STRICT;
