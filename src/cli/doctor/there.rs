//! What is to be looked at between here and the API: names, TLS, clocks, tokens and trigger ids.
//! Nothing that it sends starts anything.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::Check;
use crate::api::http::{Greeting, HttpApi};
use crate::api::token::{TokenId, TokenSource, Tokens, form_warning};
use crate::api::{TokenProbe, TriggerApi};
use crate::cli::environment;
use crate::cli::run::api;
use crate::clock::{Clock, SystemClock};
use crate::schedule::{Schedule, TriggerId};
use crate::settings::{ApiSettings, Settings};

/// Nobody waits for longer in front of a terminal.
const PATIENCE: Duration = Duration::from_secs(15);

pub(super) async fn look(
    settings: &Settings,
    schedules: &[Arc<Schedule>],
    checks: &mut Vec<Check>,
) {
    let targets = targets(settings, schedules);
    checks.push(trigger_ids(&targets));
    checks.push(dns(&settings.api).await);
    let tokens = Arc::new(Tokens::new(settings.tokens.clone(), Box::new(environment)));
    let with_patience = ApiSettings {
        timeout: settings.api.timeout.min(PATIENCE),
        ..settings.api.clone()
    };
    let api = match api(&with_patience, &tokens) {
        Ok(api) => api,
        Err(error) => {
            checks.push(Check::error("api", &error.into()));
            return;
        }
    };
    let before = SystemClock::new().now().wall;
    let greeting = api.greet().await;
    checks.push(reached(&settings.api, &greeting));
    if let Ok(greeting) = &greeting {
        checks.push(clock(before, SystemClock::new().now().wall, greeting.date));
    }
    for (id, source) in &settings.tokens {
        let of_agent = targets.get(id);
        // The default one may be nobody's.
        if of_agent.is_some() || *id == TokenId::Default && targets.is_empty() {
            let triggers = of_agent.cloned().unwrap_or_default();
            token(&api, &tokens, id, source, &triggers, checks).await;
        }
    }
}

/// Which triggers each token is for: those of the schedules, and of agents that no schedule names.
fn targets(
    settings: &Settings,
    schedules: &[Arc<Schedule>],
) -> BTreeMap<TokenId, BTreeSet<TriggerId>> {
    let mut targets: BTreeMap<TokenId, BTreeSet<TriggerId>> = BTreeMap::new();
    for schedule in schedules {
        let target = &schedule.target;
        let triggers = targets.entry(target.token.clone()).or_default();
        triggers.insert(target.trigger_id.clone());
    }
    for (name, agent) in &settings.context.agents {
        let token = match agent.own_token {
            true => TokenId::Agent(name.clone()),
            false => TokenId::Default,
        };
        let triggers = targets.entry(token).or_default();
        triggers.insert(agent.trigger_id.clone());
    }
    let of_environment = settings.context.trigger_id.as_deref();
    if targets.is_empty()
        && let Some(Ok(trigger_id)) = of_environment.map(TriggerId::parse)
    {
        targets.insert(TokenId::Default, [trigger_id].into());
    }
    targets
}

fn trigger_ids(targets: &BTreeMap<TokenId, BTreeSet<TriggerId>>) -> Check {
    const NAME: &str = "trigger ids";
    let ids: BTreeSet<&TriggerId> = targets.values().flatten().collect();
    let unusual = ids.iter().find_map(|id| Some((*id, id.form_warning()?)));
    match (ids.len(), unusual) {
        (_, Some((id, warning))) => {
            Check::warning(NAME, format!("`{id}` has an unusual form"), warning)
        }
        (0, None) => Check::warning(
            NAME,
            "none is named",
            "add an agent to triggerd.toml, or set WORKSPACE_AGENT_TRIGGER_ID",
        ),
        (1, None) => Check::ok(NAME, "1, of the usual form"),
        (count, None) => Check::ok(NAME, format!("{count}, all of the usual form")),
    }
}

async fn dns(api: &ApiSettings) -> Check {
    let (host, port) = api.base_url.host_and_port();
    let found = tokio::time::timeout(PATIENCE, tokio::net::lookup_host((host, port))).await;
    let found = match found {
        Ok(Ok(addresses)) => Ok(addresses.count()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {PATIENCE:?}")),
    };
    let may_use_a_proxy = !api.base_url.is_loopback()
        && (api.proxy.is_some()
            || ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]
                .iter()
                .any(|name| environment(name).is_some()));
    match found {
        Ok(count) if count > 0 => Check::ok("dns", format!("`{host}` is found")),
        Ok(_) => Check::failed("dns", format!("`{host}` has no address"), DNS_WAY_OUT),
        Err(error) if may_use_a_proxy => Check::warning(
            "dns",
            format!("`{host}` is not found: {error}"),
            "nothing, if the proxy finds it",
        ),
        Err(error) => Check::failed(
            "dns",
            format!("`{host}` is not found: {error}"),
            DNS_WAY_OUT,
        ),
    }
}

const DNS_WAY_OUT: &str = "look at /etc/resolv.conf and at `api.base_url`";

