//! What was owed: each occurrence with its obligation and its window, out of the story alone (SEMANTICS is the law).
//! It knows nothing of what arrived.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::oracle::{self, Due};
use crate::story::{AT_MOST, CatchUp, Of, Plan, Story, Trouble, Version};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Obligation {
    Must,
    May,
    MustNot,
}

/// One occurrence.
#[derive(Clone, Debug)]
pub(crate) struct Owed {
    pub(crate) schedule: String,
    pub(crate) at: Timestamp,
    pub(crate) obligation: Obligation,
    /// The last instant at which it is in time.
    pub(crate) end: Timestamp,
    /// As each version that may fire it would have it.
    pub(crate) forms: Vec<Form>,
}

/// How an occurrence looks at the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Form {
    pub(crate) trigger_id: String,
    pub(crate) key: String,
    pub(crate) request_id: String,
    pub(crate) words: String,
}

/// How near to an edit either version may be in force.
const NEAR: SignedDuration = SignedDuration::from_secs(2);
/// Up to this late it fires whatever the policy; later it is missed.
const LATE: SignedDuration = SignedDuration::from_secs(30);
/// How exactly the driver knows the instant at which the daemon looked.
const FUZZ: SignedDuration = SignedDuration::from_secs(3);
/// No file asks for what is older.
const WITHIN: SignedDuration = SignedDuration::from_hours(12);

pub(crate) fn owed(story: &Story) -> BTreeMap<(String, Timestamp), Owed> {
    let mut all: BTreeMap<(String, Timestamp), Owed> = BTreeMap::new();
    let mut looked_at: Vec<(Timestamp, Timestamp)> = story.passed();
    for (left, landed) in &story.leaps {
        let before = *landed - WITHIN;
        if left < landed {
            looked_at.push((before.max(*left), *landed));
        }
    }
    for version in &story.versions {
        for (from, to) in &looked_at {
            let from = (version.from - NEAR).max(*from);
            let to = version.until.map_or(*to, |until| (until + NEAR).min(*to));
            for due in oracle::due(&version.plan.cron, &version.plan.zone, from, to) {
                add(&mut all, story, version, &due);
            }
        }
    }
    forbid_replays(&mut all, story);
    all
}

/// Of what a leap of the clock missed, the policy takes so many of the newest, and no more.
fn forbid_replays(all: &mut BTreeMap<(String, Timestamp), Owed>, story: &Story) {
    for (left, landed) in &story.leaps {
        let mut taken: BTreeMap<String, usize> = BTreeMap::new();
        for ((name, at), owed) in all.iter_mut().rev() {
            let over = left < at && *at < *landed - LATE - FUZZ && leaped(story, *at).is_some();
            let Some(version) = story.versions_of(name).next().filter(|_| over) else {
                continue;
            };
            let most = match version.plan.catch_up {
                CatchUp::All => AT_MOST,
                CatchUp::Latest => 1,
                CatchUp::None => 0,
            };
            let taken = taken.entry(name.clone()).or_default();
            *taken += 1;
            if *taken > most + FUZZ.as_secs() as usize {
                owed.obligation = Obligation::MustNot;
            }
        }
    }
}

fn add(all: &mut BTreeMap<(String, Timestamp), Owed>, story: &Story, version: &Version, due: &Due) {
    let plan = &version.plan;
    let name = &plan.name;
    let owed = all.entry((name.clone(), due.at)).or_insert_with(|| {
        let (end, covered) = window(story, plan, due.at);
        Owed {
            schedule: name.clone(),
            at: due.at,
            obligation: obligation(story, plan, due.at, covered),
            end,
            forms: Vec::new(),
        }
    });
    let form = Form {
        trigger_id: plan.trigger_id.clone(),
        key: oracle::key(name, &plan.trigger_id, due),
        request_id: oracle::request_id(name, due),
        words: plan.words.clone(),
    };
    if !owed.forms.contains(&form) {
        owed.forms.push(form);
    }
}

