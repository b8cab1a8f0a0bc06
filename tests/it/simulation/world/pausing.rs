//! What a person asks of the process: pauses and their ends. Where no process answers, or one is killed
//! before it has confirmed, it is asked again.

use triggerd::plan::pause::{Pause, Scope};
use triggerd::schedule::ScheduleId;

use super::{Event, World, timestamp};
use crate::simulation::journal::{Paused, Pausing};
use crate::simulation::script::{Deed, Nanos, SECOND};

/// How long a person waits before asking again.
const PATIENCE: Nanos = 10 * SECOND;

impl World {
    pub(super) fn ask(&mut self, deed: Deed) {
        let now = self.moment();
        let Some(process) = self.process.as_mut().filter(|it| it.closing.is_none()) else {
            return self.later(self.now + PATIENCE, Event::Deed(deed));
        };
        let id = |name: &str| ScheduleId::parse(name).expect("valid");
        let scope = |name: &Option<String>| match name {
            Some(name) => Scope::Schedule(id(name)),
            None => Scope::All,
        };
        let (name, paused, actions) = match &deed {
            Deed::Pause {
                name,
                ends,
                expires,
            } => {
                let is_known = |name: &String| process.agenda.schedule(&id(name)).is_some();
                if *ends <= self.now || !name.as_ref().is_none_or(is_known) {
                    return;
                }
                let until = expires.then_some(*ends + self.offset);
                let pause = Pause {
                    since: now.wall,
                    until: until.map(timestamp),
                    reason: None,
                };
                let actions = process.agenda.pause(scope(name), pause, now);
                (name.clone(), Some(Paused { until }), actions)
            }
            Deed::Resume(name) => {
                let actions = process.agenda.resume(&scope(name), now);
                (name.clone(), None, actions.unwrap_or_default())
            }
            _ => return,
        };
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
        self.perform(actions);
        if self.unrecorded_since.is_some() {
            self.unconfirmed.push(deed);
        }
        self.go_on();
    }
}
