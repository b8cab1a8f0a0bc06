//! The day that was and the day that comes, drawn as bars of a quarter of an hour: where much falls
//! due at once, a bar stands out. The picture is SVG of numbers and times alone.

use std::collections::HashMap;
use std::fmt::Write;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::when::written;
use crate::daemon::event::Standing;
use crate::ledger::history::{Mark, Uncounted};
use crate::ledger::{LedgerError, Reader};
use crate::plan::delivery::{Verdict, earlier, later};
use crate::plan::jitter;

const BAR: i64 = 900;
const DAY: Duration = Duration::from_secs(86_400);
const BARS: usize = 2 * 86_400 / BAR as usize + 1;
/// Of what ended, the newest so many.
const MOST_PAST: usize = 20_000;
/// Occurrences that are worked out, of all schedules together and of one.
const MOST_COMING: usize = 100_000;
const MOST_OF_ONE: usize = 1_500;

pub(in crate::http) struct Timeline {
    /// Where the first bar begins.
    from: i64,
    now: Timestamp,
    bars: Vec<Bar>,
    /// Some comes beyond what was worked out.
    beyond: bool,
    /// Up to here more ended, or is open, than was counted.
    uncounted: Uncounted,
    /// Minutes of the next day at which the most schedules are due.
    busiest: Vec<(Timestamp, u64)>,
}

/// As [`KINDS`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Bar([u64; KINDS.len()]);

/// From the bottom up. The last is what comes beyond the occurrences that were worked out: it is guessed, so that it
/// shows, and not told as a number.
const KINDS: [&str; 6] = ["accepted", "failed", "skipped", "open", "coming", "coming"];
const OPEN: usize = 3;
const COMING: usize = 4;
const BEYOND: usize = 5;

impl Timeline {
    pub(in crate::http) fn new(
        standing: &Standing,
        ledger: Option<&Reader>,
    ) -> Result<Self, LedgerError> {
        let now = standing.agenda.at;
        let from = earlier(now, DAY).as_second().div_euclid(BAR) * BAR;
        let mut timeline = Self {
            from,
            now,
            bars: vec![Bar::default(); BARS],
            beyond: false,
            uncounted: Uncounted::default(),
            busiest: Vec::new(),
        };
        if let Some(ledger) = ledger {
            let since = Timestamp::from_second(from).unwrap_or(now);
            let past = ledger.since(since, MOST_PAST)?;
            past.marks.iter().for_each(|mark| timeline.add_past(mark));
            timeline.uncounted = past.uncounted;
        }
        timeline.add_coming(standing);
        Ok(timeline)
    }

    fn add_past(&mut self, mark: &Mark) {
        let kind = match mark.verdict {
            Some(Verdict::Accepted) => 0,
            Some(Verdict::Rejected | Verdict::Expired) => 1,
            Some(Verdict::Skipped(_)) => 2,
            None => OPEN,
        };
        self.spread(mark.first, mark.last, mark.count, kind);
    }

    /// Over the bars from `first` to `last`, evenly.
    fn spread(&mut self, first: Timestamp, last: Timestamp, count: u64, kind: usize) {
        let place = |at: Timestamp| (at.as_second() - self.from).div_euclid(BAR);
        let (first, last) = (place(first), place(last).max(place(first)));
        let span = (last - first + 1).unsigned_abs();
        for (done, bar) in (0..span).zip(first..=last) {
            // What the bars before have not taken.
            let share = count * (done + 1) / span - count * done / span;
            let bar = usize::try_from(bar)
                .ok()
                .and_then(|bar| self.bars.get_mut(bar));
            if let Some(Bar(kinds)) = bar {
                kinds[kind] += share;
            }
        }
    }

