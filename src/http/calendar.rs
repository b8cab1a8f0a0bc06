//! What is due next, as a calendar to subscribe to (RFC 5545). A cron expression is more than a rule
//! of recurrence can say, so each occurrence is an event of its own.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use jiff::Timestamp;

use super::desk::{Desk, Unwell};
use crate::daemon::event::Standing;
use crate::plan::delivery::later;
use crate::plan::jitter;
use crate::plan::occurrence::Occurrence;

const AHEAD: Duration = Duration::from_secs(30 * 86_400);
/// Of one schedule, and of all together.
const MOST_OF_ONE: usize = 100;
const MOST: usize = 20_000;

pub(super) async fn calendar(State(desk): State<Arc<Desk>>) -> Result<impl IntoResponse, Unwell> {
    let standing = desk.look().await?.standing.clone();
    let made = async {
        let text = desk.office.work(move || text(&standing));
        Ok(text.await?)
    };
    let text = desk.text("/schedules.ics".to_owned(), made).await?;
    let kind = "text/calendar; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text.to_string()))
}

fn text(standing: &Standing) -> String {
    let agenda = &standing.agenda;
    let namespace = &agenda.namespace;
    let stamp = utc(agenda.at);
    let mut out = String::new();
    line(&mut out, "BEGIN:VCALENDAR");
    line(&mut out, "VERSION:2.0");
    line(&mut out, "PRODID:-//triggerd//schedules//EN");
    line(&mut out, "X-WR-CALNAME:triggerd");
    let until = later(agenda.at, AHEAD);
    let most = (MOST / agenda.schedules.len().max(1)).clamp(1, MOST_OF_ONE);
    for now in agenda.schedules.iter().filter(|it| it.schedule.enabled) {
        let schedule = &now.schedule;
        let first = schedule.recurrence.next_after(agenda.at);
        let slots = std::iter::successors(first, |slot| schedule.recurrence.next_after(slot.at));
        let slots = slots.take_while(|slot| slot.at <= until);
        for slot in slots.filter(|slot| !slot.excluded).take(most) {
            let occurrence = Occurrence::scheduled(&schedule.id, &schedule.recurrence, &slot);
            line(&mut out, "BEGIN:VEVENT");
            line(
                &mut out,
                &format!("UID:{}@triggerd", occurrence.request_id(namespace)),
            );
            line(&mut out, &format!("DTSTAMP:{stamp}"));
            let due_at = jitter::due_at(schedule, namespace, &slot);
            line(&mut out, &format!("DTSTART:{}", utc(due_at)));
            line(
                &mut out,
                &format!("SUMMARY:{}", escaped(schedule.id.as_str())),
            );
            if !schedule.description.is_empty() {
                let description = escaped(&schedule.description);
                line(&mut out, &format!("DESCRIPTION:{description}"));
            }
            line(&mut out, "TRANSP:TRANSPARENT");
            line(&mut out, "END:VEVENT");
        }
    }
    line(&mut out, "END:VCALENDAR");
    out
}

fn utc(at: Timestamp) -> String {
    at.strftime("%Y%m%dT%H%M%SZ").to_string()
}

fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for char in text.chars() {
        match char {
            '\\' | ';' | ',' => escaped.extend(['\\', char]),
            '\n' => escaped.push_str("\\n"),
            _ if char.is_control() => {}
            _ => escaped.push(char),
        }
    }
    escaped
}

/// Folded so that no line is longer than 75 bytes without its end, between characters.
fn line(out: &mut String, content: &str) {
    let mut length = 0;
    for char in content.chars() {
        if length + char.len_utf8() > 75 {
            out.push_str("\r\n ");
            length = 1;
        }
        out.push(char);
        length += char.len_utf8();
    }
    out.push_str("\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_folded_between_characters() {
        let mut out = String::new();
        let content = "é".repeat(80);
        line(&mut out, &content);
        assert!(out.ends_with("\r\n"));
        let lines: Vec<&str> = out.trim_end().split("\r\n").collect();
        assert_eq!(lines.len(), 3);
        assert!(lines.iter().all(|line| line.len() <= 75));
        assert!(lines[1..].iter().all(|line| line.starts_with(' ')));
        assert_eq!(out.replace("\r\n ", ""), format!("{content}\r\n"));
    }

    #[test]
    fn what_has_a_meaning_in_the_format_is_escaped() {
        assert_eq!(escaped("a;b,c\\d\ne\r"), "a\\;b\\,c\\\\d\\ne");
    }
}