fn reached(api: &ApiSettings, greeting: &Result<Greeting, String>) -> Check {
    const NAME: &str = "api";
    let base_url = &api.base_url;
    match greeting {
        Ok(greeting) => {
            let status = greeting.http_status;
            let what = match status {
                // No question was asked that it could answer.
                400..=499 => {
                    format!(
                        "{base_url} can be reached (http {status}: it was asked nothing; the token is tried below)"
                    )
                }
                _ => format!("{base_url} answers, with http {status}"),
            };
            match status {
                300..=399 => Check::warning(
                    NAME,
                    what,
                    "check `api.base_url`: a redirect is never followed",
                ),
                500..=599 => Check::warning(NAME, what, "nothing, if it passes"),
                _ if base_url.is_tls() => Check::ok(NAME, format!("{what}, over TLS")),
                _ => Check::ok(NAME, what),
            }
        }
        Err(detail) => {
            let way_out = match detail.contains("certificate") {
                true => {
                    "install `ca-certificates`, or name the certificates of what stands between as `api.ca_file`"
                }
                false => "look at the network, at the proxy and at `api.base_url`",
            };
            Check::failed(
                NAME,
                format!("{base_url} does not answer: {detail}"),
                way_out,
            )
        }
    }
}

/// By their date, which is cut to the second, over a call that lasted from `before` to `after`.
fn clock(before: Timestamp, after: Timestamp, date: Option<Timestamp>) -> Check {
    const NAME: &str = "clock";
    let Some(date) = date else {
        let what = "the API did not say what time it is";
        return Check::warning(NAME, what, "see that `timedatectl` says synchronized");
    };
    let ahead = before.duration_since(date).as_secs_f64() - 1.0;
    let behind = date.duration_since(after).as_secs_f64();
    let (off, way) = match ahead > behind {
        true => (ahead, "ahead of"),
        false => (behind, "behind"),
    };
    let way_out = "let an NTP client set it: occurrences are due by this clock";
    let what = format!("it is {} s {way} the API's", off.max(0.0).round());
    match off {
        60.0.. => Check::failed(NAME, what, way_out),
        5.0.. => Check::warning(NAME, what, way_out),
        _ => Check::ok(NAME, "it agrees with the API's"),
    }
}

async fn token(
    api: &HttpApi,
    tokens: &Tokens,
    id: &TokenId,
    source: &TokenSource,
    triggers: &BTreeSet<TriggerId>,
    checks: &mut Vec<Check>,
) {
    let name = match id {
        TokenId::Default => "token".to_owned(),
        TokenId::Agent(agent) => format!("token {agent}"),
    };
    let secret = match tokens.current(id) {
        Ok(secret) => secret,
        Err(error) => {
            checks.push(Check::error(&name, &error.into()));
            return;
        }
    };
    if let Some(warning) = form_warning(&secret) {
        checks.push(Check::warning(&name, "its form is unusual", warning));
    }
    if let Some(warning) = source.warning(&environment) {
        let (what, way_out) = warning.split_once("; ").unwrap_or((&warning, ""));
        checks.push(Check::warning(&name, what, way_out));
    }
    let mut works = false;
    for trigger_id in triggers {
        let check = match api.probe_token(id, trigger_id).await {
            TokenProbe::Works => {
                works = true;
                continue;
            }
            TokenProbe::NotAllowed(detail) => Check::failed(
                &name,
                format!("its owner may not run the agent of `{trigger_id}`: {detail}"),
                "share the agent with the token's owner, or use an allowed owner's token",
            ),
            TokenProbe::Refused(detail) => Check::failed(
                &name,
                format!("it is refused: {detail}"),
                "make a Workspace Agent access token in ChatGPT under Admin > Access tokens",
            ),
            TokenProbe::Unknown(detail) => Check::warning(
                &name,
                format!("whether it works is not known: {detail}"),
                "try again when the API answers",
            ),
        };
        let is_of_one_trigger = check.what.contains(trigger_id.as_str());
        checks.push(check);
        if !is_of_one_trigger {
            return;
        }
    }
    if works {
        checks.push(Check::ok(&*name, format!("it works ({source})")));
    }
    if triggers.is_empty() {
        let what = "it can't be tried without a trigger id";
        checks.push(Check::warning(&name, what, "name an agent"));
    }
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;

    #[test]
    fn the_clock_may_be_off_by_little() {
        #[track_caller]
        fn check(date: &str, expected: Status, what: &str) {
            let at = |text: &str| text.parse().expect("an instant");
            let (before, after) = (at("2026-11-23T09:00:00.9Z"), at("2026-11-23T09:00:02Z"));
            let check = clock(before, after, Some(at(date)));
            assert_eq!((check.status, check.what.as_str()), (expected, what));
        }
        // Cut to the second, and answered before the call was over.
        check(
            "2026-11-23T09:00:00Z",
            Status::Ok,
            "it agrees with the API's",
        );
        check(
            "2026-11-23T09:00:02Z",
            Status::Ok,
            "it agrees with the API's",
        );
        check(
            "2026-11-23T09:00:06Z",
            Status::Ok,
            "it agrees with the API's",
        );
        check(
            "2026-11-23T09:00:07Z",
            Status::Warning,
            "it is 5 s behind the API's",
        );
        check(
            "2026-11-23T08:59:54Z",
            Status::Warning,
            "it is 6 s ahead of the API's",
        );
        check(
            "2026-11-23T08:58:59Z",
            Status::Failed,
            "it is 61 s ahead of the API's",
        );
        check(
            "2026-11-23T09:01:02Z",
            Status::Failed,
            "it is 60 s behind the API's",
        );
        let without = clock(Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH, None);
        assert_eq!(without.status, Status::Warning);
    }
}
