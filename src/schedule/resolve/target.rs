//! Whom it wakes: `agent`, `trigger_id`, or the environment's.

use super::{Context, Resolver};
use crate::api::token::TokenId;
use crate::schedule::file::RawSchedule;
use crate::schedule::problem::Problem;
use crate::schedule::{Target, TriggerId};
use crate::toml_file::{list, nearest};

impl Resolver {
    pub(super) fn target(&mut self, raw: &RawSchedule, context: &Context) -> Option<Target> {
        if let (Some(agent), Some(_)) = (&raw.agent, &raw.trigger_id) {
            self.error(
                agent.span.clone(),
                "`agent` and `trigger_id` exclude each other",
                "keep one of them",
            );
            return None;
        }
        if let Some(name) = &raw.agent {
            let Some(agent) = context.agents.get(&name.value) else {
                let names: Vec<&str> = context.agents.keys().map(String::as_str).collect();
                let help = match nearest(&name.value, &names) {
                    Some(near) => format!("did you mean `{near}`"),
                    None if names.is_empty() => format!(
                        "add `[agents.{}]` with its `trigger_id` to triggerd.toml",
                        name.value
                    ),
                    None => format!("triggerd.toml has {}", list(&names)),
                };
                self.error(
                    name.span.clone(),
                    format!("there is no agent `{}` in triggerd.toml", name.value),
                    help,
                );
                return None;
            };
            return Some(Target {
                trigger_id: agent.trigger_id.clone(),
                token: match agent.own_token {
                    true => TokenId::Agent(name.value.clone()),
                    false => TokenId::Default,
                },
            });
        }
        let (text, place) = match (&raw.trigger_id, &context.trigger_id) {
            (Some(field), _) => (field.value.as_str(), field.span.clone()),
            (None, Some(text)) => (text.as_str(), None),
            (None, None) => {
                self.missing(&["agent", "trigger_id"], "it does not say which agent to wake", "add `trigger_id = \"agtch_…\"` or `agent = \"…\"`, or set WORKSPACE_AGENT_TRIGGER_ID");
                return None;
            }
        };
        let from_environment = raw.trigger_id.is_none();
        match TriggerId::parse(text) {
            Ok(trigger_id) => {
                if let Some(warning) = trigger_id.form_warning() {
                    let of = if from_environment {
                        "WORKSPACE_AGENT_TRIGGER_ID"
                    } else {
                        "`trigger_id`"
                    };
                    let problem = Problem::warning(
                        &self.path,
                        format!("{of} `{trigger_id}` has an unusual form"),
                    );
                    self.problems.push(problem.at(place).help(warning));
                }
                Some(Target {
                    trigger_id,
                    token: TokenId::Default,
                })
            }
            Err(error) => {
                let help = if from_environment {
                    "correct WORKSPACE_AGENT_TRIGGER_ID"
                } else {
                    "copy the id from the agent's API channel; it starts with `agtch_`"
                };
                self.error(place, error.to_string(), help);
                None
            }
        }
    }
}
