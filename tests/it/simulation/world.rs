//! The real agenda and the real ledger under a virtual clock, with an API in this process: the loop
//! of the engine, made single-threaded and mortal. Crash means that everything but the ledger's file
//! and the API is dropped between two steps.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;
use tokio::sync::mpsc::UnboundedReceiver;
use triggerd::clock::{Boottime, Moment};
use triggerd::ledger::{Ledger, LedgerError, Place, Receipt, Standing};
use triggerd::plan::agenda::{Action, Agenda, Change};
use triggerd::plan::delivery::Delivery;
use triggerd::plan::fact::Fact;
use triggerd::plan::occurrence::{IdempotencyKey, Namespace};
use triggerd::plan::outcome::{Acceptance, Answer, Outcome, Reached, RetryAfter};
use triggerd::schedule::resolve::{Context, Parsed};
use triggerd::schedule::{Schedule, ScheduleId};

use super::oracle::Timing;

/// SplitMix64: the same seed, the same run.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.roll() % n
    }

    pub(super) fn seconds(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from * 1000 + self.below((to - from) * 1000 + 1))
    }

    pub(super) fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len() as u64) as usize]
    }
}

/// One version of one file, and how long it was in force.
#[derive(Clone, Debug)]
pub(super) struct Version {
    pub(super) name: String,
    pub(super) timing: Timing,
    pub(super) policy: Policy,
    pub(super) trigger_id: String,
    /// Strictly after.
    pub(super) from: Timestamp,
    /// Up to and including; `None` while it is in force.
    pub(super) until: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Policy {
    All,
    Latest,
    None,
}

impl Version {
    fn text(&self) -> String {
        let catch_up = match self.policy {
            Policy::All => "catch_up = \"all\"\nat_most = 100000\nspacing = \"1s\"",
            Policy::Latest => "catch_up = \"latest\"",
            Policy::None => "catch_up = \"none\"",
        };
        format!(
            "cron = \"{}\"\ntimezone = \"{}\"\ntrigger_id = \"{}\"\nconversation = \"none\"\n\
             input = \"{{{{ window_start }}}} {{{{ window_end }}}}\"\n[missed]\n{catch_up}\nwithin = \"72h\"\n\
             [retry]\ngive_up_after = \"24h\"\n",
            self.timing.expression(),
            self.timing.zone,
            self.trigger_id
        )
    }

    fn schedule(&self) -> Arc<Schedule> {
        let context = Context::default();
        let id = ScheduleId::parse(&self.name).expect("a name");
        let parsed = Parsed::new(Path::new("a.toml"), &self.text(), &context);
        let (schedule, problems) = parsed.resolve(&id, None, &context, self.from);
        Arc::new(schedule.unwrap_or_else(|| panic!("{problems:?}\n{}", self.text())))
    }
}

/// One call as the API saw it.
#[derive(Clone, Debug)]
pub(super) struct Arrival {
    pub(super) at: Timestamp,
    /// The latest that the daemon's clock had shown until then.
    pub(super) not_before: Timestamp,
    pub(super) trigger_id: String,
    pub(super) key: String,
    pub(super) body: Arc<str>,
    /// It queued an event of its own.
    pub(super) effect: bool,
}

/// How the API answers for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    Well,
    /// 503.
    Unavailable,
    /// 500: nothing is queued, but nobody can know.
    Failing,
    /// Queued, and then the connection is reset.
    AcceptsAndResets,
    /// No answer until the client gives up.
    Hangs,
    RateLimited,
    TokenDead,
    TriggersGone,
    NotRunnable,
}

struct InFlight {
    answered_at: Boottime,
    sent_at: Timestamp,
    sent: Boottime,
    key: IdempotencyKey,
    outcome: Outcome,
}

struct Daemon {
    agenda: Agenda,
    ledger: Ledger,
    receipts: UnboundedReceiver<Vec<Receipt>>,
    calls: Vec<InFlight>,
}

/// Where the process dies, once that is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Death {
    /// Facts were stated and not committed.
    BeforeCommit,
    /// They were committed, and nothing came of them yet.
    AfterCommit,
    /// Between two steps.
    Idle,
}

