//! What can be made to go wrong, and for which calls; knows no connection and no answer.

use serde::{Deserialize, Serialize};

/// One fault, for the calls that it matches. Faults are tried in the order they were made; a call meets at most one.
///
/// As JSON, the kind's fields stand beside the others: `{"kind": "status", "status": 503, "calls": 2}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    #[serde(flatten)]
    pub kind: FaultKind,
    #[serde(default)]
    pub on: Route,
    /// How many calls it strikes; without it, all until the faults are cleared.
    #[serde(default)]
    pub calls: Option<u32>,
    #[serde(default)]
    pub trigger_id: Option<String>,
    /// Only calls whose input or idempotency key contains this.
    #[serde(default)]
    pub contains: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Route {
    #[default]
    Trigger,
    Runs,
    Any,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FaultKind {
    /// The event is queued, its answer comes later.
    Delay { ms: u64 },
    /// Refused with this status where the rate is checked: after all other admission, before the idempotency key.
    Status {
        status: u16,
        #[serde(default)]
        retry_after: Option<RetryAfter>,
    },
    /// A gateway's 403 in HTML, before anything is looked at.
    Html403,
    /// A redirect to another host, before anything is looked at.
    Redirect {
        #[serde(default = "moved")]
        status: u16,
        #[serde(default = "elsewhere")]
        to: String,
    },
    /// No byte until the client gives up.
    Hang {
        #[serde(default)]
        when: When,
    },
    /// The connection ends in a TCP reset, without a byte.
    Reset {
        #[serde(default)]
        when: When,
    },
    /// The answer waits until it is released: the seam at which a crash test kills its daemon.
    Hold {
        #[serde(default)]
        when: When,
    },
    /// The event is queued, the answer comes at one byte a second, status line included.
    Drip,
    /// A 202 with a body that is no JSON.
    Junk,
    /// A 202 without a body.
    Empty,
    /// A 202 with so many bytes of JSON.
    Huge {
        #[serde(default = "huge")]
        bytes: usize,
    },
}

impl FaultKind {
    /// Whether it strikes before anything is looked at.
    pub(crate) fn strikes_before(&self) -> bool {
        match self {
            Self::Html403 | Self::Redirect { .. } => true,
            Self::Hang { when } | Self::Reset { when } | Self::Hold { when } => {
                *when == When::Before
            }
            Self::Delay { .. }
            | Self::Status { .. }
            | Self::Drip
            | Self::Junk
            | Self::Empty
            | Self::Huge { .. } => false,
        }
    }

    /// The status that it answers with before anything is looked at.
    pub(crate) fn status_before(&self) -> Option<u16> {
        match self {
            Self::Html403 => Some(403),
            Self::Redirect { status, .. } => Some(*status),
            _ => None,
        }
    }
}

/// Before or after the event was queued, or the idempotency key was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    #[default]
    Before,
    After,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryAfter {
    Seconds(u64),
    /// An HTTP date so many seconds from the answer.
    DateIn(u64),
    /// These very characters.
    Text(String),
}

impl From<FaultKind> for Fault {
    /// For every trigger call until it is cleared.
    fn from(kind: FaultKind) -> Self {
        Self {
            kind,
            on: Route::default(),
            calls: None,
            trigger_id: None,
            contains: None,
        }
    }
}

impl Fault {
    /// For the next so many calls.
    #[must_use]
    pub fn times(self, calls: u32) -> Self {
        Self {
            calls: Some(calls),
            ..self
        }
    }

    #[must_use]
    pub fn on(self, on: Route) -> Self {
        Self { on, ..self }
    }

    fn matches(&self, target: &Target<'_>) -> bool {
        (self.on == Route::Any || self.on == target.route)
            && self
                .trigger_id
                .as_ref()
                .is_none_or(|id| id == target.trigger_id)
            && self.contains.as_ref().is_none_or(|part| {
                target.input.contains(part) || target.idempotency_key.contains(part)
            })
    }
}

/// What a fault is matched against.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a> {
    pub(crate) route: Route,
    pub(crate) trigger_id: &'a str,
    pub(crate) input: &'a str,
    pub(crate) idempotency_key: &'a str,
}

/// The faults in force.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    pub(crate) fn add(&mut self, fault: Fault) {
        if fault.calls != Some(0) {
            self.0.push(fault);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn in_force(&self) -> Vec<Fault> {
        self.0.clone()
    }

    /// The fault that this call meets; it counts as one of the fault's calls whatever becomes of it.
    pub(crate) fn take(&mut self, target: &Target<'_>) -> Option<FaultKind> {
        let at = self.0.iter().position(|fault| fault.matches(target))?;
        let fault = &mut self.0[at];
        let kind = fault.kind.clone();
        if let Some(calls) = &mut fault.calls {
            *calls -= 1;
            if *calls == 0 {
                self.0.remove(at);
            }
        }
        Some(kind)
    }
}

fn moved() -> u16 {
    307
}

fn elsewhere() -> String {
    "https://elsewhere.invalid/v1/".to_owned()
}

fn huge() -> usize {
    16 << 20
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_json(json: &str, expected: Fault) {
        let fault: Fault = serde_json::from_str(json).expect("it is a fault");
        assert_eq!(fault, expected);
        let written = serde_json::to_string(&fault).expect("it serializes");
        assert_eq!(serde_json::from_str::<Fault>(&written).ok(), Some(expected));
    }

    #[test]
    fn faults_as_json() {
        check_json(r#"{"kind":"drip"}"#, FaultKind::Drip.into());
        check_json(
            r#"{"kind":"status","status":429,"retry_after":{"seconds":3},"calls":2}"#,
            Fault::from(FaultKind::Status {
                status: 429,
                retry_after: Some(RetryAfter::Seconds(3)),
            })
            .times(2),
        );
        check_json(
            r#"{"kind":"reset","when":"after","on":"any"}"#,
            Fault::from(FaultKind::Reset { when: When::After }).on(Route::Any),
        );
        check_json(
            r#"{"kind":"redirect"}"#,
            FaultKind::Redirect {
                status: 307,
                to: "https://elsewhere.invalid/v1/".to_owned(),
            }
            .into(),
        );
    }

    #[test]
    fn a_fault_strikes_only_what_it_matches_and_only_so_often() {
        let target = Target {
            route: Route::Trigger,
            trigger_id: "agtch_1",
            input: "Request ID: report-1",
            idempotency_key: "key-1",
        };
        let mut faults = Faults::default();
        faults.add(Fault::from(FaultKind::Drip).on(Route::Runs));
        faults.add(Fault {
            trigger_id: Some("agtch_2".to_owned()),
            ..Fault::from(FaultKind::Junk)
        });
        faults.add(
            Fault {
                contains: Some("report".to_owned()),
                ..Fault::from(FaultKind::Html403)
            }
            .times(1),
        );
        faults.add(Fault {
            contains: Some("key-1".to_owned()),
            ..Fault::from(FaultKind::Empty)
        });

        assert_eq!(faults.take(&target), Some(FaultKind::Html403));
        assert_eq!(faults.take(&target), Some(FaultKind::Empty));
        assert_eq!(faults.take(&target), Some(FaultKind::Empty));
        faults.clear();
        assert_eq!(faults.take(&target), None);
    }
}
