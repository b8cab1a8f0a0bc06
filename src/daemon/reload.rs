//! Keeps what is in force in step with the files: told by the watcher, SIGHUP or a safety re-scan to
//! look again, it looks, tells the engine what changed, and people what it found. It decides nothing.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::signal::unix::Signal;
use tokio::sync::mpsc;
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;

use crate::api::token::{TokenId, TokenSource, Tokens, form_warning};
use crate::clock::{Clock, Wake};
use crate::daemon::alerts::Alerts;
use crate::daemon::changes::Changes;
use crate::daemon::chores::{self, Expiries, Told};
use crate::daemon::event::Event;
use crate::daemon::load::{Catalog, Report};
use crate::daemon::systemd;
use crate::daemon::watch::{self, Watcher};
use crate::settings::{Read, Settings};
use crate::telemetry;

/// Reads triggerd.toml again.
pub type Reread = Box<dyn Fn() -> Read + Send + Sync>;

/// Takes up another `[api]`; `Err` says why it can't be used.
pub type Reconfigure = Box<dyn Fn(&Settings) -> Result<(), String> + Send + Sync>;

pub struct Reloader<C> {
    pub clock: Arc<C>,
    /// Behind a lock because looking at files is blocking work, done on a thread for it.
    pub catalog: Arc<Mutex<Catalog>>,
    pub alerts: Alerts,
    pub expiries: tokio::sync::watch::Sender<Expiries>,
    pub settings: Settings,
    pub reread: Reread,
    pub reconfigure: Reconfigure,
    pub tokens: Arc<Tokens>,
    pub watcher: Watcher,
    pub changes: mpsc::Receiver<watch::Change>,
    pub hang_up: Signal,
    pub events: mpsc::UnboundedSender<Event>,
    pub told_of: Changes,
}

#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    #[error("the watcher of the schedules folder ended unexpectedly")]
    WatcherEnded,
    #[error("looking at the schedules folder failed")]
    Failed(#[source] JoinError),
}

