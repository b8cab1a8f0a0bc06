//! Everything the sandbox knows: tokens, agents, calls, effects, runs and updates. It changes by records alone, so
//! that what a journal replays is what happened; it knows no HTTP, no timer and no file.

use std::collections::{BTreeMap, HashMap, VecDeque};

use jiff::{SignedDuration, Timestamp};

use super::agent::{Agent, AgentState, Conduct, Conversations, Token};
use super::call::{Call, Effect};
use super::destination::Update;
use super::event::SourceEvent;
use super::fault::Faults;
use super::ids;
use super::journal::Record;
use super::run::{Input, Progress, Run, Step};
use super::{STRANGER, STRANGERS_TOKEN, TOKEN, TRIGGER_ID, UNPUBLISHED_TRIGGER_ID};

pub(crate) struct World {
    tokens: HashMap<String, Token>,
    agents: BTreeMap<String, Agent>,
    strangers_welcome: bool,
    conduct: Conduct,
    pub(crate) calls: Vec<Call>,
    pub(crate) effects: Vec<Effect>,
    /// Trigger id and idempotency key to the place of the effect.
    keys: HashMap<(String, String), usize>,
    /// As many as effects, in their order.
    pub(crate) runs: Vec<Run>,
    run_places: HashMap<String, usize>,
    /// Per conversation: the runs that have not ended, oldest first.
    open: HashMap<String, VecDeque<usize>>,
    pub(crate) updates: Vec<Update>,
    pub(crate) faults: Faults,
    /// Per token's digest: the admitted calls of the last minute.
    recent: HashMap<String, VecDeque<Timestamp>>,
}

impl World {
    /// The ready-made tokens and agents. With `any_trigger`, every well-formed trigger id is a published agent,
    /// shared with everyone.
    pub(crate) fn new(conduct: Conduct, any_trigger: bool) -> Self {
        let tokens = [
            Token::new(TOKEN, super::OWNER),
            Token::new(STRANGERS_TOKEN, STRANGER),
        ];
        let unpublished = Agent {
            state: AgentState::Unpublished,
            ..Agent::new(UNPUBLISHED_TRIGGER_ID, conduct)
        };
        let agents = [Agent::new(TRIGGER_ID, conduct), unpublished];
        Self {
            tokens: tokens.map(|t| (t.sha256.clone(), t)).into(),
            agents: agents.map(|a| (a.trigger_id.clone(), a)).into(),
            strangers_welcome: any_trigger,
            conduct,
            calls: Vec::new(),
            effects: Vec::new(),
            keys: HashMap::new(),
            runs: Vec::new(),
            run_places: HashMap::new(),
            open: HashMap::new(),
            updates: Vec::new(),
            faults: Faults::default(),
            recent: HashMap::new(),
        }
    }

    pub(crate) fn apply(&mut self, record: Record) {
        match record {
            Record::Token(token) => {
                self.tokens.insert(token.sha256.clone(), token);
            }
            Record::Agent(agent) => {
                self.agents.insert(agent.trigger_id.clone(), agent);
            }
            Record::Call(call) => match self.calls.get_mut(place(call.n)) {
                Some(known) => *known = call,
                None => self.calls.push(call),
            },
            Record::Effect(effect) => {
                if let Some(key) = &effect.idempotency_key {
                    let key = (effect.trigger_id.clone(), key.clone());
                    self.keys.insert(key, self.effects.len());
                }
                self.effects.push(effect);
            }
            Record::Run(run) => self.apply_run(run),
            Record::Update(update) => self.updates.push(update),
        }
    }

    fn apply_run(&mut self, run: Run) {
        let open = self.open.entry(run.conversation_url.clone()).or_default();
        match self.run_places.get(&run.id) {
            Some(&place) => {
                if run.status.is_terminal() {
                    open.retain(|other| *other != place);
                }
                if open.is_empty() {
                    self.open.remove(&run.conversation_url);
                }
                self.runs[place] = run;
            }
            None => {
                open.push_back(self.runs.len());
                self.run_places.insert(run.id.clone(), self.runs.len());
                self.runs.push(run);
            }
        }
    }

    pub(crate) fn token(&self, token: &str) -> Option<&Token> {
        self.tokens.get(&ids::sha256(token.as_bytes()))
    }

    pub(crate) fn agents(&self) -> impl Iterator<Item = &Agent> {
        self.agents.values()
    }

    pub(crate) fn agent(&self, trigger_id: &str) -> Option<Agent> {
        if let Some(agent) = self.agents.get(trigger_id) {
            return Some(agent.clone());
        }
        (self.strangers_welcome && is_well_formed(trigger_id)).then(|| Agent {
            shared_with: vec!["*".to_owned()],
            ..Agent::new(trigger_id, self.conduct)
        })
    }

    /// An agent as it is, or as it would be made.
    pub(crate) fn agent_or_new(&self, trigger_id: Option<&str>) -> Agent {
        let made_up = || ids::id("agtch_", &["made up", &self.agents.len().to_string()]);
        let trigger_id = trigger_id.map_or_else(made_up, str::to_owned);
        self.agent(&trigger_id)
            .unwrap_or_else(|| Agent::new(&trigger_id, self.conduct))
    }

