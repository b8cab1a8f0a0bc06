//! What is done to the daemon in a run: a function of the seed alone. It knows no daemon, so that no
//! fault depends on what the daemon does.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::random::Random;
use super::sketch::{AGENTS, Due, MAX_DELAY, Sketch};

/// An instant of true time since 1970, or a length.
pub(super) type Nanos = i64;

pub(super) const MILLISECOND: Nanos = 1_000_000;
pub(super) const SECOND: Nanos = 1000 * MILLISECOND;
pub(super) const MINUTE: Nanos = 60 * SECOND;
pub(super) const HOUR: Nanos = 60 * MINUTE;
pub(super) const DAY: Nanos = 24 * HOUR;

/// How long nothing is done to the daemon at the end, so that every occurrence comes to its verdict.
pub(super) const CALM: Nanos = 14 * HOUR;

pub(super) struct Script {
    pub seed: u64,
    pub starts: Nanos,
    pub ends: Nanos,
    pub files: BTreeMap<String, Arc<Sketch>>,
    pub due: Due,
    /// How many calls may be in flight.
    pub slots: usize,
    pub deeds: Vec<(Nanos, Deed)>,
    pub faults: Vec<Fault>,
    pub disk: Vec<Trouble>,
}

#[derive(Clone, Debug)]
pub(super) enum Deed {
    /// `None`: the file goes.
    Edit(String, Option<Arc<Sketch>>),
    StepClock(Nanos),
    /// SIGSTOP, SIGCONT after this long.
    Stop(Nanos),
    /// kill -9, and a start after this long.
    Crash(Nanos),
    /// kill -9 when that point is next passed.
    CrashAt(Seam, Nanos),
    /// SIGTERM, and a start this long after the end.
    Close(Nanos),
    TokenMended(&'static str),
    /// A person pauses one schedule or all, unless it is later than `ends` by now.
    Pause {
        name: Option<String>,
        ends: Nanos,
        /// It is to expire then; else a person ends it.
        expires: bool,
    },
    Resume(Option<String>),
    /// A person has the newest delivery of the schedule that was given up tried again.
    Redeliver(String),
}

/// A point between two steps of the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seam {
    /// Facts were handed over, and are not committed.
    HandedOver,
    /// They are committed, and nothing was sent.
    Committed,
    /// The API has accepted, and its answer is not heard.
    Accepted,
    /// It is heard, and what it means is not committed.
    Answered,
    /// An await of the engine or of one of its calls, after that many others.
    Await(u32),
}

/// What the API does wrong for a while, to that share of the calls.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    pub from: Nanos,
    pub to: Nanos,
    pub kind: Kind,
    pub scope: Scope,
    pub percent: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Unreachable,
    /// Not queued, which the caller can't know.
    ServerError {
        retry_after: Option<u64>,
    },
    /// Queued, and no answer; or one at which the caller's code panics.
    Reset,
    /// No byte until the caller's time-out.
    Hang {
        queued: bool,
    },
    Limited {
        retry_after: Option<u64>,
        as_date: bool,
    },
    DeadToken,
    RefusedTrigger,
    NotRunnable,
    Rejected,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    All,
    Agent(usize),
    Token(&'static str),
}

/// What the disk does wrong for a while.
#[derive(Clone, Debug)]
pub(super) struct Trouble {
    pub from: Nanos,
    pub to: Nanos,
    /// Nothing can be written; else it takes long.
    pub fails: bool,
}

impl Scope {
    pub(super) fn covers(self, agent: usize) -> bool {
        match self {
            Scope::All => true,
            Scope::Agent(it) => it == agent,
            Scope::Token(token) => AGENTS[agent].1 == token,
        }
    }
}

impl Kind {
    /// The longest wait that the daemon may keep after meeting it.
    pub(super) fn longest_wait(self) -> Nanos {
        const PROBE: Nanos = 15 * MINUTE;
        let back_off = Nanos::try_from(MAX_DELAY).expect("short") * SECOND;
        let asked = |seconds: Option<u64>| {
            Nanos::try_from(seconds.unwrap_or_default()).expect("short") * SECOND
        };
        match self {
            Kind::Unreachable | Kind::Reset => back_off,
            Kind::Hang { .. } => MINUTE + back_off,
            Kind::ServerError { retry_after } | Kind::Limited { retry_after, .. } => {
                asked(retry_after).max(back_off)
            }
            Kind::DeadToken | Kind::RefusedTrigger | Kind::NotRunnable => PROBE,
            Kind::Rejected => 0,
        }
    }
}

