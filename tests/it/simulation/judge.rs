//! Matches what was owed with what arrived and with what the ledger says (RELIABILITY.md). Its bounds
//! are the law's; when it complains, the daemon is mended.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};
use triggerd::ledger::Reader;
use triggerd::ledger::history::{Entry, Filter};
use triggerd::plan::delivery::{Skip, Verdict};

use super::oracle::{self, Owed};
use super::world::{Arrival, Policy, World};

/// What can be wrong with an occurrence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    Lost,
    Dup,
    Early,
    Late,
    Ghost,
    Wrong,
    Lie,
    Silent,
}

#[derive(Debug, Default)]
pub(super) struct Judgement {
    pub(super) judged: usize,
    pub(super) faults: Vec<(Fault, String)>,
}

struct Case<'w> {
    name: &'w str,
    policy: Policy,
    owed: Owed,
    trigger_id: &'w str,
    /// When its version was taken away for good, if it was.
    removed_at: Option<Timestamp>,
}

/// Allowed beyond the due time while nothing is the matter.
const CALM_LATENESS: SignedDuration = SignedDuration::from_secs(1);

/// After a heal: the longest slow retry, and a catch-up of a whole day's minutes a second apart.
const RECOVERY: SignedDuration = SignedDuration::from_mins(45);

pub(super) fn judge(world: &World, until: Timestamp) -> Judgement {
    let cases = cases(world, until);
    let recorded = Recorded::read(world, until);
    let by_key = world.by_key();
    let mut judgement = Judgement {
        judged: cases.len(),
        faults: Vec::new(),
    };
    let mut complain = |fault, what: String| judgement.faults.push((fault, what));

    for (key, arrivals) in &by_key {
        match cases.get(*key) {
            None => {
                let occurrence = key
                    .rsplit_once('-')
                    .map_or(*key, |(occurrence, _)| occurrence);
                let known = cases.keys().any(|known| known.starts_with(occurrence));
                let fault = if known { Fault::Dup } else { Fault::Ghost };
                if arrivals[0].at <= until {
                    complain(fault, format!("{key} arrived at {}", arrivals[0].at));
                }
            }
            Some(case) => judge_arrivals(case, key, arrivals, &recorded, &mut complain),
        }
    }
    for (key, case) in &cases {
        let effect = by_key
            .get(key.as_str())
            .and_then(|arrivals| arrivals.iter().find(|arrival| arrival.effect));
        judge_effect(
            world,
            case,
            key,
            effect.copied(),
            &by_key,
            &cases,
            &recorded,
            &mut complain,
        );
        judge_record(key, effect.is_some(), &recorded, &mut complain);
    }
    judge_silence(world, &cases, &recorded, &mut complain);
    judge_windows(&recorded, &mut complain);
    let told: BTreeSet<&String> = world.told.iter().collect();
    if told.len() != world.told.len() {
        complain(Fault::Lie, "an acceptance was told twice".into());
    }
    judgement
}

fn cases<'w>(world: &'w World, until: Timestamp) -> BTreeMap<String, Case<'w>> {
    let mut cases = BTreeMap::new();
    for (index, version) in world.versions.iter().enumerate() {
        let end = version.until.unwrap_or(until).min(until);
        let later = &world.versions[index + 1..];
        let edited = |at: Timestamp| {
            later
                .iter()
                .any(|it| it.name == version.name && it.from == at)
        };
        let removed_at = version.until.filter(|at| !edited(*at)).or_else(|| {
            let mut later = later.iter().filter(|it| it.name == version.name);
            later.find_map(|it| it.until)
        });
        for owed in version.timing.owed(version.from, end).into_values() {
            let key = oracle::key(&version.name, &owed, &version.trigger_id);
            cases.insert(
                key,
                Case {
                    name: &version.name,
                    policy: version.policy,
                    owed,
                    trigger_id: &version.trigger_id,
                    removed_at,
                },
            );
        }
    }
    cases
}

