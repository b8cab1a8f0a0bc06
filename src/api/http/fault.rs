//! Why no answer came, and whether the event may have been queued all the same. It knows no status.

use std::error::Error;
use std::time::Duration;

use crate::plan::outcome::Reached;

/// A call without an answer.
#[derive(Debug)]
pub(super) enum Fault {
    /// No request could be made of what was given; nothing was sent.
    Unsendable(String),
    /// No answer came.
    Broken { reached: Reached, detail: String },
}

impl Fault {
    pub(super) fn timed_out(timeout: Duration) -> Self {
        Fault::Broken {
            reached: Reached::Unknown,
            detail: format!("no answer within {timeout:?}"),
        }
    }

    pub(super) fn detail(&self) -> &str {
        match self {
            Fault::Unsendable(detail) | Fault::Broken { detail, .. } => detail,
        }
    }
}

impl From<reqwest::Error> for Fault {
    fn from(error: reqwest::Error) -> Self {
        let mut detail = causes(&error);
        if error.is_connect() && error.is_timeout() {
            detail.insert_str(0, "no connection: ");
        }
        if error.is_builder() {
            Fault::Unsendable(detail)
        } else {
            // Name look-up, a proxy's tunnel and the TLS handshake are part of connecting. Whatever comes
            // later comes when bytes may have been sent.
            let reached = if error.is_connect() {
                Reached::No
            } else {
                Reached::Unknown
            };
            Fault::Broken { reached, detail }
        }
    }
}

/// The causes beneath the client's own layers, which say only that sending failed.
fn causes(error: &reqwest::Error) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        let is_layer = text.starts_with("client error (");
        let is_said = texts.last().is_some_and(|last| last.contains(&text));
        if !is_layer && !is_said {
            texts.push(text);
        }
        cause = error.source();
    }
    if texts.is_empty() {
        "the connection failed".to_owned()
    } else {
        texts.join(": ")
    }
}
