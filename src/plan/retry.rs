//! What follows an attempt that was not accepted: stop, wait, or wait behind a breaker.
//! It knows no HTTP status, only what an outcome means.

use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::clock::{Boottime, Moment};
use crate::plan::occurrence::IdempotencyKey;
use crate::plan::outcome::{Outcome, RetryAfter};
use crate::schedule::Retry;

/// What becomes of a delivery after an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The same event would be refused again.
    Stop,
    RetryAt(Boottime),
    /// Nothing is sent with this token before that instant.
    PauseToken {
        until: Boottime,
    },
    /// The token's breaker opens; or, where its source holds a newer value by now, no breaker but
    /// another attempt at once.
    TokenBroken {
        newer_token: bool,
    },
    /// The trigger's breaker opens.
    TriggerBroken,
}

/// Decides over the `attempt`-th outcome of the delivery `key`. `refusals` counts its attempts that
/// found the agent not runnable, this one included.
pub fn after(
    policy: Retry,
    key: &IdempotencyKey,
    attempt: u32,
    refusals: u32,
    outcome: &Outcome,
    now: Moment,
) -> Decision {
    match outcome {
        Outcome::Accepted(_) | Outcome::Rejected => Decision::Stop,
        Outcome::TokenRefused { newer_token } => Decision::TokenBroken {
            newer_token: *newer_token,
        },
        Outcome::TriggerRefused => Decision::TriggerBroken,
        Outcome::NotRunnable => Decision::RetryAt(now.boot + slow_delay(refusals)),
        Outcome::RateLimited(asked) => Decision::PauseToken {
            until: now.boot + asked_or_backoff(*asked, policy, key, attempt, now),
        },
        Outcome::Failed { retry_after, .. } => {
            Decision::RetryAt(now.boot + asked_or_backoff(*retry_after, policy, key, attempt, now))
        }
    }
}

/// The wait before the `n`-th slow retry or probe: 1, 5, then every 15 minutes (API.md, DESIGN.md 9).
pub fn slow_delay(n: u32) -> Duration {
    const MINUTE: Duration = Duration::from_secs(60);
    match n {
        0 | 1 => MINUTE,
        2 => 5 * MINUTE,
        _ => 15 * MINUTE,
    }
}

/// No delivery lives longer, so that a longer wait can only be a mistake.
const LONGEST_ASKED: Duration = Duration::from_secs(24 * 3600);

/// What the API asked for, never shorter than the first delay; else the back-off.
fn asked_or_backoff(
    asked: Option<RetryAfter>,
    policy: Retry,
    key: &IdempotencyKey,
    attempt: u32,
    now: Moment,
) -> Duration {
    let delay = match asked {
        Some(RetryAfter::Delay(delay)) => delay,
        Some(RetryAfter::At(at)) => {
            Duration::try_from(at.duration_since(now.wall)).unwrap_or(Duration::ZERO)
        }
        None => return backoff(policy, key, attempt),
    };
    delay.min(LONGEST_ASKED).max(policy.first_delay)
}

/// `first_delay`, doubled after each attempt, a quarter more or less of it by the key so that
/// deliveries which failed together do not return together, and never outside the policy's bounds.
fn backoff(policy: Retry, key: &IdempotencyKey, attempt: u32) -> Duration {
    let doublings = attempt.saturating_sub(1).min(31);
    let base = policy
        .first_delay
        .saturating_mul(1 << doublings)
        .min(policy.max_delay);
    base.mul_f64(0.75 + 0.5 * fraction(key, attempt))
        .clamp(policy.first_delay.min(policy.max_delay), policy.max_delay)
}

