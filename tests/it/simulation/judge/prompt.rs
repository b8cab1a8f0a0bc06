//! Whether the verdict of what was accepted is stated soon: an acceptance that the daemon has heard and
//! keeps to itself is lost with it. It knows nothing of what was owed.

use std::collections::HashMap;

use triggerd::schedule::OverlapPolicy;

use super::{Charge, Trial, owed};
use crate::simulation::reign;
use crate::simulation::script::{MINUTE, Nanos, SECOND};

/// An answer takes up to 10 s; what it brings waits for 1 s at most while deliveries wait to be sent.
const SOON: Nanos = 12 * SECOND;

/// How long what is repeated after trouble may wait for its place in a catch-up.
const TURN: Nanos = 6 * MINUTE;

impl Trial<'_> {
    pub(super) fn look_for_verdicts(&mut self) {
        let journal = self.journal;
        let mut late = Vec::new();
        let mut known = HashMap::new();
        for (key, accepted_at) in &self.accepted {
            let case = self.by_key.get(key).map(|of| &self.cases[of[0]]);
            let redelivered = journal.redeliveries.iter().any(|it| it.key == *key);
            let Some(case) = case.filter(|it| it.sketch.overlap == OverlapPolicy::Allow) else {
                continue;
            };
            let (name, agent) = (case.name.as_str(), case.sketch.agent);
            let covers = known
                .entry((name, agent))
                .or_insert_with(|| owed::covers(journal, agent, &self.paused[name]));
            let mut by = accepted_at + SOON;
            for cover in covers {
                if cover.from <= by && *accepted_at <= cover.ends() {
                    by = by.max(cover.ends().saturating_add(TURN));
                }
            }
            let mut steps = journal.clock.iter();
            let is_steady = !steps.any(|(at, _)| (*accepted_at..=by).contains(at));
            if !redelivered
                && is_steady
                && by < journal.ends
                && journal.ended.get(key).is_none_or(|at| *at > by)
                && !reign::is_blurred(journal, *accepted_at)
            {
                let request_id = case.instance().request_id.clone();
                late.push((case.name.clone(), request_id, *accepted_at));
            }
        }
        for (name, request_id, at) in late {
            let detail = "accepted, and no verdict for long".to_owned();
            self.charge(Charge::Silent, &name, &request_id, at, detail);
        }
    }
}
