//! How many instants a span holds, from the bit sets: a schedule of every second has 86,400 a day. It gives the number
//! that walking would, and knows no bound of a file.

use std::collections::HashMap;
use std::ops::Range;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;

use crate::schedule::cron::{CronExpr, Kind, stretches, whole_second};

/// The instants in (`after`, `until`], each counted once however many lines meet there.
pub(super) fn count(
    lines: &[CronExpr],
    zone: &TimeZone,
    except: &[Date],
    after: Timestamp,
    until: Timestamp,
) -> u64 {
    let (after, until) = (whole_second(after), whole_second(until));
    let all: Vec<usize> = (0..lines.len()).collect();
    let intervals: Vec<usize> = (0..lines.len())
        .filter(|&line| lines[line].kind() == Kind::Interval)
        .collect();
    let mut tally = Tally {
        lines,
        except,
        whole_days: HashMap::new(),
    };

    let mut total = 0;
    for stretch in stretches(zone, after).take_while(|stretch| stretch.began <= until) {
        let from = stretch.starts.max(stretch.wall_after(after));
        let to = stretch.ends.min(stretch.wall_after(until));
        let second_pass = from..stretch.first_pass_from.min(to);
        let first_pass = stretch.first_pass_from.max(from)..to;
        total += tally.matches(&intervals, second_pass) + tally.matches(&all, first_pass);
        if stretch.began > after && lines.iter().any(|line| line.makes_up(&stretch)) {
            total += tally.unmatched(stretch.starts);
        }
    }
    total
}

struct Tally<'a> {
    lines: &'a [CronExpr],
    /// In order.
    except: &'a [Date],
    /// By the lines that match the day.
    whole_days: HashMap<Vec<usize>, u64>,
}

impl Tally<'_> {
    /// How many wall clocks of the span at least one of the lines matches.
    fn matches(&mut self, lines: &[usize], span: Range<DateTime>) -> u64 {
        let mut total = 0;
        let mut next = Some(span.start.date());
        while let Some(date) = next.and_then(|from| self.next_day(lines, from)) {
            let day = date.to_datetime(Time::midnight());
            if day >= span.end {
                break;
            }
            if !self.is_excluded(date) {
                let start = second_of_day(span.start.max(day).time());
                let end = if span.end.date() > date {
                    DAY
                } else {
                    second_of_day(span.end.time())
                };
                total += self.matches_of_day(lines, date, start..end);
            }
            next = date.tomorrow().ok();
        }
        total
    }

    fn matches_of_day(&mut self, lines: &[usize], date: Date, seconds: Range<u32>) -> u64 {
        let due: Vec<usize> = lines
            .iter()
            .copied()
            .filter(|&line| self.lines[line].matches_day(date))
            .collect();
        if seconds != (0..DAY) {
            return matching_seconds(self.lines, &due, seconds);
        }
        *self
            .whole_days
            .entry(due)
            .or_insert_with_key(|due| matching_seconds(self.lines, due, seconds))
    }

    /// 1 if something that is due at this wall clock has not been counted as its match.
    fn unmatched(&self, wall: DateTime) -> u64 {
        let second = second_of_day(wall.time());
        let due: Vec<usize> = (0..self.lines.len())
            .filter(|&line| self.lines[line].matches_day(wall.date()))
            .collect();
        let excluded = self.is_excluded(wall.date());
        u64::from(!excluded && matching_seconds(self.lines, &due, second..second + 1) == 0)
    }

    fn next_day(&self, lines: &[usize], from: Date) -> Option<Date> {
        lines
            .iter()
            .filter_map(|&line| self.lines[line].next_day(from))
            .min()
    }

    fn is_excluded(&self, date: Date) -> bool {
        self.except.binary_search(&date).is_ok()
    }
}

const DAY: u32 = 24 * 60 * 60;

fn second_of_day(time: Time) -> u32 {
    (time.hour() as u32 * 60 + time.minute() as u32) * 60 + time.second() as u32
}

/// How many of these seconds of a day at least one of the lines matches that are due on it.
fn matching_seconds(lines: &[CronExpr], due: &[usize], seconds: Range<u32>) -> u64 {
    let minutes = seconds.start / 60..seconds.end.div_ceil(60);
    minutes
        .map(|minute| {
            let (hour, minute_of_hour) = ((minute / 60) as u8, (minute % 60) as u8);
            let matching = due.iter().fold(0, |set, &line| {
                set | lines[line].seconds_of(hour, minute_of_hour)
            });
            let first = seconds.start.saturating_sub(minute * 60);
            let end = (seconds.end - minute * 60).min(60);
            let within = !0 << first & !(!0 << end);
            u64::from((matching & within).count_ones())
        })
        .sum()
}
