//! What holds deliveries back together: a token or trigger that was refused, a token that asked for
//! a pause (DESIGN.md 9). It knows which deliveries wait, not what they are.

use std::collections::BTreeSet;
use std::fmt;

use jiff::Timestamp;

use crate::api::token::TokenId;
use crate::clock::{Boottime, Moment};
use crate::plan::HashMap;
use crate::plan::delivery::later;
use crate::plan::occurrence::IdempotencyKey;
use crate::plan::retry::slow_delay;
use crate::schedule::{Target, TriggerId};

/// What a breaker stands in front of.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Gate {
    Token(TokenId),
    Trigger(TriggerId),
}

/// A delivery that waits, by its scheduled time.
pub type Waiting = (Timestamp, IdempotencyKey);

/// All gates that are not simply open.
#[derive(Debug, Default)]
pub struct Gates {
    shut: HashMap<Gate, Shut>,
}

#[derive(Debug)]
struct Shut {
    why: Why,
    /// What the API said when it was refused, and what to do about it.
    detail: String,
    fix: &'static str,
    waiting: BTreeSet<Waiting>,
}

#[derive(Debug, PartialEq, Eq)]
enum Why {
    /// Refused: opens when a probe passes.
    Broken { probes: u32, probe: Probe },
    /// Too many requests: opens by itself.
    Paused { until: Boottime },
}

#[derive(Debug, PartialEq, Eq)]
enum Probe {
    DueAt(Boottime),
    UnderWay,
}

/// What a gate wants done when its time has come.
#[derive(Debug, PartialEq, Eq)]
pub enum GateDue {
    /// The pause is over: these may go.
    Open(BTreeSet<Waiting>),
    /// Ask the API whether this token works, for the `turn`th time from 0, with a trigger that one of
    /// those that wait is for.
    ProbeToken { token: TokenId, turn: u32 },
    /// Let this one through.
    LetThrough(Waiting),
}

/// How a gate that is not simply open stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    pub gate: Gate,
    /// Refused; else too many requests.
    pub broken: bool,
    /// When it is tried, or opens by itself; `None` while a probe is under way.
    pub next_at: Option<Timestamp>,
    pub waiting: usize,
    /// Of one that was refused: what the API said, and what to do about it.
    pub detail: String,
    pub fix: &'static str,
}

/// Which one: a token's name, or a trigger id.
impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Gate::Token(token) => token.fmt(f),
            Gate::Trigger(trigger) => trigger.fmt(f),
        }
    }
}

impl Gate {
    /// What it stands in front of, in the log and all answers: `token` or `trigger`.
    pub fn kind(&self) -> &'static str {
        match self {
            Gate::Token(_) => "token",
            Gate::Trigger(_) => "trigger",
        }
    }

    pub fn of(target: &Target) -> [Gate; 2] {
        [
            Gate::Token(target.token.clone()),
            Gate::Trigger(target.trigger_id.clone()),
        ]
    }
}

impl Gates {
    /// The gate that holds back a delivery to `target`, if one does.
    pub fn shut_for(&self, target: &Target) -> Option<Gate> {
        if self.shut.is_empty() {
            return None;
        }
        Gate::of(target).into_iter().find(|gate| self.is_shut(gate))
    }

    pub fn is_shut(&self, gate: &Gate) -> bool {
        self.shut.contains_key(gate)
    }

    pub fn wait(&mut self, gate: &Gate, delivery: Waiting) {
        if let Some(shut) = self.shut.get_mut(gate) {
            shut.waiting.insert(delivery);
        }
    }

    /// Those that wait at the gate, oldest first.
    pub fn waiting(&self, gate: &Gate) -> impl Iterator<Item = &Waiting> {
        self.shut
            .get(gate)
            .into_iter()
            .flat_map(|shut| &shut.waiting)
    }

    pub fn leave(&mut self, gate: &Gate, delivery: &Waiting) {
        if let Some(shut) = self.shut.get_mut(gate) {
            shut.waiting.remove(delivery);
        }
    }

