//! What may be shown of what others said: one printable line, without the token and the input.
//! It knows no HTTP.

use std::collections::HashSet;

use serde_json::Value;

use crate::api::token::Secret;

const MASK: &str = "***";

/// Quotes others, and leaves out what an answer may have echoed of our own request.
pub(super) struct Quote<'a> {
    token: Option<&'a Secret>,
    request_body: &'a str,
}

impl<'a> Quote<'a> {
    const LONGEST: usize = 200;
    const LONGEST_ID: usize = 512;
    /// Nothing far behind what is quoted is looked at.
    const LONGEST_READ: usize = 4096;
    /// So many characters in common with the input are an echo of it.
    const ECHO: usize = 16;

    pub(super) fn hiding(token: &'a Secret, request_body: &'a str) -> Self {
        Self {
            token: Some(token),
            request_body,
        }
    }

    /// Where neither token nor input were sent.
    pub(super) fn all() -> Self {
        Self {
            token: None,
            request_body: "",
        }
    }

    /// The first 200 printable characters, on one line.
    pub(super) fn line(&self, text: &str) -> String {
        let line = printable_line(text);
        let line = match self.token {
            Some(token) => line.replace(token.expose(), MASK),
            None => line,
        };
        let line: Vec<char> = line.chars().take(Self::LONGEST_READ).collect();
        let line = without_echo(&line, &self.input());
        line.chars().take(Self::LONGEST).collect()
    }

    /// An id or a URL as it is, or nothing: a changed one would lead elsewhere.
    pub(super) fn id(&self, text: &str) -> Option<String> {
        let echoes_token = self
            .token
            .is_some_and(|token| text.contains(token.expose()));
        let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic())
            && (1..=Self::LONGEST_ID).contains(&text.len());
        (is_plain && !echoes_token).then(|| text.to_owned())
    }

    fn input(&self) -> Vec<char> {
        let body: Value = serde_json::from_str(self.request_body).unwrap_or_default();
        printable_line(body["input"].as_str().unwrap_or_default())
            .chars()
            .collect()
    }
}

fn printable_line(text: &str) -> String {
    let words = text.split_whitespace();
    let words = words.map(|word| word.chars().filter(|&c| is_printable(c)).collect());
    let words: Vec<String> = words.filter(|word: &String| !word.is_empty()).collect();
    words.join(" ")
}

/// Escapes what is invisible or turns the direction of writing, besides control characters.
fn is_printable(c: char) -> bool {
    matches!(c, '\'' | '"' | '\\') || c.escape_debug().len() == 1
}

fn without_echo(line: &[char], input: &[char]) -> String {
    let window = Quote::ECHO.min(input.len());
    if window < Quote::ECHO / 2 {
        return line.iter().collect();
    }
    let echoes: HashSet<&[char]> = input.windows(window).collect();
    let mut kept = String::new();
    let mut echo_end = 0;
    for (at, c) in line.iter().enumerate() {
        let begins_echo = line
            .get(at..at + window)
            .is_some_and(|chars| echoes.contains(chars));
        if begins_echo {
            if at > echo_end || at == 0 {
                kept.push_str(MASK);
            }
            echo_end = at + window;
        }
        if at >= echo_end {
            kept.push(*c);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "at-canary-7d1f0c52b9";

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let token = Secret::new(TOKEN);
        let body =
            r#"{"input":"Summarise the tickets\nof Müller & Sons, Riga.","conversation_key":"k"}"#;
        assert_eq!(Quote::hiding(&token, body).line(text), expected, "{text:?}");
    }

    #[test]
    fn a_quote_is_one_printable_line() {
        check("", "");
        check(
            "  it's \"so\" \\ good \r\n\t  here ",
            "it's \"so\" \\ good here",
        );
        check("a\0b\u{1b}[31mc\u{202e}d\u{feff}e \u{7f} f", "ab[31mcde f");
        check("grüße 日本 😀", "grüße 日本 😀");
        check(&"é".repeat(300), &"é".repeat(200));
    }

    #[test]
    fn the_token_is_left_out_wherever_it_stands() {
        check(&format!("key {TOKEN} is wrong"), "key *** is wrong");
        check(&format!("{TOKEN}{TOKEN}"), "******");
        check("at-canary\0-7d1f\u{202e}0c52b9!", "***!");
        let (head, masked) = ("x".repeat(195), format!("{}***", "x".repeat(195)));
        check(&format!("{head}{TOKEN}"), &masked);
    }

    #[test]
    fn what_echoes_the_input_is_left_out() {
        check("got 'Summarise the tickets of Müll…'", "got '***…'");
        check(
            "Summarise the tickets of Müller & Sons, Riga.: no",
            "***: no",
        );
        check(
            "no: of Müller & Sons, R, of Müller & Sons, Riga",
            "no:***,***",
        );
        check("the tickets are gone", "the tickets are gone");
    }

    #[test]
    fn a_short_input_is_left_out_whole() {
        let token = Secret::new(TOKEN);
        let line = |body, text| Quote::hiding(&token, body).line(text);
        assert_eq!(
            line(r#"{"input":"wake up!"}"#, "bad `wake up!`"),
            "bad `***`"
        );
        assert_eq!(
            line(r#"{"input":"up"}"#, "upstream error"),
            "upstream error"
        );
        assert_eq!(line("", "upstream error"), "upstream error");
    }

    #[test]
    fn an_id_is_plain_or_none() {
        let token = Secret::new(TOKEN);
        let quote = Quote::hiding(&token, "");
        assert_eq!(quote.id("req_1-ä"), None);
        assert_eq!(quote.id(""), None);
        assert_eq!(quote.id("req 1"), None);
        assert_eq!(quote.id(&format!("https://x/{TOKEN}")), None);
        assert_eq!(quote.id(&"r".repeat(513)), None);
        assert_eq!(quote.id("req_1").as_deref(), Some("req_1"));
    }
}
