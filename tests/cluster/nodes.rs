//! Nodes on one folder of schedules and one database, each with a state folder, a clock and a way to
//! the database of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::SignedDuration;
use rustix::process::Signal;

use crate::Context;
use crate::daemon::{Clock, Daemon};
use crate::judge::Judgement;
use crate::server::{Route, Server, until_says};
use crate::story::{CatchUp, Of, Plan, Version};
use crate::world::World;

/// What a firing may be late where nothing is broken; a schedule on its way from one node to another
/// is nobody's for a moment.
const GRACE: SignedDuration = SignedDuration::from_secs(5);

/// From a node's last word to the first firing by another: its lease, and the turns of both.
pub(crate) const TAKEOVER: Duration = Duration::from_secs(13);

pub(crate) struct Nodes {
    pub(crate) world: World,
    pub(crate) server: Server,
    pub(crate) routes: Vec<Route>,
    clocks: Vec<Clock>,
    /// `None` while it is down.
    pub(crate) running: Vec<Option<Daemon>>,
    binary: PathBuf,
    schedules: usize,
}

impl Nodes {
    /// So many nodes, all of them there, and every schedule looked after.
    pub(crate) fn start(context: &Context, count: usize) -> Result<Self, String> {
        Self::start_with_clocks(context, &vec![SignedDuration::ZERO; count])
    }

    /// A node for each clock, so far from the system's.
    pub(crate) fn start_with_clocks(
        context: &Context,
        clocks: &[SignedDuration],
    ) -> Result<Self, String> {
        let mut nodes = Self::prepare(context, clocks, &mixed())?;
        for n in 0..clocks.len() {
            nodes.run(n);
        }
        nodes.are_there(clocks.len());
        nodes.in_force_from_now();
        Ok(nodes)
    }

    /// None of them is there yet.
    pub(crate) fn prepare(
        context: &Context,
        clocks: &[SignedDuration],
        plans: &[Plan],
    ) -> Result<Self, String> {
        Self::prepare_on(Server::start()?, context, clocks, plans)
    }

    pub(crate) fn prepare_on(
        server: Server,
        context: &Context,
        clocks: &[SignedDuration],
        plans: &[Plan],
    ) -> Result<Self, String> {
        let mut world = World::new(&context.daemon, GRACE);
        for plan in plans {
            world.schedule(plan);
        }
        let settings = fs::read_to_string(world.path("triggerd.toml")).expect("a file");
        let mut nodes = Self {
            routes: Vec::new(),
            clocks: Vec::new(),
            running: Vec::new(),
            binary: context.daemon.clone(),
            schedules: plans.len(),
            server,
            world,
        };
        let with = |url: &str| format!("{settings}[ledger]\nurl = \"{url}\"\n");
        for (n, by) in clocks.iter().enumerate() {
            let route = Route::new(&nodes.server);
            let file = nodes.world.path(&format!("node-{n}.toml"));
            fs::write(file, with(&route.url())).expect("a file");
            nodes.routes.push(route);
            nodes.running.push(None);
            nodes.clocks.push(match by.is_zero() {
                true => Clock::System,
                false => {
                    let folder = nodes.world.path(&format!("clock-{n}"));
                    fs::create_dir(&folder).expect("a folder");
                    Clock::moved(&folder, *by)?
                }
            });
            nodes.world.story.ahead = nodes.world.story.ahead.max(*by);
        }
        // For those who ask.
        let url = format!(
            "postgres:///triggerd?host={}&user=triggerd",
            nodes.server.folder().display()
        );
        fs::write(nodes.world.path("triggerd.toml"), with(&url)).expect("a file");
        Ok(nodes)
    }

    pub(crate) fn run(&mut self, n: usize) {
        let state = format!("state-{n}");
        let mut command = self.world.command(&self.binary, "", &state);
        self.clocks[n].apply(&mut command);
        command.env("TRIGGERD_CONFIG", format!("node-{n}.toml"));
        // All ledgers are one: it is read once.
        let mut daemon = self.world.start(command, "state-0");
        daemon.says("triggerd started");
        self.running[n] = Some(daemon);
    }

