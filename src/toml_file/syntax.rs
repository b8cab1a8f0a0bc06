//! What the TOML parser says of broken syntax, in our words and with a way out. It knows no key.

use std::path::Path;

use crate::schedule::problem::Problem;

pub(super) fn problem(path: &Path, text: &str, error: &toml::de::Error) -> Problem {
    let place = error.span();
    let found = place
        .clone()
        .and_then(|place| text.get(place))
        .unwrap_or_default();
    let said = error.message().trim_end();
    let (what, _) = said.split_once(", expected").unwrap_or((said, ""));
    let (message, help) = match what {
        "string values must be quoted" => (
            "a string has no quotes".to_owned(),
            (!found.contains(['"', '\\'])).then(|| format!("write \"{}\"", found.trim_end())),
        ),
        "duplicate key" => (
            format!("`{found}` is there twice"),
            Some("write it once".to_owned()),
        ),
        "invalid basic string" if found.trim().is_empty() => not_closed("\""),
        "invalid literal string" if found.trim().is_empty() => not_closed("'"),
        "invalid multi-line basic string" if found.trim().is_empty() => not_closed("\"\"\""),
        "invalid multi-line literal string" if found.trim().is_empty() => not_closed("'''"),
        _ => (said.to_owned(), None),
    };
    let problem = Problem::error(path, message).at(place);
    match help {
        Some(help) => problem.help(help),
        None => problem,
    }
}

fn not_closed(quotes: &str) -> (String, Option<String>) {
    (
        "the string is not closed".to_owned(),
        Some(format!("close it with `{quotes}`")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_without_quotes_shows_in_no_problem() {
        let text = "[token]\nvalue = at-0123456789abcdef0123456789\n";
        let (_, errors) = toml::de::DeTable::parse_recoverable(text);
        let problem = problem(Path::new("triggerd.toml"), text, &errors[0]);
        let help = problem.help.expect("it has a way out");
        assert_eq!(help, "write \"*****************************\"");
    }
}
