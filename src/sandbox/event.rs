//! What the sandbox's agent makes of an input: the other half of the source event as text (`Request ID: …` and so
//! on, then the wish to write it). It knows no run and no file.
//!
//! Reading is lenient, since other clients word their inputs otherwise: labels in any case, with `-`, `_` or
//! spaces, bulleted, in bold or as JSON members. Without a request id there is no event: the agent would ask
//! for one, and write nothing ambiguous.

/// The marker of an input that names none.
const MARKER: &str = "Workspace Agent API demo received:";

/// First words of a line that asks for the write, rather than being written itself.
const WISHES: [&str; 9] = [
    "please",
    "write",
    "post",
    "append",
    "publish",
    "start",
    "begin",
    "the first",
    "then",
];

/// What may stand between such words and a marker in the same line.
const LEADS: [&str; 5] = ["line:", "exactly:", "marker:", "with:", "as:"];

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SourceEvent {
    pub(crate) request_id: String,
    pub(crate) source_system: Option<String>,
    pub(crate) submitted_at: Option<String>,
    pub(crate) output_destination: Option<String>,
    pub(crate) update_text: Option<String>,
    /// The exact line that the update starts with; it ends in the request id.
    pub(crate) marker: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    RequestId,
    SourceSystem,
    SubmittedAt,
    OutputDestination,
    UpdateText,
}

impl SourceEvent {
    pub(crate) fn find(input: &str) -> Option<Self> {
        let lines: Vec<&str> = input.lines().collect();
        let fields = fields(&lines);
        let first = |wanted| {
            fields
                .iter()
                .find(|(_, field, value)| *field == wanted && !value.is_empty())
                .map(|(_, _, value)| (*value).to_owned())
        };

        let request_id = first(Field::RequestId)?;
        let is_field = |at: usize| fields.iter().any(|(line, ..)| *line == at);
        let marker = (0..lines.len())
            .rev()
            .filter(|at| !is_field(*at))
            .find_map(|at| marker(lines[at], &request_id).map(|marker| (at, marker)));

        let update_text = fields
            .iter()
            .find(|(_, field, _)| *field == Field::UpdateText)
            .map(|(start, _, value)| {
                let next_field = fields.iter().map(|(at, ..)| *at).find(|at| at > start);
                let wish = match &marker {
                    Some((at, _)) if at > start => Some(wish_start(&lines, *start, *at)),
                    _ => None,
                };
                let end = [next_field, wish].into_iter().flatten().min();
                let rest = &lines[start + 1..end.unwrap_or(lines.len())];
                [&[*value], rest].concat().join("\n").trim().to_owned()
            })
            .filter(|text| !text.is_empty());

        Some(Self {
            source_system: first(Field::SourceSystem),
            submitted_at: first(Field::SubmittedAt),
            output_destination: first(Field::OutputDestination),
            update_text,
            marker: marker.map_or_else(|| format!("{MARKER} {request_id}"), |(_, line)| line),
            request_id,
        })
    }
}

/// The labelled lines. A label counts once: said again, it is part of the text that it stands in.
fn fields<'a>(lines: &[&'a str]) -> Vec<(usize, Field, &'a str)> {
    let mut fields: Vec<(usize, Field, &str)> = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        if let Some((field, value)) = labelled(line)
            && fields.iter().all(|(_, known, _)| *known != field)
        {
            fields.push((at, field, value));
        }
    }
    fields
}

/// `- **Request-ID:** DEMO-1` is the request id `DEMO-1`.
fn labelled(line: &str) -> Option<(Field, &str)> {
    let (label, value) = line.split_once([':', '='])?;
    let label: String = label
        .trim_matches(is_decoration)
        .chars()
        .map(|c| match c {
            '-' | '_' => ' ',
            other => other.to_ascii_lowercase(),
        })
        .collect();
    let field = match label.as_str() {
        "request id" | "requestid" => Field::RequestId,
        "source system" | "sourcesystem" | "source" => Field::SourceSystem,
        "submitted at" | "submittedat" | "submitted" => Field::SubmittedAt,
        "output destination" | "outputdestination" | "destination" => Field::OutputDestination,
        "update text" | "updatetext" | "update" => Field::UpdateText,
        _ => return None,
    };
    let value = value.trim_start_matches('*').trim();
    Some((field, unquoted(value)))
}

fn is_decoration(c: char) -> bool {
    c.is_whitespace() || matches!(c, '-' | '*' | '•' | '"' | '`')
}

/// A JSON member's value, or a quoted one, without its quotes.
fn unquoted(value: &str) -> &str {
    let bare = value.trim_end_matches(',');
    ['"', '`', '\'']
        .into_iter()
        .find_map(|quote| bare.strip_prefix(quote)?.strip_suffix(quote))
        .unwrap_or(value)
}

/// The marker in a line that ends in the request id, without quotes and without the words that lead to it.
fn marker(line: &str, request_id: &str) -> Option<String> {
    let line = line.trim().trim_end_matches(['.', '"', '`', '\'', '”']);
    let before = line.strip_suffix(request_id)?;
    if before.ends_with(|c: char| c.is_alphanumeric() || c == '-') {
        return None;
    }
    let start = match before.rfind(['"', '`', '“']) {
        Some(quote) => quote + before[quote..].chars().next().map_or(0, char::len_utf8),
        None => LEADS
            .into_iter()
            .filter_map(|lead| {
                let after = before.to_ascii_lowercase().find(lead)? + lead.len();
                // `Marker: DEMO-1` is a marker itself, not words that lead to one.
                (!before[after..].trim().is_empty()).then_some(after)
            })
            .min()
            .unwrap_or(0),
    };
    Some(line[start..].trim().to_owned())
}

