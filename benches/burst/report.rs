//! The figures as tables for people, as JSON for whoever wants them all, and as one plot.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use serde_json::json;

use crate::Options;
use crate::contender::Kind;
use crate::rounds::{Cell, Run};
use crate::upkeep::Upkeep;

#[expect(clippy::print_stdout, reason = "this is the answer")]
pub(crate) fn write(options: &Options, cells: &[Cell], upkeep: &[Upkeep]) -> anyhow::Result<()> {
    let machine = machine();
    let now = jiff::Timestamp::now();
    println!(
        "{}, {machine}\n\n{}\n{}",
        now.strftime("%Y-%m-%d"),
        bursts(cells),
        loaded(upkeep)
    );
    fs::create_dir_all(&options.out)?;
    let cells_json: Vec<_> = cells
        .iter()
        .map(|cell| json!({"contender": cell.kind.name(), "n": cell.n, "api_ms": cell.api_ms, "runs": cell.runs}))
        .collect();
    let all = json!({"measured_at": now.to_string(), "machine": machine, "bursts": cells_json, "loaded": upkeep});
    fs::write(
        options.out.join("burst.json"),
        serde_json::to_string_pretty(&all)? + "\n",
    )?;
    fs::write(options.out.join("burst.svg"), plot(cells))?;
    Ok(())
}

fn machine() -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name\t: "));
    let count = cpus
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    let kernel = Command::new("uname").arg("-sr").output();
    let kernel = kernel.map(|it| String::from_utf8_lossy(&it.stdout).trim().to_owned());
    format!(
        "{count} cores of {}, {}",
        name.unwrap_or("?"),
        kernel.unwrap_or_default()
    )
}

fn bursts(cells: &[Cell]) -> String {
    let mut table = "| due at once | API answers after | | arrived | twice | late p50 / p99 / max ms | p99 to the floor's | connections \
                     | MiB loaded / peak | CPU s | recorded after ms |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n"
        .to_owned();
    for cell in cells {
        let median = |of: fn(&Run) -> f64| median(cell.runs.iter().map(of));
        let least = cell
            .runs
            .iter()
            .map(|run| run.arrived)
            .min()
            .unwrap_or_default();
        let twice: usize = cell.runs.iter().map(|run| run.duplicates).sum();
        let recorded = median(|run| run.recorded_ms.unwrap_or(f64::NAN));
        let _ = writeln!(
            table,
            "| {} | {} ms | {} | {} | {twice} | {} / {} / {} | {} | {} | {} / {} | {:.2} | {} |",
            grouped(cell.n),
            cell.api_ms,
            cell.kind.name(),
            if least == cell.n {
                "all".to_owned()
            } else {
                format!("{} at least", grouped(least))
            },
            short(median(|run| run.p50_ms)),
            short(median(|run| run.p99_ms)),
            short(median(|run| run.max_ms)),
            short(median(|run| run.to_floor.unwrap_or(f64::NAN))),
            median(|run| run.connections as f64),
            short(median(|run| run.loaded_kib as f64 / 1024.0)),
            short(median(|run| run.peak_kib as f64 / 1024.0)),
            median(|run| run.cpu_s),
            if recorded.is_nan() {
                String::new()
            } else {
                short(recorded)
            },
        );
    }
    table
}

fn loaded(upkeep: &[Upkeep]) -> String {
    let mut table = "| loaded | ready after ms: first start / restart | MiB | wake-ups a minute | idle CPU % | one edit in force after ms | its CPU ms |\n\
                     | --- | --- | --- | --- | --- | --- | --- |\n"
        .to_owned();
    for it in upkeep {
        let of = |all: &[f64]| short(median(all.iter().copied()));
        let _ = writeln!(
            table,
            "| {} | {} / {} | {} | {:.1} | {:.4} | {} | {} |",
            grouped(it.n),
            of(&it.first_ready_ms),
            of(&it.ready_ms),
            short(it.memory_kib as f64 / 1024.0),
            it.wake_ups_a_minute,
            it.cpu_percent,
            of(&it.edit_ms),
            of(&it.edit_cpu_ms),
        );
    }
    table
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => values[length / 2],
        length => (values[length / 2 - 1] + values[length / 2]) / 2.0,
    }
}

