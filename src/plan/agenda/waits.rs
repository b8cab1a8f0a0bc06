//! What one open delivery waits for, for whoever asked for it and looks on. It changes nothing.

use jiff::Timestamp;

use super::Agenda;
use super::answers::on_wall;
use super::deliveries::State;
use crate::clock::Moment;
use crate::plan::breaker::Gate;
use crate::plan::occurrence::IdempotencyKey;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// In words, such as `a retry`.
    pub what: String,
    /// When it goes on; `None` where no time can tell.
    pub until: Option<Timestamp>,
    /// What the API said last, and what to do about it.
    pub detail: Option<String>,
    pub fix: Option<&'static str>,
    /// When it expires.
    pub deadline_at: Timestamp,
}

impl Wait {
    pub const FOR_AN_ANSWER: &str = "an answer";
}

impl Agenda {
    /// `None` of a delivery that has ended.
    pub fn wait_of(&self, key: &IdempotencyKey, now: Moment) -> Option<Wait> {
        let open = self.open.get(key)?;
        let (what, until) = match &open.state {
            State::Pending => (open.state.waits_for().into(), Some(open.delivery.due_at)),
            State::Waiting { retry_at } => {
                (open.state.waits_for().into(), Some(on_wall(*retry_at, now)))
            }
            State::Held(gate) => self.wait_behind(gate, now),
            State::Sendable | State::Trying | State::Queued | State::Paused => {
                (open.state.waits_for().into(), None)
            }
        };
        let answer = open.last.as_ref().map(|last| &last.answer);
        Some(Wait {
            what,
            until,
            detail: answer
                .map(|it| it.detail.clone())
                .filter(|it| !it.is_empty()),
            fix: answer.map(|it| it.fix).filter(|it| !it.is_empty()),
            deadline_at: open.delivery.deadline_at,
        })
    }

    fn wait_behind(&self, gate: &Gate, now: Moment) -> (String, Option<Timestamp>) {
        let standings = self.gates.standings(now);
        let standing = standings.iter().find(|it| it.gate == *gate);
        let why = match standing.is_none_or(|it| it.broken) {
            true => "which is refused",
            false => "which made too many requests",
        };
        let what = format!("the {} {gate}, {why}", gate.kind());
        (what, standing.and_then(|it| it.next_at))
    }
}
