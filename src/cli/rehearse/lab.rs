//! Where the tests are tried, and the tests: each a call or two, and what can be seen of it from here.
//! It prints nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use jiff::{SignedDuration, Timestamp};
use tokio::net::TcpListener;

use super::{Result, Row};
use crate::api::base_url::BaseUrl;
use crate::api::http::HttpApi;
use crate::api::token::{TokenId, TokenSource, Tokens};
use crate::api::wire::{RunStatus, TriggerBody};
use crate::api::{RunAnswer, TriggerApi, TriggerRequest};
use crate::cli::run::api;
use crate::cli::{Workplace, environment};
use crate::plan::delivery::{Body, Delivery, Opened, Window};
use crate::plan::occurrence::{Namespace, Occurrence};
use crate::plan::outcome::{Acceptance, Answer, Outcome};
use crate::sandbox::{self, Conduct, Sandbox};
use crate::schedule::{Schedule, Target, TriggerId};
use crate::settings::ApiSettings;

/// Where it is tried, and what can be seen there.
pub(super) struct Lab {
    api: HttpApi,
    /// `None` where it is live.
    pub(super) sandbox: Option<Sandbox>,
    limit: Duration,
}

/// Between two looks at a run.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
const STRANGER: &str = "stranger";
const NO_SUCH_TRIGGER: &str = "agtch_00000000000000000000000000000404";

impl Lab {
    pub(super) fn live(workplace: &Workplace) -> anyhow::Result<Self> {
        let settings = workplace.settings();
        let tokens = Arc::new(Tokens::new(settings.tokens.clone(), Box::new(environment)));
        Ok(Self {
            api: api(&settings.api, &tokens)?,
            sandbox: None,
            limit: Duration::from_secs(600),
        })
    }

