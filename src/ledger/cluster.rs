//! What a ledger that several nodes share tells them: what each has to look after, and who is there.
//! It knows no query.

use jiff::{SignedDuration, Timestamp};

use crate::plan::ownership::{Incarnation, Version};
use crate::plan::pause::Pauses;
use crate::plan::remembered::Remembered;
use crate::schedule::ScheduleId;

/// How long a node may be silent until others take over from it.
pub const LEASE: std::time::Duration = std::time::Duration::from_secs(10);

/// A daemon among others.
pub struct Node {
    pub host: String,
    /// For the offset of its clock.
    pub wall: Box<dyn Fn() -> Timestamp + Send>,
}

/// What happened among the nodes, for the one that hears it.
#[derive(Debug)]
pub enum News {
    /// The database can't be reached at the start: this node is to fire all that it holds, from now
    /// on, until it has joined.
    Alone,
    /// From here on it looks after what it takes up, and nothing else.
    Joined,
    /// These were claimed for it.
    Taken(Vec<Taken>),
    /// These should be another's: to be given up once nothing of them is under way.
    Unwanted(Vec<ScheduleId>),
    /// Another node has taken these.
    Lost(Vec<ScheduleId>),
    /// What is paused by now.
    Pauses(Pauses),
    /// Who is there by now.
    Nodes(Nodes),
}

/// A schedule by its claim.
#[derive(Debug)]
pub struct Taken {
    pub id: ScheduleId,
    pub claim: Claim,
    /// What the ledger has of it, and of no other.
    pub remembered: Remembered,
    /// Its file is gone from every node: it is to end.
    pub is_gone: bool,
}

/// The number that writes for a schedule carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim(pub(super) i64);

/// A schedule as a node has it loaded; without a version its file is gone.
pub type Holding = (ScheduleId, Option<Version>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nodes {
    pub me: Incarnation,
    /// In the order in which they joined.
    pub live: Vec<LiveNode>,
    /// Of which another node has another version, by name.
    pub disagreed: Vec<ScheduleId>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveNode {
    pub incarnation: Incarnation,
    pub host: String,
    pub version: String,
    /// Its clock less the database's.
    pub clock_offset: SignedDuration,
    /// How many schedules it looks after.
    pub schedules: u64,
}
