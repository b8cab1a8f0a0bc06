//! Where several nodes share the ledger: what this one has loaded, and which part of it is its own to
//! fire. It decides nothing: the ledger says what is claimed and lost, the agenda when it can be left.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::daemon::event::Loaded;
use crate::ledger::cluster::{Holding, Nodes, Taken};
use crate::plan::agenda::{Change, TakenUp};
use crate::plan::ceilings::Ceilings;
use crate::plan::fact::{Fact, Source};
use crate::plan::ownership::Version;
use crate::schedule::{Schedule, ScheduleId};

#[derive(Default)]
pub struct Share {
    loaded: HashMap<ScheduleId, (Arc<Schedule>, Option<Arc<Source>>)>,
    /// The database was not there at the start: it fires all that it has loaded.
    alone: bool,
    /// What the agenda has of what is its own.
    taken: HashSet<ScheduleId>,
    /// Of its own, what is to be left once nothing of it is under way.
    pub leaving: BTreeSet<ScheduleId>,
    pub nodes: Nodes,
    /// Of all nodes together.
    pub ceilings: Ceilings,
}

impl Share {
    pub fn new(ceilings: Ceilings) -> Self {
        Self {
            ceilings,
            ..Self::default()
        }
    }

    pub fn schedule(&self, id: &ScheduleId) -> Option<&Arc<Schedule>> {
        self.loaded.get(id).map(|(schedule, _)| schedule)
    }

    pub fn has(&self, id: &ScheduleId) -> bool {
        self.alone || self.taken.contains(id)
    }

    /// Takes note of what was loaded: what of it is for the agenda now, and what the others are told.
    pub fn load(&mut self, loaded: Loaded) -> (Loaded, Vec<Holding>) {
        let mut sources: HashMap<_, _> = loaded.sources.into_iter().collect();
        let mut own = Loaded::default();
        let mut holdings = Vec::new();
        for change in loaded.changes {
            match change {
                Change::Put(schedule) => {
                    let id = schedule.id.clone();
                    let before = self.loaded.remove(&id).and_then(|(_, source)| source);
                    let source = sources.remove(&id).or(before);
                    holdings.push((id.clone(), Some(version(source.as_deref()))));
                    if self.has(&id) {
                        own.changes.push(Change::Put(schedule.clone()));
                        own.sources
                            .extend(source.clone().map(|source| (id.clone(), source)));
                    }
                    self.loaded.insert(id, (schedule, source));
                }
                Change::Remove(id) => {
                    self.loaded.remove(&id);
                    holdings.push((id.clone(), None));
                    if self.alone {
                        own.changes.push(Change::Remove(id));
                    } else if self.taken.contains(&id) {
                        // Another node may have the file yet. If none has, one of them ends it.
                        self.leaving.insert(id);
                    }
                }
            }
        }
        (own, holdings)
    }

    /// There is no ledger to ask: everything is its own.
    pub fn alone(&mut self) -> Vec<Change> {
        self.alone = true;
        let loaded = self.loaded.values();
        loaded
            .map(|(schedule, _)| Change::Put(schedule.clone()))
            .collect()
    }

    /// From here on only what is claimed is its own. Gives what was until now.
    pub fn joined(&mut self) -> Vec<ScheduleId> {
        self.alone = false;
        self.leaving.clear();
        let taken = std::mem::take(&mut self.taken);
        taken
            .into_iter()
            .chain(self.loaded.keys().cloned())
            .collect()
    }

    /// What was claimed, for the agenda. What has no file here is left again, once it has ended if
    /// its file is gone from every node.
    pub fn take(&mut self, taken: Vec<Taken>) -> (Vec<TakenUp>, Vec<Fact>) {
        let (mut for_agenda, mut facts) = (Vec::new(), Vec::new());
        for Taken {
            id,
            remembered,
            is_gone,
            ..
        } in taken
        {
            let loaded = self.loaded.get(&id);
            if loaded.is_none() && !is_gone {
                facts.push(Fact::GivenUp {
                    schedule: id,
                    settled_until: remembered.settled_until.unwrap_or_default(),
                });
                continue;
            }
            if loaded.is_none() {
                self.leaving.insert(id.clone());
            }
            let source = loaded.and_then(|(_, source)| source.clone());
            facts.extend(source.map(|source| Fact::InForce {
                schedule: id.clone(),
                source,
            }));
            self.taken.insert(id.clone());
            for_agenda.push(TakenUp {
                remembered,
                schedule: loaded.map(|(schedule, _)| schedule.clone()),
                id,
            });
        }
        (for_agenda, facts)
    }

    /// These are to be left.
    pub fn leave(&mut self, ids: Vec<ScheduleId>) {
        let taken = ids.into_iter().filter(|it| self.taken.contains(it));
        self.leaving.extend(taken);
    }

    /// These are not its own any more.
    pub fn forget(&mut self, ids: &[ScheduleId]) {
        for id in ids {
            self.taken.remove(id);
            self.leaving.remove(id);
        }
    }

    /// This node's part of what all nodes together may open.
    pub fn own_ceilings(&self) -> Ceilings {
        let live = &self.nodes.live;
        let place = live.iter().position(|it| it.incarnation == self.nodes.me);
        self.ceilings.share(place.unwrap_or(0), live.len().max(1))
    }
}

fn version(source: Option<&Source>) -> Version {
    let mut hash = Sha256::new();
    if let Some(Source { toml, input }) = source {
        hash.update((toml.len() as u64).to_be_bytes());
        hash.update(toml.as_bytes());
        hash.update(input.as_deref().unwrap_or_default());
    }
    hash.finalize().into()
}

/// What this machine calls itself.
pub fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "unnamed".to_owned(),
        name => name.to_owned(),
    }
}
