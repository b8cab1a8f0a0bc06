//! Matches what was owed with what arrived and with what the ledgers and the logs say, and names each difference.
//! It knows no fault by name and excuses nothing that the story does not tell.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::api::{Call, Effect};
use crate::owed::{Obligation, Owed, owed};
use crate::story::Story;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Verdict {
    Lost,
    Dup,
    Early,
    Late,
    Ghost,
    Wrong,
    Lie,
    Silent,
    Leak,
}

impl Verdict {
    pub(crate) const ALL: [Self; 9] = [
        Self::Lost,
        Self::Dup,
        Self::Early,
        Self::Late,
        Self::Ghost,
        Self::Wrong,
        Self::Lie,
        Self::Silent,
        Self::Leak,
    ];
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{self:?}").to_uppercase())
    }
}

/// What the run left behind.
pub(crate) struct Evidence {
    pub(crate) calls: Vec<Call>,
    pub(crate) effects: Vec<Effect>,
    /// `history --json` of each ledger.
    pub(crate) ledgers: Vec<Vec<Value>>,
    /// The lines of each daemon's log.
    pub(crate) logs: Vec<Vec<Value>>,
    /// Where the token's bytes were found.
    pub(crate) leaks: Vec<String>,
}

#[derive(Debug, Default)]
pub(crate) struct Judgement {
    pub(crate) judged: usize,
    pub(crate) findings: Vec<(Verdict, String)>,
    pub(crate) lateness: SignedDuration,
    pub(crate) heal: SignedDuration,
    pub(crate) calls: usize,
    pub(crate) acceptances: usize,
}

pub(crate) fn judge(story: &Story, evidence: &Evidence) -> Judgement {
    let owed = owed(story);
    let mut judgement = Judgement {
        calls: evidence.calls.len(),
        acceptances: evidence.effects.len(),
        ..Judgement::default()
    };
    let until_end = || owed.values().filter(|it| it.at <= story.end);
    judgement.judged = until_end()
        .filter(|it| it.obligation != Obligation::May)
        .count();
    let mut court = Court {
        story,
        owed: &owed,
        evidence,
        first_calls: HashMap::new(),
        judgement,
    };
    for call in &evidence.calls {
        let first = court.first_calls.entry(&call.idempotency_key);
        first
            .and_modify(|at| *at = call.at.min(*at))
            .or_insert(call.at);
    }
    court.arrivals();
    court.by_time();
    court.ledgers();
    court.logs();
    court.heals();
    for place in &evidence.leaks {
        court.find(Verdict::Leak, place.clone());
    }
    court.judgement
}

struct Court<'a> {
    story: &'a Story,
    owed: &'a BTreeMap<(String, Timestamp), Owed>,
    evidence: &'a Evidence,
    first_calls: HashMap<&'a Option<String>, Timestamp>,
    judgement: Judgement,
}

/// The occurrence that an event says it is for: found by its text, so that the key can be held against it.
fn occurrence_of(effect: &Effect) -> Option<(String, Timestamp)> {
    let mut parts = effect.input.split('|').skip(1);
    let schedule = parts.next()?.to_owned();
    Some((schedule, parts.next()?.parse().ok()?))
}

