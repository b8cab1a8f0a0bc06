//! What there is to compare of two versions of a schedule, each part as a digest: it says whether that part is the
//! same, and nothing of what the agent is told. It knows no file.

use std::fmt::Debug;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::{HeadersFrom, Schedule};

/// A part's name for people, and its digest; always the same parts, in the same order. What lies below the
/// schedules' `folder` is compared by where it lies in there.
pub fn facets(schedule: &Schedule, folder: &Path) -> Vec<(String, String)> {
    let mut policies = schedule.policies.clone();
    if let Some(verify) = &mut policies.verify
        && let Some(HeadersFrom::File(path)) = &mut verify.headers_from
        && let Ok(inside) = path.strip_prefix(folder)
    {
        *path = inside.to_owned();
    }
    let parts: [(&str, &dyn Debug); 8] = [
        ("description", &schedule.description),
        ("when", &schedule.recurrence),
        ("jitter", &schedule.jitter),
        ("agent", &schedule.target),
        ("text", &schedule.message),
        ("conversation", &schedule.conversation),
        ("keep_input", &schedule.keep_input),
        ("policies", &policies),
    ];
    let digest = |part: &dyn Debug| {
        let hash = Sha256::digest(format!("{part:?}"));
        hash.iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect()
    };
    parts
        .into_iter()
        .map(|(name, part)| (name.to_owned(), digest(part)))
        .collect()
}

/// The parts that differ, by name.
pub fn differences(before: &[(String, String)], after: &[(String, String)]) -> Vec<String> {
    let differ = after.iter().filter(|part| !before.contains(part));
    differ.map(|(name, _)| name.clone()).collect()
}
