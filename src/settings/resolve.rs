//! From what triggerd.toml, the environment and the flags say to [`Settings`]: flags beat
//! environment beats file beats default. It reads no file.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::civil;

use super::file::{RawAlerts, RawLimits, RawPassword, RawSettings, RawToken};
use super::{ApiSettings, Chores, Flags, Settings, WatchMode, defaults};
use crate::api::base_url::BaseUrl;
use crate::api::token::{Secret, TokenId, TokenSource};
use crate::daemon::alerts::AlertSettings;
use crate::ledger::{BadAddress, Database, Password};
use crate::plan::ceilings::Ceilings;
use crate::plan::occurrence::Namespace;
use crate::schedule::cron::CronExpr;
use crate::schedule::problem::Problem;
use crate::schedule::resolve::{Agent, Context, is_http, problems_of_defaults};
use crate::schedule::{Limits, TriggerId};
use crate::telemetry::LogFormat;
use crate::toml_file::{Document, Field, list};

/// Looks an environment variable up.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Resolves the text of `path`; `None` if there is no file. Relative paths are relative to it, and
/// those of flags and environment to the working folder.
pub(super) fn resolve(
    path: Option<&Path>,
    text: &str,
    flags: &Flags,
    env: Env<'_>,
) -> (Settings, Vec<Problem>) {
    let mut document = Document::new(path.unwrap_or(Path::new("triggerd.toml")), text);
    let raw = document.read(RawSettings::read);
    let mut resolver = Resolver {
        folder: path
            .and_then(Path::parent)
            .unwrap_or(Path::new(""))
            .to_owned(),
        path: document.path,
        problems: document.problems,
        env,
    };
    let of_defaults = problems_of_defaults(&resolver.path, &raw.defaults);
    resolver.problems.extend(of_defaults);
    let settings = resolver.settings(raw, flags);
    let settings = Settings {
        file: path.map(Path::to_owned),
        ..settings
    };
    // In reading order.
    let mut problems = resolver.problems;
    problems.sort_by_key(|problem| problem.span.as_ref().map(|span| span.start));
    (settings, problems)
}

/// Agents of one trigger are one agent: the lower of their limits holds.
fn ceilings(raw: &RawSettings, agents: &BTreeMap<String, Agent>) -> Ceilings {
    let limits = |raw: &RawLimits| Limits {
        per_day: raw.per_day.as_ref().map(|field| field.value),
        per_hour: raw.per_hour.as_ref().map(|field| field.value),
    };
    let mut ceilings = Ceilings {
        daemon: limits(&raw.api.limits),
        agents: BTreeMap::new(),
    };
    for (name, agent) in &raw.agents {
        if let Some(known) = agents.get(&name.value) {
            let of_agent = ceilings.agents.entry(known.trigger_id.clone());
            let of_agent = of_agent.or_default();
            *of_agent = of_agent.and(limits(&agent.limits));
        }
    }
    ceilings
}

struct Resolver<'a> {
    folder: PathBuf,
    path: PathBuf,
    problems: Vec<Problem>,
    env: Env<'a>,
}

