//! The journal's native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL): a line is one datagram, its text
//! in MESSAGE and each of its fields as `TRIGGERD_…`. It knows no line.

use std::fmt::{Debug, Write as _};
use std::io::{self, Write as _};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use super::message_id;

pub(super) const SOCKET: &str = "/run/systemd/journal/socket";

/// The longest value, and the longest text, in bytes. An event has at most 32 fields, so that all of it
/// fits into a datagram (208 KiB by default), and never needs a file of its own to be handed over.
const LONGEST: usize = 4 * 1024;
const LONGEST_MESSAGE: usize = 32 * 1024;

pub(super) struct Journal {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Journal {
    /// # Errors
    /// If nobody listens there.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let journal = Self {
            socket: UnixDatagram::unbound()?,
            path: path.to_owned(),
        };
        // The journal takes no notice of an empty datagram.
        journal.send(&[])?;
        Ok(journal)
    }

    /// By its path each time: the journal may have been started again.
    fn send(&self, entry: &[u8]) -> io::Result<()> {
        self.socket.send_to(entry, &self.path).map(drop)
    }
}

impl<S: Subscriber> Layer<S> for Journal {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line::default();
        event.record(&mut line);
        let level = *event.metadata().level();
        let priority = priority(level);
        if let Err(error) = self.send(&line.entry(priority)) {
            // The last that can be done; standard error may still lead somewhere.
            let text = line.text();
            let _ = writeln!(io::stderr(), "<{priority}>{text} (journal: {error})");
        }
    }
}

/// That of syslog(3).
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

/// What an event says.
#[derive(Default)]
struct Line {
    message: String,
    /// Behind the message, as ` name=value`.
    rest: String,
    fields: Vec<u8>,
}

impl Line {
    fn text(&self) -> String {
        format!("{}{}", self.message, self.rest)
    }

    fn entry(&self, priority: u8) -> Vec<u8> {
        let mut entry = Vec::new();
        put(&mut entry, "MESSAGE", cut(&self.text(), LONGEST_MESSAGE));
        put(&mut entry, "PRIORITY", &priority.to_string());
        put(&mut entry, "SYSLOG_IDENTIFIER", "triggerd");
        if let Some(id) = message_id::of(&self.message) {
            put(&mut entry, "MESSAGE_ID", id);
        }
        entry.extend_from_slice(&self.fields);
        entry
    }

    fn take(&mut self, name: &str, value: &str) {
        let value = cut(value, LONGEST);
        if name == "message" {
            self.message.push_str(value);
            return;
        }
        put(
            &mut self.fields,
            &format!("TRIGGERD_{}", name.to_ascii_uppercase()),
            value,
        );
        let plain = |it: char| !it.is_whitespace() && !it.is_control() && it != '"';
        let _ = if value.chars().all(plain) {
            write!(self.rest, " {name}={value}")
        } else {
            write!(self.rest, " {name}={value:?}")
        };
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field.name(), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.take(field.name(), &format!("{value:?}"));
    }
}

/// The form with a length, which every value can take.
fn put(entry: &mut Vec<u8>, name: &str, value: &str) {
    let name = name.bytes().map(|byte| {
        if byte.is_ascii_alphanumeric() {
            byte
        } else {
            b'_'
        }
    });
    entry.extend(name);
    entry.push(b'\n');
    entry.extend_from_slice(&(value.len() as u64).to_le_bytes());
    entry.extend_from_slice(value.as_bytes());
    entry.push(b'\n');
}

