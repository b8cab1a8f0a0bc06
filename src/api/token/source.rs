//! Where a token is read from, and what can be wrong there. It remembers nothing: `Tokens` does.

use super::{Secret, TokenId, looks_like_token};
use std::fmt::{self, Debug, Display, Formatter};
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Where a token is read from.
#[derive(Clone, PartialEq, Eq)]
pub enum TokenSource {
    /// An environment variable.
    Env(String),
    File(PathBuf),
    /// A systemd credential: a file of that name in `$CREDENTIALS_DIRECTORY`.
    Credential(String),
}

/// Where systemd has put a credential; `None` where it has given this process none.
pub fn credential(name: &str, env: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    Some(Path::new(&env("CREDENTIALS_DIRECTORY")?).join(name))
}

/// A token put by mistake where its source's name belongs is hidden as well.
impl Display for TokenSource {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            TokenSource::Env(name) => write!(f, "environment variable `{}`", hide_token(name)),
            TokenSource::File(path) => {
                write!(f, "token file `{}`", hide_token(&path.to_string_lossy()))
            }
            TokenSource::Credential(name) => write!(f, "credential `{}`", hide_token(name)),
        }
    }
}

impl Debug for TokenSource {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}

fn hide_token(name: &str) -> &str {
    if looks_like_token(name) { "***" } else { name }
}

#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error(
        "{0} is not set; put a Workspace Agent access token into it, or name another source under `[token]`"
    )]
    Unset(TokenSource),
    #[error(
        "{0} can't be found, since `$CREDENTIALS_DIRECTORY` is not set; run under systemd with `LoadCredential=`, or \
         name another source under `[token]`"
    )]
    NoCredentials(TokenSource),
    #[error(
        "{0} does not exist; write a Workspace Agent access token into it, or name another source under `[token]`"
    )]
    Missing(TokenSource),
    #[error("{0} is not a file; name a file that holds the token alone")]
    NotAFile(TokenSource),
    #[error("{0} can't be read; let the user that the daemon runs as read it")]
    Unreadable(TokenSource, #[source] io::Error),
    #[error("{0} is empty; put a Workspace Agent access token into it")]
    Empty(TokenSource),
    #[error(
        "{place} holds {found} at byte {at}, which no token has; put the token there alone, on one line, without `Bearer`"
    )]
    Malformed {
        place: TokenSource,
        found: &'static str,
        at: usize,
    },
    #[error(
        "no token is configured for `{0}`; add a source under `[token]`, or `token = {{ … }}` to the agent"
    )]
    NoSource(TokenId),
}

/// No token file is longer, and a wrong path may lead to anything.
const LONGEST_FILE: u64 = 64 * 1024;

/// A source after a look at the environment.
pub(super) enum Place {
    Text(String),
    File(PathBuf),
}

impl TokenSource {
    pub fn read(&self, env: &dyn Fn(&str) -> Option<String>) -> Result<Secret, TokenError> {
        self.read_at(&self.place(env)?)
    }

    pub(super) fn read_at(&self, place: &Place) -> Result<Secret, TokenError> {
        match place {
            Place::Text(text) => self.parse(text.as_bytes()),
            Place::File(path) => self.parse(&self.read_file(path)?),
        }
    }

    /// What is risky about how the token is kept, with the way out.
    pub fn warning(&self, env: &dyn Fn(&str) -> Option<String>) -> Option<String> {
        let Ok(Place::File(path)) = self.place(env) else {
            return None;
        };
        let mode = self.metadata(&path).ok()?.mode() & 0o7777;
        let is_open = mode & 0o007 != 0;
        is_open.then(|| format!("{self} is open to every user of this machine (mode {mode:04o}); close it with `chmod o=`"))
    }

    pub(super) fn place(&self, env: &dyn Fn(&str) -> Option<String>) -> Result<Place, TokenError> {
        match self {
            TokenSource::Env(name) => match env(name) {
                Some(text) => Ok(Place::Text(text)),
                None => Err(TokenError::Unset(self.clone())),
            },
            TokenSource::File(path) => Ok(Place::File(path.clone())),
            TokenSource::Credential(name) => credential(name, env)
                .map(Place::File)
                .ok_or_else(|| TokenError::NoCredentials(self.clone())),
        }
    }

    fn read_file(&self, path: &Path) -> Result<Vec<u8>, TokenError> {
        // Asked before it is opened: opening a fifo would wait for its writer.
        if !self.metadata(path)?.is_file() {
            return Err(TokenError::NotAFile(self.clone()));
        }
        let mut bytes = Vec::new();
        let read =
            File::open(path).and_then(|file| file.take(LONGEST_FILE).read_to_end(&mut bytes));
        read.map_err(|error| self.unreadable(error))?;
        Ok(bytes)
    }

    pub(super) fn metadata(&self, path: &Path) -> Result<Metadata, TokenError> {
        fs::metadata(path).map_err(|error| self.unreadable(error))
    }

    fn unreadable(&self, error: io::Error) -> TokenError {
        match error.kind() {
            io::ErrorKind::NotFound => TokenError::Missing(self.clone()),
            _ => TokenError::Unreadable(self.clone(), error),
        }
    }

