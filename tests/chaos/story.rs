//! What the driver did, as the oracle needs it: which file said what and when, what was broken and for how long.
//! It knows nothing of what came of it.

use jiff::{SignedDuration, Timestamp};

/// What one schedule file says.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) name: String,
    pub(crate) cron: String,
    pub(crate) zone: String,
    pub(crate) trigger_id: String,
    /// The input begins with it: it tells a file's versions apart.
    pub(crate) words: String,
    pub(crate) catch_up: CatchUp,
    pub(crate) give_up_after: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CatchUp {
    All,
    Latest,
    None,
}

/// How many of the missed are owed under `all`.
pub(crate) const AT_MOST: usize = 400;
/// The longest wait of the back-off that every file asks for.
pub(crate) const BACK_OFF: SignedDuration = SignedDuration::from_secs(2);

impl Plan {
    pub(crate) fn new(name: &str, cron: &str) -> Self {
        Self {
            name: name.to_owned(),
            cron: cron.to_owned(),
            zone: "UTC".to_owned(),
            trigger_id: format!("agtch_{}", name.replace(['-', '.', '_'], "")),
            words: "first".to_owned(),
            catch_up: CatchUp::All,
            give_up_after: 12 * 3600,
        }
    }

    #[must_use]
    pub(crate) fn zone(self, zone: &str) -> Self {
        let zone = zone.to_owned();
        Self { zone, ..self }
    }

    #[must_use]
    pub(crate) fn catch_up(self, catch_up: CatchUp) -> Self {
        Self { catch_up, ..self }
    }

    #[must_use]
    pub(crate) fn give_up_after(self, give_up_after: u32) -> Self {
        Self {
            give_up_after,
            ..self
        }
    }

    pub(crate) fn toml(&self) -> String {
        let catch_up = match self.catch_up {
            CatchUp::All => format!("\"all\"\nat_most = {AT_MOST}\nspacing = \"0s\""),
            CatchUp::Latest => "\"latest\"".to_owned(),
            CatchUp::None => "\"none\"".to_owned(),
        };
        let Self {
            cron,
            zone,
            trigger_id,
            words,
            give_up_after,
            ..
        } = self;
        format!(
            "cron = \"{cron}\"\ntimezone = \"{zone}\"\ntrigger_id = \"{trigger_id}\"\nconversation = \"schedule\"\n\
             input = \"{words}|{{{{ schedule }}}}|{{{{ scheduled_at }}}}|{{{{ request_id }}}}\"\n\n\
             [missed]\ncatch_up = {catch_up}\n\n\
             [retry]\ngive_up_after = \"{give_up_after}s\"\nfirst_delay = \"200ms\"\nmax_delay = \"2s\"\n"
        )
    }
}

/// A plan, for as long as it was in force.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    pub(crate) plan: Plan,
    pub(crate) from: Timestamp,
    pub(crate) until: Option<Timestamp>,
}

/// Something that was broken for a while.
#[derive(Clone, Debug)]
pub(crate) struct Trouble {
    pub(crate) from: Timestamp,
    /// When it was mended.
    pub(crate) until: Timestamp,
    /// The longest wait in force when it was mended.
    pub(crate) wait: SignedDuration,
    pub(crate) of: Of,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    /// Nobody fires: killed or stopped.
    Daemon,
    /// The API, for this trigger alone where one is named.
    Api(Option<String>),
    /// The same, and what it refuses may end for good.
    Refusing,
}

/// By the daemon's clock.
#[derive(Clone, Debug, Default)]
pub(crate) struct Story {
    pub(crate) versions: Vec<Version>,
    pub(crate) troubles: Vec<Trouble>,
    /// The clock was set from the first instant to the second.
    pub(crate) leaps: Vec<(Timestamp, Timestamp)>,
    pub(crate) begun: Timestamp,
    /// What fell due up to here is judged.
    pub(crate) end: Timestamp,
    /// Until when more may have been fired.
    pub(crate) stopped: Timestamp,
    /// What a firing may be late where nothing is broken.
    pub(crate) grace: SignedDuration,
    /// How far a daemon's clock goes before the API's.
    pub(crate) ahead: SignedDuration,
}

impl Story {
    /// The stretches of the wall clock that passed while it ran, none twice.
    pub(crate) fn passed(&self) -> Vec<(Timestamp, Timestamp)> {
        let mut stretches = Vec::new();
        let mut from = self.begun;
        for (left, landed) in &self.leaps {
            stretches.push((from, *left));
            from = *landed;
        }
        stretches.push((from, self.stopped));
        stretches.sort();
        let mut merged: Vec<(Timestamp, Timestamp)> = Vec::new();
        for (from, to) in stretches {
            match merged.last_mut() {
                Some((_, end)) if from <= *end => *end = to.max(*end),
                _ => merged.push((from, to)),
            }
        }
        merged
    }

    /// Plans of one name, in the order in which they were in force.
    pub(crate) fn versions_of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Version> {
        self.versions.iter().filter(move |it| it.plan.name == name)
    }
}
