//! Access tokens, and what one looks like. It knows no HTTP, and lets a token's text out by `Secret::expose` alone.

mod source;
mod tokens;

pub use source::{TokenError, TokenSource, credential};
pub use tokens::{Env, Tokens};

use std::borrow::Cow;
use std::fmt::{self, Debug, Display, Formatter};
use std::iter;

/// A value that no log line, error or dump may contain.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(value: impl Into<String>) -> Secret {
        Secret(value.into())
    }

    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl Display for Secret {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Debug for Secret {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Whose token it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TokenId {
    /// That of every agent without one of its own.
    Default,
    Agent(String),
}

impl Display for TokenId {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            TokenId::Default => f.write_str("default"),
            TokenId::Agent(name) => f.write_str(name),
        }
    }
}

/// Which mistake a token looks like, if any. Never a reason to refuse it: only the API knows.
pub fn form_warning(secret: &Secret) -> Option<&'static str> {
    let token = secret.expose();
    if token.starts_with("at-") {
        None
    } else if token.starts_with("sk-") {
        Some(
            "the token is a Platform API key (`sk-…`), which can't trigger agents; make a Workspace Agent access token \
             in ChatGPT under Admin > Access tokens, with the scope Workspace Agents",
        )
    } else if token.starts_with("token_") {
        Some(
            "the token is only a token's id (`token_…`); use the value itself, which starts with `at-`, or make \
             another token in ChatGPT under Admin > Access tokens",
        )
    } else if token.starts_with(['"', '\'']) {
        Some("the token begins with a quotation mark; write it without any")
    } else {
        Some(
            "the token does not start with `at-`, as Workspace Agent access tokens do; compare it with ChatGPT's \
             Admin > Access tokens, scope Workspace Agents",
        )
    }
}

/// A token that was put where it does not belong, and where it would be shown.
pub(crate) fn looks_like_token(word: &str) -> bool {
    const SHORTEST: usize = 20;
    // Words of a sentence, joined, have none.
    let is_random = |c: char| c.is_ascii_digit() || c.is_ascii_uppercase();
    ["at-", "sk-"].iter().any(|prefix| word.starts_with(prefix))
        && word.len() >= SHORTEST
        && word.contains(is_random)
}

/// Stars in the place of what looks like a token, byte for byte: places in the text stay what they are.
pub(crate) fn hide_tokens(text: &str) -> Cow<'_, str> {
    let is_of_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let mut words = text.split(|c| !is_of_word(c));
    if !words.any(looks_like_token) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for piece in text.split_inclusive(|c| !is_of_word(c)) {
        let word = piece.trim_end_matches(|c| !is_of_word(c));
        match looks_like_token(word) {
            true => shown.extend(iter::repeat_n('*', word.len())),
            false => shown.push_str(word),
        }
        shown.push_str(&piece[word.len()..]);
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use insta::assert_snapshot;
    use std::collections::BTreeMap;
    use std::error::Error;
    use std::fs;

    #[test]
    fn form_warnings_name_the_mistake() {
        #[track_caller]
        fn check(token: &str, expected: Option<&str>) {
            let warning = form_warning(&Secret::new(token));
            match expected {
                None => assert_eq!(warning, None),
                Some(part) => assert!(
                    warning.is_some_and(|warning| warning.contains(part)),
                    "{warning:?}"
                ),
            }
        }
        check("at-4f1c", None);
        check("sk-proj-4f1c", Some("Platform API key"));
        check("token_4f1c", Some("only a token's id"));
        check("\"at-4f1c\"", Some("quotation mark"));
        check("4f1c", Some("does not start with `at-`"));
    }

    #[test]
    fn tokens_in_a_text_are_hidden_and_nothing_moves() {
        #[track_caller]
        fn check(text: &str, expected: &str) {
            assert_eq!(hide_tokens(text), expected);
        }
        check(
            "token = \"at-0123456789abcdef0\" # é",
            "token = \"********************\" # é",
        );
        check("sk-proj-0123_456789abcdef", "*************************");
        check("at-0123456789abcdef", "at-0123456789abcdef");
        check("at-least-once-a-working-day", "at-least-once-a-working-day");
        check("what-0123456789abcdef0", "what-0123456789abcdef0");
        check("", "");
    }

    #[test]
    fn an_id_reads_as_in_the_file() {
        assert_snapshot!(TokenId::Default, @"default");
        assert_snapshot!(TokenId::Agent("revenue".to_owned()), @"revenue");
    }

    /// Whatever is done with a token, and wherever it is put by mistake, its text stays inside.
    #[test]
    fn canary_no_text_contains_the_token() {
        const CANARY: &str = "at-canary-7d1f0c52b9";
        let folder = tempfile::tempdir().expect("a folder for the test");
        let file = |name: &str, content: &str| {
            let path = folder.path().join(name);
            fs::write(&path, content).expect("a file for the test");
            path
        };
        let sources = [
            TokenSource::Env("GOOD".to_owned()),
            TokenSource::Env("TWO_LINES".to_owned()),
            TokenSource::File(file("good", CANARY)),
            TokenSource::File(file("bearer", &format!("Bearer {CANARY}"))),
            TokenSource::File(file("two_lines", &format!("{CANARY}\n{CANARY}\n"))),
            TokenSource::File(file("umlaut", &format!("{CANARY}ü"))),
            TokenSource::Credential("good".to_owned()),
            TokenSource::Env(CANARY.to_owned()),
            TokenSource::File(CANARY.into()),
            TokenSource::Credential(CANARY.to_owned()),
        ];
        let path = folder.path().to_str().expect("a plain path").to_owned();
        let env = move |name: &str| match name {
            "GOOD" => Some(CANARY.to_owned()),
            "TWO_LINES" => Some(format!("{CANARY}\n{CANARY}")),
            "CREDENTIALS_DIRECTORY" => Some(path.clone()),
            _ => None,
        };

        let mut texts = Vec::new();
        let (mut secrets, mut errors) = (0, 0);
        let mut ids = BTreeMap::new();
        for (n, source) in sources.into_iter().enumerate() {
            texts.extend([
                format!("{source} {source:?}"),
                format!("{:?}", source.warning(&env)),
            ]);
            match source.read(&env) {
                Ok(secret) => {
                    secrets += 1;
                    assert_eq!(secret.expose(), CANARY);
                    texts.extend([
                        format!("{secret} {secret:?} {secret:#?}"),
                        format!("{:?}", form_warning(&secret)),
                    ]);
                }
                Err(error) => {
                    errors += 1;
                    texts.push(format!("{error} {error:?} {:?}", error.source()));
                }
            }
            ids.insert(TokenId::Agent(n.to_string()), source);
        }
        assert_eq!((secrets, errors), (3, 7));

        let tokens = Tokens::new(ids.clone(), Box::new(env));
        for id in ids.keys() {
            texts.push(format!("{:?}", tokens.current(id)));
        }
        texts.push(format!("{tokens:?}"));
        for text in texts {
            assert!(
                !text.contains(CANARY),
                "{}",
                text.replace(CANARY, "<token>")
            );
        }
    }
}
