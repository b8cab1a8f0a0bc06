//! What an arrival says: which occurrence it is, and whether it says what its version of the file
//! would. It knows neither when it was due nor whether it was owed.

use super::owed::Case;
use crate::simulation::api::Arrival;
use crate::simulation::sketch::AGENTS;

fn input_of(arrival: &Arrival) -> Option<String> {
    let body: serde_json::Value = serde_json::from_str(&arrival.body).ok()?;
    Some(body["input"].as_str()?.to_owned())
}

pub(super) fn request_id_of(arrival: &Arrival) -> String {
    let input = input_of(arrival).unwrap_or_default();
    input.split(' ').next().unwrap_or_default().to_owned()
}

pub(super) fn name_of(arrival: &Arrival) -> Option<String> {
    let request_id = request_id_of(arrival);
    Some(request_id.rsplit_once('-')?.0.to_owned())
}

/// Whether agent, conversation and text are those of this version.
pub(super) fn is_said_by(case: &Case, arrival: &Arrival, clock_went_back: bool) -> bool {
    let instance = case.instance();
    let Some(input) = input_of(arrival) else {
        return false;
    };
    let parts: Vec<&str> = input.split(' ').collect();
    let [_, start, _, missed, _] = parts[..] else {
        return false;
    };
    let (Ok(start), Ok(missed)) = (start.parse::<i64>(), missed.parse::<usize>()) else {
        return false;
    };
    let inside = case.instances[..case.index]
        .iter()
        .rev()
        .take_while(|it| it.at > start)
        .count();
    let is_plausible =
        start <= instance.at && (missed <= inside || case.sketch.version > 0 || clock_went_back);
    let expected = format!(
        "{} {start} {} {missed} v{}",
        instance.request_id, instance.at, case.sketch.version
    );
    let body = match &instance.conversation_key {
        Some(key) => format!(r#"{{"conversation_key":"{key}","input":"{expected}"}}"#),
        None => format!(r#"{{"input":"{expected}"}}"#),
    };
    is_plausible
        && *arrival.body == body
        && arrival.conversation_key == instance.conversation_key
        && arrival.trigger_id == AGENTS[case.sketch.agent].0
}
