//! Ids and digests in the API's forms; knows nothing of what they name.

use sha2::{Digest, Sha256};

pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(hex).collect()
}

/// `prefix` and 32 hex digits, a pure function of `prefix` and `parts`.
pub(crate) fn id(prefix: &str, parts: &[&str]) -> String {
    let named = format!("{prefix}\n{}", parts.join("\n"));
    format!("{prefix}{}", &sha256(named.as_bytes())[..32])
}

/// `https://chatgpt.com/c/<uuid>`, a pure function of `parts`.
pub(crate) fn conversation_url(parts: &[&str]) -> String {
    let digits = id("", parts);
    // The version and variant digits make it a UUID of version 4, which clients may check.
    format!(
        "https://chatgpt.com/c/{}-{}-4{}-a{}-{}",
        &digits[..8],
        &digits[8..12],
        &digits[13..16],
        &digits[17..20],
        &digits[20..],
    )
}

fn hex(byte: &u8) -> String {
    format!("{byte:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_their_form_and_are_stable() {
        insta::assert_snapshot!(id("apirun_", &["a", "1"]), @"apirun_0f05eb07314e4c988a075c5789fc38ab");
        insta::assert_snapshot!(conversation_url(&["a", "k"]), @"https://chatgpt.com/c/01ddd434-2752-487b-a252-5a5219ac98e6");
        assert_ne!(id("apirun_", &["a", "1"]), id("apirun_", &["a", "2"]));
    }
}