impl<C: Clock> Reloader<C> {
    /// Reloads until it is told to stop.
    ///
    /// # Errors
    /// If it can't go on.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), ReloadError> {
        let mut generations = self.generations();
        self.watch_what_schedules_read();
        loop {
            let gone = Wake {
                wall: None,
                boot: lock(&self.catalog).next_gone(),
            };
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                change = self.changes.recv() => {
                    let change = change.ok_or(ReloadError::WatcherEnded)?;
                    self.changed(change).await?;
                }
                _ = self.hang_up.recv() => {
                    systemd::reloading();
                    tracing::info!("SIGHUP: everything is read again");
                    self.reread_settings().await?;
                    self.changed(watch::Change::Everything).await?;
                    // The engine says when it is in force.
                    let _ = self.events.send(Event::Reread);
                }
                () = self.clock.sleep_until(gone) => {
                    self.changed(watch::Change::Paths([].into())).await?;
                }
            }
            self.tell_of_new_tokens(&mut generations);
        }
    }

    async fn changed(&mut self, change: watch::Change) -> Result<(), ReloadError> {
        let concerns_settings = match (&change, &self.settings.file) {
            (watch::Change::Everything, _) => true,
            (watch::Change::Paths(paths), Some(file)) => paths.contains(file),
            (watch::Change::Paths(_), None) => false,
        };
        if concerns_settings {
            self.reread_settings().await?;
        }
        let now = self.clock.now();
        self.look(move |catalog| catalog.look(&change, now)).await
    }

    async fn look(
        &mut self,
        look: impl FnOnce(&mut Catalog) -> Report + Send + 'static,
    ) -> Result<(), ReloadError> {
        let catalog = self.catalog.clone();
        let report = tokio::task::spawn_blocking(move || look(&mut lock(&catalog)))
            .await
            .map_err(ReloadError::Failed)?;
        {
            let catalog = lock(&self.catalog);
            telemetry::loaded(&report, |path| catalog.text_of(path).map(str::to_owned));
            self.alerts.files(catalog.problems());
        }
        // Problems are shown too.
        self.told_of.tell();
        let may_read_others = !report.loaded.changes.is_empty() || !report.problems.is_empty();
        if !report.loaded.changes.is_empty() {
            // The engine ends before the reloader only when the daemon stops.
            let _ = self.events.send(Event::Loaded(report.loaded));
        }
        if may_read_others {
            self.watch_what_schedules_read();
        }
        Ok(())
    }

    async fn reread_settings(&mut self) -> Result<(), ReloadError> {
        let Read {
            settings,
            problems,
            text,
        } = (self.reread)();
        let Some(new) = settings else {
            telemetry::problems(&problems, |_| Some(text.clone()));
            tracing::error!("triggerd.toml can't be used; what was in force before stays");
            return Ok(());
        };
        if new == self.settings {
            return Ok(());
        }
        telemetry::problems(&problems, |_| Some(text.clone()));
        let old = std::mem::replace(&mut self.settings, new);
        let new = &self.settings;
        for (key, changed) in [
            ("state", old.state != new.state),
            ("schedules", old.schedules != new.schedules),
            ("control.socket", old.control_socket != new.control_socket),
            ("http.listen", old.http_listen != new.http_listen),
            ("namespace", old.namespace != new.namespace),
            ("watch", old.watch != new.watch),
            ("ledger", old.database != new.database),
            ("log.format", old.log_format != new.log_format),
            ("alerts", old.alerts != new.alerts),
            ("chores", old.chores != new.chores),
            (
                "api.max_in_flight",
                old.api.max_in_flight != new.api.max_in_flight,
            ),
        ] {
            if changed {
                tracing::warn!(
                    key,
                    "this key of triggerd.toml takes effect at the next start"
                );
            }
        }
        if old.tokens_expire != new.tokens_expire {
            let now = self.clock.now();
            chores::look_at_expiries(&new.tokens_expire, now, Told::IfNear, &self.alerts);
            self.expiries.send_replace(new.tokens_expire.clone());
        }
        if old.ceilings != new.ceilings {
            let _ = self.events.send(Event::Bounded(new.ceilings.clone()));
        }
        if old.tokens != new.tokens {
            self.tokens.replace(new.tokens.clone());
        }
        if old.api != new.api
            && let Err(error) = (self.reconfigure)(new)
        {
            tracing::error!(%error, "the new `[api]` can't be used; the old one stays in force");
        }
        tracing::info!("triggerd.toml is in force as it is now");
        if old.context == new.context {
            return Ok(());
        }
        let (folder, context, now) = (old.schedules, new.context.clone(), self.clock.now());
        self.look(move |catalog| catalog.set_context(folder, context, now))
            .await
    }

    fn watch_what_schedules_read(&self) {
        let mut paths = lock(&self.catalog).other_files();
        paths.extend(self.settings.file.clone());
        paths.extend(token_files(&self.settings.tokens));
        self.watcher.set_extra(paths);
    }

    fn generations(&self) -> BTreeMap<TokenId, u64> {
        let ids = self.settings.tokens.keys().cloned();
        ids.map(|id| (id.clone(), self.tokens.generation(&id)))
            .collect()
    }

    fn tell_of_new_tokens(&self, before: &mut BTreeMap<TokenId, u64>) {
        let now = self.generations();
        for (id, generation) in &now {
            if before.get(id).is_some_and(|before| generation > before) {
                tracing::info!(token = %id, "the token has a new value");
                let _ = self.events.send(Event::TokenChanged(id.clone()));
            }
        }
        *before = now;
    }
}

/// Says which tokens can't be read, or look wrong. Neither stops anything, and a dry run needs none.
pub fn look_at_tokens(tokens: &Tokens, sources: &BTreeMap<TokenId, TokenSource>, is_dry_run: bool) {
    for id in sources.keys() {
        match tokens.current(id) {
            Ok(secret) => {
                if let Some(warning) = form_warning(&secret) {
                    tracing::warn!(token = %id, "{warning}");
                }
            }
            Err(error) if is_dry_run => {
                tracing::warn!(
                    token = %id,
                    %error,
                    "the token can't be read; a dry run goes on without it"
                );
            }
            Err(error) => tracing::error!(
                token = %id,
                %error,
                "the token can't be read; its deliveries wait until it can"
            ),
        }
    }
}

fn token_files(tokens: &BTreeMap<TokenId, TokenSource>) -> impl Iterator<Item = PathBuf> {
    tokens.values().filter_map(|source| match source {
        TokenSource::File(path) => Some(path.clone()),
        TokenSource::Env(_) | TokenSource::Credential(_) => None,
    })
}

pub(super) fn lock(catalog: &Mutex<Catalog>) -> std::sync::MutexGuard<'_, Catalog> {
    // A look that panicked has ended the daemon already.
    catalog.lock().unwrap_or_else(PoisonError::into_inner)
}
