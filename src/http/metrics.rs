//! The metrics, in Prometheus's text format. They count since the start, and name no run and no
//! conversation: what names is in the log and the ledger.

use std::collections::{BTreeMap, HashMap};
use std::fmt::{Display, Write};
use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use jiff::Timestamp;

use super::desk::{Desk, Looked, Unwell};
use crate::daemon::counts::{Count, Lateness, RUN_ENDS};
use crate::daemon::event::Standing;
use crate::daemon::office::Files;
use crate::ledger::cluster::{LiveNode, Nodes};
use crate::plan::delivery::Skip;
use crate::schedule::{Schedule, ScheduleId};

pub(super) async fn metrics(State(desk): State<Arc<Desk>>) -> Result<impl IntoResponse, Unwell> {
    let looked: Arc<Looked> = desk.look().await?;
    let before = desk.accepted_before(&looked.standing).await?;
    let made = async {
        let files = desk.office.files().await?;
        // Ten thousand schedules make a long text.
        let text = desk
            .office
            .work(move || text(&looked.standing, &files, &before));
        Ok(text.await?)
    };
    let text = desk.text("/metrics".to_owned(), made).await?;
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text.to_string()))
}

fn text(
    standing: &Standing,
    files: &Files,
    accepted_before: &HashMap<ScheduleId, Timestamp>,
) -> String {
    let mut out = Out(String::new());
    of_the_daemon(&mut out, standing, files);
    of_runs(&mut out, standing);
    let schedules: Vec<_> = standing
        .agenda
        .schedules
        .iter()
        .map(|now| {
            let schedule: &Schedule = &now.schedule;
            (schedule, now, standing.counts.of(&schedule.id))
        })
        .collect();
    let nothing = Count::default();

    type Value = fn(&Count) -> u64;
    let counters: [(&str, &str, Value); 4] = [
        (
            "triggerd_deliveries_accepted_total",
            "Deliveries that the API accepted.",
            |it| it.accepted,
        ),
        (
            "triggerd_deliveries_rejected_total",
            "Deliveries that were refused for good.",
            |it| it.rejected,
        ),
        (
            "triggerd_deliveries_expired_total",
            "Deliveries whose deadline passed.",
            |it| it.expired,
        ),
        (
            "triggerd_attempts_failed_total",
            "Calls that were not accepted.",
            |it| it.failed_attempts,
        ),
    ];
    for (name, help, value) in counters {
        out.family(name, "counter", help);
        for (schedule, _, count) in &schedules {
            let count = count.unwrap_or(&nothing);
            out.line(name, &[("schedule", &schedule.id)], value(count));
        }
    }
    let name = "triggerd_occurrences_skipped_total";
    out.family(name, "counter", "Occurrences that were skipped, by reason.");
    for (schedule, _, count) in &schedules {
        for (why, &skipped) in Skip::ALL.iter().zip(&count.unwrap_or(&nothing).skipped) {
            // One is enough to have the name there, and seven times ten thousand is a lot.
            if skipped > 0 || *why == Skip::Missed {
                out.line(
                    name,
                    &[("schedule", &schedule.id), ("reason", &why.word())],
                    skipped,
                );
            }
        }
    }
    let name = "triggerd_runs_ended_total";
    out.family(
        name,
        "counter",
        "Runs that were followed to their end, by how they ended.",
    );
    for (schedule, _, count) in &schedules {
        for (end, &ended) in RUN_ENDS.iter().zip(&count.unwrap_or(&nothing).runs) {
            if ended > 0 {
                out.line(name, &[("schedule", &schedule.id), ("end", end)], ended);
            }
        }
    }
    let name = "triggerd_lateness_seconds";
    let help = "From when a delivery was due to when the attempt that was accepted was sent.";
    out.family(name, "histogram", help);
    for (schedule, _, count) in &schedules {
        if let Some(count) = count.filter(|it| it.lateness.count > 0) {
            out.histogram(name, &schedule.id, &count.lateness);
        }
    }
    let name = "triggerd_next_due_timestamp_seconds";
    out.family(
        name,
        "gauge",
        "When the next occurrence is due, with its jitter.",
    );
    for (schedule, now, _) in &schedules {
        if let Some(at) = now.next_due_at(&standing.agenda.namespace) {
            out.line(
                name,
                &[("schedule", &schedule.id)],
                at.as_duration().as_secs_f64(),
            );
        }
    }
    let name = "triggerd_last_accepted_timestamp_seconds";
    out.family(
        name,
        "gauge",
        "When a delivery was last accepted, also before the last start.",
    );
    for (schedule, _, count) in &schedules {
        let since = count.and_then(|count| count.last_accepted_at);
        if let Some(at) = since.or_else(|| accepted_before.get(&schedule.id).copied()) {
            out.line(
                name,
                &[("schedule", &schedule.id)],
                at.as_duration().as_secs_f64(),
            );
        }
    }
    out.0
}

