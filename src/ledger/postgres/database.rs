//! Which database the ledger is in, and how one connects to it.
//! It knows no table.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_postgres::config::{Config, Host, SslMode};

use super::tls::Tls;
use super::trouble::Trouble;

/// How long one try to connect may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// A database by its address, and where its password is.
#[derive(Clone, PartialEq, Eq)]
pub struct Database {
    config: Config,
    password: Option<Password>,
    /// Whom to trust beside the system's roots.
    ca_file: Option<PathBuf>,
}

/// Where the password is read from, at each connection anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Password {
    File(PathBuf),
    /// A systemd credential: a file of that name in `$CREDENTIALS_DIRECTORY`.
    Credential(String),
}

/// What is wrong with an address, and the way out.
#[derive(Debug, PartialEq, Eq)]
pub struct BadAddress {
    pub message: String,
    pub help: &'static str,
}

impl Database {
    /// # Errors
    /// If it is no address of a database, or holds a password.
    pub fn parse(
        url: &str,
        password: Option<Password>,
        ca_file: Option<PathBuf>,
    ) -> Result<Self, BadAddress> {
        let bad = |message: &str, help| BadAddress {
            message: message.to_owned(),
            help,
        };
        if !(url.starts_with("postgres://") || url.starts_with("postgresql://")) {
            return Err(bad(
                "`[ledger] url` is no address of a PostgreSQL database",
                "write one such as \"postgres://triggerd@db.example.com/triggerd\"; without it the ledger is a file",
            ));
        }
        // What the parser says may quote a part of it, and that may be a password.
        let mut config: Config = url.parse().map_err(|_| {
            bad(
                "`[ledger] url` can't be understood",
                "write \"postgres://USER@HOST:PORT/DATABASE\", or \"postgres:///DATABASE?host=/run/postgresql&user=USER\" for a socket",
            )
        })?;
        if config.get_password().is_some() {
            return Err(bad(
                "`[ledger] url` holds a password",
                "take it out, and write `password = { file = \"…\" }` or `password = { credential = \"…\" }` under `[ledger]`",
            ));
        }
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            config.host_path("/run/postgresql");
        }
        if config.get_ssl_mode() == SslMode::Prefer && !is_near(&config) {
            config.ssl_mode(SslMode::Require);
        }
        config
            .application_name("triggerd")
            .connect_timeout(CONNECT_WITHIN)
            .tcp_user_timeout(CONNECT_WITHIN)
            .keepalives_idle(Duration::from_secs(10));
        Ok(Self {
            config,
            password,
            ca_file,
        })
    }

    /// With the password that stands at its place just now.
    pub(super) fn config(&self) -> Result<Config, Trouble> {
        let mut config = self.config.clone();
        if let Some(password) = &self.password {
            config.password(password.read()?);
        }
        Ok(config)
    }

    pub(super) fn tls(&self) -> Result<Tls, Trouble> {
        Tls::trusting(self.ca_file.as_deref())
    }

    /// Over a connection of its own.
    #[cfg(test)]
    pub(in crate::ledger) fn do_at_once(&self, sql: &str) {
        let connection = super::Connection::open(self).unwrap();
        connection.batch(sql).unwrap();
    }

    /// For messages that name the ledger by a path.
    pub(super) fn path(&self) -> PathBuf {
        self.to_string().into()
    }
}

impl Password {
    fn read(&self) -> Result<String, Trouble> {
        let path = match self {
            Password::File(path) => path.clone(),
            Password::Credential(name) => {
                let folder = std::env::var_os("CREDENTIALS_DIRECTORY");
                let folder = folder.ok_or_else(|| Trouble::NoPassword {
                    place: format!("credential `{name}`"),
                    cause: "`$CREDENTIALS_DIRECTORY` is not set".to_owned(),
                })?;
                Path::new(&folder).join(name)
            }
        };
        let text = std::fs::read_to_string(&path).map_err(|error| Trouble::NoPassword {
            place: format!("`{}`", path.display()),
            cause: error.to_string(),
        })?;
        let text = text.strip_suffix('\n').unwrap_or(&text);
        Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
    }
}

/// Whether nothing of what is said to it leaves the machine.
fn is_near(config: &Config) -> bool {
    let hosts = config.get_hosts().iter().all(|host| match host {
        Host::Tcp(name) => matches!(name.as_str(), "localhost" | "127.0.0.1" | "::1"),
        Host::Unix(_) => true,
    });
    hosts && config.get_hostaddrs().iter().all(|ip| ip.is_loopback())
}

/// Without user and options: where it is.
impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("postgres://")?;
        let ports = self.config.get_ports();
        for (n, host) in self.config.get_hosts().iter().enumerate() {
            if n > 0 {
                f.write_str(",")?;
            }
            match host {
                Host::Tcp(name) => f.write_str(name)?,
                Host::Unix(path) => f.write_str(&path.to_string_lossy())?,
            }
            if let Some(port) = ports.get(n).or(ports.first()) {
                write!(f, ":{port}")?;
            }
        }
        write!(f, "/{}", self.config.get_dbname().unwrap_or_default())
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leaves_the_machine_is_encrypted_unless_the_address_says_otherwise() {
        #[track_caller]
        fn check(url: &str, expected: SslMode) {
            let database = Database::parse(url, None, None).unwrap();
            assert_eq!(database.config.get_ssl_mode(), expected, "{url}");
        }
        check("postgres://t@db.example.com/t", SslMode::Require);
        check(
            "postgres://t@db.example.com/t?sslmode=prefer",
            SslMode::Require,
        );
        check(
            "postgres://t@db.example.com/t?sslmode=disable",
            SslMode::Disable,
        );
        check("postgres://t@db.example.com,localhost/t", SslMode::Require);
        check("postgres://t@localhost/t", SslMode::Prefer);
        check("postgres:///t?host=/run/postgresql&user=t", SslMode::Prefer);
    }

    #[test]
    fn a_password_in_the_address_is_refused_and_quoted_nowhere() {
        for url in [
            "postgres://t:geheim@db.example.com/t",
            "postgres://db.example.com/t?password=geheim",
            "postgres://t:geheim@db.example.com:port/t",
            "mysql://t:geheim@db.example.com/t",
        ] {
            let error = Database::parse(url, None, None).unwrap_err();
            assert!(!format!("{error:?}").contains("geheim"), "{error:?}");
        }
    }

    #[test]
    fn it_is_named_by_where_it_is_alone() {
        let url = "postgresql://t@one:1,two:2/ledger?options=-csearch_path=x";
        let database = Database::parse(url, None, None).unwrap();
        assert_eq!(database.to_string(), "postgres://one:1,two:2/ledger");
    }
}
