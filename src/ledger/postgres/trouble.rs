//! What can be wrong with the database, and the way out.
//! It knows no fact.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use tokio_postgres::error::SqlState;

use crate::ledger::store::Refusal;

#[derive(Debug, thiserror::Error)]
pub(in crate::ledger) enum Trouble {
    #[error("{}", told(.0))]
    Answer(#[from] tokio_postgres::Error),
    #[error("no answer within {0:?}")]
    Silent(Duration),
    #[error("the password is to be in {place}, which can't be read: {cause}")]
    NoPassword { place: String, cause: String },
    #[error("whom to trust can't be read from {place}: {cause}")]
    NoRoots { place: String, cause: String },
    #[error("not connected yet")]
    NotConnected,
}

impl Trouble {
    fn state(&self) -> Option<&SqlState> {
        match self {
            Trouble::Answer(error) => error.code(),
            _ => None,
        }
    }

    /// Nothing that is done at this side mends it but another connection: the database is down, or the
    /// way to it.
    pub(super) fn is_away(&self) -> bool {
        match self {
            // Without a state it was not the database that spoke.
            Trouble::Answer(error) => error.code().is_none_or(|state| {
                // Connection exceptions, a server that shuts down, starts up or is full, and statements of
                // before a newer triggerd changed the tables.
                ["08", "57P", "53", "0A000"]
                    .iter()
                    .any(|of| state.code().starts_with(of))
            }),
            Trouble::Silent(_) | Trouble::NotConnected => true,
            Trouble::NoPassword { .. } | Trouble::NoRoots { .. } => false,
        }
    }

    /// It can be asked, and takes nothing: as one that stands by for another.
    pub(super) fn is_read_only(&self) -> bool {
        self.state().is_some_and(|state| state.code() == "25006")
    }

    /// One of the facts is refused for what it says, and will be for ever.
    pub(super) fn is_for_content(&self) -> bool {
        self.state().is_some_and(|state| {
            let class = &state.code()[..2];
            class == "22" || class == "23"
        })
    }

    /// Another node has taken over from this one.
    pub(super) fn is_fenced(&self) -> bool {
        self.state().is_some_and(|state| state.code() == "TD001")
    }

    pub(super) fn way_out(&self) -> &'static str {
        match self {
            Trouble::NoPassword { .. } => {
                "let the user that runs triggerd read it, or name another place with `[ledger] password`"
            }
            Trouble::NoRoots { .. } => "mend it, or name another file with `[ledger] ca_file`",
            Trouble::Silent(_) | Trouble::NotConnected => START_IT,
            Trouble::Answer(error) => match error.code().map(SqlState::code) {
                Some("53100") => "free space on the file system of the database",
                Some("53300") => "raise the database's `max_connections`, or end what holds them",
                Some("25006") => {
                    "this server only reads: add `?target_session_attrs=read-write` to `[ledger] url`, with all servers as its hosts"
                }
                Some("28P01" | "28000") => {
                    "look at user and password (`[ledger] url` and `password`) and at the server's pg_hba.conf"
                }
                Some("3D000") => "make it with `createdb`, owned by the user of `[ledger] url`",
                Some("42501") => "give the database to the user of `[ledger] url`",
                Some("42P01" | "42703") => {
                    "the tables are not triggerd's: restore the database from a backup, or name another in `[ledger] url`"
                }
                None if is_distrust(error) => {
                    "the server's certificate must be valid for its name, and be signed by whom this machine trusts or by whom `[ledger] ca_file` names"
                }
                None if error.to_string().contains("TLS") => {
                    "set `ssl = on` at the server; add `?sslmode=disable` to `[ledger] url` only where nobody listens on the way"
                }
                Some(state) if !(state.starts_with("08") || state.starts_with("57P")) => {
                    "look at the database's log"
                }
                _ => START_IT,
            },
        }
    }

    pub(super) fn refusal(&self) -> Refusal {
        Refusal {
            cause: self.to_string(),
            way_out: self.way_out().to_owned(),
        }
    }
}

/// The server showed a certificate, and it was not enough.
fn is_distrust(error: &tokio_postgres::Error) -> bool {
    let source = error.source().and_then(|it| it.downcast_ref::<io::Error>());
    let inner = source.and_then(io::Error::get_ref);
    inner.is_some_and(|inner| inner.is::<rustls::Error>())
}

const START_IT: &str = "start the database or mend the way to it; triggerd tries again by itself";

fn told(error: &tokio_postgres::Error) -> String {
    if let Some(said) = error.as_db_error() {
        let detail = said.detail().map(|detail| format!(" ({detail})"));
        return format!("{}{}", said.message(), detail.unwrap_or_default());
    }
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
