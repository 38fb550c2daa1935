-- Series of metrics: one combination of labels (a JSON array of texts) of one metric.
CREATE TABLE rollup_series (
    id     INTEGER PRIMARY KEY,
    metric TEXT NOT NULL,
    labels TEXT NOT NULL,
    UNIQUE (metric, labels)
) STRICT;

-- A series' aggregate over one window of event time, `resolution` ms long. Written in the transaction that moves the place in the
-- log up to which events are in it (`checkpoint`), so that an event counts once.
CREATE TABLE rollup (
    series     INTEGER NOT NULL,
    resolution INTEGER NOT NULL,
    start      INTEGER NOT NULL,
    body       BLOB    NOT NULL,
    PRIMARY KEY (series, resolution, start)
) STRICT, WITHOUT ROWID;
