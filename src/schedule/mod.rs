//! What was asked.

pub mod cron;
pub mod recurrence;
