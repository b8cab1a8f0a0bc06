//! What the script does to the process and its files: edits, stops, steps of its clock, its death and
//! its start. It knows no call and no commit.

use std::collections::HashSet;
use std::sync::Arc;

use triggerd::plan::agenda::{Agenda, Change};
use triggerd::plan::fact::Fact;
use triggerd::plan::occurrence::Namespace;
use triggerd::schedule::{Schedule, ScheduleId};

use super::telling::describe;
use super::{Event, GRACE, Process, World, nanos};
use crate::simulation::journal::{Edit, Life};
use crate::simulation::script::{CALM, Deed, Nanos, SECOND, Seam};
use crate::simulation::sketch::{Sketch, token_id};

impl World {
    pub(super) fn do_to(&mut self, deed: Deed) {
        if let Some(process) = &self.process
            && process.stopped_until > self.now
            && !matches!(
                deed,
                Deed::StepClock(_) | Deed::CrashAt(..) | Deed::Crash(_)
            )
        {
            self.later(process.stopped_until, Event::Deed(deed));
            return;
        }
        match deed {
            Deed::Edit(name, sketch) => self.edit(name, sketch),
            Deed::StepClock(by) => {
                self.offset += by;
                self.journal.clock.push((self.now, self.offset));
                self.tell("", format!("the clock steps by {} s", by / SECOND));
                self.go_on();
            }
            Deed::Stop(length) => {
                if let Some(process) = &mut self.process {
                    process.stopped_until = self.now + length;
                    self.journal.stops.push((self.now, self.now + length));
                    self.tell("", format!("stopped for {} s", length / SECOND));
                }
            }
            Deed::Crash(down) => {
                if self.process.is_some() {
                    self.crash(down);
                }
            }
            Deed::CrashAt(seam, down) => self.armed = Some((seam, down)),
            Deed::Close(down) => self.close(down),
            Deed::Pause { .. } | Deed::Resume(_) => self.ask(deed),
            Deed::TokenMended(token) => {
                let now = self.moment();
                if let Some(process) = &mut self.process {
                    let actions = process.agenda.token_changed(token_id(token), now);
                    self.perform(actions);
                    self.go_on();
                }
            }
        }
    }

    pub(super) fn edit(&mut self, name: String, sketch: Option<Arc<Sketch>>) {
        let change = match &sketch {
            Some(sketch) => Change::Put(self.write_file(name.clone(), sketch)),
            None => {
                self.files.remove(&name);
                Change::Remove(ScheduleId::parse(&name).expect("valid"))
            }
        };
        let now = self.moment();
        let Some(process) = self.process.as_mut().filter(|it| it.closing.is_none()) else {
            return;
        };
        let actions = process.agenda.change(vec![change], now);
        self.tell(&name, format!("edit: {}", describe(sketch.as_deref())));
        self.journal.edits.entry(name).or_default().push(Edit {
            at: self.now,
            sketch,
            at_start: false,
        });
        self.perform(actions);
        self.go_on();
    }

    pub(super) fn write_file(&mut self, name: String, sketch: &Arc<Sketch>) -> Arc<Schedule> {
        let schedule = Arc::new(sketch.schedule());
        let file = (sketch.clone(), schedule.clone());
        self.files.insert(name, file);
        schedule
    }

    pub(super) fn start(&mut self) {
        let remembered = self.disk.open(self.moment().wall);
        let gone = remembered
            .schedules
            .iter()
            .filter(|it| it.in_force && !self.files.contains_key(it.id.as_str()));
        let mut changes: Vec<_> = gone.map(|it| Change::Remove(it.id.clone())).collect();
        changes.sort_by_key(|change| format!("{change:?}"));
        for (sketch, schedule) in self.files.values() {
            changes.push(Change::Put(schedule.clone()));
            let edits = self.journal.edits.entry(sketch.name.clone());
            edits.or_default().push(Edit {
                at: self.now,
                sketch: Some(sketch.clone()),
                at_start: true,
            });
        }
        self.tell(
            "",
            format!(
                "start: settled until {:?}, {} open",
                remembered.settled_until.map(|it| it.to_string()),
                remembered.open.len()
            ),
        );
        self.journal.lives.push(Life {
            from: self.now,
            to: Nanos::MAX,
            found_settled_until: remembered.settled_until.map(nanos),
            found_newest: remembered.newest.map(nanos),
            unrecorded_since: None,
            lost: HashSet::new(),
        });
        let life = u32::try_from(self.journal.lives.len()).expect("few lives");
        let now = self.moment();
        self.process = Some(Process {
            agenda: Agenda::new(Namespace::default(), 1024, remembered, now),
            life,
            stopped_until: self.now,
            closing: None,
        });
        let actions = self
            .process
            .as_mut()
            .expect("it has just started")
            .agenda
            .change(changes, now);
        self.perform(actions);
        self.go_on();
    }

    pub(super) fn passes(&mut self, seam: Seam) -> bool {
        match self.armed {
            Some((armed, down))
                if armed == seam && self.process.is_some() && self.now < self.calm_from() =>
            {
                self.tell("", format!("killed at {seam:?}"));
                self.crash(down);
                true
            }
            _ => false,
        }
    }

    pub(super) fn crash(&mut self, down: Nanos) {
        self.armed = None;
        self.commits_at = None;
        self.process = None;
        let written = |fact: Fact| match fact {
            Fact::WrittenAhead(delivery) => Some(delivery.idempotency_key.to_string()),
            _ => None,
        };
        let lost = self.disk.crash().into_iter().filter_map(written).collect();
        let life = self.journal.lives.last_mut().expect("it lived");
        life.to = life.to.min(self.now);
        life.unrecorded_since = self.unrecorded_since.take();
        life.lost = lost;
        self.tell(
            "",
            format!("killed, starts again after {} s", down / SECOND),
        );
        let starts = (self.now + down).min(self.calm_from());
        self.later(starts, Event::Start);
        for deed in std::mem::take(&mut self.unconfirmed) {
            self.later(starts, Event::Deed(deed));
        }
    }

    pub(super) fn close(&mut self, down: Nanos) {
        let now = self.moment();
        let Some(process) = self.process.as_mut().filter(|it| it.closing.is_none()) else {
            return;
        };
        let life = process.life;
        process.closing = Some(down);
        let actions = process.agenda.close(now);
        self.tell("", "asked to stop".to_owned());
        self.journal.lives.last_mut().expect("it lives").to = self.now;
        self.perform(actions);
        self.later(self.now + GRACE, Event::GraceOver { life });
        self.go_on();
    }

    pub(super) fn end(&mut self) {
        let Some(process) = self.process.take() else {
            return;
        };
        self.disk.close();
        self.unrecorded_since = None;
        self.unconfirmed.clear();
        self.commits_at = None;
        self.tell("", "ended".to_owned());
        let down = process.closing.unwrap_or_default();
        self.later((self.now + down).min(self.calm_from()), Event::Start);
    }

    /// From here on nothing is done to the process.
    fn calm_from(&self) -> Nanos {
        self.journal.ends - CALM
    }
}
