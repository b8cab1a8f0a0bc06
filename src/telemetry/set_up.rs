//! Where the lines go and how they look. It knows no line.

use std::io::{self, IsTerminal};
use std::path::Path;

use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::journal::{Journal, SOCKET};

/// How lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// The journal under systemd, text on a terminal, else JSON lines.
    #[default]
    Auto,
    /// systemd's journal, each field of a line as one of its own.
    Journal,
    #[value(alias = "pretty")]
    Text,
    Json,
}

/// This program's own lines from `info` on, and warnings of others.
pub const USUAL: &str = "warn,triggerd=info";

/// Begins to log. `RUST_LOG` chooses what, else `usual`. Where there is no journal, what was meant for
/// it is written to standard error as JSON lines.
pub fn start(format: LogFormat, usual: &str) {
    let asked = std::env::var("RUST_LOG").ok();
    let asked: Option<Targets> = asked
        .filter(|it| !it.is_empty())
        .and_then(|it| it.parse().ok());
    let filter = asked.unwrap_or_else(|| usual.parse().expect("a filter"));
    let lines = tracing_subscriber::registry().with(filter);
    let terminal = io::stderr().is_terminal();
    let format = match format {
        LogFormat::Auto if journal_reads_stderr() => LogFormat::Journal,
        LogFormat::Auto if terminal => LogFormat::Text,
        LogFormat::Auto => LogFormat::Json,
        chosen => chosen,
    };
    let journal = match format {
        LogFormat::Journal => Some(Journal::open(Path::new(SOCKET))),
        LogFormat::Auto | LogFormat::Text | LogFormat::Json => None,
    };
    let missing = match journal {
        Some(Ok(journal)) => {
            // A second call, as tests in one process make it, keeps the first.
            let _ = lines.with(journal).try_init();
            return;
        }
        Some(Err(error)) => Some(error),
        None => None,
    };
    let shown = tracing_subscriber::fmt::layer()
        .with_target(false)
        .with_writer(io::stderr);
    let _ = if format == LogFormat::Text {
        let shown = shown.with_ansi(terminal && std::env::var_os("NO_COLOR").is_none());
        lines.with(shown).try_init()
    } else {
        let shown = shown
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false);
        lines.with(shown).try_init()
    };
    if let Some(error) = missing {
        tracing::warn!(socket = SOCKET, %error, "the journal can't be reached; lines go to standard error");
    }
}

/// An error that ends the process, as it is written to standard error: with the priority in front of each line where
/// the journal reads it (sd-daemon(3)).
pub fn last_words(error: &anyhow::Error) -> String {
    let text = format!("error: {error:#}");
    if journal_reads_stderr() {
        let lines: Vec<String> = text.lines().map(|line| format!("<3>{line}")).collect();
        lines.join("\n")
    } else {
        text
    }
}

/// Whether standard error is the stream that systemd has connected to the journal (systemd.exec(5)).
fn journal_reads_stderr() -> bool {
    let Ok(stderr) = rustix::fs::fstat(io::stderr()) else {
        return false;
    };
    std::env::var("JOURNAL_STREAM")
        .is_ok_and(|stream| is_stream(&stream, stderr.st_dev, stderr.st_ino))
}

/// A shell that was started by a service has the variable, and another standard error.
fn is_stream(stream: &str, device: u64, inode: u64) -> bool {
    stream == format!("{device}:{inode}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_is_where_device_and_inode_are_those_of_its_stream() {
        assert!(is_stream("8:1234", 8, 1234));
        for other in ["8:1235", "9:1234", "8:12345", "8", "", "1234:8"] {
            assert!(!is_stream(other, 8, 1234), "{other}");
        }
    }
}
