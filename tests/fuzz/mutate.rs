//! A seeded mutator: the same seed gives the same input. It knows no format beyond lines and words.

use std::fs;
use std::path::Path;

/// Splitmix64.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `end`, which is not 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    pub(crate) fn of<'a, T>(&mut self, these: &'a [T]) -> &'a T {
        &these[self.below(these.len())]
    }
}

/// What inputs are made of.
pub(crate) struct Corpus {
    texts: Vec<Vec<u8>>,
    words: &'static [&'static str],
}

/// Nobody's file is much longer, and the bounds are for each input.
const LONGEST: usize = 8 * 1024;

impl Corpus {
    pub(crate) fn new(texts: Vec<Vec<u8>>, words: &'static [&'static str]) -> Self {
        Self { texts, words }
    }

    /// Every TOML file in these folders below tests/files.
    pub(crate) fn of_files(folders: &[&str], words: &'static [&'static str]) -> Self {
        let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files");
        let mut paths: Vec<_> = folders
            .iter()
            .flat_map(|folder| fs::read_dir(files.join(folder)).expect("a folder"))
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| path.extension().is_some_and(|it| it == "toml"))
            .collect();
        paths.sort();
        let texts = paths.iter().map(|path| fs::read(path).expect("a file"));
        Self::new(texts.collect(), words)
    }

    pub(crate) fn len(&self) -> usize {
        self.texts.len()
    }

    /// One of the texts after a few changes, now and then after many or none.
    pub(crate) fn input(&self, random: &mut Random) -> Vec<u8> {
        let mut text = random.of(&self.texts).clone();
        let changes = match random.below(16) {
            0 => 0,
            1 => 32,
            n => n / 6 + 1,
        };
        for _ in 0..changes {
            self.change(&mut text, random);
        }
        text.truncate(LONGEST);
        text
    }

    fn change(&self, text: &mut Vec<u8>, random: &mut Random) {
        let at = random.below(text.len() + 1);
        let to = (at + 1 + random.below(12)).min(text.len());
        match random.below(10) {
            0 => text.insert(at, random.next() as u8),
            1 if at < text.len() => text[at] ^= 1 << random.below(8),
            2 => drop(text.drain(at..to)),
            3 => {
                let part = text[at..to].to_vec();
                for _ in 0..=random.below(8) {
                    text.splice(at..at, part.iter().copied());
                }
            }
            4 => drop(text.splice(at..to, random.of(self.words).bytes())),
            5 => drop(text.splice(at..at, random.of(self.words).bytes())),
            6 => {
                let number = match random.below(3) {
                    0 => random.below(70).to_string(),
                    1 => (random.next() as i64).to_string(),
                    _ => "9".repeat(1 + random.below(40)),
                };
                text.splice(at..at, number.bytes());
            }
            7 => self.change_word(text, random),
            8 => drop(text.drain(line_at(text, at))),
            _ => {
                let other = random.of(&self.texts);
                let line = line_at(other, random.below(other.len() + 1));
                let here = line_at(text, at).start;
                text.splice(here..here, other[line].iter().copied());
            }
        }
    }

    /// Puts another in the place of a whole word or number.
    fn change_word(&self, text: &mut Vec<u8>, random: &mut Random) {
        let at = random.below(text.len() + 1);
        let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        let before = text[..at].iter().rev().take_while(|it| is_word(it)).count();
        let after = text[at..].iter().take_while(|it| is_word(it)).count();
        text.splice(at - before..at + after, random.of(self.words).bytes());
    }
}

/// With its line break.
fn line_at(text: &[u8], at: usize) -> std::ops::Range<usize> {
    let is_break = |byte: &u8| *byte == b'\n';
    let start = text[..at].iter().rposition(is_break).map_or(0, |it| it + 1);
    let end = text[at..].iter().position(is_break);
    start..end.map_or(text.len(), |it| at + it + 1)
}
