-- What a catch-up took up days after its time counts for a limit on the day on which it was opened. There is little of it,
-- and among all that a schedule ever had it would be looked for in vain.

CREATE INDEX deliveries_opened_late ON deliveries (schedule, opened_at)
    WHERE opened_at > scheduled_at + 172800000000000; -- two days
