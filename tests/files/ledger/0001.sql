-- A ledger as triggerd 0.1.0 wrote it (schema 1): a rejected, an accepted and an open delivery, and two skipped occurrences.
PRAGMA application_id = 1953654628;
PRAGMA user_version = 1;
PRAGMA foreign_keys = OFF;
BEGIN TRANSACTION;
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
INSERT INTO "attempts" VALUES(1,1,1795513345001165489,2790696,'rejected',400,'req_3bb029122aa15bc51422dfd39c115b41','body.input Field required');
INSERT INTO "attempts" VALUES(2,1,1795513346005503208,3239773,'accepted',202,'req_974ccca3c3d81598e4fa23d80cc14ada','');
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
INSERT INTO "deliveries" VALUES(1,'poll-20261124T094225Z-d870d7360c3cdee6','poll-20261124T094225Z','poll',1795513345000000000,'20261124T094225Z','UTC','schedule',1795513345000000000,1795513345000000000,1795556545000000000,1795513344000000000,1795513345000000000,0,'agtch_5a6d0b0c1e2f48739a4b5c6d7e8f9012',NULL,'poll-20261124T094225Z','{"conversation_key":"poll-20261124T094225Z","input":"Request ID: poll-20261124T094225Z\nSource system: triggerd\nSubmitted at: 2026-11-24T09:42:25Z\nUpdate text: hello\n\nWrite this update to your configured output destination, starting with this exact line:\nWorkspace Agent API demo received: poll-20261124T094225Z\n"}',0,320,X'9ED25DFEA83434090685FEF4C746675A401C997DF4E794137F403B4CD63FAEC7',1,0,NULL,NULL,NULL,'rejected',NULL,1795513345004321337,NULL,1);
INSERT INTO "deliveries" VALUES(2,'poll-20261124T094226Z-31ead08d92d943ba','poll-20261124T094226Z','poll',1795513346000000000,'20261124T094226Z','UTC','schedule',1795513346000000000,1795513346000000000,1795556546000000000,1795513344000000000,1795513346000000000,1,'agtch_5a6d0b0c1e2f48739a4b5c6d7e8f9012',NULL,'poll-20261124T094226Z',NULL,0,320,X'2F49EA5AF120E9118E2B45EF646D37AEEA6DA6C5E4ED313A90A2D728F996A884',1,0,NULL,'https://chatgpt.com/c/c901990a-8d25-44a4-abfb-8f191c534e14','apirun_f018e59f278e057da7bef9ad1781eb9d','accepted',NULL,1795513346008846935,NULL,2);
INSERT INTO "deliveries" VALUES(3,'poll-20261124T094229Z-8f0984db5c8e9099','poll-20261124T094229Z','poll',1795513349000000000,'20261124T094229Z','UTC','schedule',1795513349000000000,1795513349000000000,1795556549000000000,1795513346000000000,1795513349000000000,2,'agtch_5a6d0b0c1e2f48739a4b5c6d7e8f9012',NULL,'poll-20261124T094229Z','{"conversation_key":"poll-20261124T094229Z","input":"Request ID: poll-20261124T094229Z\nSource system: triggerd\nSubmitted at: 2026-11-24T09:42:29Z\nUpdate text: hello\n\nWrite this update to your configured output destination, starting with this exact line:\nWorkspace Agent API demo received: poll-20261124T094229Z\n"}',0,320,X'4B386932C8B3151A48496E3D7C5574974BCD095D250E8AD91DDBF57988BA715B',0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE meta (
    only_row      INTEGER PRIMARY KEY CHECK (only_row = 1),
    written_by    TEXT NOT NULL, -- the version that last changed the schema
    settled_until INTEGER,
    newest        INTEGER,
    position      INTEGER NOT NULL -- the last one given; never given again, even when its row is gone
) STRICT;
INSERT INTO "meta" VALUES(1,'triggerd 0.1.0',1795513378070617532,1795513378070617532,3);
CREATE TABLE schedules (
    name          TEXT PRIMARY KEY,
    in_force      INTEGER NOT NULL,
    began_at      INTEGER NOT NULL, -- owes nothing from before
    covered_until INTEGER NOT NULL  -- by accepted deliveries, without a hole
) STRICT, WITHOUT ROWID;
INSERT INTO "schedules" VALUES('poll',1,1795513344664058114,1795513346000000000);
CREATE TABLE skips (
    position    INTEGER PRIMARY KEY, -- a new one each time the row grows
    schedule    TEXT NOT NULL,
    why         TEXT NOT NULL,
    first       INTEGER NOT NULL, -- scheduled times
    last        INTEGER NOT NULL,
    count       INTEGER NOT NULL,
    recorded_at INTEGER NOT NULL
) STRICT;
INSERT INTO "skips" VALUES(3,'poll','missed',1795513347000000000,1795513348000000000,2,1795513378070617532);
CREATE TABLE sources (
    schedule TEXT PRIMARY KEY,
    toml     TEXT NOT NULL, -- the last good version of its file
    input    TEXT           -- the content of its `input_file`
) STRICT;
INSERT INTO "sources" VALUES('poll','cron = "* * * * * *"
[missed]
catch_up = "none"
[event]
update_text = "hello"
',NULL);
CREATE INDEX deliveries_by_schedule ON deliveries (schedule, scheduled_at);
CREATE INDEX deliveries_open ON deliveries (scheduled_at) WHERE verdict IS NULL;
CREATE INDEX deliveries_ended ON deliveries (position) WHERE position IS NOT NULL;
CREATE INDEX skips_by_schedule ON skips (schedule, last);
COMMIT;
