//! The value behind `H`: a number that stays the same for a schedule's name, on every machine and in every version. It
//! knows no syntax.

use sha2::{Digest, Sha256};

/// A number below `values` for this field of this schedule.
pub(super) fn pick(schedule: &str, field: &str, values: u8) -> u8 {
    let digest = Sha256::digest(format!("H\n{schedule}\n{field}\n"));
    let first_eight = digest.first_chunk().expect("SHA-256 has 32 bytes");
    (u64::from_be_bytes(*first_eight) % u64::from(values)) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(schedule: &str, field: &str, values: u8, expected: u8) {
        assert_eq!(
            pick(schedule, field, values),
            expected,
            "{schedule} {field}"
        );
    }

    // From `printf 'H\nweekly-report\nminute\n' | sha256sum`, the first 16 digits modulo the count.
    #[test]
    fn is_the_documented_hash() {
        check("weekly-report", "minute", 60, 14);
        check("weekly-report", "hour", 24, 23);
        check("weekly-report", "second", 60, 34);
        check("poll", "minute", 15, 8);
    }
}