fn cut(text: &str, longest: usize) -> &str {
    let mut end = longest.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tracing::{error, info, warn};
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    /// What the journal would have got, an entry a line.
    fn entries(log: impl FnOnce()) -> Vec<BTreeMap<String, String>> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("socket");
        let listener = UnixDatagram::bind(&path).expect("a socket");
        let journal = Journal::open(&path).expect("it listens");
        tracing::subscriber::with_default(tracing_subscriber::registry().with(journal), log);
        listener.set_nonblocking(true).expect("a socket");
        let mut entries = Vec::new();
        let mut datagram = vec![0; 300_000];
        while let Ok(length) = listener.recv(&mut datagram) {
            assert!(length < 200_000, "{length}");
            entries.push(parsed(&datagram[..length]));
        }
        assert!(entries.remove(0).is_empty(), "the first asks who is there");
        entries
    }

    fn parsed(mut entry: &[u8]) -> BTreeMap<String, String> {
        let mut fields = BTreeMap::new();
        while let Some(end) = entry.iter().position(|byte| *byte == b'\n') {
            let name = String::from_utf8(entry[..end].to_vec()).expect("a name");
            let (length, rest) = entry[end + 1..].split_first_chunk().expect("a length");
            let length = u64::from_le_bytes(*length) as usize;
            let value = String::from_utf8(rest[..length].to_vec()).expect("a text");
            assert_eq!(rest[length], b'\n');
            assert_eq!(fields.insert(name, value), None);
            entry = &rest[length + 1..];
        }
        fields
    }

    #[test]
    fn a_line_is_an_entry_with_each_field_and_the_id_of_its_kind() {
        let none: Option<u16> = None;
        let entries = entries(|| {
            info!(schedule = %"weekly-report", http_status = 202, run_id = none, "trigger accepted");
        });
        let id = message_id::of("trigger accepted").expect("it has one");
        let expected = [
            (
                "MESSAGE",
                "trigger accepted schedule=weekly-report http_status=202",
            ),
            ("MESSAGE_ID", id),
            ("PRIORITY", "6"),
            ("SYSLOG_IDENTIFIER", "triggerd"),
            ("TRIGGERD_HTTP_STATUS", "202"),
            ("TRIGGERD_SCHEDULE", "weekly-report"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(entries, [BTreeMap::from(expected)]);
    }

    #[test]
    fn priorities_are_those_of_syslog() {
        let entries = entries(|| {
            error!("1");
            warn!("2");
            info!("3");
            tracing::debug!("4");
        });
        let priorities: Vec<&str> = entries.iter().map(|it| it["PRIORITY"].as_str()).collect();
        assert_eq!(priorities, ["3", "4", "6", "7"]);
    }

    #[test]
    fn no_value_makes_a_field_or_a_line_of_its_own() {
        let entries = entries(|| {
            warn!(
                detail = "a\nMESSAGE_ID=0\n\u{1b}[31m",
                fix = "x y",
                "attempt failed"
            );
        });
        let entry = &entries[0];
        assert_eq!(entry["TRIGGERD_DETAIL"], "a\nMESSAGE_ID=0\n\u{1b}[31m");
        let message = r#"attempt failed detail="a\nMESSAGE_ID=0\n\u{1b}[31m" fix="x y""#;
        assert_eq!(entry["MESSAGE"], message);
    }

    /// `entries` asserts the size.
    #[test]
    fn what_is_long_is_cut_so_that_a_datagram_takes_it() {
        let long = "ä".repeat(1_000_000);
        let it = long.as_str();
        let entries = entries(|| {
            warn!(
                a = it,
                b = it,
                c = it,
                d = it,
                e = it,
                f = it,
                g = it,
                h = it,
                i = it,
                j = it,
                k = it,
                l = it,
                m = it,
                n = it,
                o = it,
                p = it,
                q = it,
                r = it,
                s = it,
                t = it,
                u = it,
                v = it,
                w = it,
                x = it,
                y = it,
                z = it,
                a1 = it,
                b1 = it,
                c1 = it,
                d1 = it,
                e1 = it,
                "attempt failed"
            );
        });
        assert_eq!(entries[0]["TRIGGERD_E1"].len(), LONGEST);
        assert_eq!(entries[0]["MESSAGE"].len(), LONGEST_MESSAGE);
    }
}
