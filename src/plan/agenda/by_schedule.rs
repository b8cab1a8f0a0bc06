//! A schedule's deliveries without a verdict, in the order of their scheduled times. It knows their
//! keys alone.

use jiff::Timestamp;

use crate::plan::HashMap;
use crate::plan::breaker::Waiting;
use crate::plan::occurrence::IdempotencyKey;
use crate::schedule::ScheduleId;

/// Most schedules have none, and nearly all others one.
#[derive(Default)]
pub(super) struct BySchedule {
    deliveries: HashMap<ScheduleId, Vec<Waiting>>,
}

impl BySchedule {
    pub(super) fn make_room(&mut self, schedules: usize) {
        let more = schedules.saturating_sub(self.deliveries.len());
        self.deliveries.reserve(more);
    }

    pub(super) fn insert(&mut self, id: ScheduleId, delivery: Waiting) {
        let deliveries = self
            .deliveries
            .entry(id)
            .or_insert_with(|| Vec::with_capacity(1));
        let place = deliveries.partition_point(|it| *it < delivery);
        deliveries.insert(place, delivery);
    }

    pub(super) fn remove(&mut self, id: &ScheduleId, delivery: &Waiting) {
        if let Some(deliveries) = self.deliveries.get_mut(id) {
            deliveries.retain(|it| it != delivery);
            if deliveries.is_empty() {
                self.deliveries.remove(id);
            }
        }
    }

    pub(super) fn of(&self, id: &ScheduleId) -> &[Waiting] {
        self.deliveries.get(id).map_or(&[], Vec::as_slice)
    }

    /// The keys of those that are scheduled from `first` to `last`.
    pub(super) fn between(
        &self,
        id: &ScheduleId,
        first: Timestamp,
        last: Timestamp,
    ) -> impl Iterator<Item = &Waiting> {
        let deliveries = self.of(id);
        let from = deliveries.partition_point(|(at, _)| *at < first);
        deliveries[from..]
            .iter()
            .take_while(move |(at, _)| *at <= last)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&ScheduleId, &IdempotencyKey)> {
        self.deliveries
            .iter()
            .flat_map(|(id, deliveries)| deliveries.iter().map(move |(_, key)| (id, key)))
    }
}
