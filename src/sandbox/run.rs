//! A run's life, one step after the other; knows no timer and no file.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::agent::{Agent, Behaviour};
use crate::api::wire::{self, RunStatus};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    pub id: String,
    /// The effect that it works on.
    pub effect: u64,
    pub trigger_id: String,
    pub conversation_url: String,
    #[serde(with = "super::instant")]
    pub created_at: Timestamp,
    pub status: RunStatus,
    pub error: Option<String>,
    /// What a suspended run waits for.
    pub waits_for: Option<WaitsFor>,
    pub approved: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitsFor {
    Approval,
    /// The input names none, and the agent asks for it.
    RequestId,
}

/// What an agent can do with an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    Event,
    NoRequestId,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) after: Duration,
    pub(crate) to: Progress,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    Start,
    Suspend(WaitsFor),
    Write,
    CompleteUnwritten,
    Fail(&'static str),
}

impl Run {
    /// What comes next by itself; `None` where the run has ended, or waits for something outside.
    pub(crate) fn next(&self, agent: &Agent, input: Input) -> Option<Step> {
        let behaviour = agent.conduct.behaviour;
        let (after, to) = match (&self.status, behaviour) {
            (RunStatus::Queued, Behaviour::FailsDispatch) => {
                (agent.conduct.queue_ms, Progress::Fail("dispatch_failed"))
            }
            (RunStatus::Queued, _) => (agent.conduct.queue_ms, Progress::Start),
            (RunStatus::InProgress, Behaviour::NeverEnds) => return None,
            (RunStatus::InProgress, _) => (agent.conduct.run_ms, self.end(behaviour, input)),
            _ => return None,
        };
        Some(Step {
            after: Duration::from_millis(after),
            to,
        })
    }

    fn end(&self, behaviour: Behaviour, input: Input) -> Progress {
        match (behaviour, input) {
            (Behaviour::FailsRun, _) => Progress::Fail("run_failed"),
            (Behaviour::WritesNothing, _) => Progress::CompleteUnwritten,
            (_, Input::NoRequestId) if self.approved => Progress::CompleteUnwritten,
            (_, Input::NoRequestId) => Progress::Suspend(WaitsFor::RequestId),
            (Behaviour::Suspends, _) if !self.approved => Progress::Suspend(WaitsFor::Approval),
            _ => Progress::Write,
        }
    }

    pub(crate) fn advanced(mut self, to: &Progress) -> Self {
        match to {
            Progress::Start => self.status = RunStatus::InProgress,
            Progress::Suspend(waits_for) => {
                self.status = RunStatus::Suspended;
                self.waits_for = Some(*waits_for);
            }
            Progress::Write | Progress::CompleteUnwritten => self.status = RunStatus::Completed,
            Progress::Fail(code) => {
                self.status = RunStatus::Failed;
                self.error = Some((*code).to_owned());
            }
        }
        self
    }

    /// `None` unless it is suspended.
    pub(crate) fn approved(mut self) -> Option<Self> {
        if self.status != RunStatus::Suspended {
            return None;
        }
        self.status = RunStatus::InProgress;
        self.waits_for = None;
        self.approved = true;
        Some(self)
    }

    pub(crate) fn to_wire(&self, agent: &Agent) -> wire::Run {
        wire::Run {
            object: Some(wire::Run::OBJECT.to_owned()),
            id: Some(self.id.clone()),
            status: self.status.clone(),
            created_at: Some(self.created_at.as_second()),
            agent_id: Some(agent.agent_id.clone()),
            api_trigger_id: Some(self.trigger_id.clone()),
            conversation_url: Some(self.conversation_url.clone()),
            error: self
                .error
                .clone()
                .map(|code| wire::RunError { code: Some(code) }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::agent::Conduct;
    use super::*;

    /// The statuses that a run goes through by itself, then after an approval.
    #[track_caller]
    fn check(behaviour: Behaviour, input: Input, expected: &str) {
        let conduct = Conduct {
            behaviour,
            ..Conduct::default()
        };
        let agent = Agent::new("agtch_1", conduct);
        let mut run = Run {
            id: "apirun_1".to_owned(),
            effect: 1,
            trigger_id: "agtch_1".to_owned(),
            conversation_url: String::new(),
            created_at: Timestamp::UNIX_EPOCH,
            status: RunStatus::Queued,
            error: None,
            waits_for: None,
            approved: false,
        };
        let mut path = vec!["queued".to_owned()];
        loop {
            while let Some(step) = run.next(&agent, input) {
                run = run.advanced(&step.to);
                let written = if step.to == Progress::Write {
                    "+update"
                } else {
                    ""
                };
                path.push(format!("{}{written}", run.status.as_str()));
            }
            match run.clone().approved() {
                Some(approved) => run = approved,
                None => break,
            }
            path.push("approved".to_owned());
        }
        assert_eq!(path.join(" "), expected);
    }

    #[test]
    fn each_behaviour_has_its_course() {
        use Behaviour::*;
        use Input::*;
        check(Completes, Event, "queued in_progress completed+update");
        check(WritesNothing, Event, "queued in_progress completed");
        check(FailsDispatch, Event, "queued failed");
        check(FailsRun, Event, "queued in_progress failed");
        check(NeverEnds, Event, "queued in_progress");
        check(
            Suspends,
            Event,
            "queued in_progress suspended approved completed+update",
        );
        check(
            Completes,
            NoRequestId,
            "queued in_progress suspended approved completed",
        );
    }
}