    /// A refusal shuts the gate, or keeps it shut. `true` if it was not broken before.
    pub fn break_down(&mut self, gate: Gate, detail: &str, fix: &'static str, now: Moment) -> bool {
        let paused_until = now.boot;
        let shut = self
            .shut
            .entry(gate)
            .or_insert_with(|| Shut::paused(paused_until));
        detail.clone_into(&mut shut.detail);
        shut.fix = fix;
        match &mut shut.why {
            Why::Broken { probes, probe } => {
                if *probe == Probe::UnderWay {
                    *probes += 1;
                    *probe = Probe::DueAt(now.boot + slow_delay(*probes + 1));
                }
                false
            }
            Why::Paused { .. } => {
                shut.why = Why::Broken {
                    probes: 0,
                    probe: Probe::DueAt(now.boot + slow_delay(1)),
                };
                true
            }
        }
    }

    /// Nothing goes through before `until`. `true` if the gate was open before.
    pub fn pause(&mut self, gate: Gate, until: Boottime) -> bool {
        let mut was_open = false;
        let shut = self.shut.entry(gate).or_insert_with(|| {
            was_open = true;
            Shut::paused(until)
        });
        if let Why::Paused { until: before } = &mut shut.why {
            *before = until.max(*before);
        }
        was_open
    }

    /// Opens the gate for all that wait. `None` if it was not broken.
    pub fn mend(&mut self, gate: &Gate) -> Option<BTreeSet<Waiting>> {
        match self.shut.get(gate)?.why {
            Why::Broken { .. } => self.shut.remove(gate).map(|shut| shut.waiting),
            Why::Paused { .. } => None,
        }
    }

    /// The probe said neither yes nor no: ask again later.
    pub fn probe_failed(&mut self, gate: &Gate, now: Moment) {
        if let Some(Shut {
            why: Why::Broken { probes, probe },
            ..
        }) = self.shut.get_mut(gate)
            && *probe == Probe::UnderWay
        {
            *probes += 1;
            *probe = Probe::DueAt(now.boot + slow_delay(*probes + 1));
        }
    }

    /// The probe was not begun: the next one is due then.
    pub fn probe_at(&mut self, gate: &Gate, at: Boottime) {
        if let Some(Shut {
            why: Why::Broken { probe, .. },
            ..
        }) = self.shut.get_mut(gate)
        {
            *probe = Probe::DueAt(at);
        }
    }

    /// What has come due at one of the gates; ask again until `None`.
    pub fn due(&mut self, now: Moment) -> Option<GateDue> {
        let gate = self
            .shut
            .iter()
            .find(|(_, shut)| shut.wake().is_some_and(|wake| wake <= now.boot))
            .map(|(gate, _)| gate.clone())?;
        let shut = self.shut.get_mut(&gate)?;
        match &mut shut.why {
            Why::Paused { .. } => self
                .shut
                .remove(&gate)
                .map(|shut| GateDue::Open(shut.waiting)),
            Why::Broken { probes, probe } => {
                *probe = Probe::UnderWay;
                Some(match gate {
                    Gate::Token(token) => GateDue::ProbeToken {
                        token,
                        turn: *probes,
                    },
                    Gate::Trigger(_) => {
                        let oldest = shut.waiting.first()?.clone();
                        shut.waiting.remove(&oldest);
                        GateDue::LetThrough(oldest)
                    }
                })
            }
        }
    }

    /// Those that refused something, and have not worked since.
    pub fn broken(&self) -> impl Iterator<Item = &Gate> {
        let broken = self.shut.iter();
        let broken = broken.filter(|(_, shut)| matches!(shut.why, Why::Broken { .. }));
        broken.map(|(gate, _)| gate)
    }