    fn parse(&self, bytes: &[u8]) -> Result<Secret, TokenError> {
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        if bytes.is_empty() {
            return Err(TokenError::Empty(self.clone()));
        }
        if let Some(at) = bytes.iter().position(|byte| !byte.is_ascii_graphic()) {
            let found = match bytes[at] {
                b' ' => "a space",
                b'\n' | b'\r' => "a line break",
                0..=0x1f | 0x7f => "a control character",
                _ => "a character that is not ASCII",
            };
            return Err(TokenError::Malformed {
                place: self.clone(),
                found,
                at: at + 1,
            });
        }
        let text = str::from_utf8(bytes).expect("ASCII is UTF-8");
        Ok(Secret::new(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use insta::assert_snapshot;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    fn no_env(_: &str) -> Option<String> {
        None
    }

    fn file(content: &[u8]) -> (tempfile::TempDir, TokenSource) {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let path = folder.path().join("token");
        fs::write(&path, content).expect("a file for the test");
        (folder, TokenSource::File(path))
    }

    #[test]
    fn one_trailing_newline_is_not_the_tokens() {
        #[track_caller]
        fn check(content: &[u8], expected: &str) {
            let (_folder, source) = file(content);
            let read = source
                .read(&no_env)
                .map(|secret| secret.expose().to_owned());
            let read = read.map_err(|error| match error {
                TokenError::Malformed { found, at, .. } => format!("{found} at {at}"),
                TokenError::Empty(_) => "empty".to_owned(),
                other => other.to_string(),
            });
            assert_eq!(read.unwrap_or_else(|error| error), expected);
        }
        check(b"at-1", "at-1");
        check(b"at-1\n", "at-1");
        check(b"at-1\r\n", "at-1");
        check(b"at-1\n\n", "a line break at 5");
        check(b"at-1\nat-2\n", "a line break at 5");
        check(b"Bearer at-1", "a space at 7");
        check(b" at-1", "a space at 1");
        check(b"at-1\t", "a control character at 5");
        check(b"at-1\x7f", "a control character at 5");
        check("at-ü".as_bytes(), "a character that is not ASCII at 4");
        check(b"\xef\xbb\xbfat-1", "a character that is not ASCII at 1");
        check(b"", "empty");
        check(b"\n", "empty");
        check(b"\r\n", "empty");
    }

    #[test]
    fn a_credential_is_a_file_in_systemds_folder() {
        let (folder, _) = file(b"at-1\n");
        let path = folder.path().to_str().expect("a plain path").to_owned();
        let env = |name: &str| (name == "CREDENTIALS_DIRECTORY").then(|| path.clone());
        let read = TokenSource::Credential("token".to_owned()).read(&env);
        assert_eq!(read.expect("it is there").expose(), "at-1");
    }

    #[test]
    fn errors_say_the_way_out() {
        let text = |source: TokenSource| source.read(&no_env).expect_err("it is wrong").to_string();
        assert_snapshot!(text(TokenSource::Env("TOKEN".to_owned())), @"environment variable `TOKEN` is not set; put a Workspace Agent access token into it, or name another source under `[token]`");
        assert_snapshot!(text(TokenSource::Credential("agent-token".to_owned())), @"credential `agent-token` can't be found, since `$CREDENTIALS_DIRECTORY` is not set; run under systemd with `LoadCredential=`, or name another source under `[token]`");
        assert_snapshot!(text(TokenSource::File("/nowhere/token".into())), @"token file `/nowhere/token` does not exist; write a Workspace Agent access token into it, or name another source under `[token]`");
        assert_snapshot!(text(TokenSource::File("/dev/null".into())), @"token file `/dev/null` is not a file; name a file that holds the token alone");
        assert_snapshot!(text(TokenSource::File("/dev/null/token".into())), @"token file `/dev/null/token` can't be read; let the user that the daemon runs as read it");
        assert_snapshot!(TokenError::Empty(TokenSource::Env("TOKEN".to_owned())), @"environment variable `TOKEN` is empty; put a Workspace Agent access token into it");
        let place = TokenSource::File("/run/token".into());
        assert_snapshot!(TokenError::Malformed { place, found: "a space", at: 7 }, @"token file `/run/token` holds a space at byte 7, which no token has; put the token there alone, on one line, without `Bearer`");
        assert_snapshot!(TokenError::NoSource(TokenId::Agent("revenue".to_owned())), @"no token is configured for `revenue`; add a source under `[token]`, or `token = { … }` to the agent");
    }

    #[test]
    fn a_fifo_is_refused_and_not_waited_for() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let path = folder.path().join("fifo");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0)
            .expect("a fifo for the test");
        let read = TokenSource::File(path).read(&no_env);
        assert!(matches!(read, Err(TokenError::NotAFile(_))), "{read:?}");
    }

    #[test]
    fn a_file_open_to_others_is_a_warning() {
        #[track_caller]
        fn check(mode: u32, warns: bool) {
            let (_folder, source) = file(b"at-1");
            let TokenSource::File(path) = &source else {
                panic!("made as a file");
            };
            fs::set_permissions(path, Permissions::from_mode(mode)).expect("its owner may");
            assert_eq!(source.warning(&no_env).is_some(), warns, "{mode:o}");
        }
        check(0o400, false);
        check(0o440, false);
        check(0o600, false);
        check(0o640, false);
        check(0o644, true);
        check(0o602, true);
    }
}