/// Three digits say all that such a figure can say.
fn short(value: f64) -> String {
    match value {
        _ if value.is_nan() => "-".to_owned(),
        _ if value >= 100.0 => grouped(value.round() as usize),
        _ if value >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().collect();
    let groups: Vec<_> = groups.into_iter().map(String::from_utf8_lossy).collect();
    groups.join(",")
}

const LEFT: f64 = 70.0;
const BOTTOM: f64 = 330.0;
/// Of a power of ten.
const STEP_X: f64 = 90.0;
const STEP_Y: f64 = 60.0;
const COLOURS: [(Kind, &str); 4] = [
    (Kind::Floor, "#888888"),
    (Kind::Triggerd, "#1a7f37"),
    (Kind::Scheduler, "#bc4c00"),
    (Kind::SchedulerLarge, "#8250df"),
];

/// p99 over N, both by powers of ten, for the API that answers at once.
fn plot(cells: &[Cell]) -> String {
    let x = |n: f64| LEFT + n.max(1.0).log10() * STEP_X;
    let y = |ms: f64| BOTTOM - (ms.max(0.1).log10() + 1.0) * STEP_Y;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 800 390\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"800\" height=\"390\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"{}\">schedules due at the same second</text>\n\
         <text x=\"{LEFT}\" y=\"18\">99 of 100 had arrived after (API on the same machine, answering at once)</text>\n",
        BOTTOM + 42.0
    );
    for power in 0..=5 {
        let n = 10_f64.powi(power);
        let _ = writeln!(
            svg,
            "<path d=\"M{x:.0} {BOTTOM}V30\" stroke=\"#dddddd\"/><text x=\"{x:.0}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            BOTTOM + 20.0,
            grouped(n as usize),
            x = x(n),
        );
    }
    for (ms, label) in [
        (0.1, "0.1 ms"),
        (1.0, "1 ms"),
        (10.0, "10 ms"),
        (100.0, "100 ms"),
        (1e3, "1 s"),
        (1e4, "10 s"),
    ] {
        let _ = writeln!(
            svg,
            "<path d=\"M{LEFT} {y:.0}H{:.0}\" stroke=\"#dddddd\"/><text x=\"{}\" y=\"{:.0}\" text-anchor=\"end\">{label}</text>",
            x(1e5),
            LEFT - 8.0,
            y(ms) + 4.0,
            y = y(ms),
        );
    }
    for (place, (kind, colour)) in COLOURS.iter().enumerate() {
        let own = cells
            .iter()
            .filter(|cell| cell.kind == *kind && cell.api_ms == 0);
        let points: Vec<_> = own
            .map(|cell| {
                (
                    x(cell.n as f64),
                    y(median(cell.runs.iter().map(|run| run.p99_ms))),
                )
            })
            .collect();
        let line: Vec<_> = points
            .iter()
            .map(|(x, y)| format!("{x:.1},{y:.1}"))
            .collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            line.join(" ")
        );
        for (x, y) in points {
            let _ = writeln!(
                svg,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"{colour}\"/>"
            );
        }
        let lost = cells.iter().any(|cell| {
            cell.kind == *kind
                && cell.api_ms == 0
                && cell.runs.iter().any(|run| run.arrived < cell.n)
        });
        let _ = writeln!(
            svg,
            "<text x=\"535\" y=\"{}\" fill=\"{colour}\">{}</text><text x=\"535\" y=\"{}\" fill=\"{colour}\">{}</text>",
            60 + 44 * place,
            kind.name(),
            76 + 44 * place,
            if lost {
                "(of those that arrived: some are lost)"
            } else {
                ""
            },
        );
    }
    svg + "</svg>\n"
}
