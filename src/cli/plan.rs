//! `triggerd plan`: what the folder would change of what is in force, and what the next start would fire
//! at once. It asks the ledger, in which a daemon keeps the last good version of each file, and the same rules;
//! it changes nothing.

use std::collections::BTreeSet;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use crate::cli::{Workplace, recalled};
use crate::ledger::{LedgerError, Reader};
use crate::plan::catch_up::{Settlement, settle};
use crate::plan::jitter;
use crate::render::counted;
use crate::schedule::message::rfc3339;
use crate::schedule::{Schedule, ScheduleId};

/// Show what the folder would change of what is in force, and what would fire at once
///
/// In force is what the ledger has of the last daemon, running or not. Where none runs, it also shows
/// what the next start catches up.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:\n  \
    triggerd plan\n  \
    triggerd plan --schedules /srv/checkout/schedules --json")]
pub(super) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// As `--json` prints it.
#[derive(Debug, Serialize)]
struct Plan {
    /// The state folder whose ledger it is; `null` where there is none yet.
    ledger: Option<String>,
    /// Whether one listens on the control socket.
    daemon_runs: bool,
    changes: Vec<Change>,
    unchanged: usize,
    at_once: Vec<AtOnce>,
    skipped: Vec<Skipped>,
}

#[derive(Debug, Serialize)]
struct Change {
    schedule: String,
    change: Kind,
    /// What is different in a changed one.
    what: Vec<&'static str>,
    /// Local, with offset.
    next: Option<String>,
    next_before: Option<String>,
    /// Deliveries without a verdict.
    waiting: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Added,
    Changed,
    Disabled,
    Gone,
    Broken,
}

#[derive(Debug, Serialize)]
struct AtOnce {
    schedule: String,
    local: String,
    scheduled_at_utc: String,
}

#[derive(Debug, Serialize)]
struct Skipped {
    schedule: String,
    reason: &'static str,
    first: String,
    last: String,
    count: u64,
}

/// More than a person reads.
const MOST_AT_ONCE: usize = 20;