pub(super) struct World {
    pub(super) now: Moment,
    pub(super) dice: Dice,
    pub(super) mood: Mood,
    pub(super) arrivals: Vec<Arrival>,
    pub(super) versions: Vec<Version>,
    /// Stretches in which something was done to the daemon or the API.
    pub(super) troubles: Vec<(Timestamp, Timestamp)>,
    /// Acceptances in the order in which they were told.
    pub(super) told: Vec<String>,
    state: TempDir,
    daemon: Option<Daemon>,
    down_since: Option<Timestamp>,
    /// Where the wall clock has been already.
    furthest: Timestamp,
    effects: HashMap<(String, String), ()>,
    death: Option<(Death, u64)>,
    pub(super) sabotage: Sabotage,
    pub(super) stepped_back: bool,
}

/// What a test of the judge has the world do wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Sabotage {
    #[default]
    None,
    LoseAnEffect,
    DoubleUnderAnotherKey,
    SendEarly,
    SendLate,
    SendUnasked,
    ChangeABody,
}

impl World {
    pub(super) fn new(seed: u64, start: Timestamp) -> Self {
        // In memory where there is such a folder: the crash is the process's, never the disk's.
        let shm = Path::new("/dev/shm");
        let state = match shm.is_dir() {
            true => tempfile::tempdir_in(shm),
            false => tempfile::tempdir(),
        };
        Self {
            now: Moment {
                wall: start,
                boot: Boottime::from(Duration::from_secs(1_000)),
            },
            dice: Dice(seed),
            mood: Mood::Well,
            arrivals: Vec::new(),
            versions: Vec::new(),
            troubles: Vec::new(),
            told: Vec::new(),
            state: state.expect("a temporary folder"),
            daemon: None,
            down_since: None,
            furthest: start,
            effects: HashMap::new(),
            death: None,
            sabotage: Sabotage::None,
            stepped_back: false,
        }
    }

    pub(super) fn state(&self) -> &Path {
        self.state.path()
    }

    pub(super) fn is_up(&self) -> bool {
        self.daemon.is_some()
    }

    /// Starts the daemon on the files as they are.
    pub(super) fn start(&mut self) {
        if let Some(since) = self.down_since.take() {
            self.troubles.push((since, self.now.wall));
        }
        let place = Place::Folder(self.state.path().to_owned());
        let (ledger, remembered, receipts) = loop {
            match Ledger::open(&place, self.now.wall) {
                // A process that another test is starting holds a copy of the lock until its exec.
                Err(LedgerError::InUse { .. }) => std::thread::yield_now(),
                opened => break opened.expect("the ledger always opens"),
            }
        };
        let agenda = Agenda::new(Namespace::default(), 1000, remembered, self.now);
        self.daemon = Some(Daemon {
            agenda,
            ledger,
            receipts,
            calls: Vec::new(),
        });
        let changes = self
            .in_force()
            .map(|it| Change::Put(it.schedule()))
            .collect();
        self.change(changes);
    }

    /// SIGKILL.
    pub(super) fn kill(&mut self) {
        if self.daemon.take().is_some() {
            self.down_since = Some(self.now.wall);
        }
        self.death = None;
    }

    /// SIGTERM: the calls under way may end.
    pub(super) fn stop(&mut self) {
        let now = self.now;
        if let Some(daemon) = &mut self.daemon {
            let actions = daemon.agenda.close(now);
            self.act(actions);
        }
        while let Some(wake) = self.next_answer() {
            self.pass_until_boot(wake);
            self.hear();
        }
        self.kill();
    }

    pub(super) fn die_at(&mut self, death: Death, after: u64) {
        self.death = Some((death, after));
    }

    /// A file is written: another version from here on.
    pub(super) fn put(&mut self, version: Version) {
        self.end_version(&version.name);
        let schedule = version.schedule();
        self.versions.push(version);
        self.change(vec![Change::Put(schedule)]);
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.end_version(name);
        let id = ScheduleId::parse(name).expect("a name");
        self.change(vec![Change::Remove(id)]);
    }

    pub(super) fn mend_token(&mut self) {
        let now = self.now;
        if let Some(daemon) = &mut self.daemon {
            let token = triggerd::api::token::TokenId::Default;
            let actions = daemon.agenda.token_changed(token, now);
            self.act(actions);
        }
    }

    pub(super) fn step_clock(&mut self, by: SignedDuration) {
        let before = self.now.wall;
        self.furthest = self.furthest.max(before);
        self.now.wall += by;
        let stretch = (before.min(self.now.wall), before.max(self.now.wall));
        self.troubles.push(stretch);
        self.stepped_back |= by.is_negative();
    }

