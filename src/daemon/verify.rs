//! Looks a run's result up where it should have been written. It says what it found, and decides
//! nothing; what it sends along comes from a file or a credential and is shown nowhere.

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::outbound;
use crate::api::token::credential;
use crate::daemon::read;
use crate::plan::agenda::LookUp;
use crate::schedule::HeadersFrom;

const TIMEOUT: Duration = Duration::from_secs(30);
const LARGEST_BODY: usize = 4 << 20;

/// Whether the text stands at the address.
///
/// # Errors
/// Why that could not be told, without what was sent along.
pub(super) async fn find(look_up: LookUp) -> Result<bool, String> {
    let client = outbound::client().ok_or("the HTTP client can't be made")?;
    let headers = match look_up.headers_from {
        Some(from) => tokio::task::spawn_blocking(move || headers(&from))
            .await
            .map_err(|_| "`verify.headers_from` can't be read")??,
        None => HeaderMap::new(),
    };
    let get = client.get(&look_up.url).headers(headers).timeout(TIMEOUT);
    let mut response = get.send().await.map_err(outbound::said)?;
    if !response.status().is_success() {
        return Err(format!("the answer is {}", response.status()));
    }
    let mut body = Vec::new();
    while body.len() < LARGEST_BODY
        && let Some(chunk) = response.chunk().await.map_err(outbound::said)?
    {
        body.extend_from_slice(&chunk);
    }
    Ok(String::from_utf8_lossy(&body).contains(&look_up.contains))
}

/// `Name: value`, a line each; empty lines and `#` lines are for people.
fn headers(from: &HeadersFrom) -> Result<HeaderMap, String> {
    let path = match from {
        HeadersFrom::File(path) => path.clone(),
        HeadersFrom::Credential(name) => credential(name, &|name| std::env::var(name).ok())
            .ok_or_else(|| {
                format!("there is no credential `{name}`: systemd has given this process none")
            })?,
    };
    let (text, _) = read::text(&path)
        .map_err(|reason| format!("`verify.headers_from` `{}`: {reason}", path.display()))?;
    let mut headers = HeaderMap::new();
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let header = line.split_once(':').and_then(|(name, value)| {
            let mut value = HeaderValue::from_str(value.trim()).ok()?;
            value.set_sensitive(true);
            Some((HeaderName::try_from(name.trim()).ok()?, value))
        });
        let (name, value) = header.ok_or_else(|| {
            format!(
                "`verify.headers_from` `{}`, line {number}: it is not of the form `Name: value`",
                path.display()
            )
        })?;
        headers.append(name, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<&[(&str, &str)], &str>) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let found = headers(&HeadersFrom::File(file.path().to_owned()));
        let name = file.path().display().to_string();
        match (found, expected) {
            (Ok(found), Ok(expected)) => {
                let found: Vec<_> = found
                    .iter()
                    .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
                    .collect();
                assert_eq!(found, expected);
            }
            (Err(found), Err(expected)) => assert_eq!(found.replace(&name, "FILE"), expected),
            (found, expected) => panic!("{found:?}, not {expected:?}"),
        }
    }

    #[test]
    fn headers_stand_a_line_each_and_no_error_quotes_them() {
        check(
            "# for the wiki\nAuthorization: Bearer abc\n\nx-team:  revenue \n",
            Ok(&[("authorization", "Bearer abc"), ("x-team", "revenue")]),
        );
        check("", Ok(&[]));
        check(
            "Authorization: a\nBearer secret\n",
            Err("`verify.headers_from` `FILE`, line 2: it is not of the form `Name: value`"),
        );
    }
}
