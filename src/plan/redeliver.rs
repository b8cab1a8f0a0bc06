//! Whether a delivery that ended may be tried again with its key and bytes (SEMANTICS.md 25).
//! It knows no ledger.

use jiff::{SignedDuration, Timestamp};

use crate::plan::delivery::Verdict;

/// For how long the API surely remembers a key is not documented; after this it may have forgotten.
pub const KEY_IS_SAFE_FOR: SignedDuration = SignedDuration::from_hours(24);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("it is open: it is being delivered already")]
    Open,
    #[error(
        "it was accepted: `triggerd trigger` wakes the agent once more, under a key of its own"
    )]
    Accepted,
    #[error(
        "it was skipped, and a later one stands for it; `triggerd trigger` wakes the agent now"
    )]
    Skipped,
    #[error(
        "nothing was ever sent of it, since its text could not be rendered; mend the file, then `triggerd trigger`"
    )]
    NeverSent,
    #[error(
        "an attempt of more than 24 h ago may have been queued, and the API may have forgotten its key by now: look at \
         the destination first, then add `--force`"
    )]
    KeyMayBeForgotten,
}

/// `unknown_since`: when the first attempt was sent that may have been queued without our knowing.
///
/// # Errors
/// If it may not, and why.
pub fn may_redeliver(
    verdict: Option<Verdict>,
    attempts: usize,
    unknown_since: Option<Timestamp>,
    force: bool,
    now: Timestamp,
) -> Result<(), Refused> {
    match verdict {
        None => Err(Refused::Open),
        Some(Verdict::Accepted) => Err(Refused::Accepted),
        Some(Verdict::Skipped(_)) => Err(Refused::Skipped),
        Some(Verdict::Rejected) if attempts == 0 => Err(Refused::NeverSent),
        Some(Verdict::Rejected | Verdict::Expired) => {
            let forgotten =
                unknown_since.is_some_and(|at| now.duration_since(at) > KEY_IS_SAFE_FOR);
            match forgotten && !force {
                true => Err(Refused::KeyMayBeForgotten),
                false => Ok(()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::delivery::Skip;

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_second(hour * 3600).unwrap()
    }

    #[test]
    fn s25_only_what_was_rejected_or_expired_is_delivered_again() {
        #[track_caller]
        fn check(verdict: Option<Verdict>, expected: Result<(), Refused>) {
            assert_eq!(may_redeliver(verdict, 1, None, false, at(0)), expected);
        }
        check(Some(Verdict::Rejected), Ok(()));
        check(Some(Verdict::Expired), Ok(()));
        check(Some(Verdict::Accepted), Err(Refused::Accepted));
        check(
            Some(Verdict::Skipped(Skip::Superseded)),
            Err(Refused::Skipped),
        );
        check(None, Err(Refused::Open));
        let never_sent = may_redeliver(Some(Verdict::Rejected), 0, None, true, at(0));
        assert_eq!(never_sent, Err(Refused::NeverSent));
    }

    #[test]
    fn s25_after_a_day_an_unknown_outcome_wants_force() {
        let expired = Some(Verdict::Expired);
        let of = |unknown_since, force| may_redeliver(expired, 1, unknown_since, force, at(25));
        assert_eq!(of(Some(at(1)), false), Ok(()));
        assert_eq!(of(Some(at(0)), false), Err(Refused::KeyMayBeForgotten));
        assert_eq!(of(Some(at(0)), true), Ok(()));
        assert_eq!(of(None, false), Ok(()));
    }
}