    pub(crate) fn effect_of_key(&self, trigger_id: &str, key: &str) -> Option<&Effect> {
        let place = self.keys.get(&(trigger_id.to_owned(), key.to_owned()))?;
        self.effects.get(*place)
    }

    pub(crate) fn run(&self, run_id: &str) -> Option<&Run> {
        self.runs.get(*self.run_places.get(run_id)?)
    }

    /// How long this token's owner has to wait before the next call; a call that need not wait is counted.
    pub(crate) fn rate_wait(&mut self, token: &Token, now: Timestamp) -> Option<SignedDuration> {
        let limit = token.calls_per_minute? as usize;
        let minute = SignedDuration::from_mins(1);
        let recent = self.recent.entry(token.sha256.clone()).or_default();
        while recent
            .front()
            .is_some_and(|at| now.duration_since(*at) >= minute)
        {
            recent.pop_front();
        }
        if recent.len() < limit {
            recent.push_back(now);
            return None;
        }
        let oldest = recent.front().copied().unwrap_or(now);
        Some(minute - now.duration_since(oldest))
    }

    /// Whether a run may move, or its conversation is busy with an older one.
    pub(crate) fn may_move(&self, run: &Run) -> bool {
        let Some(agent) = self.agent(&run.trigger_id) else {
            return true;
        };
        agent.conduct.conversations == Conversations::Parallel
            || self
                .head(&run.conversation_url)
                .is_none_or(|head| head.id == run.id)
    }

    /// The runs that have not ended and may move.
    pub(crate) fn movable(&self) -> Vec<String> {
        let open = self.open.values().flatten().map(|place| &self.runs[*place]);
        open.filter(|run| self.may_move(run))
            .map(|run| run.id.clone())
            .collect()
    }

    /// The oldest run of a conversation that has not ended.
    pub(crate) fn head(&self, conversation_url: &str) -> Option<&Run> {
        let place = self.open.get(conversation_url)?.front()?;
        self.runs.get(*place)
    }

    pub(crate) fn next_step(&self, run_id: &str) -> Option<Step> {
        let run = self.run(run_id)?;
        let input = match self.event(run) {
            Some(_) => Input::Event,
            None => Input::NoRequestId,
        };
        run.next(&self.agent(&run.trigger_id)?, input)
    }

    /// What a run's step amounts to: the run as it is then, and the update that it writes.
    pub(crate) fn advance(&self, run_id: &str, to: &Progress, now: Timestamp) -> Vec<Record> {
        let Some(run) = self.run(run_id) else {
            return Vec::new();
        };
        let update = match to {
            Progress::Write => self.event(run).map(|event| Update::new(now, run_id, event)),
            _ => None,
        };
        let run = Record::Run(run.clone().advanced(to));
        update
            .map(Record::Update)
            .into_iter()
            .chain([run])
            .collect()
    }

    fn event(&self, run: &Run) -> Option<SourceEvent> {
        let effect = self.effects.get(place(run.effect))?;
        SourceEvent::find(&effect.input)
    }
}

fn place(n: u64) -> usize {
    (n - 1) as usize
}

/// `agtch_…`, or a plain UUID.
fn is_well_formed(trigger_id: &str) -> bool {
    match trigger_id.strip_prefix("agtch_") {
        Some(rest) => !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_alphanumeric()),
        None => {
            let groups: Vec<&str> = trigger_id.split('-').collect();
            groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
                && groups.concat().bytes().all(|b| b.is_ascii_hexdigit())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_form(trigger_id: &str, expected: bool) {
        assert_eq!(is_well_formed(trigger_id), expected, "{trigger_id}");
    }

    #[test]
    fn well_formed_trigger_ids() {
        check_form(TRIGGER_ID, true);
        check_form("agtch_x", true);
        check_form("0190163d-8694-739b-aea5-966c26f8ad90", true);
        check_form("agtch_", false);
        check_form("agt_0123456789abcdef", false);
        check_form("agtch_../x", false);
        check_form("Weekly report", false);
    }

    #[test]
    fn a_rate_is_counted_over_the_last_minute() {
        let mut world = World::new(Conduct::default(), false);
        let token = Token {
            calls_per_minute: Some(2),
            ..Token::new(TOKEN, super::super::OWNER)
        };
        let at = |second| Timestamp::from_second(second).expect("it is in range");
        assert_eq!(world.rate_wait(&token, at(0)), None);
        assert_eq!(world.rate_wait(&token, at(20)), None);
        assert_eq!(
            world.rate_wait(&token, at(30)),
            Some(SignedDuration::from_secs(30))
        );
        assert_eq!(world.rate_wait(&token, at(60)), None);
        assert_eq!(
            world.rate_wait(&token, at(61)),
            Some(SignedDuration::from_secs(19))
        );
    }
}