impl Script {
    pub(super) fn new(seed: u64, days: i64, schedules: usize) -> Self {
        let mut script = Self::quiet(seed, days, schedules);
        let mut random = Random::new(seed).fork();
        let edits = edits(&mut script, &mut random.fork());
        script.deeds = deeds(&script, &mut random.fork());
        script.deeds.extend(edits);
        script.faults = faults(&script, &mut random.fork());
        for fault in &script.faults {
            if let (Kind::DeadToken, Scope::Token(token)) = (fault.kind, fault.scope)
                && random.chance(50)
            {
                script.deeds.push((fault.to, Deed::TokenMended(token)));
            }
        }
        script.disk = troubles(&script, &mut random.fork());
        let pauses = pauses(&script, &mut random.fork());
        script.deeds.extend(pauses);
        let redeliveries = redeliveries(&script, &mut random.fork());
        script.deeds.extend(redeliveries);
        script
    }

    /// The same schedules, and nothing is done to anyone.
    pub(super) fn quiet(seed: u64, days: i64, schedules: usize) -> Self {
        const MANY: usize = 50;
        let due = match seed % 4 {
            _ if schedules > MANY => Due::Seldom,
            1 => Due::OneByOne,
            2 => Due::Together,
            _ => Due::Often,
        };
        // More together than may be in flight: then some wait for a slot.
        let (schedules, slots) = match due {
            Due::Together => (8 * schedules, 64),
            Due::Often | Due::OneByOne | Due::Seldom => (schedules, 1024),
        };
        let mut random = Random::new(seed);
        let starts: Timestamp = random
            .pick(&[
                "2026-03-05T10:00:00Z",
                "2026-04-01T22:10:00Z",
                "2026-10-20T05:30:00Z",
                "2027-03-20T00:00:00Z",
            ])
            .parse()
            .expect("an instant");
        let date = starts
            .display_with_offset(jiff::tz::Offset::UTC)
            .to_string()[..10]
            .parse()
            .expect("a date");
        let starts = Nanos::try_from(starts.as_nanosecond()).expect("before 2262");
        let mut schedules_random = random.fork();
        let files = (0..schedules).map(|n| {
            let name = format!("s{n}");
            (
                name.clone(),
                Sketch::random(name, 0, &mut schedules_random, date, due).shared(),
            )
        });
        Self {
            seed,
            starts,
            ends: starts + days * DAY,
            files: files.collect(),
            due,
            slots,
            deeds: vec![],
            faults: vec![],
            disk: vec![],
        }
    }

    fn some_time(&self, random: &mut Random) -> Nanos {
        random.between(self.starts + MINUTE, self.ends - CALM)
    }

    /// Mostly near a full quarter of an hour, when much is due.
    fn busy_time(&self, random: &mut Random) -> Nanos {
        let at = self.some_time(random);
        match random.chance(70) {
            true => {
                let quarter = at - at % (15 * MINUTE) + random.between(-8 * SECOND, 8 * SECOND);
                quarter.max(self.starts + MINUTE)
            }
            false => at,
        }
    }

    fn days(&self) -> i64 {
        (self.ends - self.starts) / DAY
    }
}

fn edits(script: &mut Script, random: &mut Random) -> Vec<(Nanos, Deed)> {
    let mut edits = Vec::new();
    let names: Vec<_> = script.files.keys().cloned().collect();
    for n in 0..script.days() * 3 {
        let name = random.pick(&names);
        let at = script.busy_time(random);
        let version = u32::try_from(n + 1).expect("small");
        let date = Timestamp::from_nanosecond(at.into()).expect("in range");
        let date = date.to_string()[..10].parse().expect("a date");
        let sketch = match random.between(0, 9) {
            0..=2 => None,
            _ => Some(Sketch::random(name.clone(), version, random, date, script.due).shared()),
        };
        edits.push((at, Deed::Edit(name, sketch)));
    }
    edits
}