    pub(crate) fn binary(&self) -> &Path {
        &self.binary
    }

    pub(crate) fn end(&mut self, n: usize, signal: Signal) {
        if let Some(daemon) = self.running[n].take() {
            daemon.end(signal);
        }
    }

    pub(crate) fn signal(&self, n: usize, signal: Signal) {
        if let Some(daemon) = &self.running[n] {
            daemon.signal(signal);
        }
    }

    /// Waits until so many nodes have a lease and every schedule is one of theirs.
    pub(crate) fn are_there(&self, count: usize) {
        until_says(
            &self.server,
            "SELECT count(*) FROM nodes WHERE lease_until > clock_timestamp()",
            &count.to_string(),
        );
        until_says(&self.server, OWNED, &self.schedules.to_string());
    }

    /// Waits until so many nodes have renewed their lease in the last second or two.
    pub(crate) fn are_heard(&self, count: usize) {
        until_says(
            &self.server,
            "SELECT count(*) FROM nodes WHERE lease_until > clock_timestamp() + interval '8 seconds'",
            &count.to_string(),
        );
    }

    pub(crate) fn in_force_from_now(&mut self) {
        let now = self.world.now();
        for version in &mut self.world.story.versions {
            version.from = now;
        }
    }

    /// A stretch in which some schedules may have been nobody's.
    pub(crate) fn trouble(&mut self, from: jiff::Timestamp) {
        self.world.trouble(from, SignedDuration::ZERO, Of::Daemon);
    }

    /// From here on this node has other versions of all files, which count as well.
    pub(crate) fn other_files(&mut self, n: usize) {
        let folder = self.world.path("other");
        fs::create_dir(&folder).expect("a folder");
        for mut plan in mixed() {
            plan.words = "other".to_owned();
            fs::write(folder.join(format!("{}.toml", plan.name)), plan.toml()).expect("a file");
            self.world.story.versions.push(Version {
                plan,
                from: self.world.now(),
                until: None,
            });
        }
        let file = self.world.path(&format!("node-{n}.toml"));
        let settings = fs::read_to_string(&file).expect("a file");
        fs::write(file, format!("schedules = \"other\"\n{settings}")).expect("a file");
    }

    /// How many of the logs of running nodes have a line that begins so.
    pub(crate) fn have_said(&self, message: &str) -> usize {
        let running = self.running.iter().flatten();
        running.filter(|daemon| daemon.has_said(message)).count()
    }

    /// How many schedules each node that is there looks after.
    pub(crate) fn spread(&self) -> String {
        let counts = "SELECT string_agg(n::text, ' ' ORDER BY n) FROM
            (SELECT count(*) AS n FROM owners GROUP BY incarnation) AS counts";
        self.server.query(counts)
    }

    pub(crate) fn judge(mut self) -> Judgement {
        self.world.settle(Duration::from_secs(60));
        let running = self.running.iter_mut().filter_map(Option::take).collect();
        self.world.judge(running)
    }
}

/// Of the schedules, those whose owner is there.
const OWNED: &str = "SELECT count(*) FROM owners o JOIN nodes n ON n.incarnation = o.incarnation
    WHERE n.lease_until > clock_timestamp()";

/// Schedules of all kinds, several occurrences a second between them.
pub(crate) fn mixed() -> Vec<Plan> {
    let mut plans = vec![
        Plan::new("clock", "0-59 0-59 0-23 * * *").zone("America/New_York"),
        Plan::new("fives", "*/5 0-59 0-23 * * *").zone("Australia/Lord_Howe"),
        Plan::new("latest", "*/4 * * * * *").catch_up(CatchUp::Latest),
        Plan::new("none", "3-59/7 * * * * *").catch_up(CatchUp::None),
    ];
    for n in 0..8 {
        plans.push(Plan::new(&format!("each-second-{n}"), "* * * * * *"));
        plans.push(Plan::new(&format!("even-{n}"), "*/2 * * * * *"));
    }
    plans
}