impl Court<'_> {
    fn find(&mut self, verdict: Verdict, what: String) {
        self.judgement.findings.push((verdict, what));
    }

    /// By key: each event against the occurrence that it is for, each occurrence against its events.
    fn arrivals(&mut self) {
        let (owed, evidence) = (self.owed, self.evidence);
        let mut effects_of: HashMap<&(String, Timestamp), Vec<&Effect>> = HashMap::new();
        for effect in &evidence.effects {
            let found = occurrence_of(effect).and_then(|it| owed.get_key_value(&it));
            match found {
                Some((occurrence, _)) => effects_of.entry(occurrence).or_default().push(effect),
                None => self.find(Verdict::Ghost, format!("never due: {effect:?}")),
            }
        }
        for (occurrence, owed) in owed {
            let effects = effects_of.get(occurrence).map_or(&[][..], Vec::as_slice);
            let name = format!("{} at {}", owed.schedule, owed.at);
            match (owed.obligation, effects) {
                (Obligation::Must, []) => self.find(Verdict::Lost, name.clone()),
                (Obligation::MustNot, [_, ..]) => {
                    self.find(Verdict::Ghost, format!("{name} was not to fire"));
                }
                (_, [_, _, ..]) => self.find(Verdict::Dup, format!("{name}: {effects:?}")),
                _ => {}
            }
            if let Some(effect) = effects.first() {
                self.form(owed, effect, &name);
                self.time(owed, effect, &name);
            }
        }
        let mut bodies = HashMap::new();
        for call in &evidence.calls {
            let first = bodies
                .entry((&call.trigger_id, &call.idempotency_key))
                .or_insert(&call.body_sha256);
            if **first != call.body_sha256 {
                let key = &call.idempotency_key;
                self.find(Verdict::Wrong, format!("{key:?} came with two bodies"));
            }
        }
    }

    fn form(&mut self, owed: &Owed, effect: &Effect, name: &str) {
        let fits = owed.forms.iter().any(|form| {
            let mut parts = effect.input.split('|');
            effect.trigger_id == form.trigger_id
                && effect.idempotency_key.as_deref() == Some(&form.key)
                && effect.conversation_key.as_deref() == Some(&owed.schedule)
                && parts.next() == Some(&form.words)
                && parts.nth(2) == Some(&form.request_id)
        });
        if !fits {
            let forms = &owed.forms;
            self.find(Verdict::Wrong, format!("{name}: {effect:?}, not {forms:?}"));
        }
    }

    fn time(&mut self, owed: &Owed, effect: &Effect, name: &str) {
        let first_call = self.first_calls.get(&effect.idempotency_key);
        let first = first_call.map_or(effect.at, |at| effect.at.min(*at));
        if first + self.story.ahead < owed.at {
            self.find(Verdict::Early, format!("{name}: it arrived at {first}"));
        }
        let late = effect.at.duration_since(owed.at);
        self.judgement.lateness = self.judgement.lateness.max(late);
        if effect.at > owed.end {
            let end = owed.end;
            let at = effect.at;
            self.find(
                Verdict::Late,
                format!("{name}: it arrived at {at}, after {end}"),
            );
        }
    }

    /// By time alone, and blind to keys: of what arrives at a trigger, each takes the open window that ends first. Every
    /// arrival must find one, and every window that is owed an arrival.
    fn by_time(&mut self) {
        let named: HashSet<Verdict> = self.judgement.findings.iter().map(|it| it.0).collect();
        let versions = self.story.versions.iter();
        let triggers: BTreeSet<&str> = versions.map(|it| it.plan.trigger_id.as_str()).collect();
        for trigger in triggers {
            let mut arrivals = Vec::new();
            for effect in &self.evidence.effects {
                if effect.trigger_id == trigger {
                    arrivals.push(effect.at + self.story.ahead);
                }
            }
            let windows = |wanted: &[Obligation]| -> Vec<(Timestamp, Timestamp)> {
                let of_trigger =
                    |owed: &&Owed| owed.forms.iter().any(|it| it.trigger_id == trigger);
                let owed = self.owed.values().filter(of_trigger);
                let wanted = owed.filter(|it| wanted.contains(&it.obligation));
                wanted
                    .map(|it| (it.at, it.end + self.story.ahead))
                    .collect()
            };
            let open = windows(&[Obligation::Must, Obligation::May]);
            let unmatched = arrivals.len() - matched(&arrivals, &open);
            let must = windows(&[Obligation::Must]);
            let missing = must.len() - matched(&arrivals, &must);
            // What the keys have told already is not told twice.
            if unmatched > 0
                && named.is_disjoint(&[Verdict::Ghost, Verdict::Dup, Verdict::Late].into())
            {
                let what = format!("{trigger}: by time {unmatched} arrivals have no window");
                self.find(Verdict::Ghost, what);
            }
            if missing > 0 && named.is_disjoint(&[Verdict::Lost, Verdict::Late].into()) {
                let what = format!("{trigger}: by time {missing} windows have no arrival");
                self.find(Verdict::Lost, what);
            }
        }
    }

    /// What the ledgers say against what the API recorded, either way.
    fn ledgers(&mut self) {
        let evidence = self.evidence;
        let at_api: HashSet<&str> = evidence
            .effects
            .iter()
            .filter_map(|it| it.idempotency_key.as_deref())
            .collect();
        let mut told: HashMap<&str, (bool, bool)> = HashMap::new();
        let mut settled: HashSet<(&str, Timestamp)> = HashSet::new();
        let mut skips = Vec::new();
        for row in evidence.ledgers.iter().flatten() {
            let text = |field: &str| row[field].as_str().unwrap_or_default();
            let instant = |field: &str| text(field).parse::<Timestamp>();
            if let Some(key) = row["idempotency_key"].as_str() {
                let accepted = row["verdict"] == "accepted";
                if accepted && !at_api.contains(key) {
                    self.find(Verdict::Lie, format!("accepted, says the ledger: {row}"));
                }
                let entry = told.entry(key).or_default();
                entry.0 |= accepted;
                entry.1 |= row["outcome_unknown"] == true;
                if row["verdict"] != "open"
                    && let Ok(at) = instant("scheduled_at")
                {
                    settled.insert((text("schedule"), at));
                }
            } else if let (Ok(first), Ok(last)) = (instant("first"), instant("last")) {
                skips.push((text("schedule"), first, last));
            }
        }
        for key in at_api {
            match told.get(key) {
                Some((true, _) | (_, true)) => {}
                Some(_) => self.find(
                    Verdict::Lie,
                    format!("the API took `{key}`, the ledger says no"),
                ),
                None => self.find(
                    Verdict::Silent,
                    format!("the API took `{key}`, the ledger knows nothing"),
                ),
            }
        }
        for ((name, at), owed) in self.owed {
            let skipped = || {
                let covers = |(of, first, last): &(&str, Timestamp, Timestamp)| {
                    of == name && first <= at && at <= last
                };
                skips.iter().any(covers)
            };
            let concerns = owed.obligation != Obligation::May && *at <= self.story.end;
            if concerns && !settled.contains(&(name.as_str(), *at)) && !skipped() {
                self.find(Verdict::Silent, format!("{name} at {at} has no verdict"));
            }
        }
    }

    /// The acceptance line is never without an event and never said twice.
    fn logs(&mut self) {
        let evidence = self.evidence;
        let known: HashSet<Option<&str>> = evidence
            .effects
            .iter()
            .map(|effect| effect.idempotency_key.as_deref())
            .collect();
        for log in &evidence.logs {
            let mut said = HashSet::new();
            for line in log.iter().filter(|it| it["message"] == "trigger accepted") {
                let key = line["idempotency_key"].as_str();
                if !known.contains(&key) {
                    self.find(Verdict::Lie, format!("accepted, says the log: {line}"));
                }
                if !said.insert(key) {
                    self.find(Verdict::Lie, format!("the log says it twice: {line}"));
                }
            }
        }
    }

    /// From each mending to the first event after it.
    fn heals(&mut self) {
        let arrivals: BTreeSet<Timestamp> = self.evidence.effects.iter().map(|it| it.at).collect();
        for trouble in &self.story.troubles {
            let another = |it: &&crate::story::Trouble| it.from >= trouble.until;
            let next = self
                .story
                .troubles
                .iter()
                .filter(another)
                .map(|it| it.from)
                .min();
            let first = arrivals.range(trouble.until..).next();
            if let Some(first) = first.filter(|first| next.is_none_or(|next| **first < next)) {
                let took = first.duration_since(trouble.until);
                self.judgement.heal = self.judgement.heal.max(took);
            }
        }
    }
}

/// How many arrivals find a window, each taking of those open the one that ends first.
fn matched(arrivals: &[Timestamp], windows: &[(Timestamp, Timestamp)]) -> usize {
    let (mut arrivals, mut windows) = (arrivals.to_vec(), windows.to_vec());
    arrivals.sort();
    windows.sort();
    let mut open: BTreeSet<(Timestamp, usize)> = BTreeSet::new();
    let mut coming = windows.iter().enumerate().peekable();
    let mut matched = 0;
    for arrival in arrivals {
        while let Some((n, (_, end))) = coming.next_if(|(_, (from, _))| *from <= arrival) {
            open.insert((*end, n));
        }
        open = open.split_off(&(arrival, 0));
        matched += usize::from(open.pop_first().is_some());
    }
    matched
}
