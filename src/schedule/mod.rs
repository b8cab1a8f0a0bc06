//! What was asked: a [`Schedule`] is one file, valid by construction.
//! It knows no TOML, no folder and no clock.

use std::borrow::Borrow;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::api::token::TokenId;

pub mod cron;
pub mod defaults;
pub mod facets;
pub mod file;
pub mod hide_inputs;
pub mod message;
pub mod problem;
pub mod recurrence;
pub mod resolve;
pub mod schema;

use message::{Message, Template};
use recurrence::Recurrence;

/// What one file asks for, with every default applied.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    pub id: ScheduleId,
    /// For people; empty if the file has none.
    pub description: Arc<str>,
    /// `false` keeps the file and stops the firing.
    pub enabled: bool,
    pub recurrence: Recurrence,
    /// Occurrences are spread over this length after their scheduled time.
    pub jitter: Duration,
    pub target: Target,
    pub message: Message,
    pub conversation: Conversation,
    /// Keeps the text in the ledger after its acceptance.
    pub keep_input: bool,
    pub policies: Policies,
}

/// The agent that a schedule wakes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub trigger_id: TriggerId,
    /// Which token is sent; the value lives in [`crate::api::token::Tokens`] alone.
    pub token: TokenId,
}

/// What is done with an occurrence that can't simply be delivered.
#[derive(Clone, Debug, PartialEq)]
pub struct Policies {
    pub missed: Missed,
    pub overlap: Overlap,
    pub retry: Retry,
    pub expect: Expect,
    pub limits: Limits,
    /// Few schedules have one.
    pub verify: Option<Box<Verify>>,
}

impl Policies {
    /// How long somebody who looks on waits for a run: `finished_within`, else for as long as it counts as
    /// active.
    pub fn run_within(&self) -> Duration {
        self.expect
            .finished_within
            .unwrap_or(self.overlap.stuck_after)
    }
}

/// What becomes of occurrences that passed while the daemon or the API was away (SEMANTICS.md 8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missed {
    pub catch_up: CatchUp,
    /// How old a missed occurrence may be and still be delivered.
    pub within: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CatchUp {
    /// Missed occurrences are skipped.
    None,
    /// The newest one stands for all.
    Latest,
    /// The newest `at_most`, oldest first, `spacing` apart.
    All { at_most: u32, spacing: Duration },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overlap {
    pub policy: OverlapPolicy,
    /// A run that is active for longer no longer counts as active.
    pub stuck_after: Duration,
}

/// What is done with an occurrence that is due while the previous run is still active.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OverlapPolicy {
    Allow,
    Skip,
    Queue,
}

impl OverlapPolicy {
    /// As the file says it.
    pub fn word(self) -> &'static str {
        match self {
            OverlapPolicy::Allow => "allow",
            OverlapPolicy::Skip => "skip",
            OverlapPolicy::Queue => "queue",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// From the opening of a delivery to its deadline.
    pub give_up_after: Duration,
    pub first_delay: Duration,
    pub max_delay: Duration,
}

/// Deadlines that alert when passed; they never end a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expect {
    pub accepted_within: Option<Duration>,
    pub finished_within: Option<Duration>,
    pub approved_within: Duration,
    /// An address that is told of each start, success and failure, so that silence is noticed there.
    pub heartbeat: Option<Arc<str>>,
}

/// The most acceptances in a clock hour or day: of the schedule's zone, or of UTC for an agent and the
/// daemon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    pub per_day: Option<u32>,
    pub per_hour: Option<u32>,
}

/// Where the result of a completed run is looked up.
#[derive(Clone, Debug, PartialEq)]
pub struct Verify {
    pub url: Template,
    /// The text to look for; the marker if the file does not say.
    pub contains: Option<Template>,
    pub within: Duration,
    /// HTTP headers to send along, so that no secret stands in a schedule.
    pub headers_from: Option<HeadersFrom>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeadersFrom {
    File(PathBuf),
    /// A systemd credential's name.
    Credential(String),
}

/// Which occurrences continue one conversation (SEMANTICS.md 15).
#[derive(Clone, Debug, PartialEq)]
pub enum Conversation {
    Occurrence,
    Schedule,
    Day,
    Week,
    Month,
    /// No key is sent: each event starts a conversation of its own.
    None,
    Template(Template),
}

/// A schedule's name: the stem of its file.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScheduleId(Arc<str>);

#[derive(Debug, thiserror::Error)]
#[error(
    "`{0}` is no schedule name: 1 to 64 of `a-z`, `0-9`, `.`, `_` and `-`, beginning with a letter or digit"
)]
pub struct InvalidScheduleId(String);

impl ScheduleId {
    const MAX_LEN: usize = 64;

    /// # Errors
    /// If `name` is not of the form `[a-z0-9][a-z0-9._-]{0,63}`.
    pub fn parse(name: &str) -> Result<Self, InvalidScheduleId> {
        let first_is_alphanumeric =
            name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
        let all_allowed = name
            .bytes()
            .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-'));
        if first_is_alphanumeric && all_allowed && name.len() <= Self::MAX_LEN {
            Ok(Self(name.into()))
        } else {
            Err(InvalidScheduleId(name.escape_debug().to_string()))
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ScheduleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ScheduleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for ScheduleId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// The API channel of an agent, usually `agtch_` and 32 hex digits (API.md).
/// Safe as a path segment of a URL by construction.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TriggerId(Arc<str>);

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTriggerId {
    #[error("`{0}` is no trigger id: 1 to 128 of `A-Z`, `a-z`, `0-9`, `_` and `-`")]
    Form(String),
    /// Never quoted: a trigger id stands in each log line and in the ledger.
    #[error("this is a token, where a trigger id belongs")]
    Token,
}

impl TriggerId {
    const MAX_LEN: usize = 128;

    /// # Errors
    /// If `text` could not stand in a URL's path as it is, or is a token. An unusual form is no error
    /// (see [`TriggerId::form_warning`]): the API's ids have changed before.
    pub fn parse(text: &str) -> Result<Self, InvalidTriggerId> {
        if text.starts_with("at-") || text.starts_with("sk-") {
            return Err(InvalidTriggerId::Token);
        }
        let all_allowed = text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
        if all_allowed && (1..=Self::MAX_LEN).contains(&text.len()) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidTriggerId::Form(text.escape_debug().to_string()))
        }
    }

    /// What is unusual about the id, and what is probably meant.
    pub fn form_warning(&self) -> Option<&'static str> {
        if self.0.starts_with("agt_") {
            Some(
                "this is an agent's id; triggers need the id of its API channel, which starts with `agtch_`",
            )
        } else if !self.0.starts_with("agtch_") {
            Some("a trigger id usually starts with `agtch_`; it stands in the agent's API channel")
        } else if self.0["agtch_".len()..].bytes().all(|byte| byte == b'0') {
            Some(
                "this is the place-holder of `triggerd init`; put the id of your agent's API channel there",
            )
        } else {
            None
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TriggerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TriggerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
