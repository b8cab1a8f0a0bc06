//! When the end of a token is worth a word: no API tells when one expires, so the operator's own date
//! is all there is. It knows no token.

use jiff::civil::Date;

use crate::api::token::TokenId;
use crate::plan::alert::{self, Sign, Subject};

/// Days before the end on which it is told, and each day from the second on.
const FIRST: i32 = 14;
const SECOND: i32 = 3;

/// What is to be told of a token that ends on `expires`, `today`. `None` where it is too early.
pub fn warning(token: &TokenId, expires: Date, today: Date) -> Option<String> {
    let left = (expires - today).get_days();
    let end = match left {
        i32::MIN..0 => format!("expired on {expires}"),
        0 => "expires today".to_owned(),
        1 => "expires tomorrow".to_owned(),
        left if left <= FIRST => format!("expires in {left} days, on {expires}"),
        _ => return None,
    };
    Some(format!(
        "the token `{token}` {end}: make a new Workspace Agent access token, put it in the old one's place, and correct \
         `expires`"
    ))
}

/// Whether today is one of the days on which it is told without anybody asking.
pub fn is_told(expires: Date, today: Date) -> bool {
    let left = (expires - today).get_days();
    left == FIRST || left <= SECOND
}

/// For the alarms: trouble from the first day on.
pub fn sign(token: &TokenId, expires: Date, today: Date) -> Sign {
    let subject = Subject::Expiry(token.clone());
    match warning(token, expires, today) {
        Some(text) => alert::bad(subject, text),
        None => alert::good(subject),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_14_days_before_and_from_3_days_before_on() {
        let expires: Date = "2027-02-21".parse().unwrap();
        let told: Vec<i64> = (-2..20)
            .rev()
            .filter(|left| is_told(expires, expires - jiff::Span::new().days(*left)))
            .collect();
        assert_eq!(told, [14, 3, 2, 1, 0, -1, -2]);
    }

    #[test]
    fn the_text_says_when_and_what_to_do() {
        #[track_caller]
        fn check(today: &str, expected: Option<&str>) {
            let expires = "2027-02-21".parse().unwrap();
            let text = warning(&TokenId::Default, expires, today.parse().unwrap());
            let text = text.as_deref().and_then(|text| text.split_once(": make"));
            assert_eq!(text.map(|(start, _)| start), expected);
        }
        check("2027-02-06", None);
        check(
            "2027-02-07",
            Some("the token `default` expires in 14 days, on 2027-02-21"),
        );
        check("2027-02-20", Some("the token `default` expires tomorrow"));
        check("2027-02-21", Some("the token `default` expires today"));
        check(
            "2027-03-01",
            Some("the token `default` expired on 2027-02-21"),
        );
    }
}