impl Resolver<'_> {
    fn settings(&mut self, raw: RawSettings, flags: &Flags) -> Settings {
        let schedules = flags
            .schedules
            .clone()
            .or_else(|| self.env_path("TRIGGERD_SCHEDULES"));
        let state = flags
            .state
            .clone()
            .or_else(|| self.env_path("TRIGGERD_STATE"))
            .or_else(|| self.file_path(&raw.state))
            .or_else(|| self.systemd_folder("STATE_DIRECTORY"));
        let mut tokens = BTreeMap::new();
        tokens.insert(TokenId::Default, self.token(raw.token.as_ref()));
        let agents = self.agents(&raw, &mut tokens);
        let state = state.unwrap_or_else(|| self.folder.join(defaults::STATE));
        let socket = raw.control_socket.as_ref();
        let socket = socket.map_or(defaults::CONTROL_SOCKET, |field| &field.value);
        let runtime = self.systemd_folder("RUNTIME_DIRECTORY");
        self.positive("ledger.retention", &raw.retention, "90d");
        Settings {
            file: None,
            http_listen: self.http_listen(&raw.http_listen),
            control_socket: runtime.as_ref().unwrap_or(&state).join(socket),
            schedules: schedules
                .or_else(|| self.file_path(&raw.schedules))
                .unwrap_or_else(|| self.folder.join(defaults::SCHEDULES)),
            state,
            database: self.database(&raw),
            namespace: self.namespace(&raw.namespace),
            watch: self.watch(&raw.watch),
            api: self.api(&raw),
            ceilings: ceilings(&raw, &agents),
            tokens,
            tokens_expire: tokens_expire(&raw),
            alerts: self.alerts(&raw.alerts),
            context: Context {
                agents,
                trigger_id: self.variable("WORKSPACE_AGENT_TRIGGER_ID"),
                output_destination: self.variable("WORKSPACE_AGENT_OUTPUT_DESTINATION"),
                defaults: raw.defaults,
            },
            log_format: flags
                .log_format
                .unwrap_or_else(|| self.log_format(&raw.log_format)),
            retention: raw
                .retention
                .map_or(defaults::RETENTION, |field| field.value),
            chores: Chores {
                prune: self.chore(raw.chores.prune, defaults::PRUNE),
                rescan: self.chore(raw.chores.rescan, defaults::RESCAN),
                summary: self.chore(raw.chores.summary, defaults::SUMMARY),
                expiry: self.chore(raw.chores.expiry, defaults::EXPIRY),
            },
        }
    }

    fn namespace(&mut self, field: &Option<Field<String>>) -> Namespace {
        let from_environment = self.variable("TRIGGERD_NAMESPACE");
        let place = field.as_ref().and_then(|field| field.span.clone());
        let (text, place) = match (&from_environment, field) {
            (Some(text), _) => (text.as_str(), None),
            (None, Some(field)) => (field.value.as_str(), place),
            (None, None) => return Namespace::default(),
        };
        Namespace::parse(text).unwrap_or_else(|error| {
            self.error(
                place,
                error.to_string(),
                "write it with at most 16 lower-case letters, digits and `-`, such as \"prod-eu\"",
            );
            Namespace::default()
        })
    }

    fn watch(&mut self, field: &Option<Field<String>>) -> WatchMode {
        let Some(field) = field else {
            return WatchMode::Inotify;
        };
        if field.value == "inotify" {
            return WatchMode::Inotify;
        }
        let period = field
            .value
            .strip_prefix("poll:")
            .and_then(crate::toml_file::duration);
        match period.filter(|period| !period.is_zero()) {
            Some(period) => WatchMode::Poll(period),
            None => {
                self.error(
                    field.span.clone(),
                    format!("unknown watch mode `{}`", field.value),
                    "write \"inotify\", or \"poll:10s\" where there is no inotify",
                );
                WatchMode::Inotify
            }
        }
    }

    fn api(&mut self, raw: &RawSettings) -> ApiSettings {
        let api = &raw.api;
        self.positive("api.timeout", &api.timeout, "60s");
        if let Some(field) = api
            .timeout
            .as_ref()
            .filter(|field| field.value < defaults::SHORTEST_USUAL_TIMEOUT)
            .filter(|field| !field.value.is_zero())
        {
            let problem = Problem::warning(
                &self.path,
                "a time-out under 30s makes false failures: the live service takes 4 to 10 s for its 202",
            );
            let problem = problem.help("write \"60s\", or leave it out");
            self.problems.push(problem.at(field.span.clone()));
        }
        ApiSettings {
            base_url: self.base_url(&api.base_url),
            timeout: api
                .timeout
                .as_ref()
                .map_or(defaults::TIMEOUT, |field| field.value),
            max_in_flight: api
                .max_in_flight
                .as_ref()
                .map_or(defaults::MAX_IN_FLIGHT, |field| field.value),
            proxy: api
                .proxy
                .as_ref()
                .map(|field| Secret::new(field.value.clone())),
            ca_file: self.file_path(&api.ca_file),
            track_runs: api.track_runs.as_ref().is_none_or(|field| field.value),
        }
    }

    fn base_url(&mut self, field: &Option<Field<String>>) -> BaseUrl {
        let from_environment = self.variable("TRIGGERD_API_BASE_URL");
        let place = field.as_ref().and_then(|field| field.span.clone());
        let (text, place, of) = match (from_environment, field) {
            (Some(text), _) => (text, None, "TRIGGERD_API_BASE_URL"),
            (None, Some(field)) => (field.value.clone(), place, "`api.base_url`"),
            (None, None) => return default_base_url(),
        };
        BaseUrl::parse(&text).unwrap_or_else(|error| {
            let problem = Problem::error(&self.path, format!("{of}: {error}"));
            self.problems.push(problem.at(place));
            default_base_url()
        })
    }

    fn token(&mut self, raw: Option<&RawToken>) -> TokenSource {
        let default = TokenSource::Env(defaults::TOKEN_VARIABLE.into());
        let Some(raw) = raw else {
            return default;
        };
        let mut sources = Vec::new();
        if let Some(field) = &raw.credential {
            sources.push(TokenSource::Credential(field.value.clone()));
        }
        if let Some(path) = self.file_path(&raw.file) {
            sources.push(TokenSource::File(path));
        }
        if let Some(field) = &raw.env {
            sources.push(TokenSource::Env(field.value.clone()));
        }
        match sources.len() {
            0 => default,
            1 => sources.swap_remove(0),
            _ => {
                self.error(
                    Some(raw.place.clone()),
                    "a token has more than one source",
                    "keep one of `credential`, `file` and `env`",
                );
                default
            }
        }
    }

    fn agents(
        &mut self,
        raw: &RawSettings,
        tokens: &mut BTreeMap<TokenId, TokenSource>,
    ) -> BTreeMap<String, Agent> {
        let mut agents = BTreeMap::new();
        for (name, agent) in &raw.agents {
            let Some(trigger_id) = &agent.trigger_id else {
                self.error(
                    name.span.clone(),
                    format!("agent `{}` has no `trigger_id`", name.value),
                    "add the `agtch_…` id of its API channel",
                );
                continue;
            };
            let id = match TriggerId::parse(&trigger_id.value) {
                Ok(id) => id,
                Err(error) => {
                    self.error(
                        trigger_id.span.clone(),
                        error.to_string(),
                        "copy the id from the agent's API channel; it starts with `agtch_`",
                    );
                    continue;
                }
            };
            if let Some(warning) = id.form_warning() {
                let problem = Problem::warning(&self.path, format!("`{id}` has an unusual form"));
                self.problems
                    .push(problem.at(trigger_id.span.clone()).help(warning));
            }
            if let Some(token) = &agent.token {
                let source = self.token(Some(token));
                tokens.insert(TokenId::Agent(name.value.clone()), source);
            }
            let agent = Agent {
                trigger_id: id,
                own_token: agent.token.is_some(),
            };
            agents.insert(name.value.clone(), agent);
        }
        agents
    }

    fn log_format(&mut self, field: &Option<Field<String>>) -> LogFormat {
        let Some(field) = field else {
            return LogFormat::Auto;
        };
        match field.value.as_str() {
            "auto" => LogFormat::Auto,
            "journal" => LogFormat::Journal,
            "text" | "pretty" => LogFormat::Text,
            "json" => LogFormat::Json,
            word => {
                let known = list(&["auto", "journal", "text", "json"]);
                self.error(
                    field.span.clone(),
                    format!("unknown log format `{word}`"),
                    format!("it is one of {known}"),
                );
                LogFormat::Auto
            }
        }
    }

    fn alerts(&mut self, raw: &RawAlerts) -> AlertSettings {
        self.positive("alerts.heartbeat_every", &raw.heartbeat_every, "5m");
        AlertSettings {
            webhook: self.address("alerts.webhook", &raw.webhook),
            heartbeat: self.address("alerts.heartbeat", &raw.heartbeat),
            heartbeat_every: raw
                .heartbeat_every
                .as_ref()
                .map_or(defaults::HEARTBEAT_EVERY, |field| field.value),
        }
    }

    /// It may hold a secret, and is quoted nowhere.
    fn address(&mut self, key: &str, field: &Option<Field<String>>) -> Option<Secret> {
        let field = field.as_ref()?;
        if !is_http(&field.value) {
            self.error(
                field.span.clone(),
                format!("`{key}` is not an http address"),
                "write an address that starts with https://",
            );
            return None;
        }
        Some(Secret::new(field.value.trim_end_matches('/')))
    }

    /// Who can reach it can read it: there is no login.
    fn http_listen(&mut self, field: &Option<Field<String>>) -> Option<SocketAddr> {
        let field = field.as_ref()?;
        let Ok(address) = field.value.parse::<SocketAddr>() else {
            self.error(
                field.span.clone(),
                format!("`{}` is no address to listen on", field.value),
                "write an IP address and a port, such as \"127.0.0.1:9464\" or \"[::1]:9464\"",
            );
            return None;
        };
        if !address.ip().is_loopback() {
            let problem = Problem::warning(
                &self.path,
                format!(
                    "`{address}` can be reached from other machines, and the page has no login"
                ),
            );
            let problem = problem
                .help("write \"127.0.0.1:9464\", and put a proxy that asks for a login before it");
            self.problems.push(problem.at(field.span.clone()));
        }
        Some(address)
    }

    /// Five fields in UTC, or `""` for never.
    fn chore(&mut self, field: Option<Field<String>>, default: &str) -> Option<String> {
        let Some(field) = field else {
            return Some(default.to_owned());
        };
        if field.value.is_empty() {
            return None;
        }
        let fields = field.value.split_ascii_whitespace().count();
        match CronExpr::parse(&field.value, "") {
            Ok(_) if fields == 5 => {
                if let Some((place, word, help)) = not_for_chores(&field.value) {
                    let message = format!("`{word}` is not for chores");
                    self.error(field.part(place), message, help);
                }
            }
            Ok(_) if fields == 1 => self.error(
                field.span.clone(),
                format!("`{}` is not for chores", field.value),
                "write minute, hour, day, month and weekday, or \"\" for never",
            ),
            Ok(_) => self.error(
                field.span.clone(),
                "six fields are too many: a chore has five",
                "write minute, hour, day, month and weekday, or \"\" for never",
            ),
            Err(error) => {
                let help = error
                    .help
                    .unwrap_or_else(|| "write five fields, or \"\" for never".into());
                self.error(field.part(error.span), error.message, help);
            }
        }
        Some(field.value)
    }

    /// `None` for the file in the state folder.
    fn database(&mut self, raw: &RawSettings) -> Option<Arc<Database>> {
        let Some(url) = &raw.ledger_url else {
            let unused = [
                (
                    "ca_file",
                    raw.ledger_ca_file.as_ref().map(|it| it.span.clone()),
                ),
                (
                    "password",
                    raw.ledger_password
                        .as_ref()
                        .map(|it| Some(it.place.clone())),
                ),
            ];
            for (key, place) in unused {
                if let Some(place) = place {
                    let message = format!("`ledger.{key}` is of no use without `ledger.url`");
                    self.error(
                        place,
                        message,
                        "add the address of the database, or take it out",
                    );
                }
            }
            return None;
        };
        let password = raw.ledger_password.as_ref();
        let password = password.and_then(|raw| self.password(raw));
        let ca_file = self.file_path(&raw.ledger_ca_file);
        match Database::parse(&url.value, password, ca_file) {
            Ok(database) => Some(Arc::new(database)),
            Err(BadAddress { message, help }) => {
                // Not where it stands: it would be drawn there, and may hold a password.
                self.error(None, message, help);
                None
            }
        }
    }

    fn password(&mut self, raw: &RawPassword) -> Option<Password> {
        match (self.file_path(&raw.file), &raw.credential) {
            (Some(path), None) => Some(Password::File(path)),
            (None, Some(name)) => Some(Password::Credential(name.value.clone())),
            (None, None) | (Some(_), Some(_)) => {
                let message = "`ledger.password` has not one place";
                let help = "write `{ file = \"…\" }` or `{ credential = \"…\" }`";
                self.error(Some(raw.place.clone()), message, help);
                None
            }
        }
    }

    fn positive(&mut self, key: &str, field: &Option<Field<Duration>>, example: &str) {
        if let Some(field) = field.as_ref().filter(|field| field.value.is_zero()) {
            self.error(
                field.span.clone(),
                format!("`{key}` is zero"),
                format!("write a length of time such as \"{example}\""),
            );
        }
    }

    fn file_path(&self, field: &Option<Field<String>>) -> Option<PathBuf> {
        field.as_ref().map(|field| self.folder.join(&field.value))
    }

    fn env_path(&self, name: &str) -> Option<PathBuf> {
        self.variable(name).map(PathBuf::from)
    }

    /// systemd separates several folders by colons; ours is the first.
    fn systemd_folder(&self, name: &str) -> Option<PathBuf> {
        let folders = self.variable(name)?;
        folders.split(':').next().map(PathBuf::from)
    }

    fn variable(&self, name: &str) -> Option<String> {
        (self.env)(name).filter(|value| !value.is_empty())
    }

    fn error(
        &mut self,
        place: Option<Range<usize>>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let problem = Problem::error(&self.path, message).at(place).help(help);
        self.problems.push(problem);
    }
}

