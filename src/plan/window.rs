//! What a schedule's accepted deliveries cover, without a hole (SEMANTICS.md 13).
//! It knows instants and counts only: no delivery, no policy.

use jiff::Timestamp;

use crate::plan::delivery::Window;

/// The windows of one schedule from the end of its unbroken accepted stretch on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// Up to here everything is covered by accepted deliveries.
    until: Timestamp,
    /// What came after, by end; empty while all goes well.
    spans: Vec<Span>,
}

/// What lies beyond the accepted stretch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// A delivery's window, accepted (beyond a hole) or still open.
    Covered {
        start: Timestamp,
        end: Timestamp,
        open: bool,
    },
    /// Occurrences that ended without acceptance.
    Missed {
        first: Timestamp,
        last: Timestamp,
        count: u64,
    },
}

impl Span {
    fn end(&self) -> Timestamp {
        match self {
            Span::Covered { end, .. } => *end,
            Span::Missed { last, .. } => *last,
        }
    }
}

impl Coverage {
    /// `until`: where the first window starts.
    pub fn new(until: Timestamp) -> Self {
        Self::restored(until, Vec::new())
    }

    pub fn restored(until: Timestamp, spans: Vec<Span>) -> Self {
        let mut coverage = Self {
            until,
            spans: Vec::new(),
        };
        for span in spans {
            coverage.insert(span);
        }
        coverage
    }

    pub fn until(&self) -> Timestamp {
        self.until
    }

    /// The window of an occurrence scheduled at `end`, whose predecessor was scheduled at `previous`.
    /// Deliveries that lie ahead of it are ignored: the clock may have stepped back.
    pub fn window(&self, end: Timestamp, previous: impl FnOnce() -> Timestamp) -> Window {
        let mut start = if self.until < end {
            self.until
        } else {
            previous()
        };
        for span in &self.spans {
            if let Span::Covered {
                start: from,
                end: to,
                ..
            } = *span
                && from <= start
                && to < end
            {
                start = start.max(to);
            }
        }
        let missed_count = self.spans.iter().map(|span| match *span {
            Span::Missed { first, last, count } if last > start && first < end => count,
            _ => 0,
        });
        Window {
            start,
            end,
            missed_count: missed_count.sum(),
        }
    }

    pub fn open(&mut self, window: Window) {
        self.insert(Span::Covered {
            start: window.start,
            end: window.end,
            open: true,
        });
    }

    /// An open delivery was accepted. Gives how far the accepted stretch reaches, of what does not lie
    /// ahead of `now`.
    pub fn accept(&mut self, window: Window, now: Timestamp) -> Timestamp {
        for span in &mut self.spans {
            if let Span::Covered { end, open, .. } = span
                && *end == window.end
            {
                *open = false;
            }
        }
        while let Some(end) = self.spans.iter().find_map(|span| match *span {
            Span::Covered {
                start,
                end,
                open: false,
            } if start <= self.until && self.until < end && end <= now => Some(end),
            _ => None,
        }) {
            self.until = end;
        }
        self.spans.retain(|span| span.end() > self.until);
        self.until
    }

    /// An open delivery was taken back: it neither covers nor misses anything.
    pub fn withdraw(&mut self, window: Window) {
        self.spans.retain(
            |span| !matches!(span, Span::Covered { end, open: true, .. } if *end == window.end),
        );
    }

    /// An open delivery ended without acceptance: its window is owed again.
    pub fn fail(&mut self, window: Window) {
        self.withdraw(window);
        self.miss(window.end, window.end, 1);
    }

    /// A delivery that ended without acceptance is open again: it is not missed for now.
    pub fn reopen(&mut self, window: Window) {
        let missed = self.spans.iter_mut().find_map(|span| match span {
            Span::Missed { first, last, count } if *first <= window.end && window.end <= *last => {
                Some(count)
            }
            _ => None,
        });
        if let Some(count) = missed {
            *count -= 1;
        }
        self.spans
            .retain(|span| !matches!(span, Span::Missed { count: 0, .. }));
        self.open(window);
    }

    /// Occurrences ended without ever being delivered.
    pub fn miss(&mut self, first: Timestamp, last: Timestamp, count: u64) {
        self.insert(Span::Missed { first, last, count });
    }

    /// The clock stepped back: nothing is missed after `to` any more, and what is accepted after it lies
    /// ahead. `previous`: the last scheduled time before that.
    pub fn rewind(&mut self, to: Timestamp, previous: impl FnOnce() -> Timestamp) {
        self.spans
            .retain(|span| !matches!(span, Span::Missed { first, .. } if *first > to));
        if self.until > to {
            let end = std::mem::replace(&mut self.until, previous().min(to));
            self.insert(Span::Covered {
                start: self.until,
                end,
                open: false,
            });
        }
    }

