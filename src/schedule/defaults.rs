//! What a key means where neither the file nor `[defaults]` says it (DESIGN.md 5).
//! Used when a file is resolved, and by the test that compares README with them.

use std::time::Duration;

use crate::schedule::{CatchUp, Missed, Overlap, OverlapPolicy, Retry};

pub const TIMEZONE: &str = "UTC";

pub const JITTER: Duration = Duration::ZERO;

pub const SOURCE_SYSTEM: &str = "triggerd";

/// The exact line of the published example (API.md, "The source event, as text").
pub const MARKER: &str = "Workspace Agent API demo received: {{ request_id }}";

pub const MISSED: Missed = Missed {
    catch_up: CatchUp::Latest,
    within: Duration::from_secs(12 * 3600),
};

/// Of `catch_up = "all"`.
pub const AT_MOST: u32 = 10;

/// Of `catch_up = "all"`.
pub const SPACING: Duration = Duration::from_secs(10);

pub const OVERLAP: Overlap = Overlap {
    policy: OverlapPolicy::Allow,
    stuck_after: Duration::from_secs(6 * 3600),
};

pub const RETRY: Retry = Retry {
    give_up_after: Duration::from_secs(12 * 3600),
    first_delay: Duration::from_secs(2),
    max_delay: Duration::from_secs(5 * 60),
};

/// The key's life at the API is not documented: no delivery relies on it for longer.
pub const LONGEST_GIVE_UP_AFTER: Duration = Duration::from_secs(24 * 3600);

pub const APPROVED_WITHIN: Duration = Duration::from_secs(15 * 60);

/// How long after a run's end its result is looked for.
pub const VERIFY_WITHIN: Duration = Duration::from_secs(15 * 60);

/// Other clients of the API stop at 32,000 characters (API.md).
pub const LONGEST_USUAL_INPUT: usize = 32_000;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use jiff::Timestamp;

    use super::*;
    use crate::schedule::resolve::{Context, Parsed};
    use crate::schedule::{Conversation, Expect, Limits, Schedule, ScheduleId};

    fn smallest() -> Schedule {
        let text = "cron = \"0 9 * * *\"\n[event]\nupdate_text = \"Hello.\"\n";
        let context = Context {
            trigger_id: Some("agtch_1".into()),
            ..Context::default()
        };
        let id = ScheduleId::parse("smallest").expect("it is a name");
        let parsed = Parsed::new(Path::new("smallest.toml"), text, &context);
        let (schedule, problems) = parsed.resolve(&id, None, &context, Timestamp::UNIX_EPOCH);
        assert_eq!(problems, []);
        schedule.expect("it has no problems")
    }

    /// The literal values of DESIGN.md 5: a change of either must be seen.
    #[test]
    fn the_smallest_file_means_what_is_documented() {
        let schedule = smallest();
        assert!(schedule.enabled);
        assert!(!schedule.keep_input);
        assert_eq!(schedule.recurrence.zone.name(), "UTC");
        assert_eq!(schedule.jitter, Duration::ZERO);
        assert_eq!(schedule.conversation, Conversation::Occurrence);
        let message = &schedule.message;
        assert_eq!(message.source_system.as_ref(), "triggerd");
        assert_eq!(message.output_destination, None);
        assert_eq!(
            message.marker.source(),
            "Workspace Agent API demo received: {{ request_id }}"
        );
        let policies = &schedule.policies;
        let (seconds, minutes, hours) = (
            Duration::from_secs,
            |n: u64| Duration::from_secs(n * 60),
            |n: u64| Duration::from_secs(n * 3600),
        );
        assert_eq!(
            policies.missed,
            Missed {
                catch_up: CatchUp::Latest,
                within: hours(12),
            }
        );
        assert_eq!(
            policies.overlap,
            Overlap {
                policy: OverlapPolicy::Allow,
                stuck_after: hours(6),
            }
        );
        assert_eq!(
            policies.retry,
            Retry {
                give_up_after: hours(12),
                first_delay: seconds(2),
                max_delay: minutes(5),
            }
        );
        assert_eq!(
            policies.expect,
            Expect {
                accepted_within: None,
                finished_within: None,
                approved_within: minutes(15),
                heartbeat: None,
            }
        );
        assert_eq!(
            policies.limits,
            Limits {
                per_day: None,
                per_hour: None,
            }
        );
        assert_eq!(policies.verify, None);
        assert_eq!((AT_MOST, SPACING), (10, seconds(10)));
        assert_eq!(LONGEST_GIVE_UP_AFTER, hours(24));
    }
}
