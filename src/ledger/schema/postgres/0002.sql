-- Several nodes. Each schedule is looked after by one of them at a time, whose writes for it carry the number of its
-- claim: a later claim has another number, and what comes late from the one before is refused (`fence`). Leases are
-- judged by the database's clock alone.

CREATE SEQUENCE incarnations;
CREATE SEQUENCE fences;
CREATE SEQUENCE changes;

CREATE TABLE nodes (
    incarnation   bigint PRIMARY KEY DEFAULT nextval('incarnations'), -- a new one each time a daemon starts
    name          text NOT NULL, -- of the state folder: a daemon takes over from its own predecessor at once
    host          text NOT NULL,
    version       text NOT NULL,
    joined_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    lease_until   timestamptz NOT NULL,
    clock_offset  bigint NOT NULL DEFAULT 0, -- its clock less the database's
    schedules     bigint NOT NULL DEFAULT 0, -- how many it looks after
    settled_until bigint, -- every occurrence of every schedule that it looks after has been dealt with up to here
    newest        bigint
);

-- What each node has loaded.
CREATE TABLE holdings (
    incarnation bigint NOT NULL REFERENCES nodes (incarnation) ON DELETE CASCADE,
    schedule    text COLLATE "C" NOT NULL,
    version     bytea, -- NULL once its file is gone there
    changed     bigint NOT NULL, -- so that the others read what is new alone
    PRIMARY KEY (incarnation, schedule)
);

CREATE INDEX holdings_changed ON holdings (changed);
CREATE INDEX holdings_of ON holdings (schedule);

CREATE TABLE owners (
    schedule      text COLLATE "C" PRIMARY KEY,
    incarnation   bigint, -- NULL once it was given up
    fence         bigint NOT NULL,
    version       bytea, -- which one the owner fires
    settled_until bigint -- NULL while it is settled as far as its owner is
);

CREATE INDEX owners_of ON owners (incarnation);

-- Passes only if the claims of all these schedules still have these numbers, and keeps that so until the commit.
CREATE FUNCTION fence(schedules text[], numbers bigint[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    held bigint;
BEGIN
    PERFORM FROM unnest(schedules, numbers) AS claimed (schedule, fence)
        JOIN owners ON owners.schedule = claimed.schedule AND owners.fence = claimed.fence
        FOR SHARE OF owners;
    GET DIAGNOSTICS held = ROW_COUNT;
    IF held < cardinality(schedules) THEN
        RAISE EXCEPTION 'another node has taken over' USING ERRCODE = 'TD001';
    END IF;
END $$;

CREATE OR REPLACE VIEW meta AS
SELECT coalesce((SELECT min(settled_until) FROM nodes WHERE lease_until > clock_timestamp()), settled_until)
        AS settled_until,
    newest, last_value + 1048575 AS position
FROM marks, positions;
