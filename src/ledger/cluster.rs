//! Several nodes on one ledger: what it tells each of them, and what each has to look after.
//! It knows no query.
//!
//! # Who fires what
//!
//! Not a race for each occurrence: each schedule is looked after by one live node, and all that
//! belongs to it (windows, limits, overlap, runs, catch-up) is that node's agenda's, as with a single
//! daemon. Who it should be each node computes by itself from the same names
//! ([`crate::plan::ownership`]); the database only says who it *is*:
//!
//! ```text
//! holdings  node, schedule, version     what each node has loaded
//! owners    schedule, node, fence       who looks after it, by which claim
//! nodes     lease, clock, settled_until who is there, and how far each has come
//!
//!   wanted, nobody's  ─ claim: new fence ─►  looked after  ─ given up ─►  nobody's
//!        ▲                                        │
//!        └── lease lapsed, or its node ended ─────┘
//! ```
//!
//! Taking a schedule up is what a start does, for that schedule alone: its spans, open deliveries with their frozen
//! bodies, runs and its own settled instant are read, and the agenda goes on from there. A transaction begins with a
//! check that the fences of all its schedules still hold, and keeps those rows shared until it commits; a claim takes
//! them exclusively. So a write is either before the claim, and the new owner reads it, or it is refused.
//!
//! What a person asks for, a trigger by hand or a redelivery, may be asked of any node. One that does not look after the
//! schedule writes it down by what the ledger knows of the windows, and sends nothing: the owner finds it with its next
//! turn, and an owner that comes later finds it as it finds all that is open.
//!
//! What is not refused is that something was accepted: it is true whoever says so, and whoever says it has sent the
//! same key. Without it a node that was cut off, and fired on, would leave the API with an effect that the ledger does
//! not know.
//!
//! # A million schedules, a hundred nodes
//!
//! On paper; measured are three nodes and ten thousand schedules (README, "Several nodes").
//!
//! - **In a node:** ten thousand of the million are its own, and it fires those. It has all of them loaded (about 2 KiB
//!   each, so 2 GiB: the parsed files, not the agenda), and what the others hold, as 32 bytes and a name each. That is
//!   the first limit: 100 nodes times a million holdings are too many to keep in each of them. Where all hold the same,
//!   a digest of the whole would do for a node; until then a hundred nodes should hold what is theirs, by folders.
//! - **A turn** (a second): one pipelined round trip. It updates one row, reads one for each live node, and what changed of
//!   holdings and pauses since the last. A hundred nodes are 100 small transactions a second, which is
//!   little; they need not sync at the same time, and group commit joins those that do.
//! - **A node goes:** its ten thousand schedules are claimed by 99 nodes, about a hundred each, in one statement of each
//!   and one read of a hundred schedules' memory. Every node goes through its million holdings once to learn what is
//!   wanted: a hash for each holder of each schedule, 100 million hashes, too slow by two orders of magnitude. The way out is to
//!   hash a schedule into one of, say, 4,096 slots and choose a node for each slot: 400,000 hashes, and `owners`
//!   could be by slot as well. It is not done, since it buys nothing at ten nodes.
//! - **Firing:** a million due at once are ten thousand for each node, each a row written ahead, one attempted and one ended, in
//!   transactions of up to 4,096 facts: some 750 transactions for all. The rows are the cost: three writes of a row and three
//!   indexes. One PostgreSQL with good disks takes some 50,000 such rows a second, so a million take a minute; they are
//!   written ahead 5 s before they are due, and those that come later are late. Beyond that `deliveries` would have to be
//!   partitioned by schedule over several databases, which no statement here forbids: none joins two schedules.
//! - **Connections:** one for each node, and one for each question of `history`, `why` and the page while it is answered.
//! - **Retention:** a step of 2,000 rows between two transactions of a node; no statement looks at the whole table.

use jiff::{SignedDuration, Timestamp};

use crate::plan::ownership::{Incarnation, Version};
use crate::plan::pause::Pauses;
use crate::plan::remembered::{OpenDelivery, Remembered};
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
    /// Deliveries that a person asked another node for, of what this one looks after.
    AskedFor(Vec<OpenDelivery>),
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
