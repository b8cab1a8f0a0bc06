//! `triggerd sandbox`: serves the local API until it is stopped; knows only how to ask for it and what to print.

use std::io::Write;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::sandbox::{self, Behaviour, Conduct, Conversations, Sandbox, Settings};

/// Serve the Workspace Agents API locally: the whole contract, with faults on request
///
/// Nothing leaves this machine, and no account is needed. A run that completes appends its update to a destination:
/// `DATA/destinations/NAME.md`, or `/sandbox/destinations` on the same port.
#[derive(Debug, clap::Args)]
#[command(after_long_help = format!("Example:\n  triggerd sandbox --data /tmp/sandbox\n\nInspection routes, without a token:\n\n{}", sandbox::ROUTES))]
pub(super) struct Args {
    /// Where to listen; a loopback address
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8787", value_parser = loopback)]
    listen: SocketAddr,

    /// Keep calls, runs and destinations in this folder over restarts
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// Take every well-formed trigger id for a published agent
    #[arg(long)]
    any_trigger: bool,

    /// How long a 202 takes, or from how long to how long; the live service takes `4-10`
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = seconds_range)]
    accept_seconds: RangeInclusive<Duration>,

    /// How long a run stays queued
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    queue_seconds: Duration,

    /// How long a run is in progress
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    run_seconds: Duration,

    /// What becomes of runs
    #[arg(long, value_enum, default_value = "completes")]
    behaviour: Behaviour,

    /// Whether events of one conversation run one after the other
    #[arg(long, value_enum, default_value = "serial")]
    conversations: Conversations,
}

impl Args {
    fn settings(&self) -> Settings {
        Settings {
            data: self.data.clone(),
            any_trigger: self.any_trigger,
            acceptance_delay: self.accept_seconds.clone(),
            conduct: Conduct {
                behaviour: self.behaviour,
                conversations: self.conversations,
                queue_ms: milliseconds(self.queue_seconds),
                run_ms: milliseconds(self.run_seconds),
            },
        }
    }
}

pub(super) async fn run(
    args: Args,
    out: &mut dyn Write,
    stop: CancellationToken,
) -> anyhow::Result<ExitCode> {
    let listener = TcpListener::bind(args.listen)
        .await
        .with_context(|| format!("can't listen on `{}`", args.listen))?;
    let sandbox = Sandbox::start(listener, &args.settings()).with_context(|| match &args.data {
        Some(data) => format!("can't use the data folder `{}`", data.display()),
        None => "can't start the sandbox".to_owned(),
    })?;
    write!(
        out,
        "{}",
        greeting(&sandbox.base_url(), &sandbox.root_url())
    )?;
    out.flush()?;

    stop.cancelled().await;
    sandbox.shutdown().await;
    Ok(ExitCode::SUCCESS)
}

fn greeting(base_url: &str, root_url: &str) -> String {
    let (trigger_id, token) = (sandbox::TRIGGER_ID, sandbox::TOKEN);
    format!(
        "\
# for the shell
export WORKSPACE_AGENT_TRIGGER_ID={trigger_id}
export WORKSPACE_AGENT_ACCESS_TOKEN={token}
export TRIGGERD_API_BASE_URL={base_url}

# the same for triggerd.toml
[api]
base_url = \"{base_url}\"

# what arrived, and how to make faults: curl {root_url}/sandbox
"
    )
}

fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text
        .parse()
        .map_err(|_| "it needs an address and a port, such as `127.0.0.1:8787`".to_owned())?;
    if !address.ip().is_loopback() {
        return Err(
            "it is not a loopback address: use `127.0.0.1:PORT` or `[::1]:PORT`".to_owned(),
        );
    }
    Ok(address)
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text
        .parse()
        .map_err(|_| "it needs a number of seconds, such as `2` or `0.5`".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

fn seconds_range(text: &str) -> Result<RangeInclusive<Duration>, String> {
    let (shortest, longest) = text.split_once('-').unwrap_or((text, text));
    let range = seconds(shortest)?..=seconds(longest)?;
    if range.is_empty() {
        return Err(format!("`{shortest}` is longer than `{longest}`"));
    }
    Ok(range)
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    #[track_caller]
    fn check_refused(flags: &[&str], part: &str) {
        let flags = [&["triggerd"], flags].concat();
        let error = Cli::try_parse_from(flags).expect_err("it is refused");
        assert!(error.to_string().contains(part), "{error}");
    }

    #[test]
    fn flags_become_settings() {
        let flags = "triggerd --accept-seconds 4-10 --run-seconds 0.5 --behaviour fails-run";
        let cli = Cli::try_parse_from(flags.split(' ')).expect("they are valid");
        let settings = cli.args.settings();
        assert_eq!(
            settings.acceptance_delay,
            Duration::from_secs(4)..=Duration::from_secs(10)
        );
        assert_eq!(settings.conduct.run_ms, 500);
        assert_eq!(settings.conduct.behaviour, Behaviour::FailsRun);
    }

    #[test]
    fn wrong_flags_are_refused_with_a_way_out() {
        check_refused(&["--listen", "0.0.0.0:8787"], "not a loopback address");
        check_refused(&["--listen", "8787"], "such as `127.0.0.1:8787`");
        check_refused(&["--run-seconds", "soon"], "such as `2` or `0.5`");
        check_refused(&["--run-seconds=-1"], "negative");
        check_refused(&["--accept-seconds", "10-4"], "longer than");
    }

    #[test]
    fn the_greeting_can_be_pasted() {
        insta::assert_snapshot!(greeting("http://127.0.0.1:8787/v1", "http://127.0.0.1:8787"), @r#"
        # for the shell
        export WORKSPACE_AGENT_TRIGGER_ID=agtch_5a6d0b0c1e2f48739a4b5c6d7e8f9012
        export WORKSPACE_AGENT_ACCESS_TOKEN=at-sandbox
        export TRIGGERD_API_BASE_URL=http://127.0.0.1:8787/v1

        # the same for triggerd.toml
        [api]
        base_url = "http://127.0.0.1:8787/v1"

        # what arrived, and how to make faults: curl http://127.0.0.1:8787/sandbox
        "#);
    }

    #[tokio::test]
    async fn it_serves_until_it_is_stopped() {
        let cli = Cli::try_parse_from(["triggerd", "--listen", "127.0.0.1:0"]);
        let stop = CancellationToken::new();
        stop.cancel();
        let mut out = Vec::new();
        let code = run(cli.expect("they are valid").args, &mut out, stop).await;
        assert_eq!(code.expect("it stops"), ExitCode::SUCCESS);
        let out = String::from_utf8(out).expect("it is text");
        assert!(out.contains("base_url = \"http://127.0.0.1:"), "{out}");
    }

    #[tokio::test]
    async fn a_taken_address_is_named() {
        let taken = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = taken.local_addr().expect("it is bound").to_string();
        let cli = Cli::try_parse_from(["triggerd", "--listen", &address]);
        let mut out = Vec::new();
        let args = cli.expect("they are valid").args;
        let error = run(args, &mut out, CancellationToken::new()).await;
        let error = error.expect_err("the port is taken").to_string();
        assert_eq!(error, format!("can't listen on `{address}`"));
    }
}
