//! One instant at which a schedule is due, and the names that follow from it: the request id and
//! the keys. It knows no HTTP header and no ledger.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::schedule::recurrence::{Naming, Recurrence, Slot};
use crate::schedule::{ScheduleId, TriggerId};

/// An instant at which a schedule is due, with the name that it keeps for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occurrence {
    pub schedule: ScheduleId,
    pub scheduled_at: Timestamp,
    /// `20261123T0900` on the wall clock, or `20261123T080000Z` (DESIGN.md 4).
    pub label: Arc<str>,
    /// The zone as the file writes it; `UTC` for interval occurrences and manual triggers.
    pub zone: Arc<str>,
    pub origin: Origin,
}

/// Who asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    Schedule,
    Manual,
}

impl Occurrence {
    pub fn scheduled(schedule: &ScheduleId, recurrence: &Recurrence, slot: &Slot) -> Self {
        Self {
            schedule: schedule.clone(),
            scheduled_at: slot.at,
            label: recurrence.label(slot).into(),
            zone: match slot.naming {
                Naming::WallClock => recurrence.zone.name().into(),
                Naming::Utc => "UTC".into(),
            },
            origin: Origin::Schedule,
        }
    }

    /// An occurrence made by hand, named by the millisecond at which it was asked for.
    pub fn manual(schedule: &ScheduleId, now: Timestamp) -> Self {
        Self {
            schedule: schedule.clone(),
            scheduled_at: now,
            label: format!("manual-{}", now.strftime("%Y%m%dT%H%M%S.%3fZ")).into(),
            zone: "UTC".into(),
            origin: Origin::Manual,
        }
    }

    /// `[namespace-]<schedule>-<label>`: what people search for at the destination, in the log and in the ledger.
    pub fn request_id(&self, namespace: &Namespace) -> String {
        format!("{}-{}", namespace.prefixed(&self.schedule), self.label)
    }

    /// Names the delivery to the API; a pure function of the occurrence, so that whoever sends it
    /// again, after whatever happened, sends the same key (SEMANTICS.md 14).
    pub fn idempotency_key(&self, namespace: &Namespace, trigger: &TriggerId) -> IdempotencyKey {
        let mut hash = Sha256::new();
        for part in [
            namespace.as_str(),
            trigger.as_str(),
            self.schedule.as_str(),
            &self.zone,
            &self.label,
        ] {
            hash.update(part);
            hash.update("\n");
        }
        let digest = hash.finalize();
        let first_16_digits = u64::from_be_bytes(digest[..8].try_into().expect("8 of 32 bytes"));
        let key = format!("{}-{first_16_digits:016x}", self.request_id(namespace));
        IdempotencyKey(key.into())
    }
}

/// Keeps two environments apart that use one agent: `[a-z0-9-]{0,16}`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespace(String);

#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no namespace: at most 16 of `a-z`, `0-9` and `-`")]
pub struct InvalidNamespace(String);

impl Namespace {
    /// # Errors
    /// If `text` is not of the form `[a-z0-9-]{0,16}`.
    pub fn parse(text: &str) -> Result<Self, InvalidNamespace> {
        let all_allowed = text
            .bytes()
            .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        if all_allowed && text.len() <= 16 {
            Ok(Self(text.into()))
        } else {
            Err(InvalidNamespace(text.escape_debug().to_string()))
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `[namespace-]<schedule>`, the stem of every id.
    pub fn prefixed(&self, schedule: &ScheduleId) -> String {
        if self.0.is_empty() {
            schedule.to_string()
        } else {
            format!("{}-{schedule}", self.0)
        }
    }
}

/// See [`Occurrence::idempotency_key`]. At most 128 characters of `[A-Za-z0-9._:-]`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdempotencyKey(Arc<str>);

impl IdempotencyKey {
    /// A key that was made before and kept, by the ledger for one.
    pub fn recorded(key: &str) -> Self {
        Self(key.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn occurrence(label: &str, zone: &str) -> Occurrence {
        Occurrence {
            schedule: ScheduleId::parse("weekly-report").unwrap(),
            scheduled_at: "2026-11-23T08:00:00Z".parse().unwrap(),
            label: label.into(),
            zone: zone.into(),
            origin: Origin::Schedule,
        }
    }

    #[test]
    fn the_request_id_names_namespace_schedule_and_label() {
        let it = occurrence("20261123T0900", "Europe/Berlin");
        assert_eq!(
            it.request_id(&Namespace::default()),
            "weekly-report-20261123T0900"
        );
        assert_eq!(
            it.request_id(&Namespace::parse("prod").unwrap()),
            "prod-weekly-report-20261123T0900"
        );
    }

    #[test]
    fn a_manual_label_has_milliseconds() {
        let at = "2026-11-23T08:00:01.002Z".parse().unwrap();
        let it = Occurrence::manual(&ScheduleId::parse("poll").unwrap(), at);
        assert_eq!(
            it.request_id(&Namespace::default()),
            "poll-manual-20261123T080001.002Z"
        );
    }

    /// The expected digits come from `printf 'NS\nTRIGGER\nSCHEDULE\nZONE\nLABEL\n' | sha256sum`.
    #[test]
    fn the_key_is_the_hash_of_its_five_lines() {
        let trigger = TriggerId::parse("agtch_00000000000000000000000000000001").unwrap();
        let it = occurrence("20261123T0900", "Europe/Berlin");
        assert_eq!(
            it.idempotency_key(&Namespace::default(), &trigger).as_str(),
            "weekly-report-20261123T0900-221628c7c02aae07"
        );
        assert_eq!(
            it.idempotency_key(&Namespace::parse("prod").unwrap(), &trigger)
                .as_str(),
            "prod-weekly-report-20261123T0900-75121f6f3f6c5904"
        );
    }

    #[test]
    fn the_longest_key_has_at_most_128_characters() {
        let it = Occurrence {
            schedule: ScheduleId::parse(&"s".repeat(64)).unwrap(),
            label: "manual-20261123T080001.002Z".into(),
            ..occurrence("", "UTC")
        };
        let namespace = Namespace::parse(&"n".repeat(16)).unwrap();
        let trigger = TriggerId::parse("agtch_1").unwrap();
        assert!(it.idempotency_key(&namespace, &trigger).as_str().len() <= 128);
    }
}
