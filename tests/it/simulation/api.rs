//! The trigger API of a run: never killed, dedupes by trigger id and key, and notes each arrival.
//! It knows no daemon; what it is made to do wrong stands in the script.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use triggerd::api::RunAnswer;
use triggerd::plan::outcome::{Acceptance, Outcome, Reached, RetryAfter};

use super::random::Random;
use super::runs::Course;
use super::script::{Fault, Kind, MILLISECOND, Nanos, SECOND, Scope};
use super::sketch::AGENTS;

/// What reached the API.
#[derive(Clone, Debug)]
pub(super) struct Arrival {
    pub at: Nanos,
    /// The caller's clock when it was sent.
    pub sent_at: Nanos,
    pub trigger_id: String,
    pub key: String,
    pub conversation_key: Option<String>,
    pub body: Arc<str>,
    pub sha256: [u8; 32],
    pub fault: Option<Kind>,
    /// Queued now, or queued before under the same key.
    pub accepted: bool,
    /// The first acceptance of its key.
    pub takes_effect: bool,
    /// When the run of its key ends, where the API tells of runs.
    pub run_ends: Option<Nanos>,
}

pub(super) struct Api {
    faults: Vec<Fault>,
    seed: u64,
    /// Whether acceptances name a run.
    names_runs: bool,
    queued: HashMap<(String, String), Course>,
    pub arrivals: Vec<Arrival>,
}

/// One call, as it comes over the wire.
pub(super) struct Request {
    pub sent_at: Nanos,
    pub agent: usize,
    pub trigger_id: String,
    pub key: String,
    pub body: Arc<str>,
}

impl Api {
    pub(super) fn new(seed: u64, names_runs: bool, faults: Vec<Fault>) -> Self {
        Self {
            faults,
            seed,
            names_runs,
            queued: HashMap::new(),
            arrivals: Vec::new(),
        }
    }

    /// Takes the call, and says what its sender hears and how long that takes. `None`: the code that
    /// was to hear it panics.
    pub(super) fn call(
        &mut self,
        request: Request,
        at: Nanos,
        offset: Nanos,
    ) -> (Option<Outcome>, Nanos) {
        let mut random = self.dice(&format!("{}{}", request.key, self.arrivals.len()));
        let fault = self.fault(at, &mut random, |scope| scope.covers(request.agent));
        let queues = match fault {
            None | Some(Kind::Reset | Kind::Hang { queued: true }) => true,
            Some(_) => false,
        };
        let place = (request.trigger_id.clone(), request.key.clone());
        let takes_effect = queues && !self.queued.contains_key(&place);
        if takes_effect {
            let course = Course::random(at, &mut random.fork());
            self.queued.insert(place.clone(), course);
        }
        let run_ends = self.queued.get(&place).map(|course| course.ends);
        let (mut outcome, latency) = answer(fault, at + offset, &mut random);
        if let Some(Outcome::Accepted(acceptance)) = &mut outcome {
            acceptance.run_id = self.names_runs.then(|| request.key.clone());
        }
        let body: serde_json::Value = serde_json::from_str(&request.body).unwrap_or_default();
        self.arrivals.push(Arrival {
            at,
            sent_at: request.sent_at,
            trigger_id: request.trigger_id,
            key: request.key,
            conversation_key: body["conversation_key"].as_str().map(str::to_owned),
            sha256: Sha256::digest(request.body.as_bytes()).into(),
            body: request.body,
            fault,
            accepted: queues,
            takes_effect,
            run_ends: run_ends.filter(|_| self.names_runs),
        });
        (outcome, latency)
    }

    /// The GET that tells whether a token works.
    pub(super) fn probe(&self, agent: usize, at: Nanos) -> Option<bool> {
        let mut random = self.dice(&format!("probe{at}"));
        let fault = self.fault(at, &mut random, |scope| {
            !matches!(scope, Scope::Agent(_)) && scope.covers(agent)
        });
        match fault {
            Some(Kind::DeadToken) => Some(false),
            Some(
                Kind::Unreachable | Kind::ServerError { .. } | Kind::Reset | Kind::Hang { .. },
            ) => None,
            _ => Some(true),
        }
    }

    /// The GET of a run.
    pub(super) fn run(&self, agent: usize, run_id: &str, at: Nanos) -> RunAnswer {
        let mut random = self.dice(&format!("{run_id}{at}"));
        match self.fault(at, &mut random, |scope| scope.covers(agent)) {
            Some(Kind::DeadToken | Kind::RefusedTrigger) => RunAnswer::Refused(String::new()),
            Some(kind) => RunAnswer::Unknown {
                detail: String::new(),
                retry_after: match kind {
                    Kind::Limited { retry_after, .. } => {
                        retry_after.map(|it| RetryAfter::Delay(Duration::from_secs(it)))
                    }
                    _ => None,
                },
            },
            None => {
                let place = (AGENTS[agent].0.to_owned(), run_id.to_owned());
                let course = self.queued.get(&place);
                course.map_or(RunAnswer::NotFound, |it| it.answer(at))
            }
        }
    }

    fn fault(
        &self,
        at: Nanos,
        random: &mut Random,
        covers: impl Fn(Scope) -> bool,
    ) -> Option<Kind> {
        let strikes = |fault: &&Fault| {
            (fault.from..fault.to).contains(&at)
                && covers(fault.scope)
                && random.chance(fault.percent)
        };
        self.faults.iter().find(strikes).map(|fault| fault.kind)
    }

    /// What is drawn follows from who calls, not from the order of calls at one instant.
    fn dice(&self, what: &str) -> Random {
        let hash = what
            .bytes()
            .fold(self.seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
        Random::new(hash)
    }
}

fn answer(fault: Option<Kind>, wall: Nanos, random: &mut Random) -> (Option<Outcome>, Nanos) {
    let slow = random.chance(20);
    let latency = match slow {
        true => random.between(4 * SECOND, 10 * SECOND),
        false => random.between(5 * MILLISECOND, 400 * MILLISECOND),
    };
    let after = |seconds: Option<u64>| seconds.map(|it| RetryAfter::Delay(Duration::from_secs(it)));
    let unknown = Outcome::Failed {
        reached: Reached::Unknown,
        retry_after: None,
    };
    let outcome = match fault {
        None => Outcome::Accepted(Acceptance::default()),
        Some(Kind::Unreachable) => Outcome::Failed {
            reached: Reached::No,
            retry_after: None,
        },
        Some(Kind::ServerError { retry_after }) => Outcome::Failed {
            reached: Reached::Unknown,
            retry_after: after(retry_after),
        },
        Some(Kind::Reset) if random.chance(20) => return (None, latency),
        Some(Kind::Reset) => unknown,
        Some(Kind::Hang { .. }) => return (Some(unknown), 60 * SECOND),
        Some(Kind::Limited {
            retry_after: Some(seconds),
            as_date: true,
        }) => {
            let at = wall + latency + i64::try_from(seconds).expect("short") * SECOND;
            let at = Timestamp::from_nanosecond(at.into()).expect("in range");
            Outcome::RateLimited(Some(RetryAfter::At(at)))
        }
        Some(Kind::Limited { retry_after, .. }) => Outcome::RateLimited(after(retry_after)),
        Some(Kind::DeadToken) => Outcome::TokenRefused { newer_token: false },
        Some(Kind::RefusedTrigger) => Outcome::TriggerRefused,
        Some(Kind::NotRunnable) => Outcome::NotRunnable,
        Some(Kind::Rejected) => Outcome::Rejected,
    };
    (Some(outcome), latency)
}
