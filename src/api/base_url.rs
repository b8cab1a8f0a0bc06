//! Where the API is, and where a token may be sent at all. It knows no client.

use std::fmt;

use reqwest::Url;

use crate::schedule::TriggerId;

/// The API's address: `https`, or `http` to this machine itself.
#[derive(Clone, PartialEq, Eq)]
pub struct BaseUrl {
    /// Its path ends without a slash.
    url: Url,
}

/// No text quotes the URL whole, since it may hold a password.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBaseUrl {
    #[error("the base URL is no URL ({0}); write it like `{default}`", default = BaseUrl::DEFAULT)]
    NotAUrl(String),
    #[error("the base URL begins with `{0}:`; write `https://…`, or `http://…` to this machine")]
    Scheme(String),
    #[error(
        "the base URL would send the token to `{0}` in the clear; write `https://{0}`, or use `http` with 127.0.0.1, \
         ::1 or localhost only"
    )]
    InTheClear(String),
    #[error(
        "the base URL has a user name or password; leave it out, and name the token's source under `[token]`"
    )]
    Credentials,
    #[error("the base URL has a `?` or `#`; end it with its path, like `{default}`", default = BaseUrl::DEFAULT)]
    QueryOrFragment,
}

impl BaseUrl {
    pub const DEFAULT: &str = "https://api.chatgpt.com/v1";

    /// # Errors
    /// If a token should not be sent there, or if it can't be the beginning of the API's URLs.
    pub fn parse(text: &str) -> Result<Self, InvalidBaseUrl> {
        let mut url = Url::parse(text).map_err(|e| InvalidBaseUrl::NotAUrl(e.to_string()))?;
        if !matches!(url.scheme(), "https" | "http") {
            return Err(InvalidBaseUrl::Scheme(url.scheme().to_owned()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(InvalidBaseUrl::Credentials);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(InvalidBaseUrl::QueryOrFragment);
        }
        let path = url.path().trim_end_matches('/').to_owned();
        url.set_path(&path);
        let base = Self { url };
        if !base.is_tls() && !base.is_loopback() {
            let host = base.url.host_str().unwrap_or_default();
            return Err(InvalidBaseUrl::InTheClear(host.to_owned()));
        }
        Ok(base)
    }

    pub fn is_tls(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// Whether it is this machine itself.
    pub fn is_loopback(&self) -> bool {
        let host = self.url.host_str().unwrap_or_default();
        let address = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost"
            || address
                .parse::<std::net::IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    }

    /// What has to be looked up and connected to.
    pub fn host_and_port(&self) -> (&str, u16) {
        let host = self.url.host_str().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        (host, self.url.port_or_known_default().unwrap_or(443))
    }

    pub(super) fn itself(&self) -> Url {
        self.url.clone()
    }

    pub(super) fn trigger(&self, trigger_id: &TriggerId) -> Url {
        self.join(&["workspace_agents", trigger_id.as_str(), "trigger"])
    }

    pub(super) fn run(&self, trigger_id: &TriggerId, run_id: &str) -> Url {
        self.join(&["workspace_agents", trigger_id.as_str(), "runs", run_id])
    }

    fn join(&self, segments: &[&str]) -> Url {
        let mut url = self.url.clone();
        url.path_segments_mut()
            .expect("https and http URLs have a path")
            .pop_if_empty()
            .extend(segments);
        url
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.url.as_str().trim_end_matches('/'))
    }
}

impl fmt::Debug for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let parsed = BaseUrl::parse(text).expect("a good base URL");
        assert_eq!(parsed.to_string(), expected);
    }

    #[track_caller]
    fn refused(text: &str) -> String {
        BaseUrl::parse(text)
            .expect_err("a bad base URL")
            .to_string()
    }

    #[test]
    fn https_goes_anywhere_and_http_to_this_machine() {
        check(BaseUrl::DEFAULT, BaseUrl::DEFAULT);
        check("https://api.chatgpt.com/v1/", BaseUrl::DEFAULT);
        check("HTTPS://API.chatgpt.com/v1", BaseUrl::DEFAULT);
        check("https://192.0.2.7:8443", "https://192.0.2.7:8443");
        check("http://127.0.0.1:8080/v1", "http://127.0.0.1:8080/v1");
        check("http://127.9.9.9", "http://127.9.9.9");
        check("http://[::1]:8080", "http://[::1]:8080");
        check("http://LocalHost:8080", "http://localhost:8080");
    }

    #[test]
    fn a_refusal_says_the_way_out() {
        insta::assert_snapshot!(refused("api.chatgpt.com/v1"), @"the base URL is no URL (relative URL without a base); write it like `https://api.chatgpt.com/v1`");
        insta::assert_snapshot!(refused("ftp://api.chatgpt.com"), @"the base URL begins with `ftp:`; write `https://…`, or `http://…` to this machine");
        insta::assert_snapshot!(refused("http://api.chatgpt.com/v1"), @"the base URL would send the token to `api.chatgpt.com` in the clear; write `https://api.chatgpt.com`, or use `http` with 127.0.0.1, ::1 or localhost only");
        insta::assert_snapshot!(refused("https://user:secret@api.chatgpt.com"), @"the base URL has a user name or password; leave it out, and name the token's source under `[token]`");
        insta::assert_snapshot!(refused("https://api.chatgpt.com/v1?a=b"), @"the base URL has a `?` or `#`; end it with its path, like `https://api.chatgpt.com/v1`");
        insta::assert_snapshot!(refused("https://api.chatgpt.com/v1#a"), @"the base URL has a `?` or `#`; end it with its path, like `https://api.chatgpt.com/v1`");
    }

    #[test]
    fn what_only_looks_like_this_machine_gets_no_token_in_the_clear() {
        for text in [
            "http://localhost.example.com",
            "http://127.0.0.1.example.com",
            "http://128.0.0.1",
            "http://0.0.0.0",
            "http://[::2]",
        ] {
            let refusal = BaseUrl::parse(text);
            assert!(
                matches!(refusal, Err(InvalidBaseUrl::InTheClear(_))),
                "{text}: {refusal:?}"
            );
        }
    }

    #[test]
    fn a_run_id_stays_one_segment() {
        let base = BaseUrl::parse("https://api.chatgpt.com").expect("a good base URL");
        let trigger_id = TriggerId::parse("agtch_1").expect("a good id");
        let urls = [base.trigger(&trigger_id), base.run(&trigger_id, "a/../b?c")];
        insta::assert_debug_snapshot!(urls.map(|url| url.to_string()), @r#"
        [
            "https://api.chatgpt.com/workspace_agents/agtch_1/trigger",
            "https://api.chatgpt.com/workspace_agents/agtch_1/runs/a%2F..%2Fb%3Fc",
        ]
        "#);
    }
}