/// The first line of the paragraph that asks for the write and ends in the marker.
fn wish_start(lines: &[&str], text: usize, marker: usize) -> usize {
    // The marker may stand apart: `… starting with:`, a blank line, the marker.
    let foot = match marker.checked_sub(2) {
        Some(above) if above > text && lines[marker - 1].trim().is_empty() => {
            if lines[above].trim_end().ends_with(':') {
                above
            } else {
                marker
            }
        }
        _ => marker,
    };
    let paragraph = (text + 1..=foot)
        .rev()
        .take_while(|at| !lines[*at].trim().is_empty())
        .last()
        .unwrap_or(foot);
    let asks = |at: &usize| {
        let line = lines[*at].trim().to_ascii_lowercase();
        WISHES.iter().any(|wish| line.starts_with(wish))
    };
    (paragraph..=foot).find(asks).unwrap_or(foot)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLISHED: &str = "\
Request ID: DEMO-20260618010101
Source system: notebook demo
Submitted at: 2026-06-18T01:01:01+00:00
Output destination: #ops
Update text: The trigger reached the agent.

Please write this update to the configured destination.
Start with exactly: Workspace Agent API demo received: DEMO-20260618010101";

    #[test]
    fn the_published_mapping() {
        insta::assert_debug_snapshot!(SourceEvent::find(PUBLISHED), @r##"
        Some(
            SourceEvent {
                request_id: "DEMO-20260618010101",
                source_system: Some(
                    "notebook demo",
                ),
                submitted_at: Some(
                    "2026-06-18T01:01:01+00:00",
                ),
                output_destination: Some(
                    "#ops",
                ),
                update_text: Some(
                    "The trigger reached the agent.",
                ),
                marker: "Workspace Agent API demo received: DEMO-20260618010101",
            },
        )
        "##);
    }

    #[track_caller]
    fn check_id(input: &str, request_id: Option<&str>) {
        let found = SourceEvent::find(input).map(|event| event.request_id);
        assert_eq!(found.as_deref(), request_id, "{input}");
    }

    #[test]
    fn request_ids_in_other_words() {
        check_id("", None);
        check_id("Please write a report.", None);
        check_id("Request ID:", None);
        check_id("Request ID: \nUpdate text: x", None);
        check_id("Request ID: A-1", Some("A-1"));
        check_id("REQUEST_ID=A-1", Some("A-1"));
        check_id("request-id :A-1", Some("A-1"));
        check_id("requestId: A-1", Some("A-1"));
        check_id("  - **Request ID:** A-1", Some("A-1"));
        check_id("{\n  \"request_id\": \"A-1\",\n}", Some("A-1"));
        check_id("The request id is A-1", None);
    }

    #[track_caller]
    fn check_marker(line: &str, expected: &str) {
        let event = SourceEvent::find(&format!("Request ID: A-1\n{line}"));
        assert_eq!(event.map(|event| event.marker).as_deref(), Some(expected));
    }

    #[test]
    fn markers_alone_and_in_a_sentence() {
        check_marker("", "Workspace Agent API demo received: A-1");
        check_marker("triggerd received: A-1", "triggerd received: A-1");
        check_marker("Marker: A-1", "Marker: A-1");
        check_marker("Start with \"Got it: A-1\".", "Got it: A-1");
        check_marker("Start with `Got it: A-1`", "Got it: A-1");
        check_marker("Start with exactly: Got it: A-1", "Got it: A-1");
        check_marker("The first line: Got it A-1", "Got it A-1");
        check_marker("Got it: BA-1", "Workspace Agent API demo received: A-1");
        check_marker("Got it: B-A-1", "Workspace Agent API demo received: A-1");
    }

    #[track_caller]
    fn check_text(after_label: &str, expected: Option<&str>) {
        let event = SourceEvent::find(&format!("Request ID: A-1\nUpdate text: {after_label}"));
        let text = event.and_then(|event| event.update_text);
        assert_eq!(text.as_deref(), expected, "{after_label}");
    }

    #[test]
    fn the_text_ends_where_the_wish_begins() {
        check_text("", None);
        check_text("one line", Some("one line"));
        check_text("one\ntwo\n\nthree", Some("one\ntwo\n\nthree"));
        check_text("\none\ntwo", Some("one\ntwo"));
        check_text("one\nDestination: #ops", Some("one"));
        check_text("one\ntwo\nGot it: A-1", Some("one\ntwo"));
        check_text("one\n\nPlease write it.\nGot it: A-1", Some("one"));
        check_text(
            "one\n\ntwo\nWrite it, starting with this line:\nGot it: A-1",
            Some("one\n\ntwo"),
        );
        check_text(
            "write tests\n\nThen post it.\nGot it: A-1",
            Some("write tests"),
        );
        check_text(
            "one\n\nPlease write it, starting with:\n\nGot it: A-1",
            Some("one"),
        );
        check_text(
            "one\nRequest ID: B\nGot it: A-1",
            Some("one\nRequest ID: B"),
        );
    }
}
