//! `triggerd instructions`: the other half of a schedule, to paste into the agent's builder.
//! It words what API.md says an agent's saved instructions have to do, and knows no API.

use std::io::Write;
use std::process::ExitCode;

use crate::cli::Workplace;

/// Print the instructions that the agent needs, to paste into its builder
///
/// With a schedule, they name its source system, destination and the marker that is looked for.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Example:\n  triggerd instructions weekly-report")]
pub(super) struct Args {
    /// The schedule whose agent they are for
    schedule: Option<String>,
}

pub(super) fn run(
    args: Args,
    workplace: &Workplace,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let (source_system, destination, marker) = match &args.schedule {
        Some(name) => {
            let schedule = workplace.catalog()?.schedule(name)?;
            let message = &schedule.message;
            (
                format!("`{}`", message.source_system),
                message.output_destination.as_deref().map(str::to_owned),
                message
                    .marker
                    .source()
                    .replace("{{ request_id }}", "<request id>"),
            )
        }
        None => (
            "the one named in the input".to_owned(),
            None,
            "<the marker line of the input>".to_owned(),
        ),
    };
    if let (Some(name), None) = (&args.schedule, &destination) {
        // Standard output is what is pasted.
        writeln!(
            std::io::stderr(),
            "note: `{name}` names no destination, nor does its input: set `event.output_destination` in its file or under \
             `[defaults]`, or WORKSPACE_AGENT_OUTPUT_DESTINATION"
        )?;
    }
    let destination = destination.map_or_else(
        || "the output destination named in the input".to_owned(),
        |destination| format!("`{destination}`"),
    );
    write!(
        out,
        "You are triggered by triggerd, without a person present. Each input is one source event.\n\
         \n\
         1. Find the request id, the source system, the output destination and the update text in the input.\n\
         2. If the request id is missing, ask for it and write nothing.\n\
         3. The source system is {source_system}. Do what the update text asks for.\n\
         4. Write one short update to {destination}. Its first line is exactly this, with the request id of the input:\n\
         \n   {marker}\n\n\
         5. Never assume a current chat, channel or document. If the destination can't be reached, say so and stop.\n\
         6. Where a write needs approval, ask for it. Then stop: one event, one update.\n",
    )?;
    Ok(ExitCode::SUCCESS)
}
