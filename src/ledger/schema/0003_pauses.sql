-- What is paused, so that a restart goes on with it; and verdicts that a redelivery replaced.

CREATE TABLE pauses (
    schedule TEXT PRIMARY KEY, -- '' for all of them
    since    INTEGER NOT NULL,
    until    INTEGER, -- NULL where somebody must end it
    reason   TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE former_verdicts (
    delivery INTEGER NOT NULL REFERENCES deliveries (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    verdict  TEXT NOT NULL,
    reason   TEXT,
    ended_at INTEGER NOT NULL,
    detail   TEXT,
    PRIMARY KEY (delivery, position)
) STRICT, WITHOUT ROWID;
