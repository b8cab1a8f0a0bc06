//! When the API wants to be called again. It knows no retry rule.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};

use crate::plan::outcome::RetryAfter;

/// No pause that is asked for is longer: past it, the header is more probably wrong than meant.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// `None` where the header is missing, nonsense, or already over.
pub(super) fn read(headers: &HeaderMap) -> Option<RetryAfter> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit are a very long time.
        let seconds = text.parse().unwrap_or(u64::MAX);
        return Some(RetryAfter::Delay(Duration::from_secs(seconds).min(LONGEST)));
    }
    let at = date(headers, &RETRY_AFTER)?;
    // Their clock and ours may differ; two instants of theirs tell a delay on any clock.
    match date(headers, &DATE) {
        None => Some(RetryAfter::At(at)),
        Some(sent_at) => {
            let delay = Duration::try_from(at.duration_since(sent_at)).ok()?;
            Some(RetryAfter::Delay(delay.min(LONGEST)))
        }
    }
}

pub(super) fn date(headers: &HeaderMap, name: &HeaderName) -> Option<Timestamp> {
    let text = headers.get(name)?.to_str().ok()?;
    DateTimeParser::new().parse_timestamp(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(retry_after: &str, date: Option<&str>, expected: Option<RetryAfter>) {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, retry_after.parse().expect("a header's value"));
        if let Some(date) = date {
            headers.insert(DATE, date.parse().expect("a header's value"));
        }
        assert_eq!(read(&headers), expected, "{retry_after}");
    }

    fn delay(seconds: u64) -> Option<RetryAfter> {
        Some(RetryAfter::Delay(Duration::from_secs(seconds)))
    }

    #[test]
    fn seconds_are_a_delay_of_at_most_a_day() {
        check("0", None, delay(0));
        check(" 120 ", None, delay(120));
        check("86401", None, delay(86_400));
        check("99999999999999999999999", None, delay(86_400));
    }

    #[test]
    fn a_date_is_measured_from_the_answers_own() {
        let date = "Mon, 23 Nov 2026 08:00:00 GMT";
        check("Mon, 23 Nov 2026 08:00:30 GMT", Some(date), delay(30));
        check("Mon, 23 Nov 2026 08:00:00 GMT", Some(date), delay(0));
        check("Tue, 23 Nov 2027 08:00:00 GMT", Some(date), delay(86_400));
        check("Mon, 23 Nov 2026 07:59:59 GMT", Some(date), None);
        let at = "2026-11-23T08:00:30Z".parse().expect("an instant");
        check(
            "Mon, 23 Nov 2026 08:00:30 GMT",
            None,
            Some(RetryAfter::At(at)),
        );
        check(
            "Mon, 23 Nov 2026 08:00:30 GMT",
            Some("yesterday"),
            Some(RetryAfter::At(at)),
        );
    }

    #[test]
    fn nonsense_is_no_wish() {
        for text in [
            "",
            "soon",
            "-5",
            "1.5",
            "1e3",
            "+5",
            "2026-11-23T08:00:30Z",
            "Mon, 31 Feb 2026 08:00:30 GMT",
        ] {
            check(text, None, None);
        }
        assert_eq!(read(&HeaderMap::new()), None);
    }
}
