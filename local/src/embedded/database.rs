//! One SQLite file for everything that is not an object.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::types::Value;
use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};
use shared::format::item::Attribute;

use super::writes::Writes;

/// Tables as they are now. The names of columns are the names of attributes in DynamoDB, where there is one.
const SCHEMA: &str = include_str!("schema.sql");
/// The number of [`SCHEMA`], kept in the file as `user_version`.
const SCHEMA_VERSION: i64 = 4;
/// How often a writer asks whether another process has finished its transaction: for ten seconds, each [`BUSY_PAUSE`].
const BUSY_ASKS: i32 = 10_000;
const BUSY_PAUSE: Duration = Duration::from_millis(1);
/// An item of an event of a kilobyte takes 2.4: three of them fit, where a page of 4096 holds one and is half empty.
const PAGE_BYTES: u32 = 8192;

/// A connection to the file. Clones share it; open a second one for work that must not wait.
#[derive(Clone, Debug)]
pub struct Database(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    connection: Mutex<Connection>,
    writes: Writes,
}

/// An attribute as its column's value.
pub(super) fn value(attribute: Attribute) -> Value {
    match attribute {
        Attribute::Text(text) => Value::Text(text),
        Attribute::Number(number) => Value::Integer(number),
        Attribute::Flag(flag) => Value::Integer(flag.into()),
    }
}

/// SQLite's own way of waiting sleeps up to 100 ms at a time; the door has 120 for an attempt to put.
fn wait(asked: i32) -> bool {
    std::thread::sleep(BUSY_PAUSE);
    asked < BUSY_ASKS
}

/// Why the file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// It was written by another version.
    #[error(
        "`{path}` has schema {found}, this version of Tidegate writes {SCHEMA_VERSION}: start with --reset, or with another --data"
    )]
    Schema {
        /// The file.
        path: String,
        /// The version found in it.
        found: i64,
    },
    /// SQLite's own.
    #[error("SQLite: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The work panicked or was cut off.
    #[error("the work on the database did not finish")]
    Unfinished,
}

impl DatabaseError {
    /// Whether the same call may work later: another process held the file.
    pub fn is_busy(&self) -> bool {
        let Self::Sqlite(error) = self else { return false };
        matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
    }
}

impl Database {
    /// Opens the file, and creates it with its tables if it is not there.
    pub fn open(path: &Path) -> Result<Self, DatabaseError> {
        let mut connection = Connection::open(path)?;
        connection.busy_handler(Some(wait))?;
        // Counts for a new file only.
        connection.pragma_update(None, "page_size", PAGE_BYTES)?;
        // Readers and one writer at a time, across processes. NORMAL: a commit survives this process, which is what
        // `kill -9` asks for, without an fsync each.
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;

        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let found: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
        match found {
            0 => {
                transaction.execute_batch(SCHEMA)?;
                transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
            }
            SCHEMA_VERSION => {}
            found => return Err(DatabaseError::Schema { path: path.display().to_string(), found }),
        }
        transaction.commit()?;
        Ok(Self(Arc::new(Shared { connection: Mutex::new(connection), writes: Writes::default() })))
    }

    /// Runs `work` on the connection, off the async threads.
    pub async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, DatabaseError> {
        let database = self.clone();
        let finished = tokio::task::spawn_blocking(move || {
            let mut connection = database.0.connection.lock().unwrap_or_else(PoisonError::into_inner);
            work(&mut connection)
        });
        Ok(finished.await.map_err(|_| DatabaseError::Unfinished)??)
    }

    /// Runs `work` in a write transaction, off the async threads. What is written at the same time shares one: its end
    /// costs the same for one and for fifty. If `work` fails, what it wrote is undone, and nothing else.
    pub async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, DatabaseError> {
        let (is_first, answer) = self.0.writes.enter(work);
        if is_first {
            let database = self.clone();
            tokio::task::spawn_blocking(move || database.0.writes.drain(&database.0.connection));
        }
        answer.await.unwrap_or(Err(DatabaseError::Unfinished))
    }
}
