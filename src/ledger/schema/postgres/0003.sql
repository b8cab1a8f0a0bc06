-- What a person asked for, by hand or once more, is sent by the node that looks after its schedule, whichever was asked.

ALTER TABLE deliveries
    ADD COLUMN reopened boolean NOT NULL DEFAULT false, -- a person had it tried again
    ADD COLUMN sender   bigint; -- the node that has it to send; NULL for what is yet to be taken up

CREATE INDEX deliveries_asked_for ON deliveries (schedule) WHERE verdict IS NULL AND (origin = 'manual' OR reopened);
