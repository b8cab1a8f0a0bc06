//! One cell is a contender, N and an API; each round runs every contender once, so that whatever else
//! the machine does falls on all of them alike.

use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use jiff::{SignedDuration, Timestamp};

use crate::Options;
use crate::contender::Kind;
use crate::daemon::Folder;
use crate::pages;
use crate::process::Usage;
use crate::sink::{Arrival, Sink};

pub(crate) struct Cell {
    pub(crate) kind: Kind,
    pub(crate) n: usize,
    pub(crate) api_ms: u64,
    pub(crate) runs: Vec<Run>,
}

impl Cell {
    /// What triggerd lost, doubled or sent early, however fast it was.
    pub(crate) fn broken_promise(&self) -> Option<String> {
        if !self.kind.is_triggerd() {
            return None;
        }
        let broken = |run: &&Run| run.arrived != self.n || run.duplicates + run.early > 0;
        let run = self.runs.iter().find(broken)?;
        Some(format!("{} with {}: {run:?}", self.kind.name(), self.n))
    }
}

#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct Run {
    pub(crate) arrived: usize,
    pub(crate) duplicates: usize,
    /// Before their instant.
    pub(crate) early: usize,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
    /// p99 divided by the floor's of the same round.
    pub(crate) to_floor: Option<f64>,
    pub(crate) connections: usize,
    pub(crate) loaded_kib: u64,
    pub(crate) peak_kib: u64,
    pub(crate) cpu_s: f64,
    /// From the instant until all of it is in the ledger and the log; triggerd alone writes anything down.
    pub(crate) recorded_ms: Option<f64>,
    /// Of the machine, over the last minute before the run.
    pub(crate) load: f64,
}

/// 100,000 jobs are beyond what tokio-cron-scheduler loads in a sensible time.
const MOST_JOBS: usize = 10_000;

/// Longer than this for a cell's burst would be a test of patience.
const LONGEST: Duration = Duration::from_secs(60);

const SLOTS: u64 = 1024;

pub(crate) fn run(options: &Options) -> anyhow::Result<Vec<Cell>> {
    let sink = Sink::start()?;
    let mut cells = Vec::new();
    for &api_ms in &options.api {
        for &n in &options.n {
            if Duration::from_millis(api_ms * (n as u64).div_ceil(SLOTS)) > LONGEST {
                continue;
            }
            let kinds = options.only.iter().copied();
            let kinds = kinds.filter(|kind| match kind {
                Kind::Scheduler | Kind::SchedulerLarge => n <= MOST_JOBS && api_ms == 0,
                Kind::Reqwest | Kind::TriggerdPages => api_ms == 0,
                Kind::Floor | Kind::Triggerd | Kind::FloorTls | Kind::TriggerdTls => true,
            });
            let mut row: Vec<_> = kinds
                .map(|kind| Cell {
                    kind,
                    n,
                    api_ms,
                    runs: Vec::new(),
                })
                .collect();
            for round in 0..options.runs {
                for it in 0..row.len() {
                    let mut run = once(&sink, row[it].kind, n, api_ms)
                        .with_context(|| format!("{} with {n}", row[it].kind.name()))?;
                    let floor = row.iter().find(|cell| cell.kind == row[it].kind.floor());
                    let floor = floor.and_then(|cell| cell.runs.get(round));
                    run.to_floor = floor.map(|floor| run.p99_ms / floor.p99_ms);
                    tracing_line(row[it].kind, n, api_ms, &run);
                    row[it].runs.push(run);
                }
            }
            cells.extend(row);
        }
    }
    Ok(cells)
}

#[expect(clippy::print_stderr, reason = "how far it is")]
fn tracing_line(kind: Kind, n: usize, api_ms: u64, run: &Run) {
    eprintln!(
        "{n:>7} due, API {api_ms:>4} ms, {:<38} {:>7} arrived, p50 {:>8.1}, p99 {:>8.1}, max {:>8.1} ms",
        kind.name(),
        run.arrived,
        run.p50_ms,
        run.p99_ms,
        run.max_ms
    );
}

fn once(sink: &Sink, kind: Kind, n: usize, api_ms: u64) -> anyhow::Result<Run> {
    sink.begin(api_ms);
    match kind.is_triggerd() {
        true => fire_triggerd(sink, kind, n, api_ms),
        false => fire_other(sink, kind, n, api_ms),
    }
}

fn url(sink: &Sink, kind: Kind) -> String {
    match kind.is_tls() {
        true => format!("https://localhost:{}/v1", sink.tls),
        false => format!("http://127.0.0.1:{}/v1", sink.plain),
    }
}

