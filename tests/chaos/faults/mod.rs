//! The faults, a file each. A fault runs in parts, each in a world of its own, so that parts run beside each other.

mod api;
mod breaker;
mod clock;
mod disk;
mod dst;
mod edits;
mod few;
mod heads;
mod kill;
mod nine;
mod seams;
mod stop;
mod twins;

use std::path::PathBuf;

use jiff::SignedDuration;

use crate::row::Row;
use crate::story::{CatchUp, Plan};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Short,
    Long,
}

pub(crate) struct Context {
    pub(crate) form: Form,
    pub(crate) seed: u64,
    pub(crate) release: PathBuf,
    /// The build that has fail points.
    pub(crate) debug: PathBuf,
}

pub(crate) struct Fault {
    pub(crate) name: &'static str,
    /// It measures so finely that nothing else may run beside it.
    pub(crate) alone: bool,
    pub(crate) parts: fn(Form) -> usize,
    pub(crate) run: fn(&Context, usize) -> Row,
}

pub(crate) const FAULTS: &[Fault] = &[
    heads::FAULT,
    stop::FAULT,
    kill::FAULT,
    api::FAULT,
    edits::FAULT,
    clock::FAULT,
    breaker::FAULT,
    seams::FAULT,
    dst::FAULT,
    disk::FAULT,
    twins::FAULT,
    few::FAULT,
    nine::FAULT,
];

/// What a firing may be late where nothing is broken: alone, and with other worlds beside it.
const IDLE: SignedDuration = SignedDuration::from_secs(1);
const LOADED: SignedDuration = SignedDuration::from_secs(5);

/// Schedules of all kinds, several occurrences a second between them.
fn mixed() -> Vec<Plan> {
    vec![
        Plan::new("each-second", "* * * * * *"),
        Plan::new("each-second-berlin", "* * * * * *").zone("Europe/Berlin"),
        Plan::new("even", "*/2 * * * * *"),
        Plan::new("thirds", "1-59/3 * * * * *").zone("Asia/Kathmandu"),
        Plan::new("clock", "0-59 0-59 0-23 * * *").zone("America/New_York"),
        Plan::new("fives", "*/5 0-59 0-23 * * *").zone("Australia/Lord_Howe"),
        Plan::new("latest", "*/4 * * * * *").catch_up(CatchUp::Latest),
        Plan::new("none", "3-59/7 * * * * *").catch_up(CatchUp::None),
    ]
}