fn of_the_daemon(out: &mut Out, standing: &Standing, files: &Files) {
    let agenda = &standing.agenda;
    let version = env!("CARGO_PKG_VERSION");
    out.family("triggerd_build_info", "gauge", "Which version runs.");
    out.line("triggerd_build_info", &[("version", &version)], 1);
    let gauges: [(&str, &str, usize); 5] = [
        (
            "triggerd_schedules",
            "Schedules in force.",
            agenda.schedules.len(),
        ),
        (
            "triggerd_deliveries_open",
            "Deliveries without a verdict.",
            agenda.open_deliveries,
        ),
        (
            "triggerd_attempts_in_flight",
            "Calls without an answer.",
            agenda.in_flight,
        ),
        (
            "triggerd_clock_held",
            "1 while the clock is not set and nothing fires.",
            agenda.clock_held.into(),
        ),
        (
            "triggerd_ledger_in_memory",
            "1 while the ledger can't be written.",
            standing.ledger_in_memory.into(),
        ),
    ];
    for (name, help, value) in gauges {
        out.family(name, "gauge", help);
        out.line(name, &[], value);
    }
    of_nodes(out, standing.nodes.as_ref());
    let name = "triggerd_file_problems";
    out.family(name, "gauge", "Problems of schedule files, by severity.");
    out.line(name, &[("severity", &"error")], files.errors);
    out.line(name, &[("severity", &"warning")], files.warnings);
    let name = "triggerd_breaker_waiting_deliveries";
    let help = "Deliveries that wait behind a token or trigger; a series while that is refused, or asked for a pause.";
    out.family(name, "gauge", help);
    for gate in &agenda.gates {
        let why = match gate.broken {
            true => "refused",
            false => "too_many_requests",
        };
        let labels: [(&str, &dyn Display); 3] = [
            ("breaker", &gate.gate.kind()),
            ("of", &gate.gate),
            ("why", &why),
        ];
        out.line(name, &labels, gate.waiting);
    }
    let name = "triggerd_paused";
    out.family(name, "gauge", "1 of each pause in force; `*` pauses all.");
    for (scope, _) in agenda.pauses.iter() {
        out.line(name, &[("schedule", &scope.word())], 1);
    }
}

/// Of those that share the ledger, where several do.
fn of_nodes(out: &mut Out, nodes: Option<&Nodes>) {
    let Some(nodes) = nodes else {
        return;
    };
    type Value = fn(&LiveNode) -> f64;
    let gauges: [(&str, &str, Value); 2] = [
        (
            "triggerd_node_schedules",
            "Schedules that a node looks after, of those that are there.",
            |node| node.schedules as f64,
        ),
        (
            "triggerd_node_clock_offset_seconds",
            "A node's clock less the database's.",
            |node| node.clock_offset.as_secs_f64(),
        ),
    ];
    for (name, help, value) in gauges {
        out.family(name, "gauge", help);
        for node in &nodes.live {
            let labels: [(&str, &dyn Display); 3] = [
                ("node", &node.incarnation.0),
                ("host", &node.host),
                ("version", &node.version),
            ];
            out.line(name, &labels, value(node));
        }
    }
    let name = "triggerd_node_disagreed_schedules";
    let help = "Schedules of which another node has another version.";
    out.family(name, "gauge", help);
    out.line(name, &[], nodes.disagreed.len());
}