pub(super) fn run(
    args: &Args,
    workplace: &Workplace,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let settings = workplace.settings();
    let ledger = match Reader::open(&settings.state) {
        Err(LedgerError::Missing { .. }) => None,
        ledger => Some(ledger?),
    };
    let mut plan = Plan {
        ledger: ledger
            .as_ref()
            .map(|_| settings.state.display().to_string()),
        daemon_runs: UnixStream::connect(&settings.control_socket).is_ok(),
        changes: Vec::new(),
        unchanged: 0,
        at_once: Vec::new(),
        skipped: Vec::new(),
    };
    let in_force: BTreeSet<ScheduleId> = match &ledger {
        Some(ledger) => ledger.in_force()?.into_iter().collect(),
        None => BTreeSet::new(),
    };
    let catalog = workplace.catalog()?;
    let mut ids = in_force.clone();
    ids.extend(catalog.schedules().map(|schedule| schedule.id.clone()));
    ids.extend(catalog.broken());
    for id in ids {
        let before = match &ledger {
            Some(ledger) if in_force.contains(&id) => recalled(&id, workplace, ledger)?,
            _ => None,
        };
        let file = File::of(&id, workplace)?;
        plan.compare(&id, before.as_ref(), &file, workplace, ledger.as_ref())?;
        let from_now_on = match &file {
            File::Good(schedule) => Some(schedule),
            File::Broken => before.as_ref(),
            File::Gone => None,
        };
        if let (Some(ledger), Some(schedule), false) = (&ledger, from_now_on, plan.daemon_runs)
            && schedule.enabled
            && in_force.contains(&id)
        {
            plan.catch_up(schedule, workplace, ledger)?;
        }
    }
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &plan)?;
        writeln!(out)?;
    } else {
        plan.print(out)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What the folder says.
enum File {
    Good(Arc<Schedule>),
    Broken,
    Gone,
}

impl File {
    fn of(id: &ScheduleId, workplace: &Workplace) -> anyhow::Result<Self> {
        let path = workplace.settings().schedules.join(format!("{id}.toml"));
        Ok(match workplace.catalog()?.get(id) {
            Some(schedule) => Self::Good(schedule.clone()),
            None if path.symlink_metadata().is_ok() => Self::Broken,
            None => Self::Gone,
        })
    }
}

impl Plan {
    fn compare(
        &mut self,
        id: &ScheduleId,
        before: Option<&Arc<Schedule>>,
        file: &File,
        workplace: &Workplace,
        ledger: Option<&Reader>,
    ) -> anyhow::Result<()> {
        let now = workplace.now();
        let (change, what, from_now_on) = match (before, file) {
            (None, File::Good(schedule)) if schedule.enabled => {
                (Kind::Added, Vec::new(), next(schedule, now))
            }
            // Out of force before and after.
            (None, File::Good(_) | File::Gone) => return Ok(()),
            (Some(_), File::Good(schedule)) if !schedule.enabled => {
                (Kind::Disabled, Vec::new(), None)
            }
            (Some(before), File::Good(schedule)) if before == schedule => {
                self.unchanged += 1;
                return Ok(());
            }
            (Some(before), File::Good(schedule)) => {
                let what = differences(before, schedule);
                (Kind::Changed, what, next(schedule, now))
            }
            (before, File::Broken) => (
                Kind::Broken,
                Vec::new(),
                before.and_then(|it| next(it, now)),
            ),
            (Some(_), File::Gone) => (Kind::Gone, Vec::new(), None),
        };
        self.changes.push(Change {
            schedule: id.to_string(),
            change,
            what,
            next: from_now_on,
            next_before: before.and_then(|before| next(before, now)),
            waiting: match ledger {
                Some(ledger) => ledger.waiting(id, now)?,
                None => 0,
            },
        });
        Ok(())
    }

    /// What is due between the last daemon's end and now, by the files as they are.
    fn catch_up(
        &mut self,
        schedule: &Schedule,
        workplace: &Workplace,
        ledger: &Reader,
    ) -> anyhow::Result<()> {
        let (Some(settled), Some(known)) =
            (ledger.settled_until()?, ledger.schedule(&schedule.id)?)
        else {
            return Ok(());
        };
        let now = workplace.now();
        let after = settled.max(known.began_at);
        if after >= now {
            return Ok(());
        }
        let due_at = |slot: &_| jitter::due_at(schedule, workplace.namespace(), slot);
        let Settlement {
            skipped,
            caught_up,
            on_time,
        } = settle(
            &schedule.recurrence,
            schedule.policies.missed,
            schedule.jitter,
            due_at,
            after,
            now,
        );
        let at_once = caught_up.iter().chain(&on_time).map(|slot| AtOnce {
            schedule: schedule.id.to_string(),
            local: local(schedule, slot.at),
            scheduled_at_utc: slot.at.to_string(),
        });
        self.at_once.extend(at_once);
        self.skipped.extend(skipped.iter().map(|stretch| Skipped {
            schedule: schedule.id.to_string(),
            reason: stretch.why.word(),
            first: local(schedule, stretch.first),
            last: local(schedule, stretch.last),
            count: stretch.count,
        }));
        Ok(())
    }

    fn print(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let width = self.changes.iter().map(|it| it.schedule.len()).max();
        let width = width.unwrap_or(0);
        for change in &self.changes {
            let kind = match change.change {
                Kind::Added => "added",
                Kind::Changed => "changed",
                Kind::Disabled => "disabled",
                Kind::Gone => "gone",
                Kind::Broken => "broken",
            };
            write!(out, "{kind:8}  {:width$}  ", change.schedule)?;
            writeln!(out, "{}", change.said())?;
        }
        writeln!(out, "{} unchanged", counted(self.unchanged, "schedule"))?;
        if self.daemon_runs {
            return writeln!(out, "\nA daemon runs: what is due, it fires as it comes.");
        }
        if self.ledger.is_none() {
            let said = "There is no ledger yet: the first start owes nothing from before.";
            return writeln!(out, "\n{said}");
        }
        if self.at_once.is_empty() {
            writeln!(out, "\nThe next start fires nothing at once.")?;
        } else {
            let count = counted(self.at_once.len(), "occurrence");
            writeln!(out, "\nThe next start fires {count} at once:")?;
        }
        for it in self.at_once.iter().take(MOST_AT_ONCE) {
            writeln!(out, "  {}  {}", it.local, it.schedule)?;
        }
        if self.at_once.len() > MOST_AT_ONCE {
            writeln!(out, "  and {} more", self.at_once.len() - MOST_AT_ONCE)?;
        }
        if !self.skipped.is_empty() {
            writeln!(out, "\nIt skips:")?;
        }
        for it in &self.skipped {
            write!(out, "  {}  {}  {}", it.last, it.schedule, it.reason)?;
            match it.count {
                1 => writeln!(out)?,
                count => writeln!(out, "  {count} occurrences since {}", it.first)?,
            }
        }
        Ok(())
    }
}

impl Change {
    fn said(&self) -> String {
        let next = match &self.next {
            Some(next) => format!("next {next}"),
            None => "never due again".to_owned(),
        };
        let mut said = match (self.change, &self.next_before) {
            (Kind::Added, _) => next,
            (Kind::Changed, Some(before)) if self.next.as_ref() != Some(before) => {
                format!("{}; {next} instead of {before}", self.what.join(", "))
            }
            (Kind::Changed, _) => format!("{}; {next}", self.what.join(", ")),
            (Kind::Disabled | Kind::Gone, Some(before)) => format!("not at {before}"),
            (Kind::Disabled | Kind::Gone, None) => "it was not due again".to_owned(),
            (Kind::Broken, Some(_)) => format!(
                "its last good version stays in force; {next}; `triggerd check` shows what is wrong"
            ),
            (Kind::Broken, None) => {
                "it is not in force, nor will be; `triggerd check` shows what is wrong".to_owned()
            }
        };
        if self.waiting > 0 && matches!(self.change, Kind::Disabled | Kind::Gone) {
            let waiting = counted_deliveries(self.waiting);
            said += &format!("; {waiting} as `removed`");
        }
        said
    }
}

fn counted_deliveries(count: u64) -> String {
    match count {
        1 => "1 waiting delivery ends".to_owned(),
        count => format!("{count} waiting deliveries end"),
    }
}

/// What differs, in words.
fn differences(before: &Schedule, after: &Schedule) -> Vec<&'static str> {
    [
        ("description", before.description != after.description),
        ("when", before.recurrence != after.recurrence),
        ("jitter", before.jitter != after.jitter),
        ("agent", before.target != after.target),
        ("text", before.message != after.message),
        ("conversation", before.conversation != after.conversation),
        ("keep_input", before.keep_input != after.keep_input),
        ("policies", before.policies != after.policies),
    ]
    .into_iter()
    .filter_map(|(what, differs)| differs.then_some(what))
    .collect()
}

fn next(schedule: &Schedule, now: Timestamp) -> Option<String> {
    let mut after = now;
    loop {
        let slot = schedule.recurrence.next_after(after)?;
        if !slot.excluded {
            return Some(local(schedule, slot.at));
        }
        after = slot.at;
    }
}

fn local(schedule: &Schedule, at: Timestamp) -> String {
    rfc3339(&at.to_zoned_datetime(schedule.recurrence.zone.tz.clone()))
}
