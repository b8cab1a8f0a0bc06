//! What a schedule file of a run says, as plain data: the daemon is given the real types that are
//! made from it, the oracle reads the sketch itself. It knows no occurrence.

use std::sync::Arc;
use std::time::Duration;

use jiff::civil::Date;
use triggerd::api::token::TokenId;
use triggerd::schedule::cron::CronExpr;
use triggerd::schedule::message::{Message, Template};
use triggerd::schedule::recurrence::{Recurrence, Timing, Zone};
use triggerd::schedule::{
    CatchUp, Conversation, Expect, Limits, Missed, Overlap, OverlapPolicy, Policies, Retry,
    Schedule, ScheduleId, Target, TriggerId,
};

use super::random::Random;

pub(super) const ZONES: [&str; 6] = [
    "UTC",
    "America/New_York",
    "Europe/Berlin",
    "Australia/Lord_Howe",
    "Africa/Cairo",
    "Asia/Kolkata",
];

/// The agents of a run, each with the token that it is called with: two share one.
pub(super) const AGENTS: [(&str, &str); 3] = [
    ("agtch_1", "default"),
    ("agtch_2", "default"),
    ("agtch_3", "own"),
];

/// No wait between two attempts is longer, unless the API asks for it.
pub(super) const MAX_DELAY: u64 = 300;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sketch {
    pub name: String,
    /// Stands in the text, so that each version has bytes of its own.
    pub version: u32,
    pub enabled: bool,
    pub lines: Vec<Line>,
    pub zone: &'static str,
    pub except: Vec<Date>,
    /// Lengths are in seconds.
    pub jitter: u64,
    pub agent: usize,
    pub catch_up: CatchUp,
    pub within: u64,
    pub give_up_after: u64,
    pub first_delay: u64,
    pub max_delay: u64,
    pub conversation: Continues,
    pub overlap: OverlapPolicy,
    pub stuck_after: u64,
}