    pub(super) async fn on_a_sandbox(settings: &ApiSettings) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .context("no port can be had on 127.0.0.1")?;
        let at_once = sandbox::Settings {
            conduct: Conduct {
                queue_ms: 0,
                run_ms: 0,
                ..Conduct::default()
            },
            ..sandbox::Settings::default()
        };
        let sandbox = Sandbox::start(listener, &at_once)?;
        let settings = ApiSettings {
            base_url: BaseUrl::parse(&sandbox.base_url())?,
            proxy: None,
            ca_file: None,
            track_runs: true,
            ..settings.clone()
        };
        let source = |name: &str| TokenSource::Env(name.into());
        let sources = BTreeMap::from([
            (TokenId::Default, source("owner")),
            (TokenId::Agent(STRANGER.into()), source(STRANGER)),
        ]);
        let values = |name: &str| match name {
            STRANGER => Some(sandbox::STRANGERS_TOKEN.to_owned()),
            _ => Some(sandbox::TOKEN.to_owned()),
        };
        let tokens = Arc::new(Tokens::new(sources, Box::new(values)));
        Ok(Self {
            api: api(&settings, &tokens)?,
            sandbox: Some(sandbox),
            limit: Duration::from_secs(20),
        })
    }

    pub(super) async fn rows(
        &self,
        schedule: &Schedule,
        namespace: &Namespace,
        now: Timestamp,
    ) -> anyhow::Result<Vec<Row>> {
        let event = freeze(schedule, namespace, now)?;
        let unnamed = without_request_id(freeze(
            schedule,
            namespace,
            now + SignedDuration::from_millis(1),
        )?)?;
        let refused = freeze(schedule, namespace, now + SignedDuration::from_millis(2))?;
        let first = self.api.trigger(request(&event)).await;
        let mut rows = vec![
            self.happy_path(&event, &first).await,
            self.missing_request_id(&unnamed).await,
            self.again(&event, &first).await,
        ];
        let stranger = TriggerRequest {
            token: TokenId::Agent(STRANGER.into()),
            ..request(&refused)
        };
        let wrong_id = TriggerRequest {
            trigger_id: TriggerId::parse(NO_SUCH_TRIGGER)?,
            ..request(&refused)
        };
        let unpublished = TriggerRequest {
            trigger_id: TriggerId::parse(sandbox::UNPUBLISHED_TRIGGER_ID)?,
            ..request(&refused)
        };
        let strangers = "a token whose owner the agent is not shared with";
        let not_runnable = "an agent or channel that is not runnable";
        rows.push(match self.sandbox {
            Some(_) => self.refusal(strangers, 403, stranger).await,
            None => left_out(strangers, 403, "it takes the token of somebody else"),
        });
        rows.push(self.refusal("a wrong trigger id", 404, wrong_id).await);
        rows.push(match self.sandbox {
            Some(_) => self.refusal(not_runnable, 409, unpublished).await,
            None => left_out(not_runnable, 409, "it takes an agent that is not published"),
        });
        Ok(rows)
    }

    async fn happy_path(&self, event: &Delivery, answer: &Answer) -> Row {
        let expected = match self.sandbox {
            Some(_) => "202, and the update with the request id is written".to_owned(),
            None => "202, and a completed run".to_owned(),
        };
        let Outcome::Accepted(acceptance) = &answer.outcome else {
            return row("happy path", expected, said(answer), false);
        };
        let status = self.status_of(event, acceptance).await;
        let is_written = self.is_written(&event.request_id);
        let written = match is_written {
            Some(true) => ", and the update is written".to_owned(),
            Some(false) => ", and no update with the request id is written".to_owned(),
            None => format!("; look for `{}` in the destination", event.request_id),
        };
        let got = format!("202, run {}{written}", word(status.as_ref()));
        let is_done = matches!(status, Some(RunStatus::Completed) | None);
        row(
            "happy path",
            expected,
            got,
            is_done && is_written != Some(false),
        )
    }

    async fn missing_request_id(&self, event: &Delivery) -> Row {
        const TEST: &str = "missing request id";
        let expected = "202, and the agent asks for it and writes nothing";
        let before = self.updates();
        let answer = self.api.trigger(request(event)).await;
        let Outcome::Accepted(acceptance) = &answer.outcome else {
            return row(TEST, expected, said(&answer), false);
        };
        let status = self.status_of(event, acceptance).await;
        let writes = self.updates() != before;
        let written = match (self.sandbox.is_some(), writes) {
            (true, true) => ", and an update is written",
            (true, false) => ", and nothing is written",
            (false, _) => "; look at the conversation and the destination",
        };
        let got = format!("202, run {}{written}", word(status.as_ref()));
        row(
            TEST,
            expected,
            got,
            !writes && status != Some(RunStatus::Failed),
        )
    }

    async fn again(&self, event: &Delivery, first: &Answer) -> Row {
        const TEST: &str = "the same event again, same key";
        let expected = "202, the first outcome, and nothing queued twice";
        let before = self.effects();
        let answer = self.api.trigger(request(event)).await;
        let (Outcome::Accepted(one), Outcome::Accepted(other)) = (&first.outcome, &answer.outcome)
        else {
            return row(TEST, expected, said(&answer), false);
        };
        let is_queued_twice = self.effects() != before;
        let got = match (one == other, is_queued_twice) {
            (true, false) => "202, the first outcome",
            (false, _) => "202, another outcome",
            (true, true) => "202, and the event was queued twice",
        };
        row(TEST, expected, got, one == other && !is_queued_twice)
    }

    async fn refusal(&self, test: &'static str, status: u16, request: TriggerRequest) -> Row {
        let answer = self.api.trigger(request).await;
        let is_as_expected = answer.http_status == Some(status);
        row(test, status.to_string(), said(&answer), is_as_expected)
    }

    /// Of its run when it no longer waits or works; `None` without a run id, or if that takes too long.
    async fn status_of(&self, event: &Delivery, acceptance: &Acceptance) -> Option<RunStatus> {
        let run_id = acceptance.run_id.as_ref()?;
        let Target { token, trigger_id } = &event.target;
        let mut pause = Duration::from_millis(20);
        let asking = async {
            loop {
                let answer = self.api.run_status(token, trigger_id, run_id).await;
                match answer {
                    RunAnswer::Found(run)
                        if !matches!(run.status, RunStatus::Queued | RunStatus::InProgress) =>
                    {
                        return Some(run.status);
                    }
                    RunAnswer::NotFound | RunAnswer::Refused(_) => return None,
                    RunAnswer::Found(_) | RunAnswer::Unknown { .. } => {
                        tokio::time::sleep(pause).await;
                        pause = (2 * pause).min(LONGEST_PAUSE);
                    }
                }
            }
        };
        tokio::time::timeout(self.limit, asking)
            .await
            .ok()
            .flatten()
    }

    /// `None` where that can't be seen from here.
    fn is_written(&self, request_id: &str) -> Option<bool> {
        let updates = self.sandbox.as_ref()?.updates();
        let is_named = |text: &str| {
            text.lines()
                .next()
                .is_some_and(|it| it.contains(request_id))
        };
        Some(updates.iter().any(|update| is_named(&update.text)))
    }

    fn updates(&self) -> usize {
        self.sandbox.as_ref().map_or(0, |it| it.updates().len())
    }

    fn effects(&self) -> usize {
        self.sandbox.as_ref().map_or(0, |it| it.effects().len())
    }
}