/// Room to load the files and to write ahead, which triggerd does five seconds early.
fn fire_triggerd(sink: &Sink, kind: Kind, n: usize, api_ms: u64) -> anyhow::Result<Run> {
    let load = load();
    let mut room = Duration::from_millis(6_500 + n as u64 / 4);
    loop {
        let due = due_in(room);
        let cron = due.strftime("%-S %-M %-H * * *").to_string();
        let folder = Folder::new(n, &cron, &url(sink, kind), Some(sink.authority.path()))?;
        let daemon = folder.start()?;
        pages::open(folder.pages, kind.pages())?;
        let lead = due - SignedDuration::from_millis(5_300);
        if Timestamp::now() > lead {
            room *= 2;
            continue;
        }
        sleep_until(lead);
        let pid = daemon.child.id();
        let before = Usage::of(pid)?;
        await_burst(sink, n, api_ms, due);
        let recorded = daemon.says("trigger accepted", n, LONGEST * 2);
        let recorded_ms = milliseconds(Timestamp::now().duration_since(due));
        let after = Usage::of(pid)?;
        recorded?;
        let mut run = judge(sink, due, before, after, load);
        run.recorded_ms = Some(recorded_ms);
        daemon.stop()?;
        return Ok(run);
    }
}

fn fire_other(sink: &Sink, kind: Kind, n: usize, api_ms: u64) -> anyhow::Result<Run> {
    let load = load();
    let is_floor = kind.floor() == kind;
    let mut room = Duration::from_millis(if is_floor { 1_500 } else { 3_000 } + n as u64 / 2);
    loop {
        let due = due_in(room);
        let mut command = Command::new(std::env::current_exe()?);
        match kind {
            Kind::Reqwest => command.arg("reqwest"),
            Kind::Scheduler => command.arg("scheduler"),
            Kind::SchedulerLarge => command.args(["scheduler", "--channel", "65536"]),
            _ => command.arg("floor"),
        };
        // Against an API that is slow in answering 64 in flight would be no floor.
        let in_flight = if api_ms == 0 { 64 } else { SLOTS };
        command
            .args(["--n", &n.to_string(), "--due", &due.as_second().to_string()])
            .args(["--in-flight", &in_flight.to_string()])
            .args([
                "--url",
                &format!("{}/workspace_agents/agtch_bench/trigger", url(sink, kind)),
            ])
            .arg("--authority")
            .arg(sink.authority.path());
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("it was piped")?).read_line(&mut line)?;
        let pid = child.id();
        let is_in_time =
            line == "loaded\n" && Timestamp::now() < due - SignedDuration::from_millis(200);
        let before = Usage::of(pid)?;
        if is_in_time {
            await_burst(sink, n, api_ms, due);
        }
        let after = Usage::of(pid)?;
        child.kill()?;
        child.wait()?;
        if is_in_time {
            return Ok(judge(sink, due, before, after, load));
        }
        anyhow::ensure!(room < LONGEST * 4, "it does not load in time");
        room *= 2;
    }
}

/// Until all have come and no more come, or nothing has come for long.
fn await_burst(sink: &Sink, n: usize, api_ms: u64, due: Timestamp) {
    sleep_until(due);
    let patience = Duration::from_millis(2_500 + api_ms);
    let (mut seen, mut since) = (0, Instant::now());
    loop {
        std::thread::sleep(Duration::from_millis(50));
        let arrived = sink.arrived();
        if arrived != seen {
            (seen, since) = (arrived, Instant::now());
        }
        // Long enough for what comes twice.
        let enough = if arrived >= n {
            Duration::from_millis(500)
        } else {
            patience
        };
        if since.elapsed() > enough {
            return;
        }
    }
}

fn judge(sink: &Sink, due: Timestamp, before: Usage, after: Usage, load: f64) -> Run {
    let arrivals = sink.arrivals();
    let mut known = HashSet::new();
    let first: Vec<&Arrival> = arrivals.iter().filter(|it| known.insert(&it.key)).collect();
    let mut late: Vec<f64> = first
        .iter()
        .map(|it| milliseconds(it.at.duration_since(due)))
        .collect();
    late.sort_by(f64::total_cmp);
    let at = |part: f64| {
        late.get(((late.len() as f64 * part).ceil() as usize).saturating_sub(1))
            .copied()
            .unwrap_or(f64::NAN)
    };
    Run {
        arrived: first.len(),
        duplicates: arrivals.len() - first.len(),
        early: late.iter().filter(|late| **late < 0.0).count(),
        p50_ms: at(0.5),
        p99_ms: at(0.99),
        max_ms: at(1.0),
        to_floor: None,
        connections: sink.connections(),
        loaded_kib: before.memory,
        peak_kib: after.peak,
        cpu_s: after.cpu.saturating_sub(before.cpu).as_secs_f64(),
        recorded_ms: None,
        load,
    }
}

fn milliseconds(length: SignedDuration) -> f64 {
    length.as_secs_f64() * 1e3
}

/// The first whole second that is this far away.
fn due_in(room: Duration) -> Timestamp {
    let at = Timestamp::now() + room;
    Timestamp::from_second(at.as_second() + 1).expect("in this century")
}

fn sleep_until(at: Timestamp) {
    std::thread::sleep(Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default());
}

fn load() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ')
        .next()
        .and_then(|it| it.parse().ok())
        .unwrap_or(f64::NAN)
}
