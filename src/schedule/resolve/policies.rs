//! What becomes of an occurrence that can't simply be delivered: `[missed]`, `[overlap]`, `[retry]`,
//! `[expect]`, `[limits]` and `[verify]`.

use std::path::Path;
use std::sync::Arc;

use super::{Resolver, is_http, place, value};
use crate::schedule::file::RawSchedule;
use crate::schedule::{
    CatchUp, Expect, HeadersFrom, Limits, Missed, Overlap, OverlapPolicy, Policies, Retry, Verify,
    defaults,
};
use crate::toml_file::{Field, written};

impl Resolver {
    pub(super) fn policies(&mut self, raw: &RawSchedule) -> Option<Policies> {
        let retry = self.retry(raw);
        let missed = self.missed(raw, retry.as_ref());
        let overlap = self.overlap(raw);
        let verify = self.verify(raw);
        for (key, field) in [
            ("expect.accepted_within", &raw.expect.accepted_within),
            ("expect.finished_within", &raw.expect.finished_within),
            ("expect.approved_within", &raw.expect.approved_within),
        ] {
            self.positive(key, field);
        }
        Some(Policies {
            missed: missed?,
            overlap: overlap?,
            retry: retry?,
            expect: Expect {
                accepted_within: value(&raw.expect.accepted_within),
                finished_within: value(&raw.expect.finished_within),
                approved_within: value(&raw.expect.approved_within)
                    .unwrap_or(defaults::APPROVED_WITHIN),
                heartbeat: self.heartbeat(&raw.expect.heartbeat)?,
            },
            limits: Limits {
                per_day: value(&raw.limits.per_day),
                per_hour: value(&raw.limits.per_hour),
            },
            verify: verify?.map(Box::new),
        })
    }

    pub(super) fn missed(&mut self, raw: &RawSchedule, retry: Option<&Retry>) -> Option<Missed> {
        let missed = &raw.missed;
        let within = value(&missed.within).unwrap_or(defaults::MISSED.within);
        self.positive("missed.within", &missed.within);
        let catch_up = match missed.catch_up.as_ref().map(|field| field.value.as_str()) {
            None => defaults::MISSED.catch_up,
            Some("latest") => CatchUp::Latest,
            Some("none") => CatchUp::None,
            Some("all") => CatchUp::All {
                at_most: value(&missed.at_most).unwrap_or(defaults::AT_MOST),
                spacing: value(&missed.spacing).unwrap_or(defaults::SPACING),
            },
            Some(word) => {
                let place = place(&missed.catch_up);
                self.error(
                    place,
                    format!("unknown catch-up `{word}`"),
                    "it is one of `none`, `latest`, `all`",
                );
                return None;
            }
        };
        if !matches!(catch_up, CatchUp::All { .. }) {
            for (key, place) in [
                ("at_most", place(&missed.at_most)),
                ("spacing", place(&missed.spacing)),
            ] {
                if place.is_some() {
                    self.note(
                        place,
                        format!("`missed.{key}` has no effect without `catch_up = \"all\"`"),
                    );
                }
            }
        }
        if let Some(retry) = retry
            && catch_up != CatchUp::None
            && within < retry.give_up_after
            && !within.is_zero()
        {
            let place = missed
                .within
                .as_ref()
                .or(raw.retry.give_up_after.as_ref())
                .and_then(|field| field.span.clone());
            if place.is_some() {
                self.note(place, format!(
                "`missed.within` of {} cuts `retry.give_up_after` of {}: a delivery expires {} after its scheduled time",
                written(within), written(retry.give_up_after), written(within)
            ));
            }
        }
        Some(Missed { catch_up, within })
    }

