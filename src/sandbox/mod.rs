//! The local Workspace Agents API: the whole contract that the daemon relies on, with faults on request, and the
//! agent's other half, which appends an update to a destination for each completed run. It knows nothing of the
//! daemon; the wire's shapes are all they share.
//!
//! It starts with content that needs no set-up: [`TOKEN`] may trigger the agent of [`TRIGGER_ID`];
//! [`STRANGERS_TOKEN`] is refused there (403); the agent of [`UNPUBLISHED_TRIGGER_ID`] can't run (409); any other
//! trigger id is unknown (404), unless [`Settings::any_trigger`] is set.
//!
//! The API's routes are served under `/v1` and at the root, the inspection routes under `/sandbox`: [`ROUTES`].
//!
//! A call goes through route and method, token, body, trigger, permission, runnable, rate, idempotency key, queue.
//! Faults named *before*, `html403` and `redirect` strike ahead of all that; `status` strikes at the rate; the
//! others strike an accepted event's answer on its way. A call meets at most one fault.
//!
//! ```text
//! routes ─► asked ─► strike ─► trigger ─► world ◄─ server ─► journal, destinations
//!           what     fault     decides    what    lock,      what outlives it
//!           came in            in order   is so   tasks
//! ```

mod admission;
mod agent;
mod asked;
mod call;
mod connection;
mod destination;
mod event;
mod fault;
mod ids;
mod inspect;
mod instant;
mod journal;
mod refusal;
mod routes;
mod run;
mod server;
mod strike;
mod trigger;
mod world;

use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;

use crate::api::wire::RunStatus;
use connection::{MoodyListener, Peer};
use server::Server;

pub use agent::{
    Agent, AgentChange, AgentState, Behaviour, Conduct, Conversations, Token, TokenChange,
};
pub use call::{Call, Effect};
pub use destination::Update;
pub use fault::{Fault, FaultKind, RetryAfter, Route, When};
pub use inspect::ROUTES;
pub use run::{Run, WaitsFor};
pub use server::Seen;

/// The token that may trigger the ready-made agent.
pub const TOKEN: &str = "at-sandbox";
/// The owner of [`TOKEN`].
pub const OWNER: &str = "owner@example.com";
/// A valid token whose owner the ready-made agents are not shared with.
pub const STRANGERS_TOKEN: &str = "at-sandbox-stranger";
/// The owner of [`STRANGERS_TOKEN`].
pub const STRANGER: &str = "stranger@example.com";
/// The ready-made agent's API channel.
pub const TRIGGER_ID: &str = "agtch_5a6d0b0c1e2f48739a4b5c6d7e8f9012";
/// The API channel of a ready-made agent that is not published.
pub const UNPUBLISHED_TRIGGER_ID: &str = "agtch_00000000000000000000000000000409";

/// How long a shutdown waits for connections that are in use.
const GRACE: Duration = Duration::from_secs(2);

#[derive(Clone, Debug)]
pub struct Settings {
    /// Where all but the faults is kept over restarts, by one sandbox at a time; without it, in memory.
    pub data: Option<PathBuf>,
    /// Takes every well-formed trigger id for a published agent that is shared with everyone.
    pub any_trigger: bool,
    /// How long a 202 takes; the live service takes 4 to 10 s.
    pub acceptance_delay: RangeInclusive<Duration>,
    /// How agents behave unless they are told otherwise.
    pub conduct: Conduct,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            data: None,
            any_trigger: false,
            acceptance_delay: Duration::ZERO..=Duration::ZERO,
            conduct: Conduct::default(),
        }
    }
}

/// A sandbox that is being served.
pub struct Sandbox {
    server: Arc<Server>,
    address: SocketAddr,
    serving: JoinHandle<io::Result<()>>,
}