    /// All that are not simply open, tokens first.
    pub fn standings(&self, now: Moment) -> Vec<Standing> {
        let on_wall = |at: Boottime| later(now.wall, at.saturating_sub(now.boot));
        let mut standings: Vec<_> = self
            .shut
            .iter()
            .map(|(gate, shut)| Standing {
                gate: gate.clone(),
                broken: matches!(shut.why, Why::Broken { .. }),
                next_at: match shut.why {
                    Why::Paused { until: at }
                    | Why::Broken {
                        probe: Probe::DueAt(at),
                        ..
                    } => Some(on_wall(at)),
                    Why::Broken {
                        probe: Probe::UnderWay,
                        ..
                    } => None,
                },
                waiting: shut.waiting.len(),
                detail: shut.detail.clone(),
                fix: shut.fix,
            })
            .collect();
        standings.sort_by(|one, other| one.gate.cmp(&other.gate));
        standings
    }

    pub fn next_wake(&self) -> Option<Boottime> {
        self.shut.values().filter_map(Shut::wake).min()
    }
}

impl Shut {
    fn paused(until: Boottime) -> Self {
        Self {
            why: Why::Paused { until },
            detail: String::new(),
            fix: "",
            waiting: BTreeSet::new(),
        }
    }

    /// A gate that nothing waits at is not probed.
    fn wake(&self) -> Option<Boottime> {
        match self.why {
            Why::Paused { until } => Some(until),
            Why::Broken {
                probe: Probe::DueAt(at),
                ..
            } if !self.waiting.is_empty() => Some(at),
            Why::Broken { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(minute: u64) -> Moment {
        Moment {
            wall: Timestamp::from_second(60 * i64::try_from(minute).unwrap()).unwrap(),
            boot: Boottime::from(Duration::from_secs(60 * minute)),
        }
    }

    fn waiting(n: i64) -> Waiting {
        let key = IdempotencyKey::recorded(&format!("key-{n}"));
        (Timestamp::from_second(n).unwrap(), key)
    }

    fn trigger() -> Gate {
        Gate::Trigger(TriggerId::parse("agtch_1").unwrap())
    }

    fn token() -> Gate {
        Gate::Token(TokenId::Default)
    }

    #[test]
    fn a_broken_trigger_lets_the_oldest_through_after_1_5_and_then_every_15_minutes() {
        let mut gates = Gates::default();
        assert!(gates.break_down(trigger(), "", "", at(0)));
        for n in [3, 1, 2] {
            gates.wait(&trigger(), waiting(n));
        }
        for minute in [1, 6, 21, 36] {
            assert_eq!(gates.next_wake(), Some(at(minute).boot));
            assert_eq!(gates.due(at(minute)), Some(GateDue::LetThrough(waiting(1))));
            assert_eq!(gates.due(at(minute)), None);
            assert!(
                !gates.break_down(trigger(), "", "", at(minute)),
                "no second alert"
            );
            gates.wait(&trigger(), waiting(1));
        }
        assert_eq!(gates.mend(&trigger()).unwrap().len(), 3);
        assert_eq!(gates.next_wake(), None);
    }

    #[test]
    fn a_broken_token_is_probed_and_holds_everyone_meanwhile() {
        let mut gates = Gates::default();
        gates.break_down(token(), "", "", at(0));
        assert_eq!(gates.next_wake(), None, "nobody waits");
        gates.wait(&token(), waiting(1));
        assert_eq!(
            gates.due(at(1)),
            Some(GateDue::ProbeToken {
                token: TokenId::Default,
                turn: 0
            })
        );
        gates.probe_failed(&token(), at(1));
        assert_eq!(gates.next_wake(), Some(at(6).boot));
        assert_eq!(gates.mend(&token()), Some(BTreeSet::from([waiting(1)])));
    }

    #[test]
    fn one_pause_for_a_token_ends_by_itself_and_only_grows() {
        let mut gates = Gates::default();
        assert!(gates.pause(token(), at(5).boot));
        assert!(!gates.pause(token(), at(3).boot));
        gates.wait(&token(), waiting(1));
        assert_eq!(
            gates.mend(&token()),
            None,
            "an acceptance does not end a pause"
        );
        assert_eq!(gates.due(at(4)), None);
        assert_eq!(
            gates.due(at(5)),
            Some(GateDue::Open(BTreeSet::from([waiting(1)])))
        );
    }
}
