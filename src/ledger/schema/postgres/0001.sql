-- The ledger in PostgreSQL. It holds what the SQLite schema holds, for the same reasons (../0001_deliveries.sql):
-- instants are nanoseconds since 1970 (UTC), lengths nanoseconds. To read one: `to_timestamp(scheduled_at / 1e9)`.
-- Names and keys are compared byte by byte, whatever the language of the database.

CREATE TABLE schema_version (
    only_row   boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    version    integer NOT NULL,
    written_by text NOT NULL -- the version that last changed the schema
);

CREATE TABLE marks (
    only_row      boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    settled_until bigint,
    newest        bigint
);
INSERT INTO marks DEFAULT VALUES;

-- One value for each statement, whose rows are counted on from there: so they stand in their order.
CREATE SEQUENCE positions MINVALUE 0 START 0 INCREMENT 1048576;
SELECT nextval('positions');

CREATE VIEW meta AS SELECT settled_until, newest, last_value + 1048575 AS position FROM marks, positions;

CREATE TABLE schedules (
    name          text COLLATE "C" PRIMARY KEY,
    in_force      boolean NOT NULL,
    began_at      bigint NOT NULL, -- owes nothing from before
    covered_until bigint NOT NULL  -- by accepted deliveries, without a hole
);

CREATE TABLE sources (
    schedule text COLLATE "C" PRIMARY KEY,
    toml     text NOT NULL, -- the last good version of its file
    input    text           -- the content of its `input_file`
);

CREATE TABLE deliveries (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    idempotency_key  text COLLATE "C" NOT NULL UNIQUE,
    request_id       text COLLATE "C" NOT NULL,
    schedule         text COLLATE "C" NOT NULL,
    scheduled_at     bigint NOT NULL,
    label            text NOT NULL,
    zone             text NOT NULL,
    origin           text NOT NULL CHECK (origin IN ('schedule', 'manual')),
    due_at           bigint NOT NULL,
    opened_at        bigint NOT NULL,
    deadline_at      bigint NOT NULL,
    window_start     bigint NOT NULL,
    window_end       bigint NOT NULL,
    missed_count     bigint NOT NULL,
    trigger_id       text NOT NULL,
    token_agent      text, -- whose token is sent; NULL for the default one
    conversation_key text,
    body             text, -- NULL once accepted: inputs can be sensitive
    keep_body        boolean NOT NULL, -- beyond acceptance
    body_len         bigint NOT NULL,
    body_sha256      bytea NOT NULL,
    attempts         bigint NOT NULL DEFAULT 0,
    outcome_unknown  boolean NOT NULL DEFAULT false,
    retry_at         bigint,
    conversation_url text,
    run_id           text,
    verdict          text CHECK (verdict IN ('accepted', 'rejected', 'expired', 'skipped')), -- NULL while open
    reason           text, -- of `skipped`
    ended_at         bigint,
    detail           text,
    position         bigint -- counts verdicts and skips in the order in which they were recorded
);

CREATE INDEX deliveries_by_schedule ON deliveries (schedule, scheduled_at);
CREATE INDEX deliveries_open ON deliveries (scheduled_at) WHERE verdict IS NULL;
CREATE INDEX deliveries_ended ON deliveries (position) WHERE position IS NOT NULL;

CREATE TABLE attempts (
    delivery     bigint NOT NULL REFERENCES deliveries (id) ON DELETE CASCADE,
    number       bigint NOT NULL, -- from 1
    sent_at      bigint NOT NULL,
    latency      bigint NOT NULL,
    outcome      text NOT NULL,
    http_status  bigint,
    x_request_id text,
    detail       text NOT NULL,
    PRIMARY KEY (delivery, number)
);

-- Occurrences that never became a delivery, consecutive and alike.
CREATE TABLE skips (
    position    bigint PRIMARY KEY, -- a new one each time the row grows
    schedule    text COLLATE "C" NOT NULL,
    why         text NOT NULL,
    first       bigint NOT NULL, -- scheduled times
    last        bigint NOT NULL,
    count       bigint NOT NULL,
    recorded_at bigint NOT NULL
);

CREATE INDEX skips_by_schedule ON skips (schedule, last);

CREATE TABLE runs (
    delivery    bigint PRIMARY KEY REFERENCES deliveries (id) ON DELETE CASCADE,
    accepted_at bigint NOT NULL,
    status      text NOT NULL, -- as the API says it, or `lost`
    since       bigint NOT NULL, -- first seen in this status
    ended_at    bigint, -- NULL while it is followed
    result      text, -- what `[verify]` found: `confirmed` or `missing`
    detail      text
);

CREATE INDEX runs_followed ON runs (delivery) WHERE ended_at IS NULL;

CREATE TABLE pauses (
    schedule text COLLATE "C" PRIMARY KEY, -- '' for all of them
    since    bigint NOT NULL,
    until    bigint, -- NULL where somebody must end it
    reason   text
);

CREATE TABLE former_verdicts (
    delivery bigint NOT NULL REFERENCES deliveries (id) ON DELETE CASCADE,
    position bigint NOT NULL,
    verdict  text NOT NULL,
    reason   text,
    ended_at bigint NOT NULL,
    detail   text,
    PRIMARY KEY (delivery, position)
);
