//! Where a process ends: the clock, the API and the ledger as its engine knows them. What it hands over
//! lies here until the world fetches it, and here it dies. It knows no script and no agenda.

use std::future::poll_fn;
use std::panic::resume_unwind;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Poll;

use jiff::Timestamp;
use tokio::sync::{Notify, oneshot};
use triggerd::api::token::TokenId;
use triggerd::api::{RunAnswer, TokenProbe, TriggerApi, TriggerRequest};
use triggerd::clock::{Clock, Moment, Wake};
use triggerd::ledger::cluster::{Claim, Holding};
use triggerd::ledger::{CloseError, Recorder};
use triggerd::plan::fact::Fact;
use triggerd::plan::outcome::Answer;
use triggerd::schedule::{ScheduleId, TriggerId};

pub(super) struct Border {
    state: Mutex<State>,
    /// Ends every sleep.
    bell: Notify,
}

struct State {
    now: Moment,
    wake: Option<Wake>,
    left: Vec<Left>,
    doom: Option<Doom>,
    is_dead: bool,
}

/// What left the process, in this order.
pub(super) enum Left {
    Facts(Vec<Fact>),
    Call {
        request: TriggerRequest,
        reply: Reply,
    },
    Question(Question),
    /// It hands over no more facts.
    LastFact,
}

pub(super) enum Question {
    DoesTheTokenWork {
        trigger_id: TriggerId,
        reply: oneshot::Sender<TokenProbe>,
    },
    HowFarIsTheRun {
        trigger_id: TriggerId,
        run_id: String,
        reply: oneshot::Sender<RunAnswer>,
    },
}

/// `None`: whoever waits for the answer panics.
pub(super) type Reply = oneshot::Sender<Option<Answer>>;

/// Where it is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doom {
    /// With a delivery written ahead that is handed over, and before anything else.
    HandingOver,
    /// Where it would go on for that many times more, be it the engine or one of its calls.
    Await(u32),
}

impl Border {
    pub(super) fn new(now: Moment) -> Self {
        Self {
            state: Mutex::new(State {
                now,
                wake: None,
                left: Vec::new(),
                doom: None,
                is_dead: false,
            }),
            bell: Notify::new(),
        }
    }

    pub(super) fn set_clock(&self, now: Moment) {
        self.state().now = now;
    }

    /// Wakes who sleeps: its time has come, or the clock was set.
    pub(super) fn ring(&self) {
        self.state().wake = None;
        self.bell.notify_waiters();
    }

    /// What is slept for.
    pub(super) fn wake(&self) -> Option<Wake> {
        self.state().wake
    }

    pub(super) fn doom(&self, doom: Option<Doom>) {
        self.state().doom = doom;
    }

    pub(super) fn fetch(&self) -> Vec<Left> {
        std::mem::take(&mut self.state().left)
    }

    pub(super) fn is_dead(&self) -> bool {
        self.state().is_dead
    }

    /// Something in the process, which goes on until that is killed.
    pub(super) async fn mortal<T>(&self, life: impl Future<Output = T>) -> T {
        let mut life = pin!(life);
        poll_fn(|context| match self.survives() {
            true => life.as_mut().poll(context),
            false => Poll::Pending,
        })
        .await
    }

    fn survives(&self) -> bool {
        let mut state = self.state();
        match &mut state.doom {
            Some(Doom::Await(0)) => state.is_dead = true,
            Some(Doom::Await(more)) => *more -= 1,
            Some(Doom::HandingOver) | None => {}
        }
        !state.is_dead
    }

    fn leave(&self, left: Left) {
        let mut state = self.state();
        if state.is_dead {
            return;
        }
        if let Left::Facts(facts) = &left
            && state.doom == Some(Doom::HandingOver)
        {
            state.is_dead = facts.iter().any(|it| matches!(it, Fact::WrittenAhead(_)));
        }
        state.left.push(left);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }
}

/// The ledger of a process.
pub(super) struct Pen(pub Arc<Border>);

impl Clock for Border {
    fn now(&self) -> Moment {
        self.state().now
    }

    async fn sleep_until(&self, wake: Wake) {
        let rung = self.bell.notified();
        self.state().wake = Some(wake);
        rung.await;
    }
}

impl TriggerApi for Border {
    async fn trigger(&self, request: TriggerRequest) -> Answer {
        let answer = self.ask(|reply| Left::Call { request, reply }).await;
        answer.unwrap_or_else(|| resume_unwind(Box::new("the call panics")))
    }

    async fn probe_token(&self, _token: &TokenId, trigger_id: &TriggerId) -> TokenProbe {
        let trigger_id = trigger_id.clone();
        let question = |reply| Question::DoesTheTokenWork { trigger_id, reply };
        self.ask(|reply| Left::Question(question(reply))).await
    }

    async fn run_status(
        &self,
        _token: &TokenId,
        trigger_id: &TriggerId,
        run_id: &str,
    ) -> RunAnswer {
        let (trigger_id, run_id) = (trigger_id.clone(), run_id.to_owned());
        let question = |reply| Question::HowFarIsTheRun {
            trigger_id,
            run_id,
            reply,
        };
        self.ask(|reply| Left::Question(question(reply))).await
    }
}

impl Border {
    /// Whoever gets no answer waits for it without end.
    async fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<T>) -> Left) -> T {
        let asked = async {
            let (reply, heard) = oneshot::channel();
            self.leave(question(reply));
            match heard.await {
                Ok(answer) => answer,
                Err(_) => std::future::pending().await,
            }
        };
        self.mortal(asked).await
    }
}

impl Recorder for Pen {
    fn append(&self, facts: Vec<Fact>) {
        self.0.leave(Left::Facts(facts));
    }

    fn prune(&self, _before: Timestamp) {}

    fn hold(&self, _holdings: Vec<Holding>) {}

    fn write_by(&self, _claims: Vec<(ScheduleId, Claim)>) {}

    /// Once the world has written what waits, it ends the receipts.
    fn close(self) -> Result<(), CloseError> {
        self.0.leave(Left::LastFact);
        Ok(())
    }
}