    fn insert(&mut self, span: Span) {
        if span.end() <= self.until {
            return;
        }
        let at = self.spans.partition_point(|it| it.end() <= span.end());
        if let Span::Missed { first, last, count } = span
            && let Some(Span::Missed {
                first: first_before,
                last: last_before,
                count: count_before,
            }) = at.checked_sub(1).map(|before| &mut self.spans[before])
        {
            *first_before = first.min(*first_before);
            *last_before = last;
            *count_before += count;
        } else {
            self.spans.insert(at, span);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_second(hour * 3600).unwrap()
    }

    fn window(start: i64, end: i64, missed_count: u64) -> Window {
        Window {
            start: at(start),
            end: at(end),
            missed_count,
        }
    }

    #[test]
    fn while_all_goes_well_each_window_begins_where_the_last_one_ended() {
        let mut coverage = Coverage::new(at(0));
        for hour in 1..5 {
            let it = coverage.window(at(hour), || at(hour - 1));
            assert_eq!(it, window(hour - 1, hour, 0));
            coverage.open(it);
            assert_eq!(coverage.accept(it, at(9999)), at(hour));
        }
        assert_eq!(coverage, Coverage::new(at(4)));
    }

    #[test]
    fn an_open_delivery_counts_as_covering() {
        let mut coverage = Coverage::new(at(0));
        coverage.open(window(0, 1, 0));
        assert_eq!(coverage.window(at(2), || at(1)), window(1, 2, 0));
    }

    #[test]
    fn what_failed_or_was_skipped_is_covered_by_the_next_one() {
        let mut coverage = Coverage::new(at(0));
        coverage.open(window(0, 1, 0));
        coverage.fail(window(0, 1, 0));
        coverage.miss(at(2), at(9), 8);
        assert_eq!(coverage.window(at(10), || at(9)), window(0, 10, 9));
    }

    #[test]
    fn a_hole_behind_an_accepted_window_is_covered_once_more() {
        let mut coverage = Coverage::new(at(0));
        coverage.open(window(0, 1, 0));
        coverage.open(window(1, 2, 0));
        assert_eq!(coverage.accept(window(1, 2, 0), at(9999)), at(0));
        coverage.fail(window(0, 1, 0));
        let third = coverage.window(at(3), || at(2));
        assert_eq!(third, window(0, 3, 1));
        coverage.open(third);
        assert_eq!(coverage.accept(third, at(9999)), at(3));
        assert_eq!(coverage, Coverage::new(at(3)));
    }

    #[test]
    fn what_is_withdrawn_leaves_no_trace() {
        let mut coverage = Coverage::new(at(0));
        coverage.open(window(0, 1, 0));
        coverage.withdraw(window(0, 1, 0));
        assert_eq!(coverage, Coverage::new(at(0)));
    }

    #[test]
    fn after_a_step_back_deliveries_ahead_are_ignored() {
        let mut coverage = Coverage::new(at(10));
        coverage.open(window(10, 11, 0));
        coverage.rewind(at(5), || at(4));
        assert_eq!(coverage.window(at(6), || at(5)), window(4, 6, 0));
        coverage.miss(at(12), at(20), 9);
        coverage.rewind(at(5), || at(4));
        assert_eq!(coverage.window(at(12), || at(11)), window(11, 12, 0));
    }

    #[test]
    fn what_is_missed_after_a_step_back_is_covered_by_the_next_one() {
        let mut coverage = Coverage::new(at(10));
        coverage.rewind(at(5), || at(4));
        coverage.miss(at(6), at(6), 1);
        let seventh = coverage.window(at(7), || at(6));
        assert_eq!(seventh, window(4, 7, 1));
        coverage.open(seventh);
        assert_eq!(coverage.accept(seventh, at(7)), at(7));
        coverage.miss(at(8), at(8), 1);
        assert_eq!(coverage.window(at(9), || at(8)), window(7, 9, 1));
        assert_eq!(coverage.window(at(11), || at(10)), window(10, 11, 0));
    }

    #[test]
    fn what_has_its_delivery_already_goes_on_covering() {
        let mut coverage = Coverage::new(at(10));
        coverage.rewind(at(9), || at(9));
        let again = coverage.window(at(10), || at(9));
        coverage.open(again);
        coverage.withdraw(again);
        assert_eq!(coverage.window(at(11), || at(10)), window(10, 11, 0));
    }

    #[test]
    fn an_acceptance_heard_after_a_step_back_lies_ahead() {
        let mut coverage = Coverage::new(at(10));
        coverage.open(window(10, 11, 0));
        coverage.rewind(at(5), || at(4));
        assert_eq!(coverage.accept(window(10, 11, 0), at(5)), at(4));
        assert_eq!(coverage.window(at(6), || at(5)), window(4, 6, 0));
        assert_eq!(coverage.window(at(12), || at(11)), window(11, 12, 0));
    }

    #[test]
    fn what_is_reopened_covers_again_and_is_missed_once_if_it_fails_again() {
        let mut coverage = Coverage::new(at(0));
        for hour in 1..4 {
            coverage.open(window(0, hour, 0));
            coverage.fail(window(0, hour, 0));
        }
        assert_eq!(coverage.window(at(4), || at(3)), window(0, 4, 3));
        coverage.reopen(window(0, 3, 2));
        assert_eq!(coverage.window(at(4), || at(3)), window(3, 4, 0));
        let mut failed = coverage.clone();
        failed.fail(window(0, 3, 2));
        assert_eq!(failed.window(at(4), || at(3)), window(0, 4, 3));
        assert_eq!(coverage.accept(window(0, 3, 2), at(9999)), at(3));
    }

    #[test]
    fn endless_failure_takes_no_more_room() {
        let mut coverage = Coverage::new(at(0));
        for hour in 1..1000 {
            coverage.miss(at(hour), at(hour), 1);
        }
        assert_eq!(coverage.spans.len(), 1);
        assert_eq!(coverage.window(at(1000), || at(999)), window(0, 1000, 999));
    }
}
