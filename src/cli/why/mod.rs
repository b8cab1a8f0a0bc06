//! `triggerd why`: what became of one occurrence, and why. The ledger has the first word; where it has
//! nothing to say, the file and the rules do. It decides nothing, and never writes.

mod entry;

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::AmbiguousOffset;
use jiff::{SignedDuration, Timestamp, civil};
use serde::Serialize;

use crate::cli::history::Row;
use crate::cli::next::note;
use crate::cli::when::When;
use crate::cli::{Workplace, recalled};
use crate::ledger::history::{Entry, RecordedSkip};
use crate::ledger::{LedgerError, Reader};
use crate::plan::delivery::Skip;
use crate::plan::jitter;
use crate::plan::occurrence::Namespace;
use crate::schedule::message::rfc3339;
use crate::schedule::recurrence::{Naming, Recurrence, Slot, Zone};
use crate::schedule::{Schedule, ScheduleId};
use crate::toml_file::written;
use entry::{meaning, verdict};

/// Say why an occurrence did or did not fire
///
/// From the ledger, and from the file where the ledger has nothing to say.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:\n  \
    triggerd why weekly-report 2026-11-23T09:00\n  \
    triggerd why weekly-report 2026-11-23T08:00:00Z --json")]
pub(super) struct Args {
    /// The schedule
    schedule: String,

    /// When it was due: RFC 3339, or local to the schedule's zone
    time: When,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The answer, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Answer<'a> {
    schedule: &'a str,
    local: String,
    scheduled_at_utc: String,
    /// `none` where the ledger has no entry.
    verdict: &'static str,
    reason: Option<&'static str>,
    explanation: Vec<String>,
    entry: Option<Row<'a>>,
}

/// A word, and a sentence.
type Reason = (&'static str, String);

struct Case {
    schedule: Arc<Schedule>,
    /// What is the matter with its file, if something is.
    file: Option<&'static str>,
    /// `None` where there is none.
    ledger: Option<Reader>,
    now: Timestamp,
    state: String,
    retention: Duration,
    namespace: Namespace,
}

pub(super) fn run(
    args: &Args,
    workplace: &Workplace,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let case = Case::open(&ScheduleId::parse(&args.schedule)?, workplace)?;
    let (at, moved) = case.instant(args.time)?;
    let entry = case.entry(at)?;
    let slot = slot_at(&case.schedule.recurrence, at);
    let (verdict, (reason, text)) = match &entry {
        Some(entry) => (verdict(entry), case.of_entry(entry)),
        None => ("none", case.of_nothing(at, slot.as_ref())?),
    };
    let is_told_of_the_clock = moved.is_some();
    let mut explanation: Vec<String> = moved.into_iter().chain([text]).collect();
    match (&entry, &slot) {
        (Some(Entry::Delivery(delivery)), _) => explanation.extend(case.of_delivery(delivery)),
        (Some(Entry::Skip(skip)), _) => explanation.extend(case.of_skips(skip)),
        (None, Some(_)) => {}
        (None, None) => explanation.extend(case.neighbours(at)?),
    }
    if let Some(note) = slot.and_then(|slot| note(&case.schedule.recurrence, &slot))
        && !matches!(&entry, Some(Entry::Skip(skip)) if skip.skipped.why == Skip::Excluded)
        && reason != "excluded"
        && !is_told_of_the_clock
    {
        explanation.push(note);
    }
    explanation.extend(case.file.map(str::to_owned));
    explanation.retain(|line| !line.is_empty());
    let answer = Answer {
        schedule: case.schedule.id.as_str(),
        local: case.local(at),
        scheduled_at_utc: at.to_string(),
        verdict,
        reason: (!reason.is_empty()).then_some(reason),
        explanation,
        entry: entry.as_ref().map(Row::new),
    };
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &answer)?;
        writeln!(out)?;
    } else {
        answer.print(out)?;
    }
    Ok(ExitCode::SUCCESS)
}

impl Answer<'_> {
    fn print(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let said = match (self.verdict, self.reason) {
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
    fn open(id: &ScheduleId, workplace: &Workplace) -> anyhow::Result<Self> {
        let settings = workplace.settings();
        let ledger = match Reader::open(&settings.state) {
            Err(LedgerError::Missing { .. }) => None,
            ledger => Some(ledger?),
        };
        let in_folder = workplace
            .catalog()
            .and_then(|catalog| catalog.schedule(id.as_str()));
        let is_there = settings
            .schedules
            .join(format!("{id}.toml"))
            .symlink_metadata()
            .is_ok();
        let (schedule, file) = match in_folder {
            Ok(schedule) => (schedule, None),
            Err(error) => {
                let recalled = match &ledger {
                    Some(ledger) => recalled(id, workplace, ledger)?,
                    None => None,
                };
                let file = match is_there {
                    true => {
                        "its file has a problem (`triggerd check`); this is by its last good version"
                    }
                    false => "its file is not in the folder; this is by its last good version",
                };
                (recalled.ok_or(error)?, Some(file))
            }
        };
        Ok(Self {
            schedule,
            file,
            ledger,
            now: workplace.now(),
            state: settings.state.display().to_string(),
            retention: settings.retention,
            namespace: workplace.namespace().clone(),
        })
    }

    /// The instant that is meant. What a clock change skips is meant where it went.
    fn instant(&self, time: When) -> anyhow::Result<(Timestamp, Option<String>)> {
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

    fn entry(&self, at: Timestamp) -> anyhow::Result<Option<Entry>> {
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
    fn of_nothing(&self, at: Timestamp, slot: Option<&Slot>) -> anyhow::Result<Reason> {
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
    fn neighbours(&self, at: Timestamp) -> anyhow::Result<Vec<String>> {
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
                    "" => verdict(&entry).to_owned(),
                    reason => format!("{}, {reason}", verdict(&entry)),
                },
                None => self.of_nothing(slot.at, Some(&slot))?.0.replace('_', " "),
            };
            let local = self.local(slot.at);
            lines.push(format!("the nearest {which} it is {local}: {said}"));
        }
        Ok(lines)
    }

    fn local(&self, at: Timestamp) -> String {
        rfc3339(&at.to_zoned_datetime(self.schedule.recurrence.zone.tz.clone()))
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
