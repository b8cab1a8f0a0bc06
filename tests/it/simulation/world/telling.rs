//! The story of a run, for a person to read, and when the ledger was told what, for the judge. It
//! changes nothing.

use triggerd::plan::fact::Fact;

use super::{World, nanos};
use crate::simulation::journal::Told;
use crate::simulation::sketch::Sketch;

impl World {
    pub(super) fn tell(&mut self, name: &str, text: String) {
        self.journal.story.push(Told {
            at: self.now,
            name: name.to_owned(),
            text,
        });
    }

    pub(super) fn note(&mut self, fact: &Fact) {
        if let Fact::Ended(ending) = fact {
            let key = ending.delivery.idempotency_key.to_string();
            self.journal.ended.entry(key).or_insert(self.now);
        }
        let what = match fact {
            Fact::WrittenAhead(delivery) => delivery.idempotency_key.to_string(),
            Fact::Ended(ending) => format!("{} ended", ending.delivery.idempotency_key),
            Fact::Skipped(it) => format!("{} {}", it.schedule, nanos(it.first)),
            _ => return,
        };
        self.journal.stated.insert(what, self.now);
    }

    pub(super) fn tell_fact(&mut self, fact: &Fact) {
        let (name, text) = match fact {
            Fact::WrittenAhead(it) => (
                &it.occurrence.schedule,
                format!("write ahead {}", it.request_id),
            ),
            Fact::Withdrawn(it) => (
                &it.occurrence.schedule,
                format!("withdraw {}", it.request_id),
            ),
            Fact::Attempted(it) => (
                &it.delivery.occurrence.schedule,
                format!(
                    "attempt {} #{}: {:?}",
                    it.delivery.request_id, it.number, it.next
                ),
            ),
            Fact::Ended(it) => (
                &it.delivery.occurrence.schedule,
                format!(
                    "{} ends: {:?}, unknown {}",
                    it.delivery.request_id, it.verdict, it.outcome_unknown
                ),
            ),
            Fact::Skipped(it) => (
                &it.schedule,
                format!(
                    "skip {} to {} x{}: {}",
                    it.first,
                    it.last,
                    it.count,
                    it.why.word()
                ),
            ),
            Fact::Began { schedule, .. } => (schedule, "began".to_owned()),
            Fact::Ceased { schedule, .. } => (schedule, "ceased".to_owned()),
            Fact::Run(it) => (
                &it.run.occurrence.schedule,
                format!("run of {}: {}", it.run.request_id, it.progress.word()),
            ),
            Fact::Rewound { to } => return self.tell("", format!("rewound to {to}")),
            _ => return,
        };
        let name = name.to_string();
        self.tell(&name, text);
    }
}

pub(super) fn describe(sketch: Option<&Sketch>) -> String {
    match sketch {
        None => "gone".to_owned(),
        Some(it) => {
            let lines: Vec<_> = it.lines.iter().map(|line| line.text()).collect();
            let disabled = if it.enabled { "" } else { ", disabled" };
            format!(
                "v{} {lines:?} in {}, {:?}{disabled}",
                it.version, it.zone, it.catch_up
            )
        }
    }
}

/// The schedule that a key is of.
pub(super) fn name_of(key: &str) -> String {
    key.split('-').next().unwrap_or_default().to_owned()
}

pub(super) fn request_id_of(key: &str) -> &str {
    key.rsplit_once('-')
        .map_or(key, |(request_id, _)| request_id)
}