/// Until when it is in time, and the troubles that cover it.
fn window<'a>(story: &'a Story, plan: &Plan, at: Timestamp) -> (Timestamp, Vec<&'a Trouble>) {
    let mut end = at + story.grace;
    let mut covering = Vec::new();
    for (left, landed) in &story.leaps {
        if *left < at && at < *landed {
            end = end.max(*landed + LATE + story.grace);
        }
    }
    // In the order of time, since the wait after one can run into the next.
    for trouble in &story.troubles {
        let concerns = match &trouble.of {
            Of::Daemon | Of::Api(None) | Of::Refusing => true,
            Of::Api(Some(trigger_id)) => *trigger_id == plan.trigger_id,
        };
        if concerns && trouble.from <= end && trouble.until + trouble.wait >= at {
            covering.push(trouble);
            end = end.max(trouble.until + trouble.wait + LATE + story.grace);
        }
    }
    (end, covering)
}

fn obligation(story: &Story, plan: &Plan, at: Timestamp, covering: Vec<&Trouble>) -> Obligation {
    if let Some(leaped) = leaped(story, at) {
        return leaped;
    }
    if at > story.end || !in_force(story, plan, at) {
        return Obligation::May;
    }
    let give_up_after = SignedDuration::from_secs(plan.give_up_after.into());
    let mut found = Obligation::Must;
    // What began later finds it fired already.
    let direct = |trouble: &&&Trouble| trouble.from <= at + story.grace;
    for trouble in covering.iter().filter(direct) {
        let of_api = trouble.of != Of::Daemon;
        let may_be_refused =
            trouble.of == Of::Refusing || at + give_up_after < trouble.until + trouble.wait;
        if may_be_refused || (plan.catch_up != CatchUp::All && of_api) {
            found = Obligation::May;
        } else if plan.catch_up != CatchUp::All && trouble.until - LATE + FUZZ > at {
            let surely_missed = trouble.from < at && at < trouble.until - LATE - FUZZ;
            let next = oracle::due(
                &plan.cron,
                &plan.zone,
                at + SignedDuration::from_secs(1),
                trouble.until - LATE - FUZZ,
            );
            let newest = next.is_empty();
            found = match plan.catch_up {
                CatchUp::Latest if surely_missed && !newest => Obligation::MustNot,
                CatchUp::None if surely_missed => Obligation::MustNot,
                _ => Obligation::May,
            };
        }
    }
    found
}

/// Of what the clock leaped over: the policy, not a replay. `None` where it did not leap over this.
fn leaped(story: &Story, at: Timestamp) -> Option<Obligation> {
    let passed = |(from, to): &(Timestamp, Timestamp)| *from <= at && at <= *to;
    if story.passed().iter().any(passed) {
        return None;
    }
    let over = |(left, landed): &&(Timestamp, Timestamp)| *left < at && at < *landed;
    let (_, landed) = story.leaps.iter().find(over)?;
    Some(match landed.duration_since(at) {
        late if late < LATE - FUZZ => Obligation::Must,
        _ => Obligation::May,
    })
}

/// Whether a version of it is surely in force: over an edit, where the version before it owes the occurrence as well.
fn in_force(story: &Story, plan: &Plan, at: Timestamp) -> bool {
    let owes = |plan: &Plan| !oracle::due(&plan.cron, &plan.zone, at, at).is_empty();
    let mut near = story
        .versions_of(&plan.name)
        .filter(|it| it.from - NEAR <= at && it.until.is_none_or(|until| at <= until + NEAR))
        .peekable();
    let first = near.peek().map(|it| it.from + NEAR <= at);
    let versions: Vec<&Version> = near.collect();
    let last = versions
        .last()
        .is_some_and(|it| it.until.is_none_or(|until| at <= until));
    first == Some(true) && last && versions.iter().all(|it| owes(&it.plan))
}