    /// Lives until `wall`, or until it dies.
    pub(super) fn live_until(&mut self, wall: Timestamp) {
        while self.is_up() {
            self.due();
            let Some(wake) = self.next_wake().filter(|wake| *wake <= wall) else {
                break;
            };
            self.pass_until(wake.max(self.now.wall));
            self.hear();
        }
        self.pass_until(wall);
    }

    /// Nobody runs: the process is stopped, or the host asleep.
    pub(super) fn pass_until(&mut self, wall: Timestamp) {
        let length = Duration::try_from(wall.duration_since(self.now.wall)).unwrap_or_default();
        self.now.wall = self.now.wall.max(wall);
        self.now.boot = self.now.boot + length;
    }

    fn pass_until_boot(&mut self, boot: Boottime) {
        let length = boot.saturating_sub(self.now.boot);
        let wall = self.now.wall + SignedDuration::try_from(length).expect("a length");
        self.pass_until(wall);
    }

    fn in_force(&self) -> impl Iterator<Item = &Version> {
        self.versions
            .iter()
            .filter(|version| version.until.is_none())
    }

    fn end_version(&mut self, name: &str) {
        let now = self.now.wall;
        for version in &mut self.versions {
            if version.name == name && version.until.is_none() {
                version.until = Some(now);
            }
        }
    }

    fn next_answer(&self) -> Option<Boottime> {
        let daemon = self.daemon.as_ref()?;
        daemon.calls.iter().map(|call| call.answered_at).min()
    }

    fn next_wake(&self) -> Option<Timestamp> {
        let wake = self.daemon.as_ref()?.agenda.next_wake();
        let boot = [wake.boot, self.next_answer()].into_iter().flatten().min();
        let boot = boot.map(|boot| {
            let left = boot.saturating_sub(self.now.boot);
            self.now.wall + SignedDuration::try_from(left).expect("a length")
        });
        [wake.wall, boot].into_iter().flatten().min()
    }

    fn change(&mut self, changes: Vec<Change>) {
        let now = self.now;
        if let Some(daemon) = &mut self.daemon {
            let actions = daemon.agenda.change(changes, now);
            self.act(actions);
        }
    }

    fn due(&mut self) {
        let now = self.now;
        if let Some(daemon) = &mut self.daemon {
            let actions = daemon.agenda.due(now);
            self.act(actions);
        }
    }

    /// Answers that have arrived by now.
    fn hear(&mut self) {
        let now = self.now;
        loop {
            let Some(daemon) = &mut self.daemon else {
                return;
            };
            let arrived = daemon
                .calls
                .iter()
                .position(|call| call.answered_at <= now.boot);
            let Some(call) = arrived.map(|at| daemon.calls.swap_remove(at)) else {
                return;
            };
            let answer = Answer {
                outcome: call.outcome,
                http_status: None,
                x_request_id: None,
                detail: String::new(),
                fix: "",
            };
            let latency = now.boot.saturating_sub(call.sent);
            let actions = daemon
                .agenda
                .answered(&call.key, call.sent_at, latency, answer, now);
            self.act(actions);
        }
    }

    /// What the engine does with actions, one after the other.
    fn act(&mut self, actions: Vec<Action>) {
        let mut queue = VecDeque::from([actions]);
        while let Some(actions) = queue.pop_front() {
            let mut facts = Vec::new();
            let mut calls = Vec::new();
            let mut probes = Vec::new();
            for action in actions {
                match action {
                    Action::Record(fact) => facts.push(fact),
                    Action::Attempt { delivery, .. } => calls.push(delivery),
                    Action::ProbeToken { token, .. } => probes.push(token),
                    Action::AskRun(_) | Action::LookUp { .. } | Action::Say(_) => {}
                }
            }
            if !facts.is_empty() {
                if self.dies(Death::BeforeCommit) {
                    return self.kill();
                }
                let Some(daemon) = &mut self.daemon else {
                    return;
                };
                daemon.ledger.append(facts);
                let receipts = daemon.receipts.blocking_recv().expect("the writer lives");
                if self.dies(Death::AfterCommit) {
                    return self.kill();
                }
                queue.extend(receipts.into_iter().map(|receipt| self.recorded(receipt)));
            }
            for delivery in calls {
                self.send(&delivery);
            }
            for token in probes {
                let works = self.mood != Mood::TokenDead;
                let now = self.now;
                if let Some(daemon) = &mut self.daemon {
                    queue.push_back(daemon.agenda.probed(token, Some(works), now));
                }
            }
        }
        if self.dies(Death::Idle) {
            self.kill();
        }
    }

