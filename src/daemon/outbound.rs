//! The client for everything that is not the trigger API: look-ups, alerts and heartbeats.
//! It knows none of them.

use std::sync::OnceLock;

use reqwest::{Client, redirect};

use crate::api::http::USER_AGENT;

/// Made at the first use: most daemons need none. `None` where there can't be one.
pub(super) fn client() -> Option<&'static Client> {
    static CLIENT: OnceLock<Option<Client>> = OnceLock::new();
    let make = || {
        crate::api::http::provide_cryptography();
        Client::builder()
            .user_agent(USER_AGENT)
            // It would carry what is sent elsewhere.
            .redirect(redirect::Policy::none())
            .referer(false)
            .build()
            .ok()
    };
    CLIENT.get_or_init(make).as_ref()
}

/// The whole chain of an error, without the address: that may hold a secret.
pub(super) fn said(error: reqwest::Error) -> String {
    format!("{:#}", anyhow::Error::from(error.without_url()))
}
