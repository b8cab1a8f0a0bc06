//! What a schedule file says, key by key: a mirror of the file with the place of every value.
//! It knows no default and no rule; those are `resolve`'s.

use std::ops::Range;
use std::time::Duration;

use jiff::civil;

use crate::toml_file::{Field, LocalInstant, Table};

/// The keys of one file, or of `[defaults]` in triggerd.toml.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RawSchedule {
    pub description: Option<Field<String>>,
    pub enabled: Option<Field<bool>>,
    pub cron: Option<Field<Vec<Field<String>>>>,
    pub at: Option<Field<civil::DateTime>>,
    pub timezone: Option<Field<String>>,
    pub start: Option<Field<LocalInstant>>,
    pub end: Option<Field<LocalInstant>>,
    pub except: Option<Field<Vec<Field<civil::Date>>>>,
    pub jitter: Option<Field<Duration>>,
    pub agent: Option<Field<String>>,
    pub trigger_id: Option<Field<String>>,
    pub input: Option<Field<String>>,
    pub input_file: Option<Field<String>>,
    pub conversation: Option<Field<String>>,
    pub keep_input: Option<Field<bool>>,
    pub event: RawEvent,
    pub missed: RawMissed,
    pub overlap: RawOverlap,
    pub retry: RawRetry,
    pub expect: RawExpect,
    pub limits: RawLimits,
    pub verify: RawVerify,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct RawEvent {
    pub source_system: Option<Field<String>>,
    pub output_destination: Option<Field<String>>,
    pub update_text: Option<Field<String>>,
    pub marker: Option<Field<String>>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct RawMissed {
    pub catch_up: Option<Field<String>>,
    pub within: Option<Field<Duration>>,
    pub at_most: Option<Field<u32>>,
    pub spacing: Option<Field<Duration>>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct RawOverlap {
    pub policy: Option<Field<String>>,
    pub stuck_after: Option<Field<Duration>>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct RawRetry {
    pub give_up_after: Option<Field<Duration>>,
    pub first_delay: Option<Field<Duration>>,
    pub max_delay: Option<Field<Duration>>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct RawExpect {
    pub table: Option<Range<usize>>,
    pub accepted_within: Option<Field<Duration>>,
    pub finished_within: Option<Field<Duration>>,
    pub approved_within: Option<Field<Duration>>,
    pub heartbeat: Option<Field<String>>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct RawLimits {
    pub per_day: Option<Field<u32>>,
    pub per_hour: Option<Field<u32>>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct RawVerify {
    pub table: Option<Range<usize>>,
    pub url: Option<Field<String>>,
    pub contains: Option<Field<String>>,
    pub within: Option<Field<Duration>>,
    pub headers_from: Option<Field<String>>,
}

impl RawSchedule {
    /// Reads every key that a schedule can have. What else stands in the table is left to the caller.
    pub fn read(table: &mut Table<'_, '_>) -> Self {
        Self {
            description: table.get("description"),
            enabled: table.get("enabled"),
            cron: table.get("cron"),
            at: table.get("at"),
            timezone: table.get("timezone"),
            start: table.get("start"),
            end: table.get("end"),
            except: table.get("except"),
            jitter: table.get("jitter"),
            agent: table.get("agent"),
            trigger_id: table.get("trigger_id"),
            input: table.get("input"),
            input_file: table.get("input_file"),
            conversation: table.get("conversation"),
            keep_input: table.get("keep_input"),
            event: section(table, "event", |table, _| RawEvent {
                source_system: table.get("source_system"),
                output_destination: table.get("output_destination"),
                update_text: table.get("update_text"),
                marker: table.get("marker"),
            }),
            missed: section(table, "missed", |table, _| RawMissed {
                catch_up: table.get("catch_up"),
                within: table.get("within"),
                at_most: table.get("at_most"),
                spacing: table.get("spacing"),
            }),
            overlap: section(table, "overlap", |table, _| RawOverlap {
                policy: table.get("policy"),
                stuck_after: table.get("stuck_after"),
            }),
            retry: section(table, "retry", |table, _| RawRetry {
                give_up_after: table.get("give_up_after"),
                first_delay: table.get("first_delay"),
                max_delay: table.get("max_delay"),
            }),
            expect: section(table, "expect", |table, place| RawExpect {
                table: Some(place),
                accepted_within: table.get("accepted_within"),
                finished_within: table.get("finished_within"),
                approved_within: table.get("approved_within"),
                heartbeat: table.get("heartbeat"),
            }),
            limits: section(table, "limits", |table, _| RawLimits {
                per_day: table.get("per_day"),
                per_hour: table.get("per_hour"),
            }),
            verify: section(table, "verify", |table, place| RawVerify {
                table: Some(place),
                url: table.get("url"),
                contains: table.get("contains"),
                within: table.get("within"),
                headers_from: table.get("headers_from"),
            }),
        }
    }

    /// Fills what the file does not say from `defaults`. Keys that exclude each other are filled
    /// together: a file with a `trigger_id` takes no `agent` from there.
    #[must_use]
    pub fn over(self, defaults: &Self) -> Self {
        let says_when = self.cron.is_some() || self.at.is_some();
        let says_whom = self.agent.is_some() || self.trigger_id.is_some();
        let says_what = self.input.is_some() || self.input_file.is_some();
        let mut defaults = defaults.clone();
        if says_when {
            (defaults.cron, defaults.at) = (None, None);
        }
        if says_whom {
            (defaults.agent, defaults.trigger_id) = (None, None);
        }
        if says_what {
            (defaults.input, defaults.input_file) = (None, None);
        }
        macro_rules! filled {
            ($own:expr, $theirs:expr, $kind:ident { $($field:ident),* } $($rest:tt)*) => {
                $kind {
                    $($field: $own.$field.or($theirs.$field.map(Field::elsewhere)),)*
                    $($rest)*
                }
            };
        }
        filled!(
            self, defaults,
            RawSchedule {
                description, enabled, cron, at, timezone, start, end, except, jitter, agent,
                trigger_id, input, input_file, conversation, keep_input
            }
            event: filled!(self.event, defaults.event, RawEvent {
                source_system, output_destination, update_text, marker
            }),
            missed: filled!(self.missed, defaults.missed, RawMissed {
                catch_up, within, at_most, spacing
            }),
            overlap: filled!(self.overlap, defaults.overlap, RawOverlap { policy, stuck_after }),
            retry: filled!(self.retry, defaults.retry, RawRetry {
                give_up_after, first_delay, max_delay
            }),
            expect: filled!(self.expect, defaults.expect, RawExpect {
                accepted_within, finished_within, approved_within, heartbeat
            } table: self.expect.table),
            limits: filled!(self.limits, defaults.limits, RawLimits {
                per_day, per_hour
            }),
            verify: filled!(self.verify, defaults.verify, RawVerify {
                url, contains, within, headers_from
            } table: self.verify.table),
        )
    }
}

/// A table of its own within the file, read with the place of its header.
fn section<T: Default>(
    table: &mut Table<'_, '_>,
    key: &'static str,
    read: impl FnOnce(&mut Table<'_, '_>, Range<usize>) -> T,
) -> T {
    table.table(key, read).unwrap_or_default()
}