/// How often the schedules of a run are due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Every hour or so, to be judged many times.
    Often,
    /// As often, and mostly not while a run is active.
    OneByOne,
    /// Once a day or so, for a year of many schedules.
    Seldom,
    /// Mostly all at once.
    Together,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line {
    pub second: Option<Field>,
    pub minute: Field,
    pub hour: Field,
    pub date: Field,
    pub month: Field,
    pub weekday: Field,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Field {
    Any,
    Every(u32),
    Of(Vec<u32>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Continues {
    Occurrence,
    Schedule,
    Day,
    Month,
    Nothing,
}

impl Field {
    pub(super) fn is_star(&self) -> bool {
        !matches!(self, Field::Of(_))
    }

    fn text(&self) -> String {
        match self {
            Field::Any => "*".to_owned(),
            Field::Every(step) => format!("*/{step}"),
            Field::Of(values) => {
                let values: Vec<_> = values.iter().map(u32::to_string).collect();
                values.join(",")
            }
        }
    }
}

impl Line {
    pub(super) fn text(&self) -> String {
        let five = [
            &self.minute,
            &self.hour,
            &self.date,
            &self.month,
            &self.weekday,
        ];
        let fields: Vec<_> = self.second.iter().chain(five).map(Field::text).collect();
        fields.join(" ")
    }
}

impl Sketch {
    pub(super) fn random(
        name: String,
        version: u32,
        random: &mut Random,
        around: Date,
        due: Due,
    ) -> Self {
        let lines = (0..=i64::from(random.chance(15)))
            .map(|_| line(random, due))
            .collect();
        let except = match random.chance(20) {
            true => {
                let days = random.between(1, 20);
                vec![
                    around
                        .checked_add(jiff::SignedDuration::from_hours(24 * days))
                        .expect("in range"),
                ]
            }
            false => vec![],
        };
        Self {
            name,
            version,
            enabled: !random.chance(5),
            lines,
            zone: random.pick(&ZONES),
            except,
            jitter: match due {
                Due::Together => random.pick(&[0, 0, 0, 0, 0, 0, 0, 20]),
                Due::Often | Due::OneByOne | Due::Seldom => random.pick(&[0, 0, 0, 20, 50, 300]),
            },
            agent: usize::try_from(random.between(0, 2)).expect("not negative"),
            catch_up: match random.between(0, 9) {
                0..=4 => CatchUp::All {
                    at_most: u32::try_from(random.pick(&[2, 10, 30])).expect("small"),
                    spacing: Duration::from_secs(random.pick(&[0, 1, 10])),
                },
                5..=7 => CatchUp::Latest,
                _ => CatchUp::None,
            },
            within: random.pick(&[1800, 6 * 3600, 12 * 3600, 12 * 3600]),
            give_up_after: random.pick(&[600, 3 * 3600, 12 * 3600, 12 * 3600]),
            first_delay: random.pick(&[1, 2, 10]),
            max_delay: random.pick(&[30, 120, MAX_DELAY]),
            conversation: random.pick(&[
                Continues::Occurrence,
                Continues::Schedule,
                Continues::Day,
                Continues::Month,
                Continues::Nothing,
            ]),
            overlap: match due {
                Due::OneByOne => random.pick(&[
                    OverlapPolicy::Allow,
                    OverlapPolicy::Skip,
                    OverlapPolicy::Queue,
                    OverlapPolicy::Queue,
                ]),
                Due::Often | Due::Seldom | Due::Together => OverlapPolicy::Allow,
            },
            stuck_after: random.pick(&[1800, 6 * 3600]),
        }
    }

    /// As a file that says this would be resolved.
    pub(super) fn schedule(&self) -> Schedule {
        let template = |text: &str| Template::parse(text).expect("the template is valid");
        let (trigger_id, token) = AGENTS[self.agent];
        let lines = self
            .lines
            .iter()
            .map(|line| CronExpr::parse(&line.text(), &self.name).expect("the sketch is valid"));
        Schedule {
            id: ScheduleId::parse(&self.name).expect("the name is valid"),
            description: "".into(),
            enabled: self.enabled,
            recurrence: Recurrence {
                timing: Timing::Cron(lines.collect()),
                zone: Zone::parse(self.zone).expect("the zone is in tzdata"),
                start: None,
                end: None,
                except: self.except.clone(),
            },
            jitter: Duration::from_secs(self.jitter),
            target: Target {
                trigger_id: TriggerId::parse(trigger_id).expect("the id is valid"),
                token: token_id(token),
            },
            message: Message {
                source_system: "simulation".into(),
                output_destination: None,
                update_text: None,
                marker: template("done"),
                input: Some(template(&format!(
                    "{{{{ request_id }}}} {{{{ window_start | date('%s') }}}} {{{{ window_end | date('%s') }}}} {{{{ missed_count }}}} v{}",
                    self.version
                ))),
            },
            keep_input: true,
            conversation: match self.conversation {
                Continues::Occurrence => Conversation::Occurrence,
                Continues::Schedule => Conversation::Schedule,
                Continues::Day => Conversation::Day,
                Continues::Month => Conversation::Month,
                Continues::Nothing => Conversation::None,
            },
            policies: Policies {
                missed: Missed {
                    catch_up: self.catch_up,
                    within: Duration::from_secs(self.within),
                },
                overlap: Overlap {
                    policy: self.overlap,
                    stuck_after: Duration::from_secs(self.stuck_after),
                },
                retry: Retry {
                    give_up_after: Duration::from_secs(self.give_up_after),
                    first_delay: Duration::from_secs(self.first_delay),
                    max_delay: Duration::from_secs(self.max_delay),
                },
                expect: Expect {
                    accepted_within: None,
                    finished_within: None,
                    approved_within: Duration::from_secs(900),
                    heartbeat: None,
                },
                limits: Limits {
                    per_day: None,
                    per_hour: None,
                },
                verify: None,
            },
        }
    }

    pub(super) fn shared(self) -> Arc<Self> {
        Arc::new(self)
    }
}

pub(super) fn token_id(name: &str) -> TokenId {
    match name {
        "default" => TokenId::Default,
        own => TokenId::Agent(own.to_owned()),
    }
}

fn line(random: &mut Random, due: Due) -> Line {
    let number = |random: &mut Random, first: i64, last: i64| {
        u32::try_from(random.between(first, last)).expect("not negative")
    };
    let daily = Line {
        second: None,
        minute: Field::Of(vec![number(random, 0, 59)]),
        hour: Field::Of(vec![number(random, 0, 23)]),
        date: Field::Any,
        month: Field::Any,
        weekday: Field::Any,
    };
    let kind = match due {
        Due::Seldom if !random.chance(3) => random.pick(&[6, 7, 9]),
        Due::Together if !random.chance(10) => 10,
        Due::Often | Due::OneByOne | Due::Seldom | Due::Together => random.between(0, 9),
    };
    match kind {
        0 => Line {
            minute: Field::Every(random.pick(&[5, 7, 10])),
            hour: Field::Any,
            ..daily
        },
        1 => Line {
            minute: Field::Every(15),
            hour: Field::Of((8..18).collect()),
            ..daily
        },
        2 => Line {
            minute: Field::Of(vec![0, 30]),
            hour: Field::Of((0..24).collect()),
            ..daily
        },
        3 => Line {
            minute: Field::Of(vec![0]),
            hour: Field::Any,
            ..daily
        },
        4 => Line {
            hour: Field::Of(vec![0, 1, 2, 3]),
            minute: Field::Of(vec![0, 15, 30]),
            ..daily
        },
        5 => Line {
            second: Some(Field::Of(vec![
                number(random, 0, 29),
                number(random, 30, 59),
            ])),
            minute: Field::Every(20),
            hour: Field::Any,
            ..daily
        },
        6 => Line {
            date: Field::Of(vec![1, 15]),
            weekday: Field::Of(vec![1, 3]),
            ..daily
        },
        7 => Line {
            date: Field::Every(2),
            weekday: Field::Of(vec![1, 2, 5]),
            hour: Field::Of(vec![0, 2, 9]),
            ..daily
        },
        8 => Line {
            minute: Field::Of(vec![0]),
            hour: Field::Every(2),
            ..daily
        },
        10 => Line {
            minute: Field::Of(vec![0]),
            hour: Field::Of((0..24).step_by(4).collect()),
            ..daily
        },
        _ => daily,
    }
}
