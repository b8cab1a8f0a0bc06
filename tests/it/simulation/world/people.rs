//! What a person asks of the process: pauses and their ends, and what is to be tried again. Where no
//! process answers, or one is killed before it has confirmed, a pause is asked for again.

use tokio::sync::oneshot;
use triggerd::daemon::event::Event as Told;
use triggerd::plan::pause::{Pause, Scope};
use triggerd::schedule::ScheduleId;

use super::{Event, World, timestamp};
use crate::simulation::journal::{Paused, Pausing, Redelivery};
use crate::simulation::script::{Deed, Nanos, SECOND};

/// How long a person waits before asking again.
const PATIENCE: Nanos = 10 * SECOND;

pub(super) struct Asked {
    pub deed: Deed,
    /// Whether it was confirmed, or there was nothing to do.
    pub done: oneshot::Receiver<bool>,
}

impl World {
    pub(super) fn ask(&mut self, deed: Deed) {
        let Some(process) = self.process.as_ref().filter(|it| it.closing.is_none()) else {
            return self.later(self.now + PATIENCE, Event::Deed(deed));
        };
        let scope = |name: &Option<String>| match name {
            Some(name) => Scope::Schedule(ScheduleId::parse(name).expect("valid")),
            None => Scope::All,
        };
        let (reply, done) = oneshot::channel();
        let (name, paused, told) = match &deed {
            Deed::Pause {
                name,
                ends,
                expires,
            } => {
                let is_known = |name: &String| self.files.get(name).is_some_and(|it| it.0.enabled);
                if *ends <= self.now || !name.as_ref().is_none_or(is_known) {
                    return;
                }
                let until = expires.then_some(*ends + self.offset);
                let pause = Pause {
                    since: timestamp(self.now + self.offset),
                    until: until.map(timestamp),
                    reason: None,
                };
                let scope = scope(name);
                let told = Told::Pause {
                    scope,
                    pause,
                    reply,
                };
                (name.clone(), Some(Paused { until }), told)
            }
            Deed::Resume(name) => {
                let scope = scope(name);
                (name.clone(), None, Told::Resume { scope, reply })
            }
            _ => return,
        };
        process.tell(told);
        let what = match paused {
            Some(Paused { until: Some(until) }) => {
                format!("paused until {}", timestamp(until))
            }
            Some(Paused { until: None }) => "paused".to_owned(),
            None => "resumed".to_owned(),
        };
        self.tell(name.as_deref().unwrap_or_default(), what);
        self.journal.pauses.push(Pausing {
            at: self.now,
            name,
            paused,
        });
        self.asked.push(Asked { deed, done });
        self.go_on();
    }

    pub(super) fn redeliver(&mut self, name: &str) {
        let process = self.process.as_ref().filter(|it| it.closing.is_none());
        let Some((process, request_id)) = process.zip(self.disk.given_up(name)) else {
            return;
        };
        let mut agreed = process.redeliver(request_id.clone());
        self.go_on();
        let Ok(key) = agreed.try_recv() else {
            return self.tell(name, format!("{request_id} is not redelivered"));
        };
        self.tell(name, format!("{request_id} is redelivered"));
        self.journal.redeliveries.push(Redelivery {
            at: self.now,
            name: name.to_owned(),
            key: key.to_string(),
        });
    }
}
