//! What the script does to the process and its files: edits, stops, steps of its clock, its death and
//! its start. It knows no call and no commit.

use std::collections::HashSet;
use std::sync::Arc;

use triggerd::daemon::event::{Event as Told, Loaded};
use triggerd::plan::agenda::{Agenda, Change};
use triggerd::plan::fact::{Fact, Source};
use triggerd::plan::occurrence::Namespace;
use triggerd::schedule::{Schedule, ScheduleId};

use super::border::{Border, Doom};
use super::people::Asked;
use super::process::Process;
use super::telling::describe;
use super::{Event, World, nanos};
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
                self.wake_up();
            }
            Deed::Stop(length) => {
                if let Some(process) = &mut self.process {
                    process.stopped_until = self.now + length;
                    self.journal.stops.push((self.now, self.now + length));
                    self.later(self.now + length, Event::GoOn);
                    self.tell("", format!("stopped for {} s", length / SECOND));
                }
            }
            Deed::Crash(down) => {
                if self.process.is_some() {
                    self.crash(down);
                }
            }
            Deed::CrashAt(seam, down) => {
                self.armed = Some((seam, down));
                self.arm();
            }
            Deed::Close(down) => self.close(down),
            Deed::Pause { .. } | Deed::Resume(_) => self.ask(deed),
            Deed::Redeliver(name) => self.redeliver(&name),
            Deed::TokenMended(token) => {
                if let Some(process) = &self.process {
                    process.tell(Told::TokenChanged(token_id(token)));
                    self.go_on();
                }
            }
        }
    }

    pub(super) fn edit(&mut self, name: String, sketch: Option<Arc<Sketch>>) {
        let mut loaded = Loaded::default();
        match &sketch {
            Some(sketch) => {
                let schedule = self.write_file(name.clone(), sketch);
                put(&mut loaded, sketch, schedule);
            }
            None => {
                self.files.remove(&name);
                let id = ScheduleId::parse(&name).expect("valid");
                loaded.changes.push(Change::Remove(id));
            }
        }
        let Some(process) = self.process.as_ref().filter(|it| it.closing.is_none()) else {
            return;
        };
        process.tell(Told::Loaded(loaded));
        self.tell(&name, format!("edit: {}", describe(sketch.as_deref())));
        self.journal.edits.entry(name).or_default().push(Edit {
            at: self.now,
            sketch,
            at_start: false,
        });
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
        let mut loaded = Loaded {
            changes: gone.map(|it| Change::Remove(it.id.clone())).collect(),
            ..Loaded::default()
        };
        loaded.changes.sort_by_key(|change| format!("{change:?}"));
        for (sketch, schedule) in self.files.values() {
            put(&mut loaded, sketch, schedule.clone());
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
        let agenda = Agenda::new(Namespace::default(), self.slots, remembered, now);
        let border = Arc::new(Border::new(now));
        self.process = Some(Process::start(
            border,
            agenda,
            loaded,
            self.disk.place(),
            life,
        ));
        self.arm();
        self.go_on();
    }

    /// Some points the process alone comes by.
    pub(super) fn arm(&mut self) {
        let doom = match self.armed {
            Some((Seam::HandedOver, _)) => Some(Doom::HandingOver),
            Some((Seam::Await(times), _)) => Some(Doom::Await(times)),
            Some((Seam::Committed | Seam::Accepted | Seam::Answered, _)) | None => None,
        };
        if let Some(process) = &self.process {
            process.border.doom(doom);
        }
    }

    pub(super) fn passes(&mut self, seam: Seam) -> bool {
        match self.armed {
            Some((armed, down)) if armed == seam && self.process.is_some() => {
                self.kill(seam, down);
                true
            }
            _ => false,
        }
    }

    pub(super) fn kill(&mut self, seam: Seam, down: Nanos) {
        self.tell("", format!("killed at {seam:?}"));
        self.crash(down);
    }

    pub(super) fn crash(&mut self, down: Nanos) {
        self.armed = None;
        let since = self.told_since();
        if since < self.now {
            self.unrecorded_since = Some(self.unrecorded_since.map_or(since, |it| it.min(since)));
        }
        self.bury(down);
        self.tell(
            "",
            format!("killed, starts again after {} s", down / SECOND),
        );
    }

    pub(super) fn close(&mut self, down: Nanos) {
        let Some(process) = self.process.as_mut().filter(|it| it.closing.is_none()) else {
            return;
        };
        process.close(down);
        self.tell("", "asked to stop".to_owned());
        self.journal.lives.last_mut().expect("it lives").to = self.now;
        self.go_on();
    }

    pub(super) fn end(&mut self) {
        let closing = self.process.as_ref().and_then(|it| it.closing);
        self.bury(closing.expect("it was asked to"));
        self.tell("", "ended".to_owned());
    }

    /// The process is gone, and with it what is written nowhere.
    fn bury(&mut self, down: Nanos) {
        self.commits_at = None;
        if let Some((_, until)) = self.journal.stops.last_mut() {
            *until = self.now.min(*until);
        }
        (self.in_flight, self.crowded_at) = (0, None);
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
        let starts = (self.now + down).min(self.calm_from());
        self.later(starts, Event::Start);
        for Asked { deed, mut done } in std::mem::take(&mut self.asked) {
            if done.try_recv().is_err() {
                self.later(starts, Event::Deed(deed));
            }
        }
    }

    /// From here on nothing is done to the process.
    pub(super) fn calm_from(&self) -> Nanos {
        self.journal.ends - CALM
    }
}

fn put(loaded: &mut Loaded, sketch: &Sketch, schedule: Arc<Schedule>) {
    let source = Source {
        toml: describe(Some(sketch)).into(),
        input: None,
    };
    loaded.sources.push((schedule.id.clone(), Arc::new(source)));
    loaded.changes.push(Change::Put(schedule));
}
