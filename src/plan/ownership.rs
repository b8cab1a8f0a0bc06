//! Which of several nodes looks after which schedule: each node that holds a schedule computes the
//! same answer from the same names, so that nobody has to be asked, and of a node that comes or goes
//! only its own part moves. It knows no lease and no database.

use std::collections::{BTreeMap, HashSet};

use sha2::{Digest, Sha256};

use crate::plan::HashMap;
use crate::schedule::ScheduleId;

/// What tells one version of a schedule from another.
pub type Version = [u8; 32];

/// Counts nodes in the order in which they joined; a node that comes back is a new one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(pub i64);

/// Who is there, and what each of them has loaded.
#[derive(Debug, Default)]
pub struct Roster {
    me: Incarnation,
    /// Those whose lease holds, with their names.
    live: BTreeMap<Incarnation, String>,
    holdings: HashMap<Incarnation, HashMap<ScheduleId, Version>>,
}

impl Roster {
    pub fn joined(&mut self, me: Incarnation) {
        if let Some(mine) = self.holdings.remove(&self.me) {
            self.holdings.insert(me, mine);
        }
        self.me = me;
    }

    /// Whether that changes who is there.
    pub fn live(&mut self, live: BTreeMap<Incarnation, String>) -> bool {
        let changes = self.live != live;
        self.live = live;
        changes
    }

    pub fn live_nodes(&self) -> &BTreeMap<Incarnation, String> {
        &self.live
    }

    /// `None` for a schedule that the node holds no more.
    pub fn holds(&mut self, node: Incarnation, schedule: ScheduleId, version: Option<Version>) {
        let held = self.holdings.entry(node).or_default();
        match version {
            Some(version) => held.insert(schedule, version),
            None => held.remove(&schedule),
        };
    }

    pub fn i_hold(&mut self, schedule: ScheduleId, version: Option<Version>) {
        self.holds(self.me, schedule, version);
    }

    pub fn my_version(&self, schedule: &ScheduleId) -> Option<&Version> {
        self.holdings.get(&self.me)?.get(schedule)
    }

    pub fn mine(&self) -> impl Iterator<Item = (&ScheduleId, &Version)> {
        self.holdings.get(&self.me).into_iter().flatten()
    }

    /// The schedules that this node should look after.
    pub fn wanted(&self) -> HashSet<ScheduleId> {
        let mine = self.mine().map(|(schedule, _)| schedule);
        let wanted = mine.filter(|schedule| self.owner(schedule) == Some(self.me));
        wanted.cloned().collect()
    }

    /// Who should look after it: of the live nodes that hold it the one with the greatest hash.
    pub fn owner(&self, schedule: &ScheduleId) -> Option<Incarnation> {
        let holds = |node: &Incarnation| {
            let held = self.holdings.get(node);
            held.is_some_and(|held| held.contains_key(schedule))
        };
        let holders = self.live.iter().filter(|(node, _)| holds(node));
        let greatest = holders.max_by_key(|(node, name)| (weight(name, schedule), **node));
        greatest.map(|(node, _)| *node)
    }

    /// Schedules of which another live node holds another version, by name.
    pub fn disagreed(&self) -> Vec<&ScheduleId> {
        let others = self.live.keys().filter(|node| **node != self.me);
        let others: Vec<_> = others.filter_map(|node| self.holdings.get(node)).collect();
        let differs = |(schedule, version): &(&ScheduleId, &Version)| {
            let mut theirs = others.iter().filter_map(|held| held.get(*schedule));
            theirs.any(|theirs| theirs != *version)
        };
        let differing = self.mine().filter(differs);
        let mut differing: Vec<_> = differing.map(|(schedule, _)| schedule).collect();
        differing.sort_unstable();
        differing
    }

    /// What this node is among the live ones, for what they share out: its place, of how many.
    pub fn share(&self) -> (usize, usize) {
        let place = self.live.keys().position(|node| *node == self.me);
        (place.unwrap_or(0), self.live.len().max(1))
    }
}

fn weight(name: &str, schedule: &ScheduleId) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in [name, schedule.as_str()] {
        hash.update(part);
        hash.update("\n");
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEDULES: usize = 1000;

    fn id(n: usize) -> ScheduleId {
        ScheduleId::parse(&format!("s{n}")).unwrap()
    }

    /// As node `me` sees nodes that all hold everything.
    fn roster(me: i64, nodes: &[i64]) -> Roster {
        let mut roster = Roster::default();
        roster.joined(Incarnation(me));
        roster.live(
            nodes
                .iter()
                .map(|n| (Incarnation(*n), format!("node-{n}")))
                .collect(),
        );
        for node in nodes {
            for n in 0..SCHEDULES {
                roster.holds(Incarnation(*node), id(n), Some([0; 32]));
            }
        }
        roster
    }

    #[test]
    fn each_schedule_is_wanted_by_one_node_and_the_work_is_spread() {
        let nodes = [1, 2, 3];
        let wanted: Vec<_> = nodes.map(|me| roster(me, &nodes).wanted()).into();
        assert_eq!(wanted.iter().map(HashSet::len).sum::<usize>(), SCHEDULES);
        let all: HashSet<_> = wanted.iter().flatten().collect();
        assert_eq!(all.len(), SCHEDULES, "none twice");
        for one in wanted {
            assert!((250..420).contains(&one.len()), "{}", one.len());
        }
    }

    #[test]
    fn of_a_node_that_goes_only_its_own_part_moves() {
        let (before, after) = (roster(1, &[1, 2, 3]), roster(1, &[1, 2]));
        let mut moved = 0;
        for n in 0..SCHEDULES {
            let (was, is) = (before.owner(&id(n)), after.owner(&id(n)));
            moved += usize::from(was != is);
            assert!(was == is || was == Some(Incarnation(3)), "{n}");
        }
        assert!(moved > 0);
    }

    #[test]
    fn a_schedule_is_looked_after_by_nodes_that_hold_it_alone() {
        let mut roster = roster(1, &[1, 2, 3]);
        for n in 0..SCHEDULES {
            roster.holds(Incarnation(1), id(n), None);
            roster.holds(Incarnation(3), id(n), None);
            assert_eq!(roster.owner(&id(n)), Some(Incarnation(2)));
        }
        roster.holds(Incarnation(2), id(0), None);
        assert_eq!(roster.owner(&id(0)), None);
        assert_eq!(roster.wanted(), HashSet::new());
    }

    #[test]
    fn other_versions_are_named() {
        let mut roster = roster(1, &[1, 2]);
        assert_eq!(roster.disagreed(), Vec::<&ScheduleId>::new());
        roster.holds(Incarnation(2), id(7), Some([1; 32]));
        roster.holds(Incarnation(9), id(8), Some([1; 32]));
        assert_eq!(roster.disagreed(), [&id(7)], "node 9 is not live");
    }

    #[test]
    fn what_is_shared_out_has_a_part_for_each() {
        let parts: Vec<_> = [4, 5, 9].map(|me| roster(me, &[4, 5, 9]).share()).into();
        assert_eq!(parts, [(0, 3), (1, 3), (2, 3)]);
        assert_eq!(Roster::default().share(), (0, 1));
    }
}
