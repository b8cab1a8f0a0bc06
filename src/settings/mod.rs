//! The daemon's own configuration: what the program uses, from triggerd.toml, the environment and
//! flags (DESIGN.md 6). It knows no schedule but the defaults of all.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::civil;

use crate::api::base_url::BaseUrl;
use crate::api::token::{Secret, TokenId, TokenSource};
use crate::daemon::alerts::AlertSettings;
use crate::daemon::read;
use crate::ledger::{Database, Place};
use crate::plan::ceilings::Ceilings;
use crate::plan::occurrence::Namespace;
use crate::schedule::problem::{Problem, has_errors};
use crate::schedule::resolve::Context;
use crate::telemetry::LogFormat;

mod file;
mod resolve;
pub mod schema;

pub use crate::daemon::watch::Mode as WatchMode;
pub use resolve::Env;

/// What the daemon runs by.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The file that was read; `None` where there is none.
    pub file: Option<PathBuf>,
    pub schedules: PathBuf,
    pub state: PathBuf,
    /// Where the ledger is instead of in the state folder.
    pub database: Option<Arc<Database>>,
    /// Where a running daemon is asked.
    pub control_socket: PathBuf,
    /// Where the status page listens, if it does.
    pub http_listen: Option<SocketAddr>,
    pub namespace: Namespace,
    pub watch: WatchMode,
    pub api: ApiSettings,
    pub tokens: BTreeMap<TokenId, TokenSource>,
    /// When tokens end, where the file says so.
    pub tokens_expire: BTreeMap<TokenId, civil::Date>,
    /// What schedule files can refer to.
    pub context: Context,
    /// Of agents and of the whole daemon.
    pub ceilings: Ceilings,
    pub log_format: LogFormat,
    /// How long ended deliveries stay in the ledger.
    pub retention: Duration,
    pub chores: Chores,
    pub alerts: AlertSettings,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiSettings {
    pub base_url: BaseUrl,
    /// Of one attempt as a whole.
    pub timeout: Duration,
    pub max_in_flight: u32,
    /// Its address may hold a password.
    pub proxy: Option<Secret>,
    pub ca_file: Option<PathBuf>,
    pub track_runs: bool,
}

/// When the daemon's own chores run, in UTC; `None` for never.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chores {
    pub prune: Option<String>,
    pub rescan: Option<String>,
    pub summary: Option<String>,
    /// A look at when tokens end.
    pub expiry: Option<String>,
}

/// What the command line says. It beats everything.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    pub config: Option<PathBuf>,
    pub schedules: Option<PathBuf>,
    pub state: Option<PathBuf>,
    pub log_format: Option<LogFormat>,
}

/// What a key means where nothing says it.
pub mod defaults {
    use std::time::Duration;

    pub const SCHEDULES: &str = "schedules";
    pub const STATE: &str = "state";
    /// In `$RUNTIME_DIRECTORY`, else in the state folder.
    pub const CONTROL_SOCKET: &str = "control.sock";
    pub const TIMEOUT: Duration = Duration::from_secs(60);
    /// The live service takes 4 to 10 s for a 202 (API.md).
    pub const SHORTEST_USUAL_TIMEOUT: Duration = Duration::from_secs(30);
    pub const MAX_IN_FLIGHT: u32 = 1024;
    pub const TOKEN_VARIABLE: &str = "WORKSPACE_AGENT_ACCESS_TOKEN";
    pub const RETENTION: Duration = Duration::from_secs(90 * 86_400);
    pub const PRUNE: &str = "17 3 * * *";
    pub const RESCAN: &str = "*/5 * * * *";
    pub const SUMMARY: &str = "0 * * * *";
    pub const EXPIRY: &str = "0 9 * * *";
    pub const HEARTBEAT_EVERY: Duration = Duration::from_secs(300);
    /// Where the file is looked for, unless a flag or the environment names one.
    pub const FILES: [&str; 2] = ["triggerd.toml", "/etc/triggerd/triggerd.toml"];
}

/// What was read, and what is to be said of it.
#[derive(Debug)]
pub struct Read {
    /// `None` if the file has errors.
    pub settings: Option<Settings>,
    pub problems: Vec<Problem>,
    /// The file's text, to draw the problems on.
    pub text: String,
}

impl Settings {
    /// Where the ledger is.
    pub fn place(&self) -> Place {
        match &self.database {
            None => Place::Folder(self.state.clone()),
            Some(database) => Place::Postgres(database.clone(), self.state.clone()),
        }
    }

    /// What flags and environment alone say.
    pub fn without_file(flags: &Flags, env: Env<'_>) -> Self {
        resolve::resolve(None, "", flags, env).0
    }

    /// Finds and reads the file, and resolves it. `TRIGGERD_CONFIG` or the flag names a file that
    /// must be there; the usual places may be empty.
    pub fn read(flags: &Flags, env: Env<'_>) -> Read {
        let named = flags.config.clone().or_else(|| {
            env("TRIGGERD_CONFIG")
                .filter(|it| !it.is_empty())
                .map(PathBuf::from)
        });
        let (path, text) = match find(named.as_deref()) {
            Ok(found) => found,
            Err((path, reason)) => {
                let problem = Problem::error(&path, reason)
                    .help("make it readable, or name another with `--config`");
                return Read {
                    settings: None,
                    problems: vec![problem],
                    text: String::new(),
                };
            }
        };
        let (settings, problems) = resolve::resolve(path.as_deref(), &text, flags, env);
        Read {
            settings: (!has_errors(&problems)).then_some(settings),
            problems,
            text,
        }
    }
}

fn find(named: Option<&Path>) -> Result<(Option<PathBuf>, String), (PathBuf, String)> {
    let read = |path: PathBuf| match read::text(&path) {
        Ok((text, _)) => Ok((Some(path), text)),
        Err(reason) => Err((path, reason)),
    };
    if let Some(path) = named {
        return read(path.to_owned());
    }
    let is_there = |path: &PathBuf| match path.symlink_metadata() {
        Err(error) => error.kind() != io::ErrorKind::NotFound,
        Ok(_) => true,
    };
    match defaults::FILES
        .map(PathBuf::from)
        .into_iter()
        .find(is_there)
    {
        Some(path) => read(path),
        None => Ok((None, String::new())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_named_must_be_a_text_file() {
        #[track_caller]
        fn check(config: &str, expected: &str) {
            let env = |name: &str| (name == "TRIGGERD_CONFIG").then(|| config.to_owned());
            let read = Settings::read(&Flags::default(), &env);
            let messages: Vec<_> = read.problems.iter().map(|it| it.message.as_str()).collect();
            assert_eq!(messages, [expected]);
            assert_eq!(read.settings, None);
        }
        check("/dev/zero", "it is a device, not a file");
        check(
            "/nowhere/triggerd.toml",
            "it can't be read: it is not there",
        );
    }

    #[test]
    fn an_empty_variable_names_no_file() {
        let env = |name: &str| (name == "TRIGGERD_CONFIG").then(String::new);
        let read = Settings::read(&Flags::default(), &env);
        assert!(read.problems.iter().all(|it| it.path != Path::new("")));
    }
}
