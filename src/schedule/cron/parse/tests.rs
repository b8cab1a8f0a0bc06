use super::*;

#[track_caller]
fn same(text: &str, other: &str) {
    assert_eq!(
        parse(text, "test"),
        parse(other, "test"),
        "`{text}` and `{other}`"
    );
    assert!(parse(text, "test").is_ok(), "`{text}`");
}

#[test]
fn several_ways_to_write_one_thing() {
    same("0 0 * * 7", "0 0 * * 0");
    same("0 0 * * 5-7", "0 0 * * FRI,sat,Sun");
    same("0 0 1 * 0-7", "0 0 1 * SUN-SAT");
    same("0 0 1 jan,FEB-apr *", "0 0 1 1-4 *");
    same("  005\t 00 * * *\t", "5 0 * * *");
    same("*/90 * * * *", "*/60,0 * * * *");
    same("5-10/99999999999999999999 0 * * *", "5 0 * * *");
    same("0 0 * * FRI#3", "0 0 * * 5#3");
    same("0 0 * * SUNL", "0 0 * * 7L");
    same("0 0 0 * * *", "@midnight");
    same("@WEEKLY", "0 0 * * 0");
    same("@annually", "@yearly");
    same("0 0 LW,15 * *", "0 0 15,LW * *");
}

#[track_caller]
fn kind(text: &str, expected: Kind) {
    assert_eq!(
        parse(text, "test").expect("valid").kind(),
        expected,
        "`{text}`"
    );
}

#[test]
fn a_star_in_front_makes_an_interval() {
    kind("*/15 2 * * *", Kind::Interval);
    kind("0 */2 * * *", Kind::Interval);
    kind("30 * * * *", Kind::Interval);
    kind("@hourly", Kind::Interval);
    kind("*,5 2 * * *", Kind::Interval);
    kind("* 30 2 * * *", Kind::Interval);
    kind("30 2 * * *", Kind::Clock);
    kind("0,30 2 * * *", Kind::Clock);
    kind("5,* 2 * * *", Kind::Clock);
    kind("0 0-23 * * *", Kind::Clock);
    kind("H H * * *", Kind::Clock);
    kind("0 30 2 * * *", Kind::Clock);
}

#[track_caller]
fn notes(text: &str, schedule: &str, expected: &[&str]) {
    assert_eq!(
        parse(text, schedule).expect("valid").notes(),
        expected,
        "`{text}`"
    );
}

#[test]
fn notes_say_what_may_surprise() {
    let either = "a day is due when its date or its weekday matches: either suffices, because neither day field starts \
                  with `*`";
    let both = "a day is due when it matches both its day fields, date and weekday, because one of them starts with `*`";
    notes("0 0 1,15 * MON", "poll", &[either]);
    notes("0 0 */2 * MON", "poll", &[both]);
    notes("0 0 1 * */2", "poll", &[both]);
    notes("0 0 * * MON", "poll", &[]);
    notes("0 0 L * *", "poll", &[]);
    notes(
        "H/15 9 * * *",
        "poll",
        &["`H` makes the minute `8,23,38,53`"],
    );
    notes(
        "H H * * *",
        "weekly-report",
        &["`H` makes the minute `14`", "`H` makes the hour `23`"],
    );
    notes(
        "0-2,10,11,H(58-58) * * * *",
        "poll",
        &["`H` makes the minute `0-2,10,11,58`"],
    );
}

#[test]
fn hashed_values_stay_within_what_was_written() {
    for schedule in ["a", "b", "c", "d", "e", "f"] {
        let minutes = |text| parse(text, schedule).expect("valid").times.minutes;
        assert!(minutes("H(10-29) * * * *").trailing_zeros() >= 10);
        assert!(minutes("H(10-29) * * * *") < 1 << 30);
        assert_eq!(
            minutes("H/7 * * * *") & 0x7f,
            (minutes("H/7 * * * *") >> 7) & 0x7f
        );
        assert_eq!(minutes("H/900 * * * *"), minutes("H * * * *"));
    }
}

