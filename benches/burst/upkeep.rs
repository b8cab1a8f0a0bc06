//! What N loaded schedules cost while nothing is due: the start, idling, and one edit among them.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::Options;
use crate::daemon::Folder;
use crate::process::Usage;

#[derive(Debug, serde::Serialize)]
pub(crate) struct Upkeep {
    pub(crate) n: usize,
    /// With no ledger yet, and with one that knows them all.
    pub(crate) first_ready_ms: Vec<f64>,
    pub(crate) ready_ms: Vec<f64>,
    pub(crate) memory_kib: u64,
    pub(crate) wake_ups_a_minute: f64,
    pub(crate) cpu_percent: f64,
    /// From the write of one file until its new version is in force.
    pub(crate) edit_ms: Vec<f64>,
    pub(crate) edit_cpu_ms: Vec<f64>,
}

const EDITS: usize = 10;
const FAR_AWAY: &str = "0 4 1 1 *";

pub(crate) fn run(options: &Options) -> anyhow::Result<Vec<Upkeep>> {
    options.loaded.iter().map(|n| one(*n, options)).collect()
}

#[expect(clippy::print_stderr, reason = "how far it is")]
fn one(n: usize, options: &Options) -> anyhow::Result<Upkeep> {
    let (mut first_ready_ms, mut ready_ms) = (Vec::new(), Vec::new());
    let mut last = None;
    for _ in 0..options.runs {
        let folder = Folder::new(n, FAR_AWAY, "http://127.0.0.1:9/v1", None)?;
        let daemon = folder.start()?;
        first_ready_ms.push(daemon.ready_after.as_secs_f64() * 1e3);
        daemon.stop()?;
        let daemon = folder.start()?;
        ready_ms.push(daemon.ready_after.as_secs_f64() * 1e3);
        last = Some((folder, daemon));
    }
    let Some((folder, daemon)) = last else {
        anyhow::bail!("`--runs 0` measures nothing");
    };
    let pid = daemon.child.id();
    // What a start leaves to do in the background is done by then, and what it took given back.
    sleep(Duration::from_secs(options.idle.clamp(3, 30)) + Duration::from_micros(50) * n as u32);
    let before = Usage::of(pid)?;
    let begun = Instant::now();
    sleep(Duration::from_secs(options.idle));
    let after = Usage::of(pid)?;
    let minutes = begun.elapsed().as_secs_f64() / 60.0;
    let (mut edit_ms, mut edit_cpu_ms) = (Vec::new(), Vec::new());
    for edit in 1..=EDITS {
        let before = Usage::of(pid)?;
        folder.put(n / 2, &format!("{edit} 4 1 1 *"))?;
        let in_force = daemon.says("schedules reloaded", edit, Duration::from_secs(30))?;
        sleep(Duration::from_millis(300));
        let after = Usage::of(pid)?;
        edit_ms.push(in_force.as_secs_f64() * 1e3);
        edit_cpu_ms.push(after.cpu.saturating_sub(before.cpu).as_secs_f64() * 1e3);
    }
    daemon.stop()?;
    let upkeep = Upkeep {
        n,
        first_ready_ms,
        ready_ms,
        memory_kib: before.memory,
        wake_ups_a_minute: after.wake_ups.saturating_sub(before.wake_ups) as f64 / minutes,
        cpu_percent: after.cpu.saturating_sub(before.cpu).as_secs_f64() / (minutes * 60.0) * 100.0,
        edit_ms,
        edit_cpu_ms,
    };
    eprintln!("{upkeep:.1?}");
    Ok(upkeep)
}
