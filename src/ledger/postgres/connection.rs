//! One connection, used by a thread that waits for it.
//! It knows no table, and of SQL only what makes a session.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Statement};

use super::database::Database;
use super::trouble::Trouble;

/// How long an answer is waited for: past it the database counts as away.
const PATIENCE: Duration = Duration::from_secs(5);

/// A server may take a connection and never say a word.
const LONGEST_CONNECT: Duration = Duration::from_secs(30);

/// A daemon that was stopped in the middle of a transaction is to hold nobody up, and what is told
/// to be durable is to be. No statement here takes as long as it would to compile it, and with many
/// rows the planner thinks otherwise.
const SESSION: &str = "
    SET jit = off;
    SET synchronous_commit = on;
    SET idle_in_transaction_session_timeout = '5s';
    SET statement_timeout = '4500ms';
    SET default_transaction_isolation = 'read committed'";

pub(super) struct Connection {
    client: Client,
    statements: RefCell<HashMap<String, Statement>>,
}

/// A connection that is being made.
pub(super) type Connecting = JoinHandle<Result<Connection, Trouble>>;

/// A statement with its parameters, on its way.
pub(super) struct Call<'a> {
    sql: Cow<'a, str>,
    params: Vec<Column<'a>>,
}

pub(super) type Column<'a> = Box<dyn ToSql + Sync + 'a>;

pub(super) fn call<'a>(sql: impl Into<Cow<'a, str>>, params: Vec<Column<'a>>) -> Call<'a> {
    Call {
        sql: sql.into(),
        params,
    }
}

impl Connection {
    pub(super) fn open(database: &Database) -> Result<Self, Trouble> {
        let connecting = Self::begin(database);
        match wait(connecting, PATIENCE) {
            Some(made) => made.unwrap_or(Err(Trouble::NotConnected)),
            None => Err(Trouble::Silent(PATIENCE)),
        }
    }

    /// Makes one beside whatever else is done.
    pub(super) fn begin(database: &Database) -> Connecting {
        let database = database.clone();
        let making = async move {
            let config = database.config()?;
            let (client, connection) = config.connect(database.tls()?).await?;
            // It ends with the client, or the client finds that it has ended.
            tokio::spawn(connection);
            client.batch_execute(SESSION).await?;
            Ok(Self {
                client,
                statements: RefCell::default(),
            })
        };
        runtime().spawn(async move {
            let made = tokio::time::timeout(LONGEST_CONNECT, making).await;
            made.unwrap_or(Err(Trouble::Silent(LONGEST_CONNECT)))
        })
    }

    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    pub(super) fn query(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Trouble> {
        let statement = self.prepared(sql)?;
        self.wait(self.client.query(&statement, params))
    }

    /// Several statements at once.
    pub(super) fn batch(&self, sql: &str) -> Result<(), Trouble> {
        self.batch_within(PATIENCE, sql)
    }

    /// The same, waiting longer than for others. The session has to allow it.
    pub(super) fn batch_within(&self, patience: Duration, sql: &str) -> Result<(), Trouble> {
        answered(self.client.batch_execute(sql), patience)
    }

    /// All of them in one round trip, whatever becomes of the single one: the rows of each, or what
    /// went wrong first.
    pub(super) fn pipeline(&self, calls: &[Call<'_>]) -> Result<Vec<Vec<Row>>, Trouble> {
        let prepared = calls.iter().map(|call| self.prepared(&call.sql));
        let prepared: Vec<_> = prepared.collect::<Result<_, _>>()?;
        let answers = calls.iter().zip(&prepared).map(|(call, statement)| {
            let params: Vec<_> = call.params.iter().map(|it| &**it as _).collect();
            async move { self.client.query(statement, &params).await }
        });
        let answers = wait(join_all(answers), PATIENCE).ok_or(Trouble::Silent(PATIENCE))?;
        let mut rows = Vec::with_capacity(answers.len());
        for answer in answers {
            rows.push(answer.map_err(Trouble::from)?);
        }
        Ok(rows)
    }

    fn prepared(&self, sql: &str) -> Result<Statement, Trouble> {
        if let Some(statement) = self.statements.borrow().get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.wait(self.client.prepare(sql))?;
        let mut statements = self.statements.borrow_mut();
        statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    fn wait<T>(
        &self,
        answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Trouble> {
        answered(answer, PATIENCE)
    }
}

fn answered<T>(
    answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
    patience: Duration,
) -> Result<T, Trouble> {
    match wait(answer, patience) {
        Some(answer) => Ok(answer?),
        None => Err(Trouble::Silent(patience)),
    }
}

/// What a connection that was being made has come to; `None` while it is under way.
pub(super) fn made(connecting: &mut Connecting) -> Option<Result<Connection, Trouble>> {
    let made = connecting
        .is_finished()
        .then(|| wait(connecting, PATIENCE))??;
    Some(made.unwrap_or(Err(Trouble::NotConnected)))
}

/// Drives all connections of the process, on one thread beside those that wait for answers: so a
/// thread may wait whether or not it belongs to a runtime.
fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("postgres")
            .enable_all()
            .build()
            .expect("a thread can be started")
    })
}

/// `None` if it takes longer.
fn wait<T>(future: impl Future<Output = T>, at_most: Duration) -> Option<T> {
    struct Waiting(Thread);
    impl Wake for Waiting {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let until = Instant::now() + at_most;
    let waker = Waker::from(Arc::new(Waiting(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(it) = future.as_mut().poll(&mut context) {
            return Some(it);
        }
        let left = until.checked_duration_since(Instant::now())?;
        std::thread::park_timeout(left);
    }
}
