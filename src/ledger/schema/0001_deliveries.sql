-- The first ledger. Why it looks like this:
-- * Instants are nanoseconds since 1970 (UTC) and lengths nanoseconds, so that an instant comes back as exactly
--   as it went in. To read one: `datetime(scheduled_at / 1000000000, 'unixepoch')`.
-- * Few indices, since each is paid for at every claim: the key is the last guard against doubling, (schedule,
--   scheduled_at) answers `why` and the windows, and the partial ones hold what is open and in which order it ended.
-- * Nothing refers to `schedules`: a delivery outlives its file, and a fact must never be refused.

CREATE TABLE meta (
    only_row      INTEGER PRIMARY KEY CHECK (only_row = 1),
    written_by    TEXT NOT NULL, -- the version that last changed the schema
    settled_until INTEGER,
    newest        INTEGER,
    position      INTEGER NOT NULL -- the last one given; never given again, even when its row is gone
) STRICT;

CREATE TABLE schedules (
    name          TEXT PRIMARY KEY,
    in_force      INTEGER NOT NULL,
    began_at      INTEGER NOT NULL, -- owes nothing from before
    covered_until INTEGER NOT NULL  -- by accepted deliveries, without a hole
) STRICT, WITHOUT ROWID;

-- Apart from `schedules`, whose small rows change with each acceptance.
CREATE TABLE sources (
    schedule TEXT PRIMARY KEY,
    toml     TEXT NOT NULL, -- the last good version of its file
    input    TEXT           -- the content of its `input_file`
) STRICT;

CREATE TABLE deliveries (
    id               INTEGER PRIMARY KEY,
    idempotency_key  TEXT NOT NULL UNIQUE,
    request_id       TEXT NOT NULL,
    schedule         TEXT NOT NULL,
    scheduled_at     INTEGER NOT NULL,
    label            TEXT NOT NULL,
    zone             TEXT NOT NULL,
    origin           TEXT NOT NULL CHECK (origin IN ('schedule', 'manual')),
    due_at           INTEGER NOT NULL,
    opened_at        INTEGER NOT NULL,
    deadline_at      INTEGER NOT NULL,
    window_start     INTEGER NOT NULL,
    window_end       INTEGER NOT NULL,
    missed_count     INTEGER NOT NULL,
    trigger_id       TEXT NOT NULL,
    token_agent      TEXT, -- whose token is sent; NULL for the default one
    conversation_key TEXT,
    body             TEXT, -- NULL once accepted: inputs can be sensitive
    keep_body        INTEGER NOT NULL, -- beyond acceptance
    body_len         INTEGER NOT NULL,
    body_sha256      BLOB NOT NULL,
    attempts         INTEGER NOT NULL DEFAULT 0,
    outcome_unknown  INTEGER NOT NULL DEFAULT 0,
    retry_at         INTEGER,
    conversation_url TEXT,
    run_id           TEXT,
    verdict          TEXT CHECK (verdict IN ('accepted', 'rejected', 'expired', 'skipped')), -- NULL while open
    reason           TEXT, -- of `skipped`
    ended_at         INTEGER,
    detail           TEXT,
    position         INTEGER -- counts verdicts and skips in the order in which they were recorded
) STRICT;

CREATE INDEX deliveries_by_schedule ON deliveries (schedule, scheduled_at);
CREATE INDEX deliveries_open ON deliveries (scheduled_at) WHERE verdict IS NULL;
CREATE INDEX deliveries_ended ON deliveries (position) WHERE position IS NOT NULL;

CREATE TABLE attempts (
    delivery     INTEGER NOT NULL REFERENCES deliveries (id) ON DELETE CASCADE,
    number       INTEGER NOT NULL, -- from 1
    sent_at      INTEGER NOT NULL,
    latency      INTEGER NOT NULL,
    outcome      TEXT NOT NULL,
    http_status  INTEGER,
    x_request_id TEXT,
    detail       TEXT NOT NULL,
    PRIMARY KEY (delivery, number)
) STRICT, WITHOUT ROWID;

-- Occurrences that never became a delivery, consecutive and alike.
CREATE TABLE skips (
    position    INTEGER PRIMARY KEY, -- a new one each time the row grows
    schedule    TEXT NOT NULL,
    why         TEXT NOT NULL,
    first       INTEGER NOT NULL, -- scheduled times
    last        INTEGER NOT NULL,
    count       INTEGER NOT NULL,
    recorded_at INTEGER NOT NULL
) STRICT;

CREATE INDEX skips_by_schedule ON skips (schedule, last);