fn of_runs(out: &mut Out, standing: &Standing) {
    let mut runs = BTreeMap::<_, u64>::new();
    for following in &standing.agenda.runs {
        let schedule = &following.run.occurrence.schedule;
        *runs
            .entry((schedule, following.status.as_str()))
            .or_default() += 1;
    }
    let name = "triggerd_runs";
    out.family(
        name,
        "gauge",
        "Runs that are followed, by the state that the API last gave.",
    );
    for ((schedule, state), count) in runs {
        out.line(name, &[("schedule", schedule), ("state", &state)], count);
    }
}

struct Out(String);

impl Out {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.write(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    fn line(&mut self, name: &str, labels: &[(&str, &dyn Display)], value: impl Display) {
        self.0.push_str(name);
        let mut before = '{';
        for (label, text) in labels {
            let text = escaped(&text.to_string());
            self.write(format_args!("{before}{label}=\"{text}\""));
            before = ',';
        }
        let end = if labels.is_empty() { "" } else { "}" };
        self.write(format_args!("{end} {value}\n"));
    }

    fn histogram(&mut self, name: &str, schedule: &ScheduleId, lateness: &Lateness) {
        let bucket = format!("{name}_bucket");
        let mut so_far = 0;
        for (bound, count) in Lateness::BOUNDS.iter().zip(lateness.counts) {
            so_far += count;
            self.line(&bucket, &[("schedule", schedule), ("le", bound)], so_far);
        }
        let all = lateness.count;
        self.line(&bucket, &[("schedule", schedule), ("le", &"+Inf")], all);
        self.line(
            &format!("{name}_sum"),
            &[("schedule", schedule)],
            lateness.sum,
        );
        self.line(&format!("{name}_count"), &[("schedule", schedule)], all);
    }

    fn write(&mut self, text: std::fmt::Arguments<'_>) {
        self.0.write_fmt(text).expect("a text grows");
    }
}

fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_escaped_as_the_format_wants_it() {
        let mut out = Out(String::new());
        out.line("a", &[("b", &"x\\y\"z\n"), ("c", &1)], 2);
        assert_eq!(out.0, "a{b=\"x\\\\y\\\"z\\n\",c=\"1\"} 2\n");
    }

    #[test]
    fn a_histogram_counts_up_to_each_bound() {
        let mut out = Out(String::new());
        let mut lateness = Lateness {
            count: 4,
            sum: 1.5,
            ..Lateness::default()
        };
        lateness.counts[0] = 1;
        lateness.counts[2] = 2;
        let schedule = ScheduleId::parse("a").expect("a name");
        out.histogram("l", &schedule, &lateness);
        let lines: Vec<&str> = out.0.lines().collect();
        assert_eq!(lines[0], "l_bucket{schedule=\"a\",le=\"0.005\"} 1");
        assert_eq!(lines[1], "l_bucket{schedule=\"a\",le=\"0.025\"} 1");
        assert_eq!(lines[2], "l_bucket{schedule=\"a\",le=\"0.1\"} 3");
        assert_eq!(lines[9], "l_bucket{schedule=\"a\",le=\"43200\"} 3");
        assert_eq!(lines[10], "l_bucket{schedule=\"a\",le=\"+Inf\"} 4");
        assert_eq!(
            lines[11..],
            ["l_sum{schedule=\"a\"} 1.5", "l_count{schedule=\"a\"} 4"]
        );
    }
}
