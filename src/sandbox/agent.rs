//! Who may trigger what, and how an agent behaves; knows no call and no run.

use serde::{Deserialize, Serialize};

use super::ids;

/// A Workspace Agent access token, known by its digest alone: the data folder never holds a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    pub sha256: String,
    pub owner: String,
    pub revoked: bool,
    /// Above it: 429, with a `Retry-After` in seconds.
    pub calls_per_minute: Option<u32>,
}

/// A token to make, or to change: what is left out stays, or has its default.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenChange {
    pub token: String,
    /// `owner@example.com` where a new token names none.
    pub owner: Option<String>,
    pub revoked: Option<bool>,
    pub calls_per_minute: Option<u32>,
}

impl TokenChange {
    pub(crate) fn applied(self, before: Option<Token>) -> Token {
        let before = before.unwrap_or_else(|| Token::new(&self.token, super::OWNER));
        Token {
            sha256: before.sha256,
            owner: self.owner.unwrap_or(before.owner),
            revoked: self.revoked.unwrap_or(before.revoked),
            calls_per_minute: self.calls_per_minute.or(before.calls_per_minute),
        }
    }
}

impl Token {
    pub(crate) fn new(token: &str, owner: &str) -> Self {
        Self {
            sha256: ids::sha256(token.as_bytes()),
            owner: owner.to_owned(),
            revoked: false,
            calls_per_minute: None,
        }
    }
}

/// An agent with its API channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agent {
    /// The API channel's id, `agtch_…`.
    pub trigger_id: String,
    /// The agent's own id, `agt_…`, which is of no use to a trigger call.
    pub agent_id: String,
    pub state: AgentState,
    /// Owners whose tokens may trigger it; `*` is everyone.
    pub shared_with: Vec<String>,
    #[serde(flatten)]
    pub conduct: Conduct,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentState {
    #[default]
    Published,
    /// Unpublished, being republished, or its API channel is off: 409.
    Unpublished,
    /// Not visible to the caller, or its workspace has no API triggers: 404.
    Hidden,
}

/// What becomes of an agent's runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conduct {
    pub behaviour: Behaviour,
    pub conversations: Conversations,
    /// How long a run stays `queued`.
    pub queue_ms: u64,
    /// How long a run stays `in_progress`.
    pub run_ms: u64,
}

impl Default for Conduct {
    /// Slow enough for a person to watch.
    fn default() -> Self {
        Self {
            behaviour: Behaviour::default(),
            conversations: Conversations::default(),
            queue_ms: 1_000,
            run_ms: 2_000,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Behaviour {
    /// Writes the update, and completes.
    #[default]
    Completes,
    /// Completes with nothing written: the app's permission or the instructions are wrong.
    WritesNothing,
    /// Waits for a person's approval of the write.
    Suspends,
    /// Fails before it starts, with `dispatch_failed`.
    FailsDispatch,
    /// Fails on the way, with `run_failed`.
    FailsRun,
    /// Stays `in_progress` for ever.
    NeverEnds,
}

/// What happens to an event whose conversation has an active run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Conversations {
    /// Its run stays `queued` until the one before has ended.
    #[default]
    Serial,
    /// Its run starts at once.
    Parallel,
}

/// An agent to make, or to change: what is left out stays, or has its default.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentChange {
    /// Made up where it is left out.
    pub trigger_id: Option<String>,
    pub state: Option<AgentState>,
    pub shared_with: Option<Vec<String>>,
    pub behaviour: Option<Behaviour>,
    pub conversations: Option<Conversations>,
    pub queue_ms: Option<u64>,
    pub run_ms: Option<u64>,
}

impl AgentChange {
    pub(crate) fn applied(self, before: Agent) -> Agent {
        let conduct = before.conduct;
        Agent {
            trigger_id: before.trigger_id,
            agent_id: before.agent_id,
            state: self.state.unwrap_or(before.state),
            shared_with: self.shared_with.unwrap_or(before.shared_with),
            conduct: Conduct {
                behaviour: self.behaviour.unwrap_or(conduct.behaviour),
                conversations: self.conversations.unwrap_or(conduct.conversations),
                queue_ms: self.queue_ms.unwrap_or(conduct.queue_ms),
                run_ms: self.run_ms.unwrap_or(conduct.run_ms),
            },
        }
    }
}

impl Agent {
    /// Published, and shared with the default owner.
    pub(crate) fn new(trigger_id: &str, conduct: Conduct) -> Self {
        Self {
            trigger_id: trigger_id.to_owned(),
            agent_id: ids::id("agt_", &[trigger_id]),
            state: AgentState::Published,
            shared_with: vec![super::OWNER.to_owned()],
            conduct,
        }
    }

    pub(crate) fn is_shared_with(&self, owner: &str) -> bool {
        self.shared_with
            .iter()
            .any(|shared| shared == "*" || shared == owner)
    }
}
