//! `triggerd plan`: what the folder would change of what is in force, and what the next start would fire
//! at once. It asks the running daemon; where none runs, the ledger, in which a daemon keeps the last good version of
//! each file, and the same rules. It changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use crate::cli::{Workplace, recalled};
use crate::daemon::control::{AskError, Client};
use crate::daemon::in_force::InForce;
use crate::daemon::status::{BreakerStatus, PauseStatus};
use crate::ledger::{LedgerError, Reader};
use crate::plan::catch_up::{Settlement, settle};
use crate::plan::jitter;
use crate::render::{self, counted, utc};
use crate::schedule::facets::{differences, facets};
use crate::schedule::{Schedule, ScheduleId};

/// Show what the folder would change of what is in force, and what would fire at once
///
/// In force is what the running daemon says, with its defaults and agents. Where none runs, it is what the ledger
/// has of the last one, and what the next start catches up is shown too.
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
#[derive(Debug, Default, Serialize)]
struct Plan {
    /// The state folder whose ledger it is; `null` where there is none yet.
    ledger: Option<String>,
    /// Whether one was asked: else it is by the ledger.
    daemon_runs: bool,
    changes: Vec<Change>,
    unchanged: usize,
    at_once: Vec<AtOnce>,
    skipped: Vec<Skipped>,
    /// Of a running daemon: schedules with runs that have not ended, and what keeps it from firing.
    active: Vec<Active>,
    limited: Vec<String>,
    pauses: Vec<PauseStatus>,
    breakers: Vec<BreakerStatus>,
}

#[derive(Debug, Serialize)]
struct Active {
    schedule: String,
    runs: usize,
    overlap: String,
}