fn deeds(script: &Script, random: &mut Random) -> Vec<(Nanos, Deed)> {
    const SEAMS: [Seam; 4] = [
        Seam::HandedOver,
        Seam::Committed,
        Seam::Accepted,
        Seam::Answered,
    ];
    let awaits = match script.due {
        Due::Often | Due::OneByOne | Due::Seldom => 60,
        // Through the middle of a crowd.
        Due::Together => 600,
    };
    let mut deeds = Vec::new();
    for _ in 0..script.days() * 6 {
        let at = script.busy_time(random);
        let down = match random.between(0, 9) {
            0..=5 => random.between(100 * MILLISECOND, 20 * SECOND),
            6..=7 => random.between(20 * SECOND, 30 * MINUTE),
            8 => random.between(30 * MINUTE, 5 * HOUR),
            _ => random.between(5 * HOUR, 20 * HOUR),
        };
        let deed = match random.between(0, 9) {
            0..=3 => Deed::CrashAt(random.pick(&SEAMS), down),
            4..=6 => {
                let after = u32::try_from(random.between(0, awaits)).expect("small");
                Deed::CrashAt(Seam::Await(after), down)
            }
            7 => Deed::Crash(down),
            _ => Deed::Close(down),
        };
        deeds.push((at, deed));
    }
    for _ in 0..script.days() {
        let length = random.pick(&[SECOND, 20 * SECOND, 61 * SECOND, 20 * MINUTE]);
        deeds.push((script.busy_time(random), Deed::Stop(length)));
    }
    let mut away: Nanos = 0;
    for _ in 0..script.days() / 2 {
        let length = random.pick(&[SECOND, 40 * SECOND, 30 * MINUTE, 5 * HOUR, 2 * DAY]);
        let back = if away.abs() > DAY {
            away > 0
        } else {
            random.chance(50)
        };
        let by = if back { -length } else { length };
        away += by;
        deeds.push((script.busy_time(random), Deed::StepClock(by)));
    }
    deeds
}

fn faults(script: &Script, random: &mut Random) -> Vec<Fault> {
    let mut faults = Vec::new();
    for _ in 0..script.days() * 4 {
        let from = script.busy_time(random);
        let length = match random.between(0, 9) {
            0..=4 => random.between(SECOND, 30 * SECOND),
            5..=7 => random.between(30 * SECOND, 20 * MINUTE),
            _ => random.between(20 * MINUTE, 6 * HOUR),
        };
        let asked = random.pick(&[None, Some(1), Some(30), Some(600)]);
        let kind = match random.between(0, 10) {
            0 => Kind::Unreachable,
            1 | 2 => Kind::ServerError { retry_after: asked },
            3 | 4 => Kind::Reset,
            5 => Kind::Hang {
                queued: random.chance(50),
            },
            6 | 7 => Kind::Limited {
                retry_after: asked,
                as_date: random.chance(50),
            },
            8 => Kind::DeadToken,
            9 => Kind::RefusedTrigger,
            _ => random.pick(&[Kind::NotRunnable, Kind::Rejected]),
        };
        let agent = usize::try_from(random.between(0, 2)).expect("not negative");
        let scope = match kind {
            Kind::DeadToken | Kind::Limited { .. } => Scope::Token(AGENTS[agent].1),
            Kind::RefusedTrigger | Kind::NotRunnable => Scope::Agent(agent),
            _ => random.pick(&[Scope::All, Scope::Agent(agent)]),
        };
        faults.push(Fault {
            from,
            to: (from + length).min(script.ends - CALM),
            kind,
            scope,
            percent: random.pick(&[30, 100, 100]),
        });
    }
    faults
}

fn pauses(script: &Script, random: &mut Random) -> Vec<(Nanos, Deed)> {
    let names: Vec<_> = script.files.keys().cloned().collect();
    let mut pauses = Vec::new();
    for _ in 0..script.days() {
        let at = script.busy_time(random);
        let name = (!random.chance(20)).then(|| random.pick(&names));
        let length = random.pick(&[20 * SECOND, 5 * MINUTE, HOUR, 5 * HOUR]);
        let (ends, expires) = (at + length, random.chance(50));
        if !expires {
            pauses.push((ends, Deed::Resume(name.clone())));
        }
        let pause = Deed::Pause {
            name,
            ends,
            expires,
        };
        pauses.push((at, pause));
    }
    pauses
}

fn redeliveries(script: &Script, random: &mut Random) -> Vec<(Nanos, Deed)> {
    let names: Vec<_> = script.files.keys().cloned().collect();
    let redelivery = |_| {
        let at = script.some_time(random);
        (at, Deed::Redeliver(random.pick(&names)))
    };
    (0..script.days() * 4).map(redelivery).collect()
}

fn troubles(script: &Script, random: &mut Random) -> Vec<Trouble> {
    let trouble = |_| {
        let from = script.busy_time(random);
        let length = random.pick(&[5 * SECOND, MINUTE, 30 * MINUTE]);
        Trouble {
            from,
            to: from + length,
            fails: random.chance(50),
        }
    };
    (0..script.days() / 3).map(trouble).collect()
}
