//! A ledger with a past that no daemon had to live through.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use triggerd::ledger::{Place, Recorder};
use triggerd::plan::delivery::{Delivery, Opened, Skip, Verdict, Window};
use triggerd::plan::fact::{Attempt, Ending, Fact, Next, Skipped, Source};
use triggerd::plan::occurrence::{Namespace, Occurrence};
use triggerd::plan::outcome::{Acceptance, Answer, Outcome, Reached};
use triggerd::plan::run::{Finding, Progress, Run, RunEnd, RunReport};
use triggerd::schedule::resolve::{Context, Parsed};
use triggerd::schedule::{Schedule, ScheduleId};

use super::Folder;
use crate::support::open_ledger;

/// What happened to one schedule of a folder.
#[must_use]
pub(super) struct Past {
    schedule: Schedule,
    source: Arc<Source>,
    facts: Vec<Fact>,
}

fn at(text: &str) -> Timestamp {
    text.parse().expect("an instant")
}

impl Past {
    pub(super) fn of(folder: &Folder, name: &str) -> Self {
        let path = folder.path(&format!("schedules/{name}.toml"));
        let text = fs::read_to_string(path).expect("a text");
        let context = Context {
            trigger_id: Some(triggerd::sandbox::TRIGGER_ID.into()),
            ..Context::default()
        };
        let id = ScheduleId::parse(name).expect("a name");
        let parsed = Parsed::new(Path::new(name), &text, &context);
        let (schedule, problems) = parsed.resolve(&id, None, &context, at("2020-01-01T00:00:00Z"));
        Self {
            schedule: schedule.unwrap_or_else(|| panic!("{problems:#?}")),
            source: Arc::new(Source {
                toml: text.into(),
                input: None,
            }),
            facts: Vec::new(),
        }
    }

    fn fact(mut self, fact: Fact) -> Self {
        self.facts.push(fact);
        self
    }

    pub(super) fn began(self, since: &str) -> Self {
        let (schedule, source) = (self.schedule.id.clone(), self.source.clone());
        let began = Fact::Began {
            schedule: schedule.clone(),
            at: at(since),
            covered_until: at(since),
        };
        self.fact(began).fact(Fact::InForce { schedule, source })
    }

    pub(super) fn ceased(self, when: &str) -> Self {
        let schedule = self.schedule.id.clone();
        self.fact(Fact::Ceased {
            schedule,
            at: at(when),
        })
    }

    pub(super) fn settled_until(self, until: &str) -> Self {
        self.fact(Fact::SettledUntil(at(until)))
    }

    pub(super) fn skipped(self, why: Skip, first: &str, last: &str, count: u64) -> Self {
        let schedule = self.schedule.id.clone();
        self.fact(Fact::Skipped(Skipped {
            schedule,
            why,
            first: at(first),
            last: at(last),
            count,
            at: at(last),
        }))
    }

    fn delivery(&self, scheduled_at: &str) -> Arc<Delivery> {
        let end = at(scheduled_at);
        let recurrence = &self.schedule.recurrence;
        let slot = recurrence.next_after(end - Duration::from_nanos(1));
        let slot = slot.filter(|slot| slot.at == end).expect("it is due then");
        let occurrence = Occurrence::scheduled(&self.schedule.id, recurrence, &slot);
        let window = Window {
            start: end - Duration::from_secs(3600),
            end,
            missed_count: 0,
        };
        let namespace = Namespace::default();
        let frozen = Delivery::freeze(
            &self.schedule,
            &namespace,
            occurrence,
            window,
            Opened::WhenDue,
        );
        Arc::new(frozen.0)
    }

    /// Written ahead, and no more.
    pub(super) fn ahead(self, scheduled_at: &str) -> Self {
        let delivery = self.delivery(scheduled_at);
        self.fact(Fact::WrittenAhead(delivery))
    }

    /// Written ahead, and tried once, to be tried again.
    pub(super) fn tried(mut self, scheduled_at: &str) -> Self {
        let delivery = self.delivery(scheduled_at);
        let unknown = Outcome::Failed {
            reached: Reached::Unknown,
            retry_after: None,
        };
        let again = delivery.due_at + Duration::from_secs(300);
        self.facts.push(Fact::WrittenAhead(delivery.clone()));
        let attempt = attempt(&delivery, unknown, 503, Next::RetryAt(again));
        self.fact(Fact::Attempted(attempt))
    }

    pub(super) fn accepted(self, scheduled_at: &str) -> Self {
        let accepted = Outcome::Accepted(Acceptance {
            conversation_url: Some("https://chatgpt.com/c/1".into()),
            run_id: None,
        });
        self.ended(scheduled_at, accepted, 202, Verdict::Accepted)
    }

    /// And its run completed a minute later, with this found.
    pub(super) fn ran(self, scheduled_at: &str, finding: Finding) -> Self {
        let delivery = self.delivery(scheduled_at);
        let acceptance = Acceptance {
            conversation_url: None,
            run_id: Some("apirun_1".into()),
        };
        let run = Run::of(&delivery, &acceptance, delivery.due_at).expect("it has an id");
        let at = delivery.due_at + Duration::from_secs(60);
        self.fact(Fact::Run(Arc::new(RunReport {
            run: Arc::new(run),
            progress: Progress::Ended(RunEnd::Completed(Some(finding))),
            at,
        })))
    }

    /// A person had it tried again.
    pub(super) fn reopened(self, scheduled_at: &str) -> Self {
        let delivery = self.delivery(scheduled_at);
        self.fact(Fact::Reopened(delivery))
    }

    pub(super) fn rejected(self, scheduled_at: &str) -> Self {
        self.ended(scheduled_at, Outcome::Rejected, 400, Verdict::Rejected)
    }

    fn ended(mut self, when: &str, outcome: Outcome, status: u16, verdict: Verdict) -> Self {
        let delivery = self.delivery(when);
        let last = attempt(&delivery, outcome, status, Next::End);
        self.facts.push(Fact::WrittenAhead(delivery.clone()));
        self.facts.push(Fact::Attempted(last.clone()));
        self.fact(Fact::Ended(Arc::new(Ending {
            verdict,
            at: last.sent_at,
            attempts: 1,
            last: Some(last),
            outcome_unknown: false,
            detail: None,
            covered_until: None,
            delivery,
        })))
    }

    /// Writes it into the folder's ledger.
    pub(super) fn record(self, folder: &Folder) {
        let place = Place::Folder(folder.path("state"));
        let (ledger, ..) = open_ledger(&place, at("2020-01-01T00:00:00Z"));
        ledger.append(self.facts);
        ledger.close().expect("it is written");
    }
}

fn attempt(delivery: &Arc<Delivery>, outcome: Outcome, status: u16, next: Next) -> Arc<Attempt> {
    let detail = match status {
        202 => "",
        400 => "body.input Field required",
        _ => "upstream connect error",
    };
    Arc::new(Attempt {
        delivery: delivery.clone(),
        number: 1,
        sent_at: delivery.due_at + Duration::from_millis(2),
        latency: Duration::from_millis(250),
        answer: Answer {
            outcome,
            http_status: Some(status),
            x_request_id: None,
            detail: detail.into(),
            fix: "",
        },
        next,
    })
}
