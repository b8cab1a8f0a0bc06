//! What triggerd.toml says, key by key. It knows no default and no rule; those are `resolve`'s.

use std::ops::Range;
use std::time::Duration;

use jiff::civil;

use crate::schedule::file::RawSchedule;
use crate::toml_file::{Field, Table};

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct RawSettings {
    pub(super) schedules: Option<Field<String>>,
    pub(super) state: Option<Field<String>>,
    pub(super) namespace: Option<Field<String>>,
    pub(super) watch: Option<Field<String>>,
    pub(super) api: RawApi,
    pub(super) token: Option<RawToken>,
    pub(super) agents: Vec<(Field<String>, RawAgent)>,
    pub(super) defaults: RawSchedule,
    pub(super) http_listen: Option<Field<String>>,
    pub(super) control_socket: Option<Field<String>>,
    pub(super) log_format: Option<Field<String>>,
    pub(super) alerts: RawAlerts,
    pub(super) retention: Option<Field<Duration>>,
    pub(super) ledger_url: Option<Field<String>>,
    pub(super) ledger_ca_file: Option<Field<String>>,
    pub(super) ledger_password: Option<RawPassword>,
    pub(super) chores: RawChores,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct RawApi {
    pub(super) base_url: Option<Field<String>>,
    pub(super) timeout: Option<Field<Duration>>,
    pub(super) max_in_flight: Option<Field<u32>>,
    pub(super) proxy: Option<Field<String>>,
    pub(super) ca_file: Option<Field<String>>,
    pub(super) track_runs: Option<Field<bool>>,
    pub(super) limits: RawLimits,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct RawToken {
    pub(super) place: Range<usize>,
    pub(super) credential: Option<Field<String>>,
    pub(super) file: Option<Field<String>>,
    pub(super) env: Option<Field<String>>,
    pub(super) expires: Option<Field<civil::Date>>,
}

/// Of the ledger's database.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RawPassword {
    pub(super) place: Range<usize>,
    pub(super) file: Option<Field<String>>,
    pub(super) credential: Option<Field<String>>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct RawAgent {
    pub(super) trigger_id: Option<Field<String>>,
    pub(super) token: Option<RawToken>,
    pub(super) limits: RawLimits,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct RawLimits {
    pub(super) per_day: Option<Field<u32>>,
    pub(super) per_hour: Option<Field<u32>>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct RawChores {
    pub(super) prune: Option<Field<String>>,
    pub(super) rescan: Option<Field<String>>,
    pub(super) summary: Option<Field<String>>,
    pub(super) expiry: Option<Field<String>>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct RawAlerts {
    pub(super) webhook: Option<Field<String>>,
    pub(super) heartbeat: Option<Field<String>>,
    pub(super) heartbeat_every: Option<Field<Duration>>,
}

impl RawSettings {
    pub(super) fn read(table: &mut Table<'_, '_>) -> Self {
        let ledger = table.table("ledger", |table, _| {
            let password = table.table("password", |table, place| RawPassword {
                place,
                file: table.get("file"),
                credential: table.get("credential"),
            });
            (
                table.get("retention"),
                table.get("url"),
                table.get("ca_file"),
                password,
            )
        });
        let (retention, ledger_url, ledger_ca_file, ledger_password) = ledger.unwrap_or_default();
        Self {
            schedules: table.get("schedules"),
            state: table.get("state"),
            namespace: table.get("namespace"),
            watch: table.get("watch"),
            api: table
                .table("api", |table, _| RawApi {
                    base_url: table.get("base_url"),
                    timeout: table.get("timeout"),
                    max_in_flight: table.get("max_in_flight"),
                    proxy: table.get("proxy"),
                    ca_file: table.get("ca_file"),
                    track_runs: table.get("track_runs"),
                    limits: RawLimits::read(table),
                })
                .unwrap_or_default(),
            token: table.table("token", RawToken::read),
            agents: table.named_tables("agents", |_, table| RawAgent {
                trigger_id: table.get("trigger_id"),
                token: table.table("token", RawToken::read),
                limits: RawLimits::read(table),
            }),
            defaults: table
                .table("defaults", |table, _| RawSchedule::read(table))
                .unwrap_or_default(),
            http_listen: table
                .table("http", |table, _| table.get("listen"))
                .flatten(),
            control_socket: table
                .table("control", |table, _| table.get("socket"))
                .flatten(),
            log_format: table.table("log", |table, _| table.get("format")).flatten(),
            alerts: table
                .table("alerts", |table, _| RawAlerts {
                    webhook: table.get("webhook"),
                    heartbeat: table.get("heartbeat"),
                    heartbeat_every: table.get("heartbeat_every"),
                })
                .unwrap_or_default(),
            retention,
            ledger_url,
            ledger_ca_file,
            ledger_password,
            chores: table
                .table("chores", |table, _| RawChores {
                    prune: table.get("prune"),
                    rescan: table.get("rescan"),
                    summary: table.get("summary"),
                    expiry: table.get("expiry"),
                })
                .unwrap_or_default(),
        }
    }
}

impl RawLimits {
    fn read(table: &mut Table<'_, '_>) -> Self {
        Self {
            per_day: table.get("per_day"),
            per_hour: table.get("per_hour"),
        }
    }
}

impl RawToken {
    fn read(table: &mut Table<'_, '_>, place: Range<usize>) -> Self {
        Self {
            place,
            credential: table.get("credential"),
            file: table.get("file"),
            env: table.get("env"),
            expires: table.get("expires"),
        }
    }
}