fn judge_arrivals(
    case: &Case<'_>,
    key: &str,
    arrivals: &[&Arrival],
    recorded: &Recorded,
    complain: &mut impl FnMut(Fault, String),
) {
    let frozen = recorded.bodies.get(key);
    for arrival in arrivals {
        if arrival.not_before < case.owed.at {
            complain(Fault::Early, format!("{key} arrived at {}", arrival.at));
        }
        let digest: [u8; 32] = Sha256::digest(arrival.body.as_bytes()).into();
        let other_body = frozen.is_some_and(|frozen| *frozen != digest);
        if other_body || arrival.trigger_id != case.trigger_id {
            complain(
                Fault::Wrong,
                format!("{key}: another body or agent at {}", arrival.at),
            );
        }
    }
    if arrivals.iter().filter(|arrival| arrival.effect).count() > 1 {
        complain(Fault::Dup, format!("{key} took effect twice"));
    }
}

#[expect(
    clippy::too_many_arguments,
    reason = "the whole of what is known of one occurrence"
)]
fn judge_effect(
    world: &World,
    case: &Case<'_>,
    key: &str,
    effect: Option<&Arrival>,
    by_key: &BTreeMap<&str, Vec<&Arrival>>,
    cases: &BTreeMap<String, Case<'_>>,
    recorded: &Recorded,
    complain: &mut impl FnMut(Fault, String),
) {
    let due = case.owed.at;
    let calm = is_calm(world, due);
    let removed = recorded.verdict(key) == Some(Verdict::Skipped(Skip::Removed))
        && case.removed_at.is_some_and(|at| at >= due);
    match effect {
        Some(effect) => {
            let allowed = match calm {
                true => due + CALM_LATENESS,
                false => healed_after(world, due) + RECOVERY,
            };
            if effect.at > allowed {
                complain(
                    Fault::Late,
                    format!("{key} arrived at {}, allowed {allowed}", effect.at),
                );
            }
        }
        None if removed => {}
        None => {
            let covered_by_a_later_one = || {
                cases.iter().any(|(other, it)| {
                    it.name == case.name
                        && it.owed.at > due
                        && by_key
                            .get(other.as_str())
                            .is_some_and(|arrivals| arrivals.iter().any(|it| it.effect))
                })
            };
            let owed = match case.policy {
                Policy::All => true,
                Policy::Latest => calm || !covered_by_a_later_one(),
                Policy::None => calm,
            };
            if owed {
                let verdict = recorded.verdict(key);
                complain(
                    Fault::Lost,
                    format!("{key}, due {due}, verdict {verdict:?}"),
                );
            }
        }
    }
}

fn judge_record(
    key: &str,
    effect: bool,
    recorded: &Recorded,
    complain: &mut impl FnMut(Fault, String),
) {
    match recorded.deliveries.get(key) {
        Some((Some(Verdict::Accepted), _)) if !effect => {
            complain(
                Fault::Lie,
                format!("{key} is accepted in the ledger, and never arrived"),
            );
        }
        Some((Some(Verdict::Accepted), _)) | None
            if effect == recorded.deliveries.contains_key(key) => {}
        Some((Some(Verdict::Accepted), _)) => {}
        Some((Some(verdict), unknown)) if effect && !unknown => {
            complain(
                Fault::Lie,
                format!("{key} took effect, and its verdict is {verdict:?}"),
            );
        }
        Some((None, _)) => complain(Fault::Silent, format!("{key} has no verdict")),
        None if effect => complain(
            Fault::Lie,
            format!("{key} took effect, and is not in the ledger"),
        ),
        Some(_) | None => {}
    }
}

