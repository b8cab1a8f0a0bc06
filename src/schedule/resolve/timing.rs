//! When it fires: `cron`, `at`, `timezone`, `start`, `end` and `except`.

use jiff::Timestamp;

use super::{Resolver, place, with_help};
use crate::schedule::cron::CronExpr;
use crate::schedule::file::RawSchedule;
use crate::schedule::problem::Problem;
use crate::schedule::recurrence::{Bound, Recurrence, Timing, Zone};
use crate::schedule::{ScheduleId, defaults};
use crate::toml_file::{Field, LocalInstant};

impl Resolver {
    pub(super) fn recurrence(
        &mut self,
        id: &ScheduleId,
        raw: &RawSchedule,
        now: Timestamp,
    ) -> Option<Recurrence> {
        let zone = self.zone(&raw.timezone);
        let start = raw.start.as_ref().map(|field| bound(field.value));
        let end = raw.end.as_ref().map(|field| bound(field.value));
        let timing = match (&raw.cron, &raw.at) {
            (Some(cron), None) => self.cron(id.as_str(), cron),
            (None, Some(at)) => Some(Timing::At(at.value)),
            (Some(_), Some(at)) => {
                self.error(
                    at.span.clone(),
                    "`cron` and `at` exclude each other",
                    "keep one of them",
                );
                None
            }
            (None, None) => {
                self.missing(
                    &["cron", "at"],
                    "it does not say when to fire",
                    "add `cron = \"0 9 * * MON-FRI\"`, or `at = 2026-12-24T18:00:00` for once",
                );
                None
            }
        };
        let mut except: Vec<_> = raw
            .except
            .iter()
            .flat_map(|field| &field.value)
            .map(|field| field.value)
            .collect();
        except.sort_unstable();
        except.dedup();
        let in_order = self.bounds_in_order(raw);
        let recurrence = Recurrence {
            timing: timing?,
            zone: zone?,
            start,
            end,
            except,
        };
        in_order?;
        if recurrence.next_after(now).is_none() {
            let local_now = recurrence.zone.tz.to_datetime(now);
            let ends_later = raw
                .end
                .as_ref()
                .is_some_and(|end| last_second(end.value) >= local_now);
            let (place, reason) = match ends_later {
                true => (place(&raw.end), "it ends before it would be due"),
                false => (place(&raw.at).or(place(&raw.end)), "it lies in the past"),
            };
            self.note(
                place,
                format!("{reason}: the schedule does not fire any more"),
            );
        }
        Some(recurrence)
    }

    /// `None`, and told, if nothing can lie between them.
    pub(super) fn bounds_in_order(&mut self, raw: &RawSchedule) -> Option<()> {
        if let (Some(start), Some(end)) = (&raw.start, &raw.end)
            && first_second(start.value) > last_second(end.value)
        {
            self.error(
                place(&raw.end).or(place(&raw.start)),
                "`end` is before `start`",
                "exchange them, or leave one out",
            );
            return None;
        }
        Some(())
    }

    pub(super) fn zone(&mut self, timezone: &Option<Field<String>>) -> Option<Zone> {
        let name = timezone
            .as_ref()
            .map_or(defaults::TIMEZONE, |field| &field.value);
        match Zone::parse(name) {
            Ok(zone) => Some(zone),
            Err(error) => {
                let place = timezone
                    .as_ref()
                    .and_then(|field| field.part(0..name.len()));
                let problem = Problem::error(&self.path, error.message).at(place);
                self.problems.push(with_help(problem, error.help));
                None
            }
        }
    }

    pub(super) fn cron(
        &mut self,
        schedule: &str,
        lines: &Field<Vec<Field<String>>>,
    ) -> Option<Timing> {
        if lines.value.is_empty() {
            self.error(
                lines.span.clone(),
                "`cron` is empty",
                "write an expression such as \"0 9 * * MON-FRI\"",
            );
            return None;
        }
        let mut expressions = Vec::with_capacity(lines.value.len());
        for line in &lines.value {
            match CronExpr::parse(&line.value, schedule) {
                Ok(expression) => {
                    for note in expression.notes() {
                        self.note(line.part(0..line.value.len()), note);
                    }
                    expressions.push(expression);
                }
                Err(error) => {
                    let problem =
                        Problem::error(&self.path, error.message).at(line.part(error.span));
                    self.problems.push(with_help(problem, error.help));
                }
            }
        }
        (expressions.len() == lines.value.len()).then_some(Timing::Cron(expressions))
    }
}

fn bound(instant: LocalInstant) -> Bound {
    match instant {
        LocalInstant::Date(date) => Bound::Date(date),
        LocalInstant::DateTime(at) => Bound::DateTime(at),
    }
}

fn first_second(instant: LocalInstant) -> jiff::civil::DateTime {
    match instant {
        LocalInstant::Date(date) => date.at(0, 0, 0, 0),
        LocalInstant::DateTime(at) => at,
    }
}

fn last_second(instant: LocalInstant) -> jiff::civil::DateTime {
    match instant {
        LocalInstant::Date(date) => date.at(23, 59, 59, 0),
        LocalInstant::DateTime(at) => at,
    }
}
