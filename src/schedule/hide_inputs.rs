//! A schedule file's text without what it says to its agent, for places that show no inputs. It knows
//! the keys that say nothing to an agent; the value of every other one may.

/// Keys whose values are shown; of dotted ones, the last part.
const HARMLESS: [&str; 25] = [
    "accepted_within",
    "agent",
    "approved_within",
    "at",
    "at_most",
    "catch_up",
    "cron",
    "enabled",
    "end",
    "except",
    "finished_within",
    "first_delay",
    "give_up_after",
    "input_file",
    "jitter",
    "keep_input",
    "max_delay",
    "per_day",
    "per_hour",
    "policy",
    "spacing",
    "start",
    "stuck_after",
    "timezone",
    "within",
];

/// The same text with a star for each byte of what is not shown, so that every place in it stays where
/// it is. In text that is no TOML, less is certain, and less is shown.
pub fn hide_inputs(text: &str) -> String {
    let sound = text.parse::<toml::Table>().is_ok();
    let mut shown = String::with_capacity(text.len());
    let mut string = Open::Nothing;
    // Lines of a list go on with what its first one was.
    let mut in_harmless_list = false;
    for line in text.split_inclusive('\n') {
        if string != Open::Nothing {
            string = string.after(line);
            stars(line, &mut shown);
            continue;
        }
        if is_header(line) {
            in_harmless_list = false;
            shown.push_str(line);
            continue;
        }
        let Some((key, value)) = line.split_once('=').filter(|(key, _)| is_bare(key)) else {
            string = string.after(line);
            match in_harmless_list && string == Open::Nothing {
                true => shown.push_str(line),
                false => stars(line, &mut shown),
            }
            in_harmless_list &= !line.contains(']');
            continue;
        };
        string = string.after(value);
        let name = key.rsplit('.').next().unwrap_or(key).trim();
        let harmless = HARMLESS.contains(&name) && string == Open::Nothing;
        in_harmless_list = harmless && value.contains('[') && !value.contains(']');
        match harmless || sound {
            true => shown.push_str(key),
            false => stars(key, &mut shown),
        }
        shown.push('=');
        match harmless {
            true => shown.push_str(value),
            false => stars(value, &mut shown),
        }
    }
    shown
}

/// A string of several lines that has not ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    Nothing,
    Basic,
    Literal,
}

impl Open {
    /// What is open after `rest`, where this is before it.
    fn after(mut self, rest: &str) -> Open {
        let mut left = rest;
        while let Some(first) = left.chars().next() {
            let mut step = first.len_utf8();
            match self {
                Open::Nothing => match first {
                    '#' => return self,
                    '"' | '\'' if left.starts_with("\"\"\"") || left.starts_with("'''") => {
                        step = 3;
                        self = match first {
                            '"' => Open::Basic,
                            _ => Open::Literal,
                        };
                    }
                    '"' | '\'' => step = one_line(left, first),
                    _ => {}
                },
                Open::Basic if first == '\\' => {
                    step = left.chars().take(2).map(char::len_utf8).sum()
                }
                Open::Basic if left.starts_with("\"\"\"") => {
                    step = 3;
                    self = Open::Nothing;
                }
                Open::Literal if left.starts_with("'''") => {
                    step = 3;
                    self = Open::Nothing;
                }
                Open::Basic | Open::Literal => {}
            }
            left = &left[step..];
        }
        self
    }
}

/// How long a string on one line is, with its quotes.
fn one_line(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, char) in text.char_indices().skip(1) {
        match char {
            _ if escaped => escaped = false,
            '\\' if quote == '"' => escaped = true,
            _ if char == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn is_header(line: &str) -> bool {
    let line = line.trim();
    let of_header = |it: char| is_of_key(it) || "[]".contains(it);
    line.starts_with('[') && line.ends_with(']') && line.chars().all(of_header)
}

fn is_bare(key: &str) -> bool {
    let key = key.trim();
    !key.is_empty() && key.chars().all(is_of_key)
}

fn is_of_key(char: char) -> bool {
    char.is_ascii_alphanumeric() || "_-.".contains(char)
}

fn stars(text: &str, shown: &mut String) {
    for char in text.chars() {
        match char.is_whitespace() {
            true => shown.push(char),
            false => shown.extend(std::iter::repeat_n('*', char.len_utf8())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let shown = hide_inputs(text);
        assert_eq!(shown, expected);
        assert_eq!(shown.len(), text.len());
    }

    #[test]
    fn what_an_agent_is_told_is_starred_and_the_rest_shown() {
        check("cron = \"61 7 * * *\"\n", "cron = \"61 7 * * *\"\n");
        check("input = \"käse\" # x\n", "input = ******* * *\n");
        check(
            "[event]\nupdate_text = 'a'\n",
            "[event]\nupdate_text = ***\n",
        );
        check("event = { marker = \"a\" }", "event = * ****** * *** *");
        check("missed.within = \"1h\"", "missed.within = \"1h\"");
        check(
            "cron = [\n  \"1 * * * *\",\n]\n",
            "cron = [\n  \"1 * * * *\",\n]\n",
        );
        check("# cron = 1\n", "* **** * *\n");
        check("timezon = \"a\"\n", "timezon = ***\n");
    }

    #[test]
    fn a_text_of_several_lines_is_starred_as_a_whole() {
        for (open, close) in [("\"\"\"", "\"\"\""), ("'''", "'''")] {
            check(
                &format!("input = {open}\ncron = 1\n[a]\n{close}\ncron = \"x\"\n"),
                "input = ***\n**** * *\n***\n***\ncron = \"x\"\n",
            );
        }
        check(
            "input = \"\"\"a \\\"\"\"\ncron = 1\"\"\"\nat = 1\n",
            "input = **** ****\n**** * ****\nat = 1\n",
        );
        check(
            "description = \"'''\"\ninput = '''\ncron = 1'''\n",
            "description = *****\ninput = ***\n**** * ****\n",
        );
    }

    #[test]
    fn of_what_is_no_toml_only_harmless_keys_are_shown() {
        check(
            "cron = \"0 9\ninput = \"canary\nwithout = an end\n",
            "cron = \"0 9\n***** = *******\n******* = ** ***\n",
        );
        check(
            "cron = [\n\"x\"\ninput = \"a\n",
            "cron = [\n\"x\"\n***** = **\n",
        );
    }
}