/// Each occurrence has one verdict: of its delivery, or among skips.
fn judge_silence(
    world: &World,
    cases: &BTreeMap<String, Case<'_>>,
    recorded: &Recorded,
    complain: &mut impl FnMut(Fault, String),
) {
    for (key, case) in cases {
        let among = recorded
            .skips
            .iter()
            .filter(|(name, first, last, _)| {
                name == case.name && (*first..=*last).contains(&case.owed.at)
            })
            .count();
        let delivered = recorded.deliveries.contains_key(key);
        if !delivered && among == 0 {
            complain(Fault::Silent, format!("{key} has no verdict"));
        }
    }
    for (name, first, last, count) in &recorded.skips {
        let inside = cases
            .iter()
            .filter(|(key, case)| {
                case.name == name
                    && (*first..=*last).contains(&case.owed.at)
                    && !recorded.deliveries.contains_key(*key)
            })
            .count();
        // What a step back takes back from the middle of a row is counted by its share.
        if inside as u64 != *count && !world.stepped_back {
            let what =
                format!("{name}: {count} skipped from {first} to {last}, {inside} were owed there");
            complain(Fault::Lie, what);
        }
    }
}

/// Accepted windows leave no hole between the first and the last.
fn judge_windows(recorded: &Recorded, complain: &mut impl FnMut(Fault, String)) {
    for (name, windows) in &recorded.windows {
        let mut covered: Option<Timestamp> = None;
        for (start, end) in windows {
            if let Some(covered) = covered
                && *start > covered
            {
                complain(
                    Fault::Wrong,
                    format!("{name}: nothing covers {covered} to {start}"),
                );
            }
            covered = covered.max(Some(*end));
        }
    }
}

/// Whether nothing was done to anyone near this instant, nor so shortly before that there was
/// something to catch up.
fn is_calm(world: &World, at: Timestamp) -> bool {
    world
        .troubles
        .iter()
        .all(|(from, to)| at < *from - SignedDuration::from_secs(20) || at > *to + RECOVERY)
}

/// The end of the last trouble that an occurrence of this instant can have met.
fn healed_after(world: &World, due: Timestamp) -> Timestamp {
    let mut healed = due;
    loop {
        let later = world
            .troubles
            .iter()
            .filter(|(from, to)| *from <= healed + RECOVERY && *to > healed)
            .map(|(_, to)| *to)
            .max();
        match later {
            Some(later) => healed = later,
            None => return healed,
        }
    }
}

/// The ledger, as the judge needs it.
struct Recorded {
    /// By key: the verdict, and whether an outcome is unknown.
    deliveries: BTreeMap<String, (Option<Verdict>, bool)>,
    /// By key: the digest of the frozen body.
    bodies: BTreeMap<String, [u8; 32]>,
    /// Schedule, first, last, count.
    skips: Vec<(String, Timestamp, Timestamp, u64)>,
    /// By schedule: each accepted window, by start.
    windows: BTreeMap<String, Vec<(Timestamp, Timestamp)>>,
}

impl Recorded {
    fn read(world: &World, until: Timestamp) -> Self {
        let reader = Reader::open(world.state()).expect("there is a ledger");
        let all = Filter {
            schedule: None,
            limit: usize::MAX >> 1,
        };
        let mut recorded = Self {
            deliveries: BTreeMap::new(),
            bodies: BTreeMap::new(),
            skips: Vec::new(),
            windows: BTreeMap::new(),
        };
        for entry in reader.history(&all).expect("it can be read") {
            match entry {
                Entry::Delivery(it) if it.occurrence.scheduled_at <= until => {
                    let verdict = it.ending.as_ref().map(|ending| ending.verdict);
                    if verdict == Some(Verdict::Accepted) {
                        let windows = recorded
                            .windows
                            .entry(it.occurrence.schedule.to_string())
                            .or_default();
                        windows.push((it.window.start, it.window.end));
                    }
                    let key = it.idempotency_key.to_string();
                    recorded.bodies.insert(key.clone(), it.body.sha256);
                    recorded
                        .deliveries
                        .insert(key, (verdict, it.outcome_unknown));
                }
                Entry::Delivery(_) => {}
                Entry::Skip(it) => {
                    let it = it.skipped;
                    recorded
                        .skips
                        .push((it.schedule.to_string(), it.first, it.last, it.count));
                }
            }
        }
        for windows in recorded.windows.values_mut() {
            windows.sort_unstable();
        }
        recorded
    }

    fn verdict(&self, key: &str) -> Option<Verdict> {
        self.deliveries.get(key).and_then(|(verdict, _)| *verdict)
    }
}
