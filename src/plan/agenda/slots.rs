//! How many calls may be in flight: few while the API answers at once, since more would only share
//! the same work, and as many as are allowed while it is slow. It knows no delivery.

use std::time::Duration;

use crate::clock::Boottime;

/// Enough to keep an API busy that answers at once.
const FEW: usize = 64;

/// How often it is looked at how fast answers come, while something waits for a slot.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How many times as many slots there are when answers are slow.
const GROWTH: usize = 4;

pub(super) struct Slots {
    most: usize,
    open: usize,
    taken: usize,
    /// Since the last look.
    freed: usize,
    look_at: Option<Boottime>,
}

impl Slots {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            open: FEW.min(most),
            taken: 0,
            freed: 0,
            look_at: None,
        }
    }

    pub(super) fn taken(&self) -> usize {
        self.taken
    }

    pub(super) fn is_free(&self) -> bool {
        self.taken < self.open
    }

    /// Takes one if it is free.
    pub(super) fn take(&mut self) -> bool {
        let is_free = self.is_free();
        self.taken += usize::from(is_free);
        is_free
    }

    /// Something waits for one: it is to be looked at whether there should be more.
    pub(super) fn ask(&mut self, now: Boottime) {
        if self.look_at.is_none() && !self.is_free() && self.open < self.most {
            self.freed = 0;
            self.look_at = Some(now + LOOK_EVERY);
        }
    }

    pub(super) fn free(&mut self) {
        self.taken = self.taken.saturating_sub(1);
        self.freed += 1;
        if self.taken == 0 {
            *self = Self::new(self.most);
        }
    }

    /// Nothing is sent any more.
    pub(super) fn close(&mut self) {
        self.most = 0;
        self.open = 0;
        self.look_at = None;
    }

    pub(super) fn next_wake(&self) -> Option<Boottime> {
        self.look_at
    }

    /// Opens more if fewer than a quarter were freed in the meantime: then a call takes longer than
    /// four times the time between two looks. A machine that is short of processors is not helped
    /// by more connections. Says whether there is one to look after.
    pub(super) fn look(&mut self, now: Boottime) -> bool {
        if self.look_at.is_none_or(|at| at > now) {
            return false;
        }
        self.look_at = None;
        if self.freed * 4 < self.open {
            self.open = (self.open * GROWTH).min(self.most);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Boottime {
        Boottime::from(Duration::from_millis(milliseconds))
    }

    /// Takes all that can be had, and asks for more; how many are taken by then.
    fn fill(slots: &mut Slots, now: u64) -> usize {
        while slots.take() {}
        slots.ask(at(now));
        slots.taken()
    }

    #[test]
    fn an_api_that_is_slow_gets_more_calls_up_to_the_limit() {
        let mut slots = Slots::new(1000);
        assert_eq!(fill(&mut slots, 0), 64);
        assert_eq!(slots.next_wake(), Some(at(20)));
        assert!(!slots.look(at(19)));
        assert!(slots.look(at(20)));
        assert_eq!(fill(&mut slots, 20), 256);
        assert!(slots.look(at(40)));
        assert_eq!(fill(&mut slots, 40), 1000);
        assert_eq!(slots.next_wake(), None, "there are no more to be had");
    }

    #[test]
    fn an_api_that_answers_at_once_gets_no_more() {
        let mut slots = Slots::new(1024);
        fill(&mut slots, 0);
        for _ in 0..16 {
            slots.free();
            assert!(slots.take());
        }
        assert!(!slots.take());
        assert!(slots.look(at(20)));
        assert_eq!(fill(&mut slots, 20), 64);
        assert_eq!(slots.next_wake(), Some(at(40)), "as long as one waits");
    }

    #[test]
    fn once_all_are_answered_there_are_few_again() {
        let mut slots = Slots::new(1024);
        fill(&mut slots, 0);
        slots.look(at(20));
        for _ in 0..fill(&mut slots, 20) {
            slots.free();
        }
        assert_eq!(slots.next_wake(), None, "nothing waits");
        assert_eq!(fill(&mut slots, 30), 64);
    }

    #[test]
    fn a_small_limit_holds_and_a_closed_one_gives_nothing() {
        let mut slots = Slots::new(3);
        assert_eq!(fill(&mut slots, 0), 3);
        assert_eq!(slots.next_wake(), None);
        slots.close();
        slots.free();
        assert!(!slots.take());
    }
}
