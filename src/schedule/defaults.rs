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