impl Sandbox {
    /// Serves in tasks of its own, until [`Sandbox::shutdown`]; fails where the data folder can't be read.
    pub fn start(listener: TcpListener, settings: &Settings) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let server = Server::open(settings)?;
        let app = routes::router(server.clone()).into_make_service_with_connect_info::<Peer>();
        let stop = server.stop.clone().cancelled_owned();
        let serving = axum::serve(MoodyListener(listener), app).with_graceful_shutdown(stop);
        Ok(Self {
            server,
            address,
            serving: tokio::spawn(async move { serving.await }),
        })
    }

    /// `http://127.0.0.1:PORT/v1`
    pub fn base_url(&self) -> String {
        format!("{}/v1", self.root_url())
    }

    /// The base of the inspection routes.
    pub fn root_url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn calls(&self) -> Vec<Call> {
        self.server.look(|world| world.calls.clone())
    }

    pub fn effects(&self) -> Vec<Effect> {
        self.server.look(|world| world.effects.clone())
    }

    pub fn runs(&self) -> Vec<Run> {
        self.server.look(|world| world.runs.clone())
    }

    pub fn updates(&self) -> Vec<Update> {
        self.server.look(|world| world.updates.clone())
    }

    /// The updates that are written from now on.
    pub fn written(&self) -> broadcast::Receiver<Update> {
        self.server.written.subscribe()
    }

    pub fn seen(&self) -> Seen {
        *self.server.seen.borrow()
    }

    pub fn fault(&self, fault: impl Into<Fault>) {
        self.server.touch(|world| world.faults.add(fault.into()));
    }

    pub fn clear_faults(&self) {
        self.server.touch(|world| world.faults.clear());
    }

    /// Lets the answers go that are held now.
    pub fn release(&self) {
        self.server.release();
    }

    pub fn set_agent(&self, change: AgentChange) -> io::Result<Agent> {
        self.server.set_agent(change)
    }

    pub fn set_token(&self, change: TokenChange) -> io::Result<Token> {
        self.server.set_token(change)
    }

    /// Lets a suspended run go on; false where it is not suspended.
    pub fn approve(&self, run_id: &str) -> io::Result<bool> {
        Ok(self.server.approve(run_id)?.is_some())
    }

    /// Waits until this holds of what was seen.
    pub async fn until(&self, mut holds: impl FnMut(&Seen) -> bool) {
        let mut seen = self.server.seen.subscribe();
        loop {
            // Copied out, so that `holds` may ask this sandbox for more.
            let now = *seen.borrow_and_update();
            if holds(&now) {
                return;
            }
            let changed = seen.changed().await;
            changed.expect("the sender lives as long as the server");
        }
    }

    /// Waits until this many calls have arrived.
    pub async fn until_calls(&self, n: usize) {
        self.until(|seen| seen.calls >= n).await;
    }

    /// Waits until this many events were queued.
    pub async fn until_effects(&self, n: usize) {
        self.until(|seen| seen.effects >= n).await;
    }

    /// Waits until this many updates were written.
    pub async fn until_updates(&self, n: usize) {
        self.until(|seen| seen.updates >= n).await;
    }

    /// Waits until run statuses were asked for this often.
    pub async fn until_polls(&self, n: usize) {
        self.until(|seen| seen.polls >= n).await;
    }

    /// Waits until a run has this status.
    pub async fn until_run(&self, run_id: &str, status: RunStatus) {
        let has = |run: &Run| run.status == status;
        self.until(|_| self.server.look(|world| world.run(run_id).is_some_and(has)))
            .await;
    }

    /// Lets held answers go, resets hanging ones, stops the runs where they are, and frees the port.
    pub async fn shutdown(self) {
        self.server.stop.cancel();
        self.server.tasks.close();
        self.server.tasks.wait().await;
        let abort = self.serving.abort_handle();
        if tokio::time::timeout(GRACE, self.serving).await.is_err() {
            abort.abort();
        }
        if let Err(error) = self.server.give_up_data() {
            tracing::warn!(%error, "the data folder stays locked");
        }
    }
}