/// A stable number in `[0, 1)`.
fn fraction(key: &IdempotencyKey, attempt: u32) -> f64 {
    let mut hash = Sha256::new();
    hash.update(key.as_str());
    hash.update(attempt.to_be_bytes());
    let digest = hash.finalize();
    f64::from(u32::from_be_bytes(
        digest[..4].try_into().expect("4 of 32 bytes"),
    )) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::outcome::Reached;

    const POLICY: Retry = Retry {
        give_up_after: Duration::from_secs(12 * 3600),
        first_delay: Duration::from_secs(2),
        max_delay: Duration::from_secs(300),
    };

    fn now() -> Moment {
        Moment {
            wall: "2026-11-23T09:00:00Z".parse().unwrap(),
            boot: Boottime::from(Duration::from_secs(1000)),
        }
    }

    fn key() -> IdempotencyKey {
        IdempotencyKey::recorded("weekly-report-20261123T0900-0011223344556677")
    }

    #[track_caller]
    fn check_wait(
        attempt: u32,
        refusals: u32,
        outcome: Outcome,
        seconds: std::ops::RangeInclusive<f64>,
    ) {
        let until = match after(POLICY, &key(), attempt, refusals, &outcome, now()) {
            Decision::RetryAt(until) | Decision::PauseToken { until } => until,
            other => panic!("{outcome:?} gave {other:?}"),
        };
        let wait = until.saturating_sub(now().boot).as_secs_f64();
        assert!(seconds.contains(&wait), "{wait} is not in {seconds:?}");
    }

    fn failed(retry_after: Option<RetryAfter>) -> Outcome {
        Outcome::Failed {
            reached: Reached::Unknown,
            retry_after,
        }
    }

    #[test]
    fn back_off_doubles_between_its_bounds() {
        check_wait(1, 0, failed(None), 2.0..=2.5);
        check_wait(2, 0, failed(None), 3.0..=5.0);
        check_wait(5, 0, failed(None), 24.0..=40.0);
        check_wait(9, 0, failed(None), 225.0..=300.0);
        check_wait(4_000_000, 0, failed(None), 225.0..=300.0);
    }

    #[test]
    fn never_before_what_the_api_asked_for() {
        let in_a_minute = RetryAfter::Delay(Duration::from_secs(60));
        let at_a_date = RetryAfter::At("2026-11-23T09:10:00Z".parse().unwrap());
        let in_the_past = RetryAfter::At("2026-11-22T09:10:00Z".parse().unwrap());
        check_wait(1, 0, failed(Some(in_a_minute)), 60.0..=60.0);
        check_wait(9, 0, failed(Some(at_a_date)), 600.0..=600.0);
        check_wait(9, 0, failed(Some(in_the_past)), 2.0..=2.0);
        check_wait(1, 0, Outcome::RateLimited(Some(in_a_minute)), 60.0..=60.0);
        check_wait(1, 0, Outcome::RateLimited(None), 2.0..=2.5);
    }

    #[test]
    fn a_first_delay_longer_than_a_delivery_lives_is_kept() {
        let two_days = Duration::from_secs(48 * 3600);
        let never_again = Retry {
            first_delay: two_days,
            max_delay: two_days,
            ..POLICY
        };
        let in_a_minute = RetryAfter::Delay(Duration::from_secs(60));
        let decision = after(never_again, &key(), 1, 0, &failed(Some(in_a_minute)), now());
        assert_eq!(decision, Decision::RetryAt(now().boot + two_days));
    }

    #[test]
    fn an_agent_that_is_not_runnable_is_asked_slowly() {
        check_wait(1, 1, Outcome::NotRunnable, 60.0..=60.0);
        check_wait(2, 2, Outcome::NotRunnable, 300.0..=300.0);
        check_wait(3, 3, Outcome::NotRunnable, 900.0..=900.0);
        check_wait(30, 30, Outcome::NotRunnable, 900.0..=900.0);
    }

    #[test]
    fn what_is_refused_for_good_stops() {
        let decide = |outcome| after(POLICY, &key(), 1, 0, &outcome, now());
        assert_eq!(decide(Outcome::Rejected), Decision::Stop);
        assert_eq!(decide(Outcome::TriggerRefused), Decision::TriggerBroken);
        assert_eq!(
            decide(Outcome::TokenRefused { newer_token: false }),
            Decision::TokenBroken { newer_token: false }
        );
    }
}