    fn add_coming(&mut self, standing: &Standing) {
        let agenda = &standing.agenda;
        let until = later(self.now, DAY);
        let most = (MOST_COMING / agenda.schedules.len().max(1)).clamp(24, MOST_OF_ONE);
        let mut minutes = HashMap::<i64, u64>::new();
        for now in agenda.schedules.iter().filter(|it| it.schedule.enabled) {
            let recurrence = &now.schedule.recurrence;
            let mut taken = 0;
            let mut counted = None;
            let mut slot = recurrence.next_after(self.now);
            while let Some(next) = slot.filter(|slot| slot.at <= until) {
                if taken == most {
                    // It goes on as it began.
                    let (past, left) = (
                        next.at.as_second() - self.now.as_second(),
                        until.as_second() - next.at.as_second(),
                    );
                    let rest = most as i64 * left / past.max(1);
                    self.spread(next.at, until, rest.unsigned_abs().max(1), BEYOND);
                    self.beyond = true;
                    break;
                }
                taken += 1;
                if !next.excluded {
                    let due_at = jitter::due_at(&now.schedule, &agenda.namespace, &next);
                    self.spread(due_at, due_at, 1, COMING);
                    // One that fires every second is no pile-up.
                    let minute = due_at.as_second().div_euclid(60);
                    if counted != Some(minute) {
                        *minutes.entry(minute).or_default() += 1;
                        counted = Some(minute);
                    }
                }
                slot = recurrence.next_after(next.at);
            }
        }
        let mut busiest: Vec<(i64, u64)> = minutes.into_iter().filter(|(_, it)| *it > 1).collect();
        busiest.sort_by_key(|&(minute, count)| (std::cmp::Reverse(count), minute));
        busiest.truncate(3);
        let at = |(minute, count)| Some((Timestamp::from_second(minute * 60).ok()?, count));
        self.busiest = busiest.into_iter().filter_map(at).collect();
    }

    /// Where the next day's pile-ups are, in words.
    pub(super) fn pile_ups(&self) -> String {
        let at = |&(at, count): &(Timestamp, u64)| {
            format!(
                "{count} schedules at {}",
                written(at, &TimeZone::UTC, self.now)
            )
        };
        let minutes: Vec<String> = self.busiest.iter().map(at).collect();
        match minutes.is_empty() {
            true => "no two fall due in one minute".to_owned(),
            false if self.beyond => format!(
                "most in one minute, of those counted: {} UTC",
                minutes.join(", ")
            ),
            false => format!("most in one minute: {} UTC", minutes.join(", ")),
        }
    }

    /// The most in one bar.
    fn most(&self) -> u64 {
        self.bars.iter().map(Bar::all).max().unwrap_or_default()
    }

    /// The most that was counted in one bar.
    pub(super) fn highest(&self) -> String {
        let counted = |Bar(kinds): &Bar| kinds[..BEYOND].iter().sum::<u64>();
        let most = self.bars.iter().map(counted).max().unwrap_or_default();
        match self.beyond || self.uncounted != Uncounted::default() {
            true => format!("more than {most}"),
            false => most.to_string(),
        }
    }

    /// What stands below, from left to right: at each half day.
    pub(super) fn labels(&self) -> Vec<String> {
        let label = |hours: i64| {
            let at = Timestamp::from_second(self.now.as_second() + hours * 3_600);
            let clock = at.unwrap_or(self.now).strftime("%H:%M").to_string();
            match hours {
                0 => format!("now, {clock} UTC"),
                _ => format!("{hours:+} h, {clock}"),
            }
        };
        [-24, -12, 0, 12, 24].map(label).to_vec()
    }

    pub(super) fn svg(&self) -> String {
        const HEIGHT: f64 = 100.0;
        let most = self.most().max(1) as f64;
        let mut svg = format!(
            "<svg class=\"timeline\" viewBox=\"0 0 {BARS} {HEIGHT}\" preserveAspectRatio=\"none\" \
             role=\"img\" aria-label=\"the last and the next 24 hours; {}\"><defs>\
             <pattern id=\"hatch\" width=\"0.5\" height=\"8\" patternUnits=\"userSpaceOnUse\">\
             <rect class=\"hatch\" width=\"0.5\" height=\"5\"/></pattern></defs>",
            self.pile_ups()
        );
        for (place, bar) in self.bars.iter().enumerate() {
            if bar.all() == 0 {
                continue;
            }
            let title = self.title(place, bar);
            let mut bars = format!(
                "<g><title>{title}</title><rect class=\"hit\" x=\"{place}\" width=\"1\" height=\"{HEIGHT}\"/>"
            );
            // By the square root, so that a pile-up shows beside what fires every second.
            let each = HEIGHT / (most * bar.all() as f64).sqrt();
            let mut top = HEIGHT;
            for (kind, &count) in KINDS.iter().zip(&bar.0).filter(|(_, count)| **count > 0) {
                // One of very many still shows.
                let height = (count as f64 * each).max(2.0);
                top = (top - height).max(0.0);
                write!(
                    bars,
                    "<rect class=\"{kind}\" x=\"{place}.1\" y=\"{top:.1}\" width=\"0.8\" height=\"{height:.1}\"/>"
                )
                .expect("a text grows");
            }
            svg += &bars;
            svg += "</g>";
        }
        let now = (self.now.as_second() - self.from) as f64 / BAR as f64;
        svg + &format!(
            "<line class=\"now\" x1=\"{now:.2}\" x2=\"{now:.2}\" y2=\"{HEIGHT}\"/></svg>"
        )
    }

