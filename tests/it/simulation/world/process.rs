//! One process: the real engine on a runtime of its own, with which it dies and all of its tasks. It
//! goes on only when the world has it do so, and knows no script.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use triggerd::daemon::alerts::Alerts;
use triggerd::daemon::engine::{self, Engine, EngineError};
use triggerd::daemon::event::{Asked, Event, Loaded};
use triggerd::daemon::load::Catalog;
use triggerd::daemon::office::Office;
use triggerd::daemon::systemd::Herald;
use triggerd::ledger::{Place, Receipt};
use triggerd::plan::agenda::Agenda;
use triggerd::plan::occurrence::{IdempotencyKey, Namespace};
use triggerd::schedule::resolve::Context;
use triggerd::telemetry::Telemetry;

use super::border::{Border, Pen};
use crate::simulation::script::Nanos;

pub(super) struct Process {
    pub border: Arc<Border>,
    pub life: u32,
    pub stopped_until: Nanos,
    /// It was asked to stop, and starts again this long after its end.
    pub closing: Option<Nanos>,
    /// It hands over no more facts.
    pub closes_ledger: bool,
    receipts: Option<UnboundedSender<Vec<Receipt>>>,
    events: UnboundedSender<Event>,
    stop: CancellationToken,
    office: Office,
    engine: JoinHandle<Result<(), EngineError>>,
    runtime: Runtime,
}

impl Process {
    /// Nothing happens before its first [`Process::go_on`].
    pub(super) fn start(
        border: Arc<Border>,
        agenda: Agenda,
        loaded: Loaded,
        place: Place,
        life: u32,
    ) -> Self {
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let (receipts, arriving) = unbounded_channel();
        let mut engine = Engine::new(
            agenda,
            engine::World {
                clock: border.clone(),
                api: border.clone(),
                ledger: Pen(border.clone()),
                receipts: arriving,
                telemetry: Telemetry::default(),
                alerts: Alerts::default(),
                herald: Herald::default(),
            },
        );
        let events = engine.events();
        let stop = CancellationToken::new();
        let office = Office {
            engine: events.clone(),
            catalog: Arc::new(Mutex::new(Catalog::new("".into(), Context::default()))),
            changes: engine.changes(),
            place,
            namespace: Namespace::default(),
            retention: Duration::MAX,
            clock: border.clone(),
        };
        let (outside, stopped) = (border.clone(), stop.clone());
        let lives = async move {
            engine.put_into_force(loaded);
            engine.run(stopped).await
        };
        Self {
            border,
            life,
            stopped_until: Nanos::MIN,
            closing: None,
            closes_ledger: false,
            receipts: Some(receipts),
            events,
            stop,
            office,
            engine: runtime.spawn(async move { outside.mortal(lives).await }),
            runtime,
        }
    }

    /// Until everything in it waits for something: only then does the runtime's own time, which nobody
    /// asks for, move.
    pub(super) fn go_on(&self) {
        let all_wait = async { tokio::time::sleep(Duration::from_millis(1)).await };
        self.runtime.block_on(all_wait);
    }

    pub(super) fn tell(&self, event: Event) {
        // Who has ended hears nothing.
        let _ = self.events.send(event);
    }

    /// A person asks for it: the key, once the engine has agreed.
    pub(super) fn redeliver(&self, request_id: String) -> oneshot::Receiver<IdempotencyKey> {
        let office = self.office.clone();
        let (reply, agreed) = oneshot::channel();
        self.runtime.spawn(async move {
            let (ended, _) = office.redeliverable(request_id, false).await.ok()?;
            let (asked, triggered) = oneshot::channel();
            let asked = Event::Redeliver {
                ended,
                reply: asked,
            };
            match office.ask(asked, triggered).await.ok()?? {
                Asked::Begun(triggered) => reply.send(triggered.key).ok(),
                Asked::Elsewhere(_) => None,
            }
        });
        agreed
    }

    pub(super) fn hand_back(&self, receipts: Vec<Receipt>) {
        if let Some(sender) = &self.receipts {
            let _ = sender.send(receipts);
        }
    }

    pub(super) fn close(&mut self, down: Nanos) {
        self.closing = Some(down);
        self.stop.cancel();
    }

    /// Its ledger has written what there was.
    pub(super) fn end_receipts(&mut self) {
        self.receipts = None;
    }

    /// How it ended, if it did so by itself.
    pub(super) fn ended(&mut self) -> Option<Result<(), EngineError>> {
        if !self.engine.is_finished() {
            return None;
        }
        let ended = self.runtime.block_on(&mut self.engine);
        Some(ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic())))
    }
}
