//! What an entry of the ledger says of its occurrence, in words. It looks nothing up.

use jiff::Timestamp;

use super::{Case, Reason};
use crate::ledger::history::{Entry, RecordedDelivery, RecordedRun, RecordedSkip};
use crate::past::rows;
use crate::plan::delivery::{Skip, Verdict};
use crate::plan::occurrence::Origin;

impl Case {
    pub(super) fn of_entry(&self, entry: &Entry) -> Reason {
        let skip = |why: Skip| (why.word(), meaning(why).to_owned());
        match entry {
            Entry::Skip(recorded) => skip(recorded.skipped.why),
            Entry::Delivery(delivery) => match &delivery.ending {
                None => {
                    let text = match (delivery.attempts.is_empty(), delivery.retry_at) {
                        (_, Some(at)) => format!("it is tried again at {}", self.local(at)),
                        (true, None) if delivery.due_at > self.now => {
                            format!("it is sent at {}", self.local(delivery.due_at))
                        }
                        _ => {
                            "it waits to be sent: for a free call, or for what the log says".into()
                        }
                    };
                    let deadline = self.local(delivery.deadline_at);
                    ("", format!("{text}, and expires at {deadline}"))
                }
                Some(ending) => match ending.verdict {
                    Verdict::Skipped(why) => skip(why),
                    Verdict::Accepted => ("", String::new()),
                    Verdict::Rejected => (
                        "",
                        "a definite refusal: the same event would be refused again".into(),
                    ),
                    Verdict::Expired => (
                        "",
                        format!(
                            "it was not accepted before its deadline, {}",
                            self.local(delivery.deadline_at)
                        ),
                    ),
                },
            },
        }
    }

    pub(super) fn of_delivery(&self, delivery: &RecordedDelivery) -> Vec<String> {
        let mut lines = Vec::new();
        let detail = delivery.ending.as_ref().and_then(|it| it.detail.clone());
        lines.extend(detail);
        for attempt in &delivery.attempts {
            let status = attempt.http_status.map(|status| format!(", http {status}"));
            let detail = match attempt.detail.as_str() {
                "" => String::new(),
                detail => format!(": {detail}"),
            };
            lines.push(format!(
                "attempt {} at {}: {}{}{detail}",
                attempt.number,
                self.local(attempt.sent_at),
                attempt.outcome.replace('_', " "),
                status.unwrap_or_default(),
            ));
        }
        if delivery.outcome_unknown {
            lines.push("an attempt of unknown outcome may have been queued all the same".into());
        }
        let by_hand = match delivery.occurrence.origin {
            Origin::Manual => ", by hand",
            Origin::Schedule => "",
        };
        lines.push(format!("request id {}{by_hand}", delivery.request_id));
        for former in &delivery.former {
            let at = self.local(former.at);
            lines.push(format!(
                "{} at {at}, before it was redelivered",
                former.verdict.word()
            ));
        }
        lines.extend(delivery.run.as_ref().map(|run| self.of_run(run)));
        lines.extend(delivery.conversation_url.clone());
        lines
    }

    fn of_run(&self, run: &RecordedRun) -> String {
        let more = [&run.result, &run.detail].into_iter().flatten();
        let more: String = more.map(|it| format!(", {it}")).collect();
        match run.ended_at {
            Some(at) => format!("its run ended at {}: {}{more}", self.local(at), run.status),
            None => format!(
                "its run is {} since {}{more}",
                run.status.replace('_', " "),
                self.local(run.since)
            ),
        }
    }

    pub(super) fn of_skips(&self, recorded: &RecordedSkip) -> Option<String> {
        let skipped = &recorded.skipped;
        (skipped.count > 1).then(|| {
            format!(
                "it is one of {} occurrences from {} to {}",
                skipped.count,
                self.local(skipped.first),
                self.local(skipped.last)
            )
        })
    }
}

pub(super) fn verdict(entry: &Entry, now: Timestamp) -> &'static str {
    match entry {
        Entry::Skip(_) => "skipped",
        Entry::Delivery(delivery) => rows::verdict(delivery, now),
    }
}

pub(super) fn meaning(why: Skip) -> &'static str {
    match why {
        Skip::Missed => {
            "it passed while the daemon or the API was away, and `[missed]` or its age says no"
        }
        Skip::Superseded => {
            "a later one was delivered in its place: by the catch-up, or while this one waited"
        }
        Skip::Overlap => "the run before it was still active",
        Skip::Paused => "the schedule was paused",
        Skip::Limit => "`[limits]` allowed no more in that hour or day",
        Skip::Excluded => "its date is in `except`",
        Skip::Removed => "the file was deleted or disabled while it waited",
    }
}