    pub(super) fn overlap(&mut self, raw: &RawSchedule) -> Option<Overlap> {
        self.positive("overlap.stuck_after", &raw.overlap.stuck_after);
        let policy = match raw
            .overlap
            .policy
            .as_ref()
            .map(|field| field.value.as_str())
        {
            None => defaults::OVERLAP.policy,
            Some("allow") => OverlapPolicy::Allow,
            Some("skip") => OverlapPolicy::Skip,
            Some("queue") => OverlapPolicy::Queue,
            Some(word) => {
                let place = place(&raw.overlap.policy);
                self.error(
                    place,
                    format!("unknown overlap policy `{word}`"),
                    "it is one of `allow`, `skip`, `queue`",
                );
                return None;
            }
        };
        Some(Overlap {
            policy,
            stuck_after: value(&raw.overlap.stuck_after).unwrap_or(defaults::OVERLAP.stuck_after),
        })
    }

    pub(super) fn retry(&mut self, raw: &RawSchedule) -> Option<Retry> {
        let retry = &raw.retry;
        for (key, field) in [
            ("retry.give_up_after", &retry.give_up_after),
            ("retry.first_delay", &retry.first_delay),
            ("retry.max_delay", &retry.max_delay),
        ] {
            self.positive(key, field);
        }
        let policy = Retry {
            give_up_after: value(&retry.give_up_after).unwrap_or(defaults::RETRY.give_up_after),
            first_delay: value(&retry.first_delay).unwrap_or(defaults::RETRY.first_delay),
            max_delay: value(&retry.max_delay).unwrap_or(defaults::RETRY.max_delay),
        };
        if policy.give_up_after > defaults::LONGEST_GIVE_UP_AFTER {
            let place = place(&retry.give_up_after);
            self.error(
                place,
                "`retry.give_up_after` is over 24h",
                "write at most \"24h\": how long the API remembers a key is not documented, and a later retry might fire twice",
            );
            return None;
        }
        if policy.first_delay > policy.max_delay {
            let place = retry
                .first_delay
                .as_ref()
                .or(retry.max_delay.as_ref())
                .and_then(|field| field.span.clone());
            self.error(
                place,
                format!(
                    "`retry.first_delay` of {} is over `retry.max_delay` of {}",
                    written(policy.first_delay),
                    written(policy.max_delay)
                ),
                "shorten it, or write a longer `max_delay`",
            );
            return None;
        }
        Some(policy)
    }

    pub(super) fn verify(&mut self, raw: &RawSchedule) -> Option<Option<Verify>> {
        let verify = &raw.verify;
        self.positive("verify.within", &verify.within);
        let Some(url) = &verify.url else {
            if verify.table.is_some() && !self.unread.may_hold("verify.url") {
                self.error(
                    verify.table.clone(),
                    "`[verify]` has no `url`",
                    "add the `url` at which the result can be read",
                );
                return None;
            }
            return Some(None);
        };
        if !is_http(&url.value) {
            self.error(
                url.span.clone(),
                "`verify.url` is not an http address",
                "write an address that starts with https://",
            );
            return None;
        }
        let contains = match &verify.contains {
            Some(field) => Some(self.template(Some(field))?),
            None => None,
        };
        Some(Some(Verify {
            url: self.template(Some(url))?,
            contains,
            within: value(&verify.within).unwrap_or(defaults::VERIFY_WITHIN),
            headers_from: verify
                .headers_from
                .as_ref()
                .map(|field| self.headers_from(&field.value)),
        }))
    }

    fn heartbeat(&mut self, field: &Option<Field<String>>) -> Option<Option<Arc<str>>> {
        let Some(field) = field else {
            return Some(None);
        };
        if !is_http(&field.value) {
            self.error(
                field.span.clone(),
                "`expect.heartbeat` is not an http address",
                "write the address of the check, such as \"https://hc-ping.com/…\"",
            );
            return None;
        }
        Some(Some(field.value.trim_end_matches('/').into()))
    }

    /// `credential:NAME`, or a file; a relative one lies beside the schedule.
    fn headers_from(&self, value: &str) -> HeadersFrom {
        match value.strip_prefix("credential:") {
            Some(name) => HeadersFrom::Credential(name.to_owned()),
            None => HeadersFrom::File(self.path.parent().unwrap_or(Path::new("")).join(value)),
        }
    }
}