fn freeze(schedule: &Schedule, namespace: &Namespace, now: Timestamp) -> anyhow::Result<Delivery> {
    let occurrence = Occurrence::manual(&schedule.id, now);
    let previous = schedule.recurrence.previous_before(now);
    let window = Window {
        start: previous.map_or(now, |slot| slot.at),
        end: now,
        missed_count: 0,
    };
    let frozen = Delivery::freeze(schedule, namespace, occurrence, window, Opened::At(now));
    match frozen {
        (delivery, None) => Ok(delivery),
        (_, Some(error)) => bail!("its text can't be rendered: {error}"),
    }
}

/// The same event, as one would send it who forgot the id.
fn without_request_id(delivery: Delivery) -> anyhow::Result<Delivery> {
    let body: serde_json::Value = serde_json::from_str(&delivery.body.json)?;
    let input = body["input"].as_str().unwrap_or_default();
    let body = TriggerBody {
        conversation_key: None,
        input: input.replace(&*delivery.request_id, ""),
    };
    Ok(Delivery {
        body: Body::new(body.to_json()),
        ..delivery
    })
}

fn request(delivery: &Delivery) -> TriggerRequest {
    TriggerRequest {
        trigger_id: delivery.target.trigger_id.clone(),
        token: delivery.target.token.clone(),
        idempotency_key: delivery.idempotency_key.clone(),
        body: delivery.body.json.clone(),
    }
}

fn row(
    test: &'static str,
    expected: impl Into<String>,
    got: impl Into<String>,
    is_as_expected: bool,
) -> Row {
    Row {
        test,
        expected: expected.into(),
        got: got.into(),
        result: match is_as_expected {
            true => Result::Ok,
            false => Result::Mismatch,
        },
    }
}

fn left_out(test: &'static str, expected: u16, why: &str) -> Row {
    Row {
        test,
        expected: expected.to_string(),
        got: format!("not tried: {why}"),
        result: Result::LeftOut,
    }
}

fn said(answer: &Answer) -> String {
    let status = match answer.http_status {
        Some(status) => status.to_string(),
        None => "no answer".to_owned(),
    };
    match answer.detail.as_str() {
        "" => status,
        detail => format!("{status}: {detail}"),
    }
}

fn word(status: Option<&RunStatus>) -> &str {
    status.map_or("of unknown status", RunStatus::as_str)
}
