//! What became of one occurrence, and why. The ledger has the first word; where it has nothing to say, the file and
//! the rules do. It decides nothing, and never writes.

mod entry;

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::AmbiguousOffset;
use jiff::{SignedDuration, Timestamp, civil};
use serde::{Deserialize, Serialize};

use super::Row;
use super::when::When;
use crate::ledger::history::{Entry, RecordedSkip};
use crate::ledger::{LedgerError, Reader};
use crate::plan::delivery::Skip;
use crate::plan::jitter;
use crate::plan::occurrence::Namespace;
use crate::render;
use crate::schedule::Schedule;
use crate::schedule::message::rfc3339;
use crate::schedule::recurrence::{Naming, Recurrence, Slot, Zone, note};
use crate::toml_file::written;
use entry::{meaning, verdict};

/// The answer, as `--json` prints it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Answer {
    schedule: String,
    local: String,
    scheduled_at_utc: String,
    /// `none` where the ledger has no entry.
    verdict: String,
    reason: Option<String>,
    explanation: Vec<String>,
    entry: Option<Row>,
}

/// A word, and a sentence.
type Reason = (&'static str, String);

pub struct Case {
    pub schedule: Arc<Schedule>,
    /// What is the matter with its file, if something is.
    pub file: Option<&'static str>,
    /// `None` where there is none.
    pub ledger: Option<Reader>,
    pub now: Timestamp,
    pub state: String,
    pub retention: Duration,
    pub namespace: Namespace,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum WhyError {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Time(#[from] jiff::Error),
}

impl Answer {
    /// # Errors
    /// If it can't be written.
    pub fn print(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let said = match (self.verdict.as_str(), self.reason.as_deref()) {
            ("none", reason) => reason.unwrap_or_default().replace('_', " "),
            (verdict, Some(reason)) => format!("{verdict}, {reason}"),
            (verdict, None) => verdict.to_owned(),
        };
        writeln!(out, "{} at {}: {said}", self.schedule, self.local)?;
        for line in &self.explanation {
            writeln!(out, "  {line}")?;
        }
        Ok(())
    }
}

impl Case {
    /// # Errors
    /// If the time is out of range, or the ledger can't be read.
    pub fn answer(&self, time: When) -> Result<Answer, WhyError> {
        let (at, moved) = self.instant(time)?;
        let entry = self.entry(at)?;
        let slot = slot_at(&self.schedule.recurrence, at);
        let (verdict, (reason, text)) = match &entry {
            Some(entry) => (verdict(entry, self.now), self.of_entry(entry)),
            None => ("none", self.of_nothing(at, slot.as_ref())?),
        };
        let is_told_of_the_clock = moved.is_some();
        let mut explanation: Vec<String> = moved.into_iter().chain([text]).collect();
        match (&entry, &slot) {
            (Some(Entry::Delivery(delivery)), _) => explanation.extend(self.of_delivery(delivery)),
            (Some(Entry::Skip(skip)), _) => explanation.extend(self.of_skips(skip)),
            (None, Some(_)) => {}
            (None, None) => explanation.extend(self.neighbours(at)?),
        }
        if let Some(note) = slot.and_then(|slot| note(&self.schedule.recurrence, &slot))
            && !matches!(&entry, Some(Entry::Skip(skip)) if skip.skipped.why == Skip::Excluded)
            && reason != "excluded"
            && !is_told_of_the_clock
        {
            explanation.push(note);
        }
        explanation.extend(self.file.map(str::to_owned));
        explanation.retain(|line| !line.is_empty());
        let zone = &self.schedule.recurrence.zone.tz;
        Ok(Answer {
            schedule: self.schedule.id.to_string(),
            local: rfc3339(&at.to_zoned_datetime(zone.clone())),
            scheduled_at_utc: at.to_string(),
            verdict: verdict.to_owned(),
            reason: (!reason.is_empty()).then(|| reason.to_owned()),
            explanation,
            entry: entry.as_ref().map(|entry| Row::new(entry, self.now)),
        })
    }

    /// The instant that is meant. What a clock change skips is meant where it went.
    fn instant(&self, time: When) -> Result<(Timestamp, Option<String>), WhyError> {
        let recurrence = &self.schedule.recurrence;
        let zone = &recurrence.zone.tz;
        let at = time.in_zone(zone)?;
        let When::Local(wall) = time else {
            return Ok((at, None));
        };
        let is_skipped = matches!(
            zone.to_ambiguous_timestamp(wall).offset(),
            AmbiguousOffset::Gap { .. }
        );
        if !is_skipped {
            return Ok((at, None));
        }
        let landing = zone.preceding(at + SignedDuration::from_nanos(1)).next();
        let landing = landing.map(|change| change.timestamp());
        let moved = landing
            .and_then(|landing| slot_at(recurrence, landing))
            .filter(|slot| slot.naming == Naming::WallClock && is_meant(recurrence, wall));
        let gap = format!("the clock went forward over {wall}: that time did not exist");
        Ok(match moved {
            Some(slot) => (
                slot.at,
                Some(format!(
                    "{gap}, and what it skips fires right after, at {}",
                    self.local(slot.at)
                )),
            ),
            None => (at, Some(gap)),
        })
    }

    fn entry(&self, at: Timestamp) -> Result<Option<Entry>, LedgerError> {
        let Some(ledger) = &self.ledger else {
            return Ok(None);
        };
        let entry = ledger.occurrence(&self.schedule.id, at)?;
        // Skips that are alike share a row, which says nothing of what lies between them.
        Ok(entry.filter(|entry| match entry {
            Entry::Delivery(_) => true,
            Entry::Skip(RecordedSkip { skipped, .. }) => {
                [skipped.first, skipped.last].contains(&at)
                    || slot_at(&self.schedule.recurrence, at).is_some()
            }
        }))
    }

    /// Why the ledger has nothing of it.
    fn of_nothing(&self, at: Timestamp, slot: Option<&Slot>) -> Result<Reason, LedgerError> {
        let recurrence = &self.schedule.recurrence;
        let Some(slot) = slot else {
            let without_bounds = Recurrence {
                start: None,
                end: None,
                ..recurrence.clone()
            };
            return Ok(match slot_at(&without_bounds, at) {
                Some(_) => ("out_of_bounds", "it lies outside `start` and `end`".into()),
                None => ("no_occurrence", "it is not due then".into()),
            });
        };
        if slot.excluded {
            return Ok(("excluded", meaning(Skip::Excluded).into()));
        }
        let due_at = jitter::due_at(&self.schedule, &self.namespace, slot);
        if !self.schedule.enabled && at > self.now {
            return Ok(("disabled", "its file says `enabled = false`".into()));
        }
        if due_at > self.now {
            let left = self.now.duration_until(due_at);
            let left = Duration::from_secs(left.as_secs().unsigned_abs());
            return Ok((
                "not_due_yet",
                format!("it is due at {}, in {}", self.local(due_at), written(left)),
            ));
        }
        let Some(ledger) = &self.ledger else {
            let text = format!("there is no ledger in `{}`: no daemon has run", self.state);
            return Ok(("never_loaded", text));
        };
        let Some(known) = ledger.schedule(&self.schedule.id)? else {
            let text = format!(
                "no daemon with its ledger in `{}` has loaded it",
                self.state
            );
            return Ok(("never_loaded", text));
        };
        if at <= known.began_at {
            return Ok((
                "before_its_loading",
                format!(
                    "it is in force since {}, and owes nothing from before",
                    self.local(known.began_at)
                ),
            ));
        }
        if !known.in_force {
            let text = "its file was disabled or gone, and it owes nothing from then on";
            return Ok(("not_in_force", text.into()));
        }
        let settled = ledger.settled_until()?;
        if settled.is_none_or(|settled| at > settled) {
            return Ok((
                "not_dealt_with",
                "no daemon has run since; what becomes of it is decided at the next start".into(),
            ));
        }
        Ok((
            "not_recorded",
            format!(
                "it ended more than {} ago and was pruned, or the file said otherwise at that time",
                written(self.retention)
            ),
        ))
    }

    /// What is due before and after, with what became of it.
    fn neighbours(&self, at: Timestamp) -> Result<Vec<String>, LedgerError> {
        let recurrence = &self.schedule.recurrence;
        let before = recurrence
            .previous_before(at)
            .filter(|slot| slot_at(recurrence, slot.at).is_some());
        let mut lines = Vec::new();
        for (which, slot) in [("before", before), ("after", recurrence.next_after(at))] {
            let Some(slot) = slot else {
                lines.push(format!("there is none {which} it"));
                continue;
            };
            let said = match self.entry(slot.at)? {
                Some(entry) => match self.of_entry(&entry).0 {
                    "" => verdict(&entry, self.now).to_owned(),
                    reason => format!("{}, {reason}", verdict(&entry, self.now)),
                },
                None => self.of_nothing(slot.at, Some(&slot))?.0.replace('_', " "),
            };
            let local = self.local(slot.at);
            lines.push(format!("the nearest {which} it is {local}: {said}"));
        }
        Ok(lines)
    }

    fn local(&self, at: Timestamp) -> String {
        render::local(at, &self.schedule.recurrence.zone.tz)
    }
}

fn slot_at(recurrence: &Recurrence, at: Timestamp) -> Option<Slot> {
    let just_before = at - SignedDuration::from_nanos(1);
    recurrence.next_after(just_before).filter(|it| it.at == at)
}

/// Whether it is due at this time on a wall clock that skips nothing.
fn is_meant(recurrence: &Recurrence, wall: civil::DateTime) -> bool {
    let on_any_clock = Recurrence {
        zone: Zone::utc(),
        ..recurrence.clone()
    };
    let at = on_any_clock.zone.tz.to_timestamp(wall);
    at.is_ok_and(|at| slot_at(&on_any_clock, at).is_some())
}