    fn recorded(&mut self, receipt: Receipt) -> Vec<Action> {
        let now = self.now;
        let Some(daemon) = &mut self.daemon else {
            return Vec::new();
        };
        match (&receipt.fact, receipt.standing) {
            (Fact::WrittenAhead(delivery), Standing::AlreadyKnown) => {
                daemon.agenda.already_known(delivery);
                Vec::new()
            }
            (Fact::WrittenAhead(delivery), _) => daemon.agenda.written(delivery, now),
            (Fact::Ended(ending), _) => {
                if ending.verdict.word() == "accepted" {
                    self.told.push(ending.delivery.idempotency_key.to_string());
                }
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn dies(&mut self, here: Death) -> bool {
        match &mut self.death {
            Some((death, left)) if *death == here => {
                *left = left.saturating_sub(1);
                *left == 0
            }
            _ => false,
        }
    }

    /// A call arrives; its answer comes later.
    fn send(&mut self, delivery: &Arc<Delivery>) {
        let latency = match self.mood {
            Mood::Hangs => Duration::from_secs(60),
            _ => self.dice.seconds(0, 9),
        };
        let queued = matches!(self.mood, Mood::Well | Mood::AcceptsAndResets);
        self.arrive(delivery, queued);
        let outcome = match self.mood {
            Mood::Well => Outcome::Accepted(Acceptance::default()),
            Mood::Failing | Mood::AcceptsAndResets | Mood::Hangs => Outcome::Failed {
                reached: Reached::Unknown,
                retry_after: None,
            },
            Mood::Unavailable => Outcome::Failed {
                reached: Reached::No,
                retry_after: Some(RetryAfter::Delay(Duration::from_secs(20))),
            },
            Mood::RateLimited => {
                Outcome::RateLimited(Some(RetryAfter::Delay(Duration::from_secs(30))))
            }
            Mood::TokenDead => Outcome::TokenRefused { newer_token: false },
            Mood::TriggersGone => Outcome::TriggerRefused,
            Mood::NotRunnable => Outcome::NotRunnable,
        };
        let now = self.now;
        if let Some(daemon) = &mut self.daemon {
            daemon.calls.push(InFlight {
                answered_at: now.boot + latency,
                sent_at: now.wall,
                sent: now.boot,
                key: delivery.idempotency_key.clone(),
                outcome,
            });
        }
    }

    fn arrive(&mut self, delivery: &Delivery, queued: bool) {
        let mut arrival = Arrival {
            at: self.now.wall,
            not_before: self.furthest.max(self.now.wall),
            trigger_id: delivery.target.trigger_id.to_string(),
            key: delivery.idempotency_key.to_string(),
            body: delivery.body.json.clone(),
            effect: false,
        };
        if queued && self.arrivals.len() >= 100 {
            match std::mem::take(&mut self.sabotage) {
                Sabotage::None => {}
                Sabotage::LoseAnEffect => return,
                Sabotage::DoubleUnderAnotherKey => {
                    let twin = Arrival {
                        key: format!("{}0", &arrival.key[..arrival.key.len() - 1]),
                        ..arrival.clone()
                    };
                    self.queue(twin);
                }
                Sabotage::SendEarly => arrival.not_before -= SignedDuration::from_hours(24),
                Sabotage::SendLate => arrival.at += SignedDuration::from_hours(90),
                Sabotage::SendUnasked => {
                    let unasked = Arrival {
                        key: "a00-20260101T0000-0000000000000000".into(),
                        ..arrival.clone()
                    };
                    self.queue(unasked);
                }
                Sabotage::ChangeABody => arrival.body = "{}".into(),
            }
        }
        match queued {
            true => self.queue(arrival),
            false => self.arrivals.push(arrival),
        }
    }

    fn queue(&mut self, mut arrival: Arrival) {
        let id = (arrival.trigger_id.clone(), arrival.key.clone());
        arrival.effect = self.effects.insert(id, ()).is_none();
        self.arrivals.push(arrival);
    }

    pub(super) fn by_key(&self) -> BTreeMap<&str, Vec<&Arrival>> {
        let mut by_key: BTreeMap<&str, Vec<&Arrival>> = BTreeMap::new();
        for arrival in &self.arrivals {
            by_key.entry(&arrival.key).or_default().push(arrival);
        }
        by_key
    }
}
