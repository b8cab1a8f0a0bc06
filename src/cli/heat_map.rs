//! Counts per minute as a picture: a line for each hour, a cell for each minute. It knows no schedule.

use std::collections::BTreeMap;
use std::fmt::Write;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// How a cell looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cells {
    /// The count itself, and `#` for ten and more: for pipes and files.
    Digits,
    Blocks {
        colour: bool,
    },
}

const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Hours without any are left out.
pub(super) fn draw(counts: &BTreeMap<Timestamp, u64>, zone: &TimeZone, cells: Cells) -> String {
    let most = counts.values().copied().max().unwrap_or(0);
    let mut hours: BTreeMap<Timestamp, [u64; 60]> = BTreeMap::new();
    for (minute, count) in counts {
        let column = zone.to_datetime(*minute).minute().unsigned_abs();
        let hour = *minute - jiff::SignedDuration::from_mins(i64::from(column));
        let hour = hours.entry(hour).or_insert([0; 60]);
        hour[usize::from(column)] += count;
    }
    let mut picture = String::new();
    if hours.is_empty() {
        return picture;
    }
    picture += &" ".repeat(LABEL);
    for minute in (0..60).step_by(10) {
        let _ = write!(picture, ":{minute:02}       ");
    }
    picture.truncate(picture.trim_end().len());
    picture.push('\n');
    for (hour, counts) in hours {
        let label = zone.to_datetime(hour).strftime("%a %d %b %H");
        let _ = write!(picture, "{label}  ");
        for count in counts {
            cell(count, most, cells, &mut picture);
        }
        picture.push('\n');
    }
    picture
}

/// `Mon 23 Nov 09` and a gap.
const LABEL: usize = 15;

fn cell(count: u64, most: u64, cells: Cells, picture: &mut String) {
    match (cells, count) {
        (_, 0) => picture.push('·'),
        (Cells::Digits, 1..=9) => {
            let _ = write!(picture, "{count}");
        }
        (Cells::Digits, _) => picture.push('#'),
        (Cells::Blocks { colour }, _) => {
            let height = (count * BLOCKS.len() as u64).div_ceil(most.max(1)) as usize;
            let block = BLOCKS[height.clamp(1, BLOCKS.len()) - 1];
            match colour {
                true => {
                    let _ = write!(picture, "\u{1b}[{}m{block}\u{1b}[0m", heat(height));
                }
                false => picture.push(block),
            }
        }
    }
}

/// Green, yellow, red.
fn heat(height: usize) -> u8 {
    match height {
        0..=3 => 32,
        4..=6 => 33,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(cells: Cells) -> String {
        let zone = TimeZone::get("Asia/Kolkata").expect("it is in tzdata");
        let at = |text: &str| text.parse().expect("an instant");
        let counts = BTreeMap::from([
            (at("2026-11-23T03:30:00Z"), 16),
            (at("2026-11-23T03:31:00Z"), 1),
            (at("2026-11-23T03:40:00Z"), 8),
            (at("2026-11-23T04:29:00Z"), 2),
            (at("2026-11-23T08:00:00Z"), 9),
        ]);
        draw(&counts, &zone, cells)
    }

    #[test]
    fn a_pipe_gets_digits() {
        insta::assert_snapshot!(picture(Cells::Digits), @"
                       :00       :10       :20       :30       :40       :50
        Mon 23 Nov 09  #1········8················································2
        Mon 23 Nov 13  ······························9·····························
        ");
    }

    #[test]
    fn a_terminal_gets_blocks() {
        insta::assert_snapshot!(picture(Cells::Blocks { colour: false }), @"
                       :00       :10       :20       :30       :40       :50
        Mon 23 Nov 09  █▁········▄················································▁
        Mon 23 Nov 13  ······························▅·····························
        ");
        let coloured = picture(Cells::Blocks { colour: true });
        assert!(coloured.contains("09  \u{1b}[31m█\u{1b}[0m\u{1b}[32m▁\u{1b}[0m"));
        assert!(coloured.contains("\u{1b}[33m▄\u{1b}[0m"));
    }

    #[test]
    fn nothing_is_no_picture() {
        assert_eq!(draw(&BTreeMap::new(), &TimeZone::UTC, Cells::Digits), "");
    }
}
