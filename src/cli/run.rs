//! `triggerd run`: the daemon, from the settings to the world that it lives in.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use tokio_util::sync::CancellationToken;

use crate::api::dry_run::DryRun;
use crate::api::http::{HttpApi, HttpError, HttpSettings};
use crate::api::replaceable::Replaceable;
use crate::api::token::Tokens;
use crate::cli::environment;
use crate::clock::SystemClock;
use crate::daemon::{self, Parts, systemd};
use crate::ledger::Place;
use crate::settings::{ApiSettings, Flags, Settings};
use crate::telemetry::Telemetry;

/// Run the daemon: fire schedules until it is stopped
///
/// SIGTERM and Ctrl-C end it: calls in flight may end for up to 30 s, and what is still open goes on
/// at the next start. SIGHUP reads everything again.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Example:\n  \
    WORKSPACE_AGENT_ACCESS_TOKEN=at-… WORKSPACE_AGENT_TRIGGER_ID=agtch_… triggerd run")]
pub(super) struct Args {
    /// Log what would be sent, and send nothing; the ledger is in memory
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(args: Args, flags: Flags, settings: Settings) -> anyhow::Result<ExitCode> {
    let stop = systemd::stop_signal().context("signals can't be caught")?;
    let tokens = Arc::new(Tokens::new(settings.tokens.clone(), Box::new(environment)));
    let reread = move || Settings::read(&flags, &environment);
    if args.dry_run {
        let parts = Parts {
            place: Place::Memory,
            clock: Arc::new(clock()),
            api: Arc::new(DryRun),
            tokens,
            telemetry: Telemetry { dry_run: true },
            reread: Box::new(reread),
            reconfigure: Box::new(|_| Ok(())),
            settings,
        };
        daemon::run(parts, stop).await?;
    } else {
        serve(settings, tokens, Box::new(reread), stop).await?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The daemon with the real API.
pub(super) async fn serve(
    settings: Settings,
    tokens: Arc<Tokens>,
    reread: daemon::reload::Reread,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let api = Arc::new(Replaceable::new(api(&settings.api, &tokens)?));
    let (replaced, their_tokens) = (api.clone(), tokens.clone());
    let reconfigure = move |settings: &Settings| {
        let api = self::api(&settings.api, &their_tokens).map_err(|error| error.to_string())?;
        replaced.replace(api);
        Ok(())
    };
    let parts = Parts {
        place: settings.place(),
        clock: Arc::new(clock()),
        api,
        tokens,
        telemetry: Telemetry::default(),
        reread,
        reconfigure: Box::new(reconfigure),
        settings,
    };
    daemon::run(parts, stop).await?;
    Ok(())
}

pub(super) fn api(settings: &ApiSettings, tokens: &Arc<Tokens>) -> Result<HttpApi, HttpError> {
    let settings = HttpSettings {
        base_url: settings.base_url.clone(),
        timeout: settings.timeout,
        proxy: settings.proxy.clone(),
        ca_file: settings.ca_file.clone(),
        track_runs: settings.track_runs,
    };
    HttpApi::new(&settings, tokens.clone())
}

/// `TRIGGERD_CLOCK=portable` waits in slices by the clock that is read, for tests that move only that.
fn clock() -> SystemClock {
    match environment("TRIGGERD_CLOCK").as_deref() {
        Some("portable") => SystemClock::portable(std::time::Duration::from_millis(100)),
        _ => SystemClock::new(),
    }
}