/// Each expression, its offending bytes, what is wrong and the way out.
fn refusals(texts: &[&str]) -> String {
    let refusal = |text: &&str| {
        let error = parse(text, "test").expect_err(text);
        let before = " ".repeat(text[..error.span.start].chars().count());
        let carets = "^".repeat(text[error.span].chars().count());
        let help = error
            .help
            .map_or(String::new(), |help| format!("  = {help}\n"));
        let text = text.replace(['\t', '\n'], " ");
        format!("{text}\n{before}{carets} {}\n{help}", error.message)
    };
    texts.iter().map(refusal).collect()
}

#[test]
fn refuses_what_is_no_number_of_the_field() {
    insta::assert_snapshot!(refusals(&[
        "61 7 * * 1-5",
        "120 7 * * *",
        "0 24 * * *",
        "0 20-30 * * *",
        "99999999999999999999 * * * *",
        "0 0 0 * *",
        "0 0 32 * *",
        "0 0 1 13 *",
        "0 0 * * 8",
        "+5 0 * * *",
        "\u{0665} 0 * * *",
        "0 0 MON * *",
        "0 0 * MON *",
        "0 0 * * JAN",
        "0 0 1 JANUARY *",
        "x 0 * * *",
        "0\n0 * * * *",
    ]), @r"
    61 7 * * 1-5
    ^^ minute 61 is outside 0-59
      = for minute 1 write `1 7 * * 1-5`
    120 7 * * *
    ^^^ minute 120 is outside 0-59
    0 24 * * *
      ^^ hour 24 is outside 0-23
      = for hour 0 write `0 0 * * *`
    0 20-30 * * *
         ^^ hour 30 is outside 0-23
    99999999999999999999 * * * *
    ^^^^^^^^^^^^^^^^^^^^ minute 99999999999999999999 is outside 0-59
    0 0 0 * *
        ^ day-of-month 0 is outside 1-31
    0 0 32 * *
        ^^ day-of-month 32 is outside 1-31
      = for the last day of the month write `L`
    0 0 1 13 *
          ^^ month 13 is outside 1-12
    0 0 * * 8
            ^ day-of-week 8 is outside 0-7
      = 0 and 7 are Sunday, 6 is Saturday
    +5 0 * * *
    ^^ `+5` is not a minute
      = write a number from 0 to 59
    ٥ 0 * * *
    ^ `٥` is not a minute
      = write a number from 0 to 59
    0 0 MON * *
        ^^^ `MON` is not a day-of-month
      = `MON` belongs in the day-of-week field
    0 0 * MON *
          ^^^ `MON` is not a month
      = `MON` belongs in the day-of-week field
    0 0 * * JAN
            ^^^ `JAN` is not a day-of-week
      = `JAN` belongs in the month field
    0 0 1 JANUARY *
          ^^^^^^^ `JANUARY` is not a month
      = write a number from 1 to 12 or a name from `JAN` to `DEC`
    x 0 * * *
    ^ `x` is not a minute
      = write a number from 0 to 59
    0 0 * * * *
    ^^^ `0\n0` is not a minute
      = write a number from 0 to 59
    ");
}

#[test]
fn refuses_what_is_no_term() {
    insta::assert_snapshot!(refusals(&[
        ",5 * * * *",
        "1,,2 * * * *",
        "5, * * * *",
        "5/15 * * * *",
        "0 0 * * 1/2",
        "*/0 * * * *",
        "*/ * * * *",
        "/5 * * * *",
        "*/x * * * *",
        "1-5/2/3 * * * *",
        "5- * * * *",
        "-5 * * * *",
        "1-2-3 * * * *",
        "*-5 * * * *",
        "** * * * *",
        "0 22-2 * * *",
        "0 23-0 * * *",
        "0 0 * * FRI-SUN",
        "0 0 * * SAT-MON",
        "0 0 25-5 * *",
        "? * * * *",
        "0~30 * * * *",
    ]), @"
    ,5 * * * *
    ^ a term is missing beside the comma
      = take the comma out, or write the term
    1,,2 * * * *
      ^ a term is missing beside the comma
      = take the comma out, or write the term
    5, * * * *
     ^ a term is missing beside the comma
      = take the comma out, or write the term
    5/15 * * * *
    ^^^^ step `/15` needs a range to count in
      = write `5-59/15`
    0 0 * * 1/2
            ^^^ step `/2` needs a range to count in
      = write `1-6/2`
    */0 * * * *
      ^ step 0 never gets on
      = a step is 1 or more
    */ * * * *
    ^^ `*/` lacks its step
    /5 * * * *
    ^^ `/5` lacks the values to step through
      = write `*/5`
    */x * * * *
      ^ step `x` is not a number
    1-5/2/3 * * * *
        ^^^ step `2/3` is not a number
    5- * * * *
    ^^ range `5-` lacks its end
    -5 * * * *
    ^^ range `-5` lacks its beginning
    1-2-3 * * * *
      ^^^ `2-3` is not a minute
      = write a number from 0 to 59
    *-5 * * * *
    ^ `*` is not a minute
      = write a number from 0 to 59
    ** * * * *
    ^^ `**` is not a minute
      = write a number from 0 to 59
    0 22-2 * * *
      ^^^^ range `22-2` runs backwards
      = write `22-23,0-2`
    0 23-0 * * *
      ^^^^ range `23-0` runs backwards
      = write `23,0`
    0 0 * * FRI-SUN
            ^^^^^^^ range `FRI-SUN` runs backwards
      = write `5-7`
    0 0 * * SAT-MON
            ^^^^^^^ range `SAT-MON` runs backwards
      = write `6,0-1`
    0 0 25-5 * *
        ^^^^ range `25-5` runs backwards
      = write `25-31,1-5`
    ? * * * *
    ^ `?` is not a cron value
      = write `*`
    0~30 * * * *
    ^^^^ `~` picks at random, so that two machines would not agree
      = write `H`, or `H(0-29)` for a range: it stays the same for the schedule's name
    ");
}

#[test]
fn refuses_what_only_looks_like_an_extension() {
    insta::assert_snapshot!(refusals(&[
        "H(0-60) * * * *",
        "H(9-5) * * * *",
        "H(0-29)/10 * * * *",
        "H/0 * * * *",
        "h * * * *",
        "0 0 H * *",
        "0 0 * * H",
        "0 0 15W * *",
        "0 0 L-3 * *",
        "0 0 l * *",
        "0 0 * * L",
        "0 0 * * 8L",
        "0 0 * * 5#6",
        "0 0 * * 5#",
        "0 0 * * #3",
        "0 0 * * 1-5#2",
    ]), @"
    H(0-60) * * * *
        ^^ minute 60 is outside 0-59
    H(9-5) * * * *
      ^^^ range `9-5` runs backwards
      = write `9-59,0-5`
    H(0-29)/10 * * * *
    ^^^^^^^^^^ `H(0-29)/10` is not a hashed minute
      = write `H`, `H/15` or `H(0-29)`
    H/0 * * * *
      ^ step 0 never gets on
      = a step is 1 or more
    h * * * *
    ^ `h` is not a hashed minute
      = write `H`, `H/15` or `H(0-29)`
    0 0 H * *
        ^ `H` is not a day-of-month
      = `H` can stand in the second, minute and hour fields
    0 0 * * H
            ^ `H` is not a day-of-week
      = `H` can stand in the second, minute and hour fields
    0 0 15W * *
        ^^^ `15W` is not supported
      = of `L` and `W`, `L` is the last day of the month and `LW` its last day from Monday to Friday
    0 0 L-3 * *
        ^^^ `L-3` is not supported
      = of `L` and `W`, `L` is the last day of the month and `LW` its last day from Monday to Friday
    0 0 l * *
        ^ `l` is not a day-of-month
      = write a number from 1 to 31, `L` or `LW`
    0 0 * * L
            ^ `L` alone is not a day-of-week
      = write `5L` for the last Friday of the month, `6` for Saturday
    0 0 * * 8L
            ^ day-of-week 8 is outside 0-7
      = 0 and 7 are Sunday, 6 is Saturday
    0 0 * * 5#6
            ^^^ `5#6` is not the nth of a day-of-week
      = write `5#1` to `5#5` for the first to the fifth Friday of the month, `5L` for the last
    0 0 * * 5#
            ^^ `5#` is not the nth of a day-of-week
      = write `5#1` to `5#5` for the first to the fifth Friday of the month, `5L` for the last
    0 0 * * #3
            ^^ `#3` is not the nth of a day-of-week
      = write `5#1` to `5#5` for the first to the fifth Friday of the month, `5L` for the last
    0 0 * * 1-5#2
            ^^^ `1-5` is not a day-of-week
      = write a number from 0 to 7 or a name from `SUN` to `SAT`
    ");
}

#[test]
fn refuses_what_is_no_expression() {
    insta::assert_snapshot!(refusals(&[
        "",
        " \t",
        "0 9 * *",
        "0 0 9 * * MON 2026",
        "CRON_TZ=Europe/Berlin 0 9 * * *",
        "@reboot",
        "@every 5m",
        "@Fortnightly",
        "@daily 5",
        "@",
    ]), @"

     the expression is empty
      = write minute, hour, day-of-month, month and day-of-week, such as `0 9 * * MON-FRI`
      
    ^^ the expression is empty
      = write minute, hour, day-of-month, month and day-of-week, such as `0 9 * * MON-FRI`
    0 9 * *
    ^^^^^^^ 4 fields are too few: 5, or 6 with the second first
      = the fields are minute, hour, day-of-month, month and day-of-week
    0 0 9 * * MON 2026
                  ^^^^ 7 fields are too many: 5, or 6 with the second first
      = there is no field for the year: `start` and `end` bound a schedule
    CRON_TZ=Europe/Berlin 0 9 * * *
    ^^^^^^^^^^^^^^^^^^^^^ `CRON_TZ=Europe/Berlin` is not a cron field
      = a time zone goes into `timezone`
    @reboot
    ^^^^^^^ `@reboot` is no point in time: a restart of the daemon must not wake an agent
      = for once, now, run `triggerd trigger NAME`
    @every 5m
    ^^^^^^^^^ `@every` counts from the daemon's start, so that each restart would move it
      = write a step, such as `*/15 * * * *`
    @Fortnightly
    ^^^^^^^^^^^^ `@Fortnightly` is not a macro
      = write `@yearly`, `@monthly`, `@weekly`, `@daily` or `@hourly`
    @daily 5
    ^^^^^^^^ `@daily` stands alone
    @
    ^ `@` is not a macro
      = write `@yearly`, `@monthly`, `@weekly`, `@daily` or `@hourly`
    ");
    let long = format!("{}0 * * * *", "0,".repeat(130));
    assert_eq!(
        parse(&long, "test").map_err(|error| error.span),
        Err(0..269)
    );
}

#[test]
fn refuses_what_never_fires() {
    insta::assert_snapshot!(refusals(&["0 0 30 2 *", "0 0 30,31 FEB *", "0 0 31 4,6,9,11 *", "0 0 LW * */6"]), @"
    0 0 30 2 *
        ^^^^ `30 2` never fires: no year has such a day
      = for the last day of the month write `L`
    0 0 30,31 FEB *
        ^^^^^^^^^ `30,31 FEB` never fires: no year has such a day
      = for the last day of the month write `L`
    0 0 31 4,6,9,11 *
        ^^^^^^^^^^^ `31 4,6,9,11` never fires: no year has such a day
      = for the last day of the month write `L`
    0 0 LW * */6
        ^^^^^^^^ `LW * */6` never fires: no year has such a day
      = a day field starts with `*`, so that a day must match both its date and its weekday
    ");
    for text in [
        "0 0 29 2 */6",
        "0 0 30 2 MON",
        "0 0 * 2 1#5",
        "0 0 29 2 *",
        "0 0 31 * *",
    ] {
        assert!(parse(text, "test").is_ok(), "`{text}`");
    }
}
