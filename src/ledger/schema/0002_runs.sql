-- What came after an acceptance: a row for each run that the API named, so that a restart goes on following it.
-- The run's id stands with its delivery, and so does the trigger that it is asked for under.

CREATE TABLE runs (
    delivery    INTEGER PRIMARY KEY REFERENCES deliveries (id) ON DELETE CASCADE,
    accepted_at INTEGER NOT NULL,
    status      TEXT NOT NULL, -- as the API says it, or `lost`
    since       INTEGER NOT NULL, -- first seen in this status
    ended_at    INTEGER, -- NULL while it is followed
    result      TEXT, -- what `[verify]` found: `confirmed` or `missing`
    detail      TEXT
) STRICT;

CREATE INDEX runs_followed ON runs (delivery) WHERE ended_at IS NULL;