#[derive(Debug, Serialize)]
struct Change {
    schedule: String,
    change: Kind,
    /// What is different in a changed one.
    what: Vec<String>,
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

pub(super) async fn run(
    args: &Args,
    workplace: &Workplace,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let settings = workplace.settings();
    let client = Client::new(&settings.control_socket)?;
    let plan = match client.get::<InForce>("/in-force").await {
        // A daemon among several has a part alone.
        _ if settings.database.is_some() => against_the_ledger(workplace)?,
        Ok(in_force) => against_the_daemon(&in_force, workplace)?,
        Err(AskError::Nobody(_)) => against_the_ledger(workplace)?,
        Err(error) => return Err(error.into()),
    };
    if args.json {
        super::print_json(out, &plan)?;
    } else {
        plan.print(out)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn against_the_daemon(in_force: &InForce, workplace: &Workplace) -> anyhow::Result<Plan> {
    let settings = workplace.settings();
    let mut plan = Plan {
        ledger: Some(settings.state.display().to_string()),
        daemon_runs: true,
        ..Plan::default()
    };
    let mut before = BTreeMap::new();
    for it in &in_force.schedules {
        let id = ScheduleId::parse(&it.schedule)?;
        let was = Before {
            facets: it.facets.clone(),
            next: it.next_at.clone(),
            waiting: it.waiting,
        };
        before.insert(id, was);
        if it.runs > 0 {
            plan.active.push(Active {
                schedule: it.schedule.clone(),
                runs: it.runs,
                overlap: it.overlap.clone(),
            });
        }
        if it.limited {
            plan.limited.push(it.schedule.clone());
        }
    }
    plan.pauses.clone_from(&in_force.pauses);
    plan.breakers.clone_from(&in_force.breakers);
    for id in ids(before.keys(), workplace)? {
        plan.compare(&id, before.get(&id), &File::of(&id, workplace)?, workplace);
    }
    Ok(plan)
}

fn against_the_ledger(workplace: &Workplace) -> anyhow::Result<Plan> {
    let settings = workplace.settings();
    let ledger = match Reader::open(&settings.place()) {
        Err(LedgerError::Missing { .. }) => None,
        ledger => Some(ledger?),
    };
    let mut plan = Plan {
        ledger: ledger
            .as_ref()
            .map(|_| settings.state.display().to_string()),
        ..Plan::default()
    };
    let in_force: BTreeSet<ScheduleId> = match &ledger {
        Some(ledger) => ledger.in_force()?.into_iter().collect(),
        None => BTreeSet::new(),
    };
    for id in ids(in_force.iter(), workplace)? {
        let recalled = match &ledger {
            Some(ledger) if in_force.contains(&id) => recalled(&id, workplace, ledger)?,
            _ => None,
        };
        let file = File::of(&id, workplace)?;
        let waiting = match &ledger {
            Some(ledger) => ledger.waiting(&id, workplace.now())?,
            None => 0,
        };
        let before = recalled.as_deref().map(|schedule| Before {
            facets: facets(schedule, &settings.schedules),
            next: next(schedule, workplace.now()),
            waiting,
        });
        plan.compare(&id, before.as_ref(), &file, workplace);
        let from_now_on = match &file {
            File::Good(schedule) => Some(schedule),
            File::Broken => recalled.as_ref(),
            File::Gone => None,
        };
        if let (Some(ledger), Some(schedule)) = (&ledger, from_now_on)
            && schedule.enabled
            && in_force.contains(&id)
        {
            plan.catch_up(schedule, workplace, ledger)?;
        }
    }
    Ok(plan)
}

/// What is in force, and what the folder has, by name.
fn ids<'a>(
    in_force: impl Iterator<Item = &'a ScheduleId>,
    workplace: &Workplace,
) -> anyhow::Result<BTreeSet<ScheduleId>> {
    let catalog = workplace.catalog()?;
    let in_folder = catalog.schedules().map(|schedule| schedule.id.clone());
    Ok(in_force
        .cloned()
        .chain(in_folder)
        .chain(catalog.broken())
        .collect())
}

/// What is in force of a schedule.
struct Before {
    facets: Vec<(String, String)>,
    next: Option<String>,
    waiting: u64,
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
        before: Option<&Before>,
        file: &File,
        workplace: &Workplace,
    ) {
        let now = workplace.now();
        let (change, what, from_now_on) = match (before, file) {
            (None, File::Good(schedule)) if schedule.enabled => {
                (Kind::Added, Vec::new(), next(schedule, now))
            }
            // Out of force before and after.
            (None, File::Good(_) | File::Gone) => return,
            (Some(_), File::Good(schedule)) if !schedule.enabled => {
                (Kind::Disabled, Vec::new(), None)
            }
            (Some(before), File::Good(schedule)) => {
                let after = facets(schedule, &workplace.settings().schedules);
                let what = differences(&before.facets, &after);
                if what.is_empty() {
                    self.unchanged += 1;
                    return;
                }
                (Kind::Changed, what, next(schedule, now))
            }
            (before, File::Broken) => (
                Kind::Broken,
                Vec::new(),
                before.and_then(|it| it.next.clone()),
            ),
            (Some(_), File::Gone) => (Kind::Gone, Vec::new(), None),
        };
        self.changes.push(Change {
            schedule: id.to_string(),
            change,
            what,
            next: from_now_on,
            next_before: before.and_then(|before| before.next.clone()),
            waiting: before.map_or(0, |before| before.waiting),
        });
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
            writeln!(out, "\nA daemon runs: what is due, it fires as it comes.")?;
            return self.print_standing(out);
        }
        if self.ledger.is_none() {
            let said = "There is no ledger yet: the first start owes nothing from before.";
            return writeln!(out, "\n{said}");
        }
        writeln!(
            out,
            "\nNo daemon runs: this is against what the last one had in force, by the `[defaults]` and agents of now."
        )?;
        if self.at_once.is_empty() {
            writeln!(out, "The next start fires nothing at once.")?;
        } else {
            let count = counted(self.at_once.len(), "occurrence");
            writeln!(out, "The next start fires {count} at once:")?;
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

impl Plan {
    /// What keeps the daemon from firing, or will.
    fn print_standing(&self, out: &mut dyn Write) -> std::io::Result<()> {
        for it in &self.active {
            let runs = counted(it.runs, "run");
            let (name, overlap) = (&it.schedule, &it.overlap);
            writeln!(
                out,
                "active: {name}, {runs} not ended; its `[overlap]` is `{overlap}`"
            )?;
        }
        for name in &self.limited {
            writeln!(out, "limited: {name}, until its hour or day is over")?;
        }
        for it in &self.pauses {
            let name = it.schedule.as_deref().unwrap_or("all");
            let until = it.until.map_or("it is resumed".to_owned(), utc);
            writeln!(out, "paused: {name}, until {until}")?;
        }
        for it in &self.breakers {
            writeln!(
                out,
                "breaker: {} {}, {}, {} waiting",
                it.breaker, it.of, it.why, it.waiting
            )?;
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
    render::local(at, &schedule.recurrence.zone.tz)
}
