//! What the kernel knows of a process: its memory, its CPU time and its wake-ups.

use std::fs;
use std::time::Duration;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// Resident, in KiB.
    pub(crate) memory: u64,
    /// The most it ever was.
    pub(crate) peak: u64,
    pub(crate) cpu: Duration,
    /// How often a thread waited and was woken again.
    pub(crate) wake_ups: u64,
}

impl Usage {
    pub(crate) fn of(pid: u32) -> anyhow::Result<Self> {
        let mut usage = Self::default();
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        usage.memory = number(&status, "VmRSS:");
        usage.peak = number(&status, "VmHWM:");
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            let task = task?.path();
            // A thread may have ended meanwhile.
            let read = |name| fs::read_to_string(task.join(name)).unwrap_or_default();
            usage.wake_ups += number(&read("status"), "voluntary_ctxt_switches:");
            let on_cpu = read("schedstat");
            let on_cpu = on_cpu.split(' ').next().and_then(|it| it.parse().ok());
            usage.cpu += Duration::from_nanos(on_cpu.unwrap_or_default());
        }
        Ok(usage)
    }
}

fn number(text: &str, key: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    let word = line.and_then(|line| line.split_whitespace().next());
    word.and_then(|word| word.parse().ok()).unwrap_or_default()
}