    fn title(&self, place: usize, Bar(kinds): &Bar) -> String {
        let from = self.from + place as i64 * BAR;
        let at = |second| Timestamp::from_second(second).unwrap_or(self.now);
        let is_uncounted =
            |until: Option<Timestamp>| until.is_some_and(|at| at.as_second() >= from);
        let (ended, open) = (
            is_uncounted(self.uncounted.ended),
            is_uncounted(self.uncounted.open),
        );
        let counted = KINDS[..BEYOND].iter().zip(kinds).enumerate();
        let counts: Vec<String> = counted
            .filter_map(|(kind, (name, count))| {
                let more = match kind {
                    COMING => kinds[BEYOND] > 0,
                    OPEN => open,
                    _ => ended,
                };
                match (*count, more) {
                    (0, _) if kind != COMING || !more => None,
                    (count, true) => Some(format!("more than {count} {name}")),
                    (count, false) => Some(format!("{count} {name}")),
                }
            })
            .collect();
        format!(
            "{} to {} UTC: {}",
            written(at(from), &TimeZone::UTC, self.now),
            at(from + BAR).strftime("%H:%M"),
            counts.join(", ")
        )
    }
}

impl Bar {
    fn all(&self) -> u64 {
        self.0.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_skipped_alike_is_spread_and_nothing_is_lost() {
        let now: Timestamp = "2026-11-23T08:00:00Z".parse().expect("an instant");
        let mut timeline = Timeline {
            from: now.as_second(),
            now,
            bars: vec![Bar::default(); 4],
            beyond: false,
            uncounted: Uncounted::default(),
            busiest: Vec::new(),
        };
        let at = |minutes: i64| Timestamp::from_second(now.as_second() + minutes * 60).expect("it");
        timeline.spread(at(0), at(59), 10, 2);
        let shares: Vec<u64> = timeline.bars.iter().map(Bar::all).collect();
        assert_eq!(shares, [2, 3, 2, 3]);
        // Of what began before, its part.
        timeline.spread(at(-30), at(1), 3, 2);
        assert_eq!(timeline.bars[0].all(), 3);
        timeline.spread(at(60), at(60), 1, 0);
        assert_eq!(timeline.bars.iter().map(Bar::all).sum::<u64>(), 11);
    }

    #[test]
    fn what_was_not_counted_is_told_as_more_than_what_was() {
        let now: Timestamp = "2026-11-23T08:00:00Z".parse().expect("an instant");
        let mut timeline = Timeline {
            from: now.as_second(),
            now,
            bars: vec![Bar::default(); 3],
            beyond: false,
            uncounted: Uncounted {
                ended: Some(now),
                open: None,
            },
            busiest: Vec::new(),
        };
        timeline.spread(now, now, 7, 0);
        timeline.spread(now, now, 2, OPEN);
        let last = later(now, Duration::from_secs(3 * 900 - 1));
        let from = later(now, Duration::from_secs(900));
        timeline.spread(from, from, 3, COMING);
        timeline.spread(from, last, 40, BEYOND);
        timeline.beyond = true;
        let titles: Vec<String> = (0..3)
            .map(|place| timeline.title(place, &timeline.bars[place]))
            .map(|title| title.split(": ").last().unwrap_or_default().to_owned())
            .collect();
        assert_eq!(
            titles,
            [
                "more than 7 accepted, 2 open",
                "more than 3 coming",
                "more than 0 coming"
            ]
        );
        assert_eq!(timeline.highest(), "more than 9");
    }
}
