//! Sends what people should hear to a webhook, and heartbeats to where silence is noticed. Nothing
//! waits for it: what can't be sent is tried again, and what comes meanwhile goes along.
//! What is worth an alert is `plan::alert`'s knowledge.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::StatusCode;
use serde::Serialize;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::outbound;
use crate::api::token::Secret;
use crate::clock::{Boottime, Clock, Wake};
use crate::daemon::event::Event;
use crate::plan::agenda::Notice;
use crate::plan::alert::{self, Alarms, Alert, Sign, Subject};
use crate::plan::delivery::Verdict;
use crate::plan::fact::Fact;
use crate::plan::run::{Finding, Progress, RunEnd};
use crate::schedule::ScheduleId;
use crate::schedule::problem::{Problem, Severity};

/// Where alerts and the daemon's own heartbeat go; addresses may hold secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertSettings {
    pub webhook: Option<Secret>,
    pub heartbeat: Option<Secret>,
    pub heartbeat_every: Duration,
}

/// Takes signs from all over the daemon. Cheap to clone; without a webhook signs go nowhere.
#[derive(Clone, Default)]
pub struct Alerts {
    signs: Option<mpsc::UnboundedSender<Sign>>,
    pings: Pings,
}

/// Begins to send. It ends with `stop`.
pub fn start<C: Clock>(
    settings: &AlertSettings,
    clock: Arc<C>,
    stop: &CancellationToken,
) -> Alerts {
    let signs = settings.webhook.clone().map(|webhook| {
        let (signs, heard) = mpsc::unbounded_channel();
        let mail = Mail {
            webhook,
            clock,
            heard,
            alarms: Alarms::default(),
            unsent: Vec::new(),
            failures: 0,
            retry_at: None,
        };
        let stop = stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = mail.run() => {}
            }
        });
        signs
    });
    Alerts {
        signs,
        pings: Pings::default(),
    }
}

impl Alerts {
    /// `heartbeat`: where the schedule that the fact is about sends its own.
    pub fn fact(&self, fact: &Fact, heartbeat: Option<&str>) {
        if self.signs.is_some() {
            for sign in Sign::of_fact(fact) {
                self.sign(sign);
            }
        }
        if let Some((url, beat)) = heartbeat.zip(Beat::of(fact)) {
            self.pings.send(format!("{url}{}", beat.suffix()));
        }
    }

    pub fn notice(&self, notice: &Notice) {
        if self.signs.is_some()
            && let Some(sign) = Sign::of_notice(notice)
        {
            self.sign(sign);
        }
    }

    /// The problems of all files as they are now; they are looked at only where somebody is told.
    pub fn files<'a>(&self, problems: impl IntoIterator<Item = &'a Problem>) {
        if self.signs.is_some() {
            self.sign(of_files(problems));
        }
    }

    pub fn sign(&self, sign: Sign) {
        if let Some(signs) = &self.signs {
            // It ends only with the daemon.
            let _ = signs.send(sign);
        }
    }

    /// Tells the world every `every` that the engine lives: it is asked each time.
    pub async fn beat<C: Clock>(
        self,
        url: Secret,
        every: Duration,
        clock: Arc<C>,
        engine: mpsc::UnboundedSender<Event>,
    ) {
        loop {
            let (reply, replied) = oneshot::channel();
            let _ = engine.send(Event::Look { reply });
            let lives = tokio::time::timeout(Duration::from_secs(10), replied).await;
            let suffix = match lives {
                Ok(Ok(_)) => "",
                Ok(Err(_)) | Err(_) => Beat::Fail.suffix(),
            };
            self.pings.send(format!("{}{suffix}", url.expose()));
            let wake = Wake {
                wall: None,
                boot: Some(clock.now().boot + every),
            };
            clock.sleep_until(wake).await;
        }
    }
}

fn of_files<'a>(problems: impl IntoIterator<Item = &'a Problem>) -> Sign {
    let mut broken = problems
        .into_iter()
        .filter(|problem| problem.severity == Severity::Error);
    match broken.next() {
        None => alert::good(Subject::Files),
        Some(first) => alert::bad(
            Subject::Files,
            format!(
                "{} has an error, and its last good version stays in force: {}{}",
                first.path.display(),
                first.message,
                match broken.count() {
                    0 => String::new(),
                    more => format!(" (and {more} more)"),
                }
            ),
        ),
    }
}

/// What a schedule's own heartbeat says, in the way of healthchecks.io.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beat {
    /// Accepted; its run goes on.
    Start,
    Success,
    Fail,
}

impl Beat {
    fn of(fact: &Fact) -> Option<Self> {
        match fact {
            Fact::Ended(ending) => match ending.verdict {
                Verdict::Accepted => {
                    let last = ending.last.as_ref()?;
                    Some(match last.answer.run_id() {
                        Some(_) => Beat::Start,
                        None => Beat::Success,
                    })
                }
                Verdict::Rejected | Verdict::Expired => Some(Beat::Fail),
                Verdict::Skipped(_) => None,
            },
            Fact::Run(report) => match &report.progress {
                Progress::Status(_) => None,
                Progress::Ended(RunEnd::Completed(None | Some(Finding::Confirmed))) => {
                    Some(Beat::Success)
                }
                Progress::Ended(_) => Some(Beat::Fail),
            },
            _ => None,
        }
    }

    fn suffix(self) -> &'static str {
        match self {
            Beat::Start => "/start",
            Beat::Success => "",
            Beat::Fail => "/fail",
        }
    }
}

/// Sends heartbeats, a few at a time.
#[derive(Clone)]
struct Pings(Arc<Semaphore>);

impl Default for Pings {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(8)))
    }
}