/// What schedules can say and tokio-cron-scheduler can't, with its way out: where it stands in a right expression.
fn not_for_chores(expression: &str) -> Option<(Range<usize>, &'static str, &'static str)> {
    const WORDS: [(&str, &str); 2] = [
        ("H", "write a number, such as `17`"),
        ("LW", "write `L` for the last day of the month"),
    ];
    let upper = expression.to_ascii_uppercase();
    WORDS.into_iter().find_map(|(word, help)| {
        let mut places = upper.match_indices(word).map(|(at, _)| at);
        let at = places.find(|&at| at == 0 || upper[..at].ends_with([' ', '\t', ',']))?;
        Some((at..at + word.len(), word, help))
    })
}

fn default_base_url() -> BaseUrl {
    BaseUrl::parse(BaseUrl::DEFAULT).expect("the default is https")
}

fn tokens_expire(raw: &RawSettings) -> BTreeMap<TokenId, civil::Date> {
    let of = |token: &Option<RawToken>| Some(token.as_ref()?.expires.as_ref()?.value);
    let agents = raw
        .agents
        .iter()
        .filter_map(|(name, agent)| Some((TokenId::Agent(name.value.clone()), of(&agent.token)?)));
    let default = of(&raw.token).map(|expires| (TokenId::Default, expires));
    default.into_iter().chain(agents).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the three places say of one setting.
    #[derive(Clone, Copy, Default)]
    struct Said<'a> {
        flag: Option<&'a str>,
        env: Option<(&'a str, &'a str)>,
        file: &'a str,
    }

    fn settings(said: Said<'_>, flags: &Flags) -> Settings {
        let env = |name: &str| {
            said.env
                .filter(|(variable, _)| *variable == name)
                .map(|(_, value)| value.to_owned())
        };
        let path = Some(Path::new("/etc/triggerd/triggerd.toml"));
        let (settings, problems) = resolve(path, said.file, flags, &env);
        assert_eq!(problems, [], "{}", said.file);
        settings
    }

    #[test]
    fn flags_beat_environment_beats_file_beats_default() {
        #[track_caller]
        fn check(said: Said<'_>, shown: impl Fn(&Settings) -> String, expected: &str) {
            let flags = Flags {
                schedules: said.flag.map(PathBuf::from),
                state: said.flag.map(PathBuf::from),
                ..Flags::default()
            };
            assert_eq!(shown(&settings(said, &flags)), expected);
        }
        let nothing = Said::default();
        let file = |file| Said { file, ..nothing };
        let env = |name, file| Said {
            env: Some((name, "of-env")),
            file,
            ..nothing
        };
        let flag = |name, file| Said {
            flag: Some("of-flag"),
            ..env(name, file)
        };

        let schedules = |it: &Settings| it.schedules.display().to_string();
        let says = "schedules = \"of-file\"";
        check(nothing, schedules, "/etc/triggerd/schedules");
        check(file(says), schedules, "/etc/triggerd/of-file");
        check(env("TRIGGERD_SCHEDULES", says), schedules, "of-env");
        check(flag("TRIGGERD_SCHEDULES", says), schedules, "of-flag");
        check(file("schedules = \"/srv/s\""), schedules, "/srv/s");

        let state = |it: &Settings| it.state.display().to_string();
        let says = "state = \"of-file\"";
        check(nothing, state, "/etc/triggerd/state");
        check(env("STATE_DIRECTORY", ""), state, "of-env");
        check(env("STATE_DIRECTORY", says), state, "/etc/triggerd/of-file");
        check(env("TRIGGERD_STATE", says), state, "of-env");
        check(flag("TRIGGERD_STATE", says), state, "of-flag");

        let namespace = |it: &Settings| it.namespace.as_str().to_owned();
        let says = "namespace = \"of-file\"";
        check(nothing, namespace, "");
        check(file(says), namespace, "of-file");
        check(env("TRIGGERD_NAMESPACE", says), namespace, "of-env");

        let base_url = |it: &Settings| it.api.base_url.to_string();
        let says = "[api]\nbase_url = \"https://file.example/v1\"";
        let of_env = Said {
            env: Some(("TRIGGERD_API_BASE_URL", "https://env.example/v1")),
            ..file(says)
        };
        check(nothing, base_url, "https://api.chatgpt.com/v1");
        check(file(says), base_url, "https://file.example/v1");
        check(of_env, base_url, "https://env.example/v1");
    }

    #[test]
    fn the_log_format_of_a_flag_beats_the_file() {
        let flags = Flags {
            log_format: Some(LogFormat::Text),
            ..Flags::default()
        };
        let said = Said {
            file: "[log]\nformat = \"json\"",
            ..Said::default()
        };
        assert_eq!(settings(said, &flags).log_format, LogFormat::Text);
        let of_file = settings(said, &Flags::default());
        assert_eq!(of_file.log_format, LogFormat::Json);
    }

    #[test]
    fn of_several_folders_of_systemd_the_first_is_ours() {
        let said = Said {
            env: Some(("STATE_DIRECTORY", "/var/lib/triggerd:/var/lib/other")),
            ..Said::default()
        };
        let state = settings(said, &Flags::default()).state;
        assert_eq!(state, Path::new("/var/lib/triggerd"));
    }

    #[test]
    fn an_empty_variable_says_nothing() {
        let said = Said {
            env: Some(("TRIGGERD_STATE", "")),
            ..Said::default()
        };
        let state = settings(said, &Flags::default()).state;
        assert_eq!(state, Path::new("/etc/triggerd/state"));
    }

    #[test]
    fn paths_are_relative_to_the_file() {
        let said = Said {
            file: "[api]\nca_file = \"ca.pem\"\n[token]\nfile = \"token\"",
            ..Said::default()
        };
        let settings = settings(said, &Flags::default());
        let ca_file = settings.api.ca_file.as_deref();
        assert_eq!(ca_file, Some(Path::new("/etc/triggerd/ca.pem")));
        assert_eq!(
            settings.tokens[&TokenId::Default],
            TokenSource::File("/etc/triggerd/token".into())
        );
    }

    #[test]
    fn without_a_file_the_defaults_are_in_the_working_folder() {
        let settings = Settings::without_file(&Flags::default(), &|_| None);
        assert_eq!(settings.schedules, Path::new("schedules"));
        assert_eq!(settings.state, Path::new("state"));
        assert_eq!(settings.watch, WatchMode::Inotify);
        assert_eq!(settings.api.timeout, Duration::from_secs(60));
        assert_eq!(settings.api.max_in_flight, 1024);
        assert!(settings.api.track_runs);
        assert_eq!(settings.retention, Duration::from_secs(90 * 86_400));
        assert_eq!(settings.log_format, LogFormat::Auto);
        assert_eq!(settings.chores.prune.as_deref(), Some("17 3 * * *"));
        assert_eq!(settings.chores.rescan.as_deref(), Some("*/5 * * * *"));
        assert_eq!(settings.chores.summary.as_deref(), Some("0 * * * *"));
        assert_eq!(
            settings.tokens[&TokenId::Default],
            TokenSource::Env("WORKSPACE_AGENT_ACCESS_TOKEN".into())
        );
    }
}
