#[test]
fn the_help_of_every_command_shows_an_example() {
    let folder = super::Folder::new();
    let help = folder.triggerd("help").run();
    assert_eq!((help.err.as_str(), help.code), ("", 0));
    let commands: Vec<&str> = help
        .out
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .filter(|command| *command != "help")
        .collect();
    assert!(commands.len() >= 9, "{commands:?}");
    for command in commands {
        let help = folder.triggerd(&format!("{command} --help")).run();
        assert!(help.out.contains("Example"), "{command}: {}", help.out);
        assert!(help.out.contains(&format!("triggerd {command}")));
    }
}

#[test]
fn wrong_usage_exits_with_2_and_prints_nothing_on_standard_output() {
    #[track_caller]
    fn check(line: &str, part: &str) {
        let done = super::Folder::with_weekly().triggerd(line).run();
        assert_eq!((done.out.as_str(), done.code), ("", 2), "{line}");
        assert!(done.err.contains(part), "{line}: {}", done.err);
    }
    check("", "Usage: triggerd");
    check("schedule", "unrecognized subcommand 'schedule'");
    check("next --expr @daily", "--timezone <ZONE>");
    check("next --timezone UTC", "--expr <CRON>");
    check(
        "next weekly-report --expr @daily --timezone UTC",
        "cannot be used with",
    );
    check("next --count many", "invalid value 'many'");
    check("next --from yesterday", "write `2026-11-23T09:00:00Z`");
    check("next --expr @often --timezone UTC", "write `@yearly`");
    check("next --expr @daily --timezone CET", "write `Europe/Berlin`");
    check("completions", "<SHELL>");
    check("completions csh", "possible values: bash");
    check("rehearse --live", "<SCHEDULE>");
    check("load --next soon", "`20s` or `5m`");
    check("why weekly-report", "<TIME>");
    check("why weekly-report noon", "write `2026-11-23T09:00:00Z`");
    check("preview", "<SCHEDULE>");
    check(
        "preview weekly-report --at noon",
        "write `2026-11-23T09:00:00Z`",
    );
    check("trigger", "<SCHEDULE>");
    check("history --count -1", "'-1'");
    check(
        "run --log-format xml",
        "[possible values: auto, journal, text, json]",
    );
    check("demo --for ever", "`20s` or `5m`");
}
