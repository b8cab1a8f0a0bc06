//! Everything that can happen to the engine. It knows no handler.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::oneshot;

use crate::api::RunAnswer;
use crate::api::token::TokenId;
use crate::daemon::counts::Counts;
use crate::ledger::cluster::{News, Nodes};
use crate::plan::agenda::{Change, Snapshot, Wait};
use crate::plan::ceilings::Ceilings;
use crate::plan::fact::{Ending, Source};
use crate::plan::occurrence::IdempotencyKey;
use crate::plan::outcome::Answer;
use crate::plan::pause::{Pause, Scope};
use crate::plan::remembered::OpenDelivery;
use crate::schedule::{Schedule, ScheduleId};

#[derive(Debug)]
pub enum Event {
    /// The folder says something else than before.
    Loaded(Loaded),
    /// An attempt came to its end.
    Answered(Answered),
    /// Whether the token works; `None` if that could not be told.
    Probed { token: TokenId, works: Option<bool> },
    /// The API answered how far a run is.
    RunAnswered {
        key: IdempotencyKey,
        answer: RunAnswer,
    },
    /// Whether a run's result was found.
    LookedUp {
        key: IdempotencyKey,
        found: Result<bool, String>,
    },
    /// The token's source holds another value.
    TokenChanged(TokenId),
    /// Everything was read again, and what came of it was sent before.
    Reread,
    /// A person asks for a delivery; answered with `None` if there is no such schedule.
    Trigger {
        schedule: ScheduleId,
        reply: oneshot::Sender<Option<Asked>>,
    },
    /// A person pauses something; `false` if there is no such schedule.
    Pause {
        scope: Scope,
        pause: Pause,
        reply: oneshot::Sender<bool>,
    },
    /// A person ends a pause; `false` if there is none.
    Resume {
        scope: Scope,
        reply: oneshot::Sender<bool>,
    },
    /// A person has a delivery tried again; answered with `None` if it is open.
    Redeliver {
        ended: OpenDelivery,
        reply: oneshot::Sender<Option<Asked>>,
    },
    /// Somebody looks how things stand.
    Look { reply: oneshot::Sender<Standing> },
    /// Somebody waits for a delivery, and looks what it waits for; answered with `None` once it has ended.
    LookAt {
        key: IdempotencyKey,
        reply: oneshot::Sender<Option<Wait>>,
    },
    /// These bound the agents and all from here on.
    Bounded(Ceilings),
    /// Something happened among the nodes that share the ledger.
    Shared(News),
    /// What happened since the last summary is to be told.
    Summarise,
    /// What ended before this instant may leave the ledger.
    Prune { before: Timestamp },
}

/// What an attempt brought.
#[derive(Debug)]
pub struct Answered {
    pub key: IdempotencyKey,
    pub sent_at: Timestamp,
    pub latency: Duration,
    pub answer: Answer,
}

/// What the loader found, ready to be put into force.
#[derive(Debug, Default, PartialEq)]
pub struct Loaded {
    pub changes: Vec<Change>,
    /// The last good version of each file that was put.
    pub sources: Vec<(ScheduleId, Arc<Source>)>,
}

/// How things stand.
#[derive(Clone, Debug)]
pub struct Standing {
    pub agenda: Snapshot,
    pub counts: Arc<Counts>,
    /// The ledger can't be written, and firing goes on from memory.
    pub ledger_in_memory: bool,
    /// Where several nodes share the ledger.
    pub nodes: Option<Nodes>,
}

/// What came of it that a delivery was asked for.
#[derive(Debug)]
pub enum Asked {
    Begun(Triggered),
    /// Another node is to begin it; the schedule as it is loaded here, if it is.
    Elsewhere(Option<Arc<Schedule>>),
}

/// A delivery that was asked for.
#[derive(Debug)]
pub struct Triggered {
    pub request_id: Arc<str>,
    pub key: IdempotencyKey,
    /// How long to wait for its run, by the schedule's policies.
    pub run_within: Duration,
    pub ended: oneshot::Receiver<Arc<Ending>>,
}