impl Pings {
    /// Most that wait to be sent: beyond, the receiver is too slow to be told more.
    const MOST: usize = 10_000;
    const TRIES: [Duration; 3] = [
        Duration::from_secs(5),
        Duration::from_secs(30),
        Duration::ZERO,
    ];

    fn send(&self, url: String) {
        if Arc::strong_count(&self.0) > Self::MOST {
            return;
        }
        let turn = self.0.clone();
        tokio::spawn(async move {
            for pause in Self::TRIES {
                let sent = {
                    let _turn = turn.acquire().await;
                    get(&url).await
                };
                match sent {
                    Ok(()) => return,
                    Err(detail) if pause.is_zero() => {
                        tracing::warn!(detail, "a heartbeat could not be sent");
                    }
                    Err(_) => tokio::time::sleep(pause).await,
                }
            }
        });
    }
}

const TIMEOUT: Duration = Duration::from_secs(20);

async fn get(url: &str) -> Result<(), String> {
    let client = outbound::client().ok_or("the HTTP client can't be made")?;
    let answer = client.get(url).timeout(TIMEOUT).send().await;
    let answer = answer.map_err(outbound::said)?;
    answer.error_for_status().map(drop).map_err(outbound::said)
}

/// One webhook, and what it has not been told yet.
struct Mail<C> {
    webhook: Secret,
    clock: Arc<C>,
    heard: mpsc::UnboundedReceiver<Sign>,
    alarms: Alarms,
    unsent: Vec<Alert>,
    failures: u32,
    retry_at: Option<Boottime>,
}

/// More than a person reads: the oldest go.
const MOST_UNSENT: usize = 200;

/// Chats take no text without end.
const MOST_AT_ONCE: usize = 20;

enum NotSent {
    ForNow(String),
    /// The same would be refused again.
    Refused(String),
}

impl<C: Clock> Mail<C> {
    /// Until nobody can say anything any more.
    async fn run(mut self) {
        loop {
            let wake = Wake {
                wall: self.alarms.next_due(),
                boot: self.retry_at,
            };
            tokio::select! {
                sign = self.heard.recv() => match sign {
                    Some(sign) => self.take(sign),
                    None => return,
                },
                () = self.clock.sleep_until(wake) => {}
            }
            while let Ok(sign) = self.heard.try_recv() {
                self.take(sign);
            }
            let now = self.clock.now();
            self.unsent.extend(self.alarms.due(now.wall));
            let surplus = self.unsent.len().saturating_sub(MOST_UNSENT);
            self.unsent.drain(..surplus);
            while !self.unsent.is_empty()
                && self.retry_at.is_none_or(|at| at <= self.clock.now().boot)
            {
                self.send().await;
            }
        }
    }

    fn take(&mut self, sign: Sign) {
        let now = self.clock.now().wall;
        self.unsent.extend(self.alarms.hear(sign, now));
    }

    async fn send(&mut self) {
        let batch = self.unsent.len().min(MOST_AT_ONCE);
        match post(&self.webhook, &self.unsent[..batch]).await {
            Ok(()) => {
                tracing::debug!(alerts = batch, "alerts sent");
                self.unsent.drain(..batch);
                (self.failures, self.retry_at) = (0, None);
            }
            Err(NotSent::Refused(detail)) => {
                tracing::warn!(
                    detail,
                    alerts = batch,
                    "alerts could not be sent, and are not wanted"
                );
                self.unsent.drain(..batch);
                (self.failures, self.retry_at) = (0, None);
            }
            Err(NotSent::ForNow(detail)) => {
                let pause = Duration::from_secs(5 << self.failures.min(7));
                tracing::warn!(
                    detail,
                    alerts = self.unsent.len(),
                    "alerts could not be sent; they are tried again"
                );
                self.failures += 1;
                self.retry_at = Some(self.clock.now().boot + pause);
            }
        }
    }
}

/// What a webhook gets: chats show the `text`.
#[derive(Serialize)]
struct Message<'a> {
    text: String,
    alerts: Vec<Item<'a>>,
}

#[derive(Serialize)]
struct Item<'a> {
    subject: String,
    /// The one that it is about, if it is about one.
    schedule: Option<&'a str>,
    state: &'static str,
    text: &'a str,
    since: Timestamp,
}

async fn post(webhook: &Secret, alerts: &[Alert]) -> Result<(), NotSent> {
    let client = outbound::client()
        .ok_or_else(|| NotSent::ForNow("the HTTP client can't be made".to_owned()))?;
    let lines: Vec<String> = alerts
        .iter()
        .map(|alert| format!("triggerd, {}: {}", alert.state.word(), alert.text))
        .collect();
    let message = Message {
        text: lines.join("\n"),
        alerts: alerts
            .iter()
            .map(|alert| Item {
                subject: alert.subject.to_string(),
                schedule: alert.subject.schedule().map(ScheduleId::as_str),
                state: alert.state.word(),
                text: &alert.text,
                since: alert.since,
            })
            .collect(),
    };
    let body = serde_json::to_vec(&message).map_err(|error| NotSent::Refused(error.to_string()))?;
    let post = client.post(webhook.expose()).timeout(TIMEOUT);
    let post = post.header("content-type", "application/json").body(body);
    let answer = post.send().await;
    let answer = answer.map_err(|error| NotSent::ForNow(outbound::said(error)))?;
    let status = answer.status();
    let passes = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS].contains(&status);
    match answer.error_for_status().map_err(outbound::said) {
        Ok(_) => Ok(()),
        Err(detail) if status.is_client_error() && !passes => Err(NotSent::Refused(detail)),
        Err(detail) => Err(NotSent::ForNow(detail)),
    }
}
